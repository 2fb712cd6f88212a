"""What is shipped in ``data/``, and what results depend on: hashes, versions, machine.

Every shipped file is checked against the manifest before it is used, and nothing is
ever unpickled. `pipeline.manifest` writes what this module reads. The environment
variable ``HELPERS_SHIPPED`` names another folder of shipped files.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from helpers import checks

Arrays = dict[str, np.ndarray]

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CLASSES = {"mnist": tuple("0123456789"), "cifar10": tuple(CIFAR10.split(" "))}
TILES_PER_ROW = 50
"""Images in a row of a shipped sheet."""
PACKAGES = ("numpy", "scipy", "pandas", "seaborn", "numba", "torch", "torchvision")
"""Packages that results depend on, besides this one."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels of MNIST or CIFAR-10, whole or a sample."""

    name: str
    x_train: np.ndarray  # uint8, (n, 28, 28) or (n, 32, 32, 3) RGB
    y_train: np.ndarray  # (n,) uint8, positions in `classes`
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    index_train: np.ndarray  # (n,) positions in the whole set, ascending
    index_test: np.ndarray


@dataclass(frozen=True, eq=False)
class Objects92:
    """92 object images (Kriegeskorte et al. 2008) with judgments, fMRI and a VGG.

    Similarities are dissimilarities with the sign changed, in arbitrary units; pairs
    are in numpy.triu_indices(92, 1) order.
    """

    images: np.ndarray  # (92, 175, 175, 3) uint8 RGB on grey
    category: np.ndarray  # (92,) names; the next four: (92,) bool
    human: np.ndarray
    face: np.ndarray
    animal: np.ndarray
    natural: np.ndarray
    raters: np.ndarray  # (16, 4186) similarities by each rater (Mur et al. 2013)
    mean: np.ndarray  # (92, 92) mean over raters, 0 on the diagonal
    brain: np.ndarray  # (8, 4186) similarities in human IT, 4 subjects x 2 sessions
    embeddings: np.ndarray  # (92, 25088) float32, VGG-16 pool5, post-ReLU


@dataclass(frozen=True, eq=False)
class Lenets:
    """Penultimate activations of the LeNet-5s of one data set, for test images."""

    dataset: str
    seeds: np.ndarray  # (n_models,)
    accuracy: np.ndarray  # (n_models,) on the full test set, 0..1
    n_test: int  # test images behind `poz` and `class_means`
    poz: np.ndarray  # (n_models, 84), 0..1
    class_means: np.ndarray  # (n_models, 10, 84)
    labels: np.ndarray  # (n_images,) equally many images of each class
    embeddings: np.ndarray  # (n_models, n_images, 84) float32, post-ReLU
    command: str  # what trained the networks

    def __len__(self) -> int:
        return len(self.seeds)

    def draw(self, n_images: int, rng: np.random.Generator) -> np.ndarray:
        """Positions, ascending, of at most ``n_images`` images drawn at random."""
        n = len(self.labels)
        return np.sort(rng.choice(n, min(n_images, n), replace=False))


# ------------------------------------------------------------------ shipped files
def data_folder() -> Path:
    """The folder of shipped files; FileNotFoundError where there is none."""
    chosen = os.environ.get("HELPERS_SHIPPED")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "data"
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no manifest.json. The data come with a clone: run `pip "
            "install -e .` in it, or set HELPERS_SHIPPED to its data folder."
        )
    return folder


def manifest() -> list[dict]:
    """An entry per shipped file: file, sha256, arrays, source, licence, command, ..."""
    return json.loads((data_folder() / "manifest.json").read_text("utf-8"))


def shipped(file: str) -> Path:
    """The path of a shipped file whose sha256 is that of the manifest.

    ValueError for an altered or unknown file, FileNotFoundError for a missing one.
    """
    path, entries = data_folder() / file, {entry["file"]: entry for entry in manifest()}
    checks.choice("file", file, entries)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `git checkout data`.")
    if (actual := file_sha256(path)) != entries[file]["sha256"]:
        raise ValueError(
            f"{path} is not the shipped file: its sha256 begins with {actual[:12]}. "
            f"Run `git checkout data` or make it again: {entries[file]['command']}"
        )
    return path


def read_shipped(file: str) -> Arrays:
    """The arrays of a shipped .npz file, or "image" of a .webp; errors as `shipped`."""
    return read_arrays(shipped(file))


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, or "image" of a .png or .webp. Never unpickles."""
    if Path(path).suffix in (".png", ".webp"):
        from PIL import Image

        with Image.open(path, formats=("PNG", "WEBP")) as image:
            return {"image": np.asarray(image)}
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def from_sheet(sheet: np.ndarray, n: int) -> np.ndarray:
    """The first ``n`` images of a sheet of tiles, `TILES_PER_ROW` in each row."""
    rows, (height, width, channels) = -(-n // TILES_PER_ROW), sheet.shape
    shape = rows, height // rows, TILES_PER_ROW, width // TILES_PER_ROW, channels
    grid = np.ascontiguousarray(sheet.reshape(shape).swapaxes(1, 2))
    return grid.reshape(-1, *grid.shape[2:])[:n]


def unpack_sparse(
    bits: np.ndarray, values: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Embeddings of ``shape`` (n, n_features), float32, from their non-zero entries.

    ``bits`` are ``embeddings.T != 0``; inverse: `pipeline.manifest.pack_sparse`.
    """
    n, n_features = shape
    dense = np.zeros((n_features, n), np.float32)
    nonzero = np.unpackbits(bits, count=dense.size).reshape(dense.shape)
    dense[nonzero.astype(bool)] = values
    return np.ascontiguousarray(dense.T)


