"""Activations from files, and from output folders of other tools as they are.

`pipeline.formats` reads single files and holds the rules for hostile ones. Folders:

* thingsvision writes ``<layer>/features.npy`` (or .pt, .hdf5, .mat, .txt), in pieces
  ``features_0-100.npy`` or ``features_01.npy`` if asked, beside or below
  ``file_names.txt``;
* Net2Brain writes ``<image>.npz`` with an array (1, ...) per layer, or
  ``consolidated_<layer>.npz`` with an array (1, ...) per image. Neither keeps an order
  of images, so they are sorted by name.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import formats
from pipeline.formats import Refused

PIECES = (".npy", ".pt", ".hdf5", ".mat", ".txt")
"""Formats of thingsvision."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """An array from a file or folder, as stored, and the names of its rows, if any."""

    values: np.ndarray  # any shape; often mapped from the disk
    labels: tuple[str, ...] | None
    source: str  # file and array, for messages and provenance


def read(path: str | Path, array: str = "") -> Matrix:
    """The array of a file, or of an output folder of thingsvision or Net2Brain.

    Parameters
    ----------
    path : a file of one of `pipeline.formats.READERS`, or a folder.
    array : its name, where there are several (.npz, .pt, .safetensors, .mat, .h5); the
        layer, for a folder.

    Raises
    ------
    Refused : missing, damaged, hostile, no numbers, or several arrays and no name.
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path, array)
    if not path.is_file():
        raise Refused(f"{path.name} does not exist; check the path {path}.")
    suffix = path.suffix.lower()
    if suffix not in formats.READERS:
        known, is_pickle = ", ".join(formats.READERS), suffix in formats.PICKLES
        why = "is a pickle, which could run code" if is_pickle else "is unknown"
        raise Refused(f"{path.name}: the format {why}; save as one of {known}.")
    with formats.in_a_sentence(path):
        values, labels, name = formats.READERS[suffix](path, array)
    return numeric(values, labels, f"{path.name}[{name}]" if name else path.name)


def numeric(values: np.ndarray, labels, source: str) -> Matrix:
    """A `Matrix`; refused unless it holds real numbers."""
    if values.dtype.kind not in formats.NUMBERS:
        raise Refused(
            f"{source} has shape {values.shape} and type {values.dtype}, which holds "
            "no real numbers; save it as float32."
        )
    if 0 in values.shape or values.ndim == 0:
        raise Refused(f"{source} is empty, shape {values.shape}; save it again.")
    return Matrix(values, labels, source)


def read_folder(path: Path, array: str = "") -> Matrix:
    """The layer ``array`` (or the only one) of an output folder; errors as `read`."""
    if pieces_of(path):
        return read_pieces(path)
    layers = {p.name: "" for p in sorted(path.iterdir()) if p.is_dir() and pieces_of(p)}
    if layers:
        return read_pieces(path / formats.pick(path, layers, array, "layer"))
    files = sorted(path.glob("*.npz"))
    if not files:
        raise Refused(
            f"{path.name} is no output folder of thingsvision (features.npy, ...) or "
            "Net2Brain (<image>.npz); give the file of activations itself."
        )
    consolidated = {f.stem.replace("consolidated_", ""): f for f in files}
    if all("consolidated" in file.stem for file in files):
        about = {name.removesuffix("_consolidated"): "" for name in consolidated}
        name = formats.pick(path, about, array, "layer")
        file = consolidated.get(name) or consolidated[f"{name}_consolidated"]
        return stack_images([file], "", f"{path.name}/{file.name}")
    with formats.in_a_sentence(files[0]), zipfile.ZipFile(files[0]) as archive:
        about = {name.removesuffix(".npy"): "" for name in archive.namelist()}
        name = formats.pick(path, about, array, "layer")
    return stack_images(files, name, f"{path.name}[{name}]")


