"""The LeNet-5 ensembles as the analyses see them: activations of the penultimate layer over test images.

Where torch is installed they are computed from the networks (`pipeline.training`). Where it is not, as in a browser,
they are read from files that are written with the book (`export`), and are the same to the last bit.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import datasets, ensembles, sparsity

PER_CLASS = 200
"""Test images per class whose activations are kept; PoZ and class means are over all test images."""
_BLOCK = 10  # models per written file


@dataclass(frozen=True, eq=False)
class Lenets:
    """Models of one data set: ``seeds`` and ``accuracy`` (n_models,), the latter on the full test set.

    Over all ``n_test`` test images: ``poz`` (n_models, 84) and ``class_means`` (n_models, 10, 84). Of as many images of
    each class, ``labels`` (n_images,): ``embeddings`` (n_models, n_images, 84) float32, post-ReLU. ``command`` made the
    networks.
    """

    dataset: str
    seeds: np.ndarray
    accuracy: np.ndarray
    n_test: int
    poz: np.ndarray
    class_means: np.ndarray
    labels: np.ndarray
    embeddings: np.ndarray
    command: str

    def __len__(self) -> int:
        return len(self.seeds)

    def draw(self, n_images: int, rng: np.random.Generator) -> np.ndarray:
        """Positions, ascending, of ``n_images`` (at most all) of the kept images, drawn at random."""
        n = len(self.labels)
        return np.sort(rng.choice(n, min(n_images, n), replace=False))


def load(
    dataset: str, n_models: int, variant: str = "", train: bool = False, epochs: int = 0, data: str = "shipped",
    device: str = "cpu",
) -> Lenets:  # fmt: skip
    """The first ``n_models`` of an ensemble.

    Parameters
    ----------
    dataset : "mnist" or "cifar10".
    variant : "" for the fifty models; "_lr0.001" or "_lr0.004" for the few CIFAR-10 models with another learning rate.
    train, epochs, device : train them now, as `pipeline.training.ensemble`.
    data : "shipped" or "full": which test images.

    Raises
    ------
    RuntimeError : without torch, where something else is asked for than the shipped models on the shipped images.
    """
    if importlib.util.find_spec("torch"):
        return _computed(dataset, n_models, variant, train, epochs, data, device)
    if train or data != "shipped":
        raise RuntimeError("train=True and data='full' need torch, which is not installed here: run the notebook.")
    blocks = [_read(dataset, variant, start) for start in range(0, n_models, _BLOCK)]
    return _head(blocks, n_models)


def kept_images(labels: np.ndarray) -> np.ndarray:
    """Positions, ascending, of the test images whose activations are kept, `PER_CLASS` of each of ``labels`` (n,)."""
    return datasets.stratified(labels, PER_CLASS, np.random.default_rng(0))


def export(folder: Path, dataset: str, n_models: int, variant: str = "") -> list[Path]:
    """Write what `load` reads where torch is missing: one .npz file per ten models, into ``folder``."""
    models, paths = load(dataset, n_models, variant), []
    for start in range(0, len(models), _BLOCK):
        block = slice(start, start + _BLOCK)
        nonzero = models.embeddings[block] != 0
        about = {"n_test": models.n_test, "command": models.command}
        paths.append(Path(folder) / _file(dataset, variant, start))
        np.savez_compressed(
            paths[-1], seeds=models.seeds[block], accuracy=models.accuracy[block], poz=models.poz[block],
            class_means=models.class_means[block], labels=models.labels, nonzero=np.packbits(nonzero),
            values=models.embeddings[block][nonzero], about=np.array(json.dumps(about)),
        )  # fmt: skip
    return paths


# ------------------------------------------------------------------------------------------------------------ internals
def _computed(dataset, n_models, variant, train, epochs, data, device) -> Lenets:
    from pipeline import training

    images = datasets.load(dataset) if data == "full" else datasets.load_sample(dataset)
    if variant:
        models = training.load_ensemble(datasets.shipped(f"lenet5_{dataset}{variant}.safetensors"), n_models)
    else:
        models = training.ensemble(dataset, n_models, train, epochs, data, device)
    x = training.ensemble_embeddings(models, images.x_test)
    kept = kept_images(images.y_test)
    return Lenets(
        dataset, models.seeds, models.accuracy, len(images.x_test),
        np.stack([sparsity.percentage_of_zeros(one) for one in x]),
        np.stack([ensembles.class_means(one, images.y_test) for one in x]),
        images.y_test[kept], x[:, kept], models.origin.get("command", "trained in this run"),
    )  # fmt: skip


def _file(dataset: str, variant: str, start: int) -> str:
    return f"lenets_{dataset}{variant}_{start:02d}.npz"


def _read(dataset: str, variant: str, start: int) -> Lenets:
    stored = datasets.read_arrays(datasets.data_folder() / _file(dataset, variant, start))
    shape = (len(stored["seeds"]), len(stored["labels"]), stored["poz"].shape[1])
    embeddings = np.zeros(shape, np.float32)
    embeddings[np.unpackbits(stored["nonzero"], count=embeddings.size).reshape(shape).astype(bool)] = stored["values"]
    arrays = {name: stored[name] for name in ("seeds", "accuracy", "poz", "class_means", "labels")}
    return Lenets(dataset=dataset, embeddings=embeddings, **arrays, **json.loads(str(stored["about"])))


def _head(blocks: list[Lenets], n_models: int) -> Lenets:
    """The blocks as one ensemble, cut to ``n_models``."""
    first = blocks[0]
    joined = {
        name: np.concatenate([getattr(block, name) for block in blocks])[:n_models]
        for name in ("seeds", "accuracy", "poz", "class_means", "embeddings")
    }
    return Lenets(dataset=first.dataset, n_test=first.n_test, labels=first.labels, command=first.command, **joined)