def stratified(
    labels: np.ndarray, per_class: int, rng: np.random.Generator
) -> np.ndarray:
    """Ascending positions of ``per_class`` random items of each class of ``labels``."""
    values, counts = np.unique(labels, return_counts=True)
    if counts.min() < per_class:
        raise ValueError(
            f"per_class must be at most {counts.min()}, the smallest class; "
            f"got {per_class}."
        )
    drawn = [
        rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
        for label in values
    ]
    return np.sort(np.concatenate(drawn))


# ---------------------------------------------------------------- what is shipped
def load_sample(name: str) -> ImageSet:
    """The shipped sample of "mnist" or "cifar10".

    All 10,000 test images of MNIST; otherwise 200 images per class and part.
    """
    checks.choice("name", name, CLASSES)
    arrays = read_shipped(f"{name}_sample.npz")
    for part in ("train", "test"):
        if f"x_{part}" not in arrays:
            sheet = read_shipped(f"{name}_sample_{part}.webp")["image"]
            arrays[f"x_{part}"] = from_sheet(sheet, len(arrays[f"y_{part}"]))
    return ImageSet(name=name, classes=CLASSES[name], **arrays)


def load_alexnet_fc7() -> np.ndarray:
    """AlexNet fc7 (n_images, 4096) float32, post-ReLU, for 400 images of objects.

    Images of Rajalingham et al. (2018); half precision, zeros are exact.
    """
    stored = read_shipped("alexnet_fc7.npz")
    shape = len(stored["index"]), len(stored["n_zero_all"])
    return unpack_sparse(stored["nonzero"], stored["values"], shape)


def load_objects92() -> Objects92:
    """The shipped 92 objects; RDMs and embeddings in half precision, zeros exact."""
    stored, n = read_shipped("objects92.npz"), 92
    pool5 = read_shipped("objects92_vgg16_pool5.npz")
    raters = -stored["human_rdms"].astype(np.float64)
    mean = np.zeros((n, n))
    mean[np.triu_indices(n, 1)] = raters.mean(axis=0)
    return Objects92(
        images=from_sheet(read_shipped("objects92_images.webp")["image"], n),
        raters=raters,
        mean=mean + mean.T,
        brain=-stored["brain_rdms"].astype(np.float64),
        embeddings=unpack_sparse(
            pool5["nonzero"], pool5["values"], (n, int(pool5["n_features"]))
        ),
        **{k: stored[k] for k in ("category", "human", "face", "animal", "natural")},
    )


def load_lenets(
    dataset: str,
    n_models: int,
    variant: str = "",
    train: bool = False,
    epochs: int = 0,
    data: str = "shipped",
    device: str = "cpu",
) -> Lenets:
    """The first ``n_models`` LeNet-5s trained on ``dataset``.

    ``variant`` is "_lr0.001" or "_lr0.004" for CIFAR-10 models with another learning
    rate. Activations of shipped models are computed once, then read. With ``train``, or
    with the images of the "full" ``data``, see `pipeline.training.ensemble`.
    RuntimeError where torch is needed and missing, ValueError for too many models.
    """
    checks.choice("dataset", dataset, CLASSES)
    checks.at_least("n_models", n_models, 1)
    files = lenet_files(dataset + variant, n_models)
    paths = [data_folder() / file for file in files]  # there in a browser
    if not train and data == "shipped" and all(path.is_file() for path in paths):
        return read_lenets(dataset, paths, n_models)
    try:
        from pipeline import lenets

        return lenets.load(dataset, n_models, variant, train, epochs, data, device)
    except ModuleNotFoundError as error:
        reason = f"This needs torch, which is missing here ({error}): use the notebook."
        raise RuntimeError(reason) from error


def lenet_files(name: str, n_models: int) -> list[str]:
    """Files of the first models, ten in each; ``name`` is data set and variant."""
    return [f"lenets_{name}_{start:02d}.npz" for start in range(0, n_models, 10)]


def read_lenets(dataset: str, paths: list[Path], n_models: int) -> Lenets:
    """The first ``n_models`` of files that `pipeline.lenets` wrote."""
    blocks = [read_arrays(path) for path in paths]
    about = {name: blocks[0].pop(name) for name in ("n_test", "labels", "command")}
    about |= {"n_test": int(about["n_test"]), "command": str(about["command"])}
    arrays = {k: np.concatenate([b[k] for b in blocks])[:n_models] for k in blocks[0]}
    if (n_known := len(arrays["seeds"])) < n_models:
        raise ValueError(f"n_models must be at most {n_known}; got {n_models}.")
    return Lenets(dataset, **about, **arrays)


# ------------------------------------------------------- what results depend on
def sha256(array: np.ndarray) -> str:
    """Hexadecimal sha256 of an array's bytes in C order, without shape and type."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed ``packages``; default: this one and `PACKAGES`."""
    installed = {}
    for name in packages or ("rarely-firing-nodes", *PACKAGES):
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


@functools.cache
def code_hash(*modules: str) -> str:
    """sha256 over the sources of ``modules``, such as "helpers/rsa".

    Default: all of helpers, kernels and pipeline, that is, all code that makes results.
    """
    source, rooms = Path(__file__).parents[1], ("helpers", "kernels", "pipeline")
    patterns = [f"{name}.py" for name in modules or [f"{room}/*" for room in rooms]]
    digest = hashlib.sha256()
    for path in sorted(path for p in patterns for path in source.glob(p)):
        name = path.relative_to(source).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def machine() -> str:
    """The type of machine, without anything that identifies it."""
    where = f"{platform.system()} {platform.machine()}"
    return f"{where}, Python {platform.python_version()}"
