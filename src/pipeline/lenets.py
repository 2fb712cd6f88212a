"""Activations of the shipped LeNet-5s: computed once per state, then only read.

`helpers.data.load_lenets` asks this module for what does not lie in ``data/`` itself.
torch is imported only where something is computed.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from filelock import FileLock

from helpers import data, sparsity
from pipeline import datasets, manifest

NAMES = ("mnist", "cifar10", "cifar10_lr0.001", "cifar10_lr0.004")
"""The shipped ensembles: data set and variant."""
MADE_BY = (
    "pipeline/lenets",
    "pipeline/networks",
    "pipeline/training",
    "helpers/data",
    "helpers/sparsity",
)
"""The code that the activations depend on."""


def folder() -> Path:
    """Where the files lie for the present state of the project."""
    key = manifest.state(*MADE_BY)[:16]
    return data.data_folder().parent / "_build" / f"lenets-{key}"


def load(
    dataset: str,
    n_models: int,
    variant: str,
    train: bool,
    epochs: int,
    source: str,
    device: str,
) -> data.Lenets:
    """What `helpers.data.load_lenets` describes: read where possible, else computed."""
    if train or source != "shipped":
        return compute(dataset, n_models, variant, train, epochs, source, device)
    name = dataset + variant
    paths = [folder() / file for file in data.lenet_files(name, n_models)]
    if not all(path.is_file() for path in paths):
        paths = ensure(name)[: len(paths)]
    return data.read_lenets(dataset, paths, n_models)


def ensure(*names: str) -> list[Path]:
    """The files of the named ensembles (default: all).

    They are computed where one is missing or damaged. Processes that ask at the same
    time wait for the one that computes.
    """
    from pipeline import training

    paths, target = [], folder()
    target.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        n_models = len(training.load_shipped(name))
        files = [target / file for file in data.lenet_files(name, n_models)]
        with FileLock(target / f"{name}.lock"):
            if any(manifest.read_cached(file) is None for file in files):
                _write(name, files)
        paths += files
    return paths


def _write(name: str, files: list[Path]) -> None:
    dataset, _, variant = name.partition("_")
    arrays = vars(compute(dataset, variant=variant and f"_{variant}"))
    shared = {key: arrays[key] for key in ("n_test", "labels", "command")}
    of_models = {k: v for k, v in arrays.items() if k not in {*shared, "dataset"}}
    for i, file in enumerate(files):
        part = {k: values[10 * i : 10 * i + 10] for k, values in of_models.items()}
        with manifest.atomic(file) as target:
            np.savez_compressed(target, **shared, **part)
    remove_old_states(files[0].parent)


def remove_old_states(current: Path) -> None:
    """Remove files of other states that are more than a day old."""
    for other in current.parent.glob("lenets-*"):
        if other != current and time.time() - other.stat().st_mtime > 86_400:
            shutil.rmtree(other, ignore_errors=True)


def compute(
    dataset: str,
    n_models: int | None = None,
    variant: str = "",
    train: bool = False,
    epochs: int = 0,
    source: str = "shipped",
    device: str = "cpu",
) -> data.Lenets:
    """Activations of an ensemble, shipped or trained now."""
    from pipeline import training

    images, command = datasets.load_images(dataset, source), "trained in this run"
    if train:
        models = training.ensemble(dataset, n_models, epochs, source, device)
    else:
        models = training.load_shipped(dataset + variant, n_models)
        commands = {entry["file"]: entry["command"] for entry in data.manifest()}
        command = commands[f"lenet5_{dataset}{variant}.safetensors"]
    x = training.ensemble_embeddings(models, images.x_test)
    kept = kept_images(images.y_test)
    classes = [images.y_test == label for label in np.unique(images.y_test)]
    means = [[model[k].mean(axis=0, dtype=np.float64) for k in classes] for model in x]
    return data.Lenets(
        dataset=dataset,
        seeds=models.seeds,
        accuracy=models.accuracy,
        n_test=len(images.x_test),
        poz=np.stack([sparsity.percentage_of_zeros(model) for model in x]),
        class_means=np.array(means),
        labels=images.y_test[kept],
        embeddings=x[:, kept],
        command=command,
    )


def kept_images(labels: np.ndarray) -> np.ndarray:
    """Ascending positions of the test images whose activations are kept."""
    return data.stratified(labels, 200, np.random.default_rng(0))


def record(command: str) -> None:
    """Make all files, for ``python -m pipeline activations``."""
    paths = ensure()
    print(f"{len(paths)} files in {paths[0].parent}")