# ----------------------------------------------------------------- thingsvision
def pieces_of(folder: Path) -> list[Path]:
    """Its files of features, in order of the images."""
    files = [p for p in folder.glob("features*") if p.suffix in PIECES and p.is_file()]
    return sorted(
        files, key=lambda p: [int(n) for n in re.findall(r"\d+", p.stem)][-1:]
    )


def read_pieces(folder: Path) -> Matrix:
    """All pieces below one another, with the names of ``file_names.txt``."""
    files = pieces_of(folder)
    groups = {(re.sub(r"_\d+(-\d+)?$", "", p.stem), p.suffix) for p in files}
    has_whole = any(not re.search(r"_\d+(-\d+)?$", p.stem) for p in files)
    if len(groups) > 1 or (has_whole and len(files) > 1):
        names = ", ".join(p.name for p in files[:6])
        raise Refused(f"{folder.name} holds several results ({names}); give one file.")
    check_order(folder, files)
    if len(files) == 1:
        one = read(files[0])
        values, labels = one.values, one.labels
    else:
        parts = (read(file).values for file in files)
        values, labels = formats.joined(parts, len(files), folder.name), None
    labels = labels or listed_names(folder, len(values))
    return numeric(values, labels, f"{folder.name}/{files[0].name}")


def check_order(folder: Path, files: list[Path]) -> None:
    """Refuse pieces <start>-<stop> that leave out or repeat images."""
    ranges = [re.search(r"_(\d+)-(\d+)$", p.stem) for p in files]
    pairs = [tuple(map(int, found.groups())) for found in ranges if found]
    stops = [0, *(stop for _, stop in pairs)]
    told = all(start < stop for start, stop in pairs)  # not of thingsvision's 2nd layer
    if told and [start for start, _ in pairs] != stops[: len(pairs)]:
        raise Refused(
            f"{folder.name} lacks a piece or has one twice ({pairs}); extract again "
            "into an empty folder."
        )


def listed_names(folder: Path, n_rows: int) -> tuple[str, ...] | None:
    """Lines of file_names.txt in the folder or above, if there is one per row."""
    for place in (folder, folder.parent):
        if (file := place / "file_names.txt").is_file():
            names = tuple(file.read_text("utf-8", errors="replace").splitlines())
            return names if len(names) == n_rows else None
    return None


# ----------------------------------------------------------------- Net2Brain
def stack_images(files: list[Path], layer: str, source: str) -> Matrix:
    """One row per image, sorted by name: a file each, or all members of one file."""
    names: list[str] = []

    def rows() -> Iterator[np.ndarray]:
        for file in files:
            with formats.in_a_sentence(file), zipfile.ZipFile(file) as archive:
                members = {
                    i.filename.removesuffix(".npy"): i for i in archive.infolist()
                }
                if layer and layer not in members:
                    raise Refused(f"{file.name} has no layer {layer!r}; extract again.")
                for name in [layer] if layer else sorted(members):
                    names.append(file.stem if layer else name)
                    about = f"{file.name}[{name}]"
                    row = formats.unpacked(archive, members[name], about)
                    yield row.reshape(1, -1)

    n_images = len(files)
    if not layer:
        with zipfile.ZipFile(files[0]) as archive:
            n_images = len(archive.infolist())
    values = formats.joined(rows(), n_images, source)
    return numeric(values, tuple(names), source)


# ----------------------------------------------------------------- labels
def read_labels(path: str | Path, n_images: int) -> tuple[str, ...]:
    """A name per image, from a text file of a name per line or a table's first column.

    A first line beyond the ``n_images`` is the name of the column.
    """
    path = Path(path)
    if not path.is_file():
        raise Refused(f"{path.name} does not exist; check the path {path}.")
    if path.stat().st_size > formats.BLOCK:
        raise Refused(f"{path.name} is larger than names need; give a name per line.")
    lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    names = [re.split(r"[,\t]", line)[0].strip().strip('"') for line in lines if line]
    if len(names) == n_images + 1:
        names = names[1:]
    if len(names) != n_images:
        raise Refused(
            f"{path.name} names {len(names)} images, the activations have {n_images}; "
            "give one line per row."
        )
    return tuple(names)
