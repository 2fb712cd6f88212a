"""Activations of the shipped LeNet-5s: computed once per state, then only read.

`helpers.data.load_lenets` reads the files and asks this module for those that are
missing. They lie in `helpers.data.lenets_folder`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from filelock import FileLock

from helpers import data, sparsity
from pipeline import datasets, manifest, training

NAMES = ("mnist", "cifar10", "cifar10_lr0.001", "cifar10_lr0.004")
"""The shipped ensembles: data set and variant."""


def ensure(*names: str) -> list[Path]:
    """The files of the named ensembles (default: all), computed where they are missing.

    Processes that ask at the same time wait for the one that computes.
    """
    folder, paths = data.lenets_folder(), []
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        n_models = len(training.load_shipped(name))
        files = [folder / file for file in data.lenet_files(name, n_models)]
        with FileLock(folder / f"{name}.lock"):
            if not all(file.is_file() for file in files):
                _write(name, files)
        paths += files
    return paths


def _write(name: str, files: list[Path]) -> None:
    dataset, _, variant = name.partition("_")
    models = compute(dataset, variant=variant and f"_{variant}")
    for i, file in enumerate(files):
        block = slice(i * data.LENET_BLOCK, (i + 1) * data.LENET_BLOCK)
        arrays = {
            key: value if key in ("n_test", "labels", "command") else value[block]
            for key, value in vars(models).items()
            if key != "dataset"
        }
        with manifest.atomic(file) as target:
            np.savez_compressed(target, **arrays)


def compute(
    dataset: str,
    n_models: int | None = None,
    variant: str = "",
    train: bool = False,
    epochs: int = 0,
    source: str = "shipped",
    device: str = "cpu",
) -> data.Lenets:
    """What `helpers.data.load_lenets` describes, computed now."""
    images, command = datasets.load_images(dataset, source), "trained in this run"
    if train:
        models = training.ensemble(dataset, n_models, epochs, source, device)
    else:
        models = training.load_shipped(dataset + variant, n_models)
        commands = {entry["file"]: entry["command"] for entry in data.manifest()}
        command = commands[f"lenet5_{dataset}{variant}.safetensors"]
    x = training.ensemble_embeddings(models, images.x_test)
    kept = data.kept_images(images.y_test)
    return data.Lenets(
        dataset=dataset,
        seeds=models.seeds,
        accuracy=models.accuracy,
        n_test=len(images.x_test),
        poz=np.stack([sparsity.percentage_of_zeros(model) for model in x]),
        class_means=np.stack([class_means(model, images.y_test) for model in x]),
        labels=images.y_test[kept],
        embeddings=x[:, kept],
        command=command,
    )


def class_means(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean embedding of each class, in ascending order of ``labels`` (n_images,)."""
    x, classes = embeddings.astype(np.float64), np.unique(labels)
    return np.stack([x[labels == label].mean(axis=0) for label in classes])


def record(command: str) -> None:
    """Make all files, for ``python -m pipeline activations``."""
    paths = ensure()
    print(f"{len(paths)} files in {paths[0].parent}")
