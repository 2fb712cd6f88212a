"""One array from a file of another tool: bounded memory, no unpickling.

A file is untrusted. It is opened by a reader that runs no code, its shape is compared
with its size before anything is unpacked, and every refusal is one sentence that names
file, array, shape and remedy (`Refused`). What a format can map into memory is mapped;
anything else is copied once, a block at a time, into a temporary file that is mapped.
So a matrix of 50,000 x 25,088 needs `BLOCK` bytes and a place on the disk, not its size
in memory. Exceptions are .mat files before version 7.3, .pt files not saved by `torch`
1.6 or later, and .parquet, which their libraries read whole.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

BLOCK = 2**25
"""Bytes of a matrix that are in memory at a time."""
LARGEST = 2**36
"""Bytes that a file may unpack to."""
SUSPICIOUS = 2**28, 250
"""Unpacked bytes, and their ratio to those stored, beyond which a file is refused."""
NUMBERS = "fiub"
"""Kinds of numpy's types that are read."""
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": r"\s+"}
PICKLES = (".pkl", ".pickle", ".joblib", ".dill")
RSATOOLBOX = ("measurements", "dissimilarities")
"""What is read from its .h5 files, where no other array is named."""
MATLAB = "double single logical int8 int16 int32 int64 uint8 uint16 uint32 uint64"
"""Classes of variables of a .mat file that are read."""


class Refused(ValueError):
    """A file that is not read; the message is one sentence with a remedy."""


@contextmanager
def in_a_sentence(path: Path) -> Iterator[None]:
    """Turn whatever a library raises for a bad file into `Refused`."""
    try:
        yield
    except Refused:
        raise
    except MemoryError as error:
        raise Refused(f"{path.name} does not fit in memory; save as .npy.") from error
    except ImportError as error:
        reason = first_line(error)
        raise Refused(f"{path.name}: {reason}; install it or save as .npy.") from error
    except Exception as error:  # libraries raise errors of many kinds
        raise Refused(
            f"{path.name} cannot be read as {path.suffix}, it is damaged or holds more "
            f"than arrays ({first_line(error)}); save the array again, best as .npy."
        ) from error


def first_line(error: Exception) -> str:
    """The first sentence of an error, at most 150 characters, without control
    characters that a damaged file may have put into it."""
    text = "".join(c if c.isprintable() else " " for c in str(error) or repr(error))
    return " ".join(text.split()).split(". ")[0][:150].rstrip(". :")


def pick(path: Path, arrays: dict[str, str], name: str, word: str = "array") -> str:
    """The array called ``name``, or the only one of ``arrays`` (name: description)."""
    if name in arrays or (not name and len(arrays) == 1):
        return name or next(iter(arrays))
    shown = [f"{key} {about}".strip() for key, about in list(arrays.items())[:12]]
    listed = ", ".join(shown) + (", ..." if len(arrays) > 12 else "")
    what = f"no {word} {name!r}" if name else f"{len(arrays)} {word}s"
    raise Refused(f"{path.name} has {what}; name one of: {listed or 'none'}.")


def check_size(source: str, shape: tuple, itemsize: int, stored: float) -> int:
    """Bytes of an array, refused if far more than are ``stored`` or than `LARGEST`."""
    n_bytes = itemsize
    for n in shape:
        n_bytes *= int(n)
    least, ratio = SUSPICIOUS
    if n_bytes > LARGEST or (n_bytes > least and n_bytes > ratio * stored):
        raise Refused(
            f"{source} has shape {tuple(map(int, shape))} and would unpack from "
            f"{stored / 1e6:.1f} MB to {n_bytes / 1e9:.1f} GB; save it as .npy, "
            "which is not unpacked."
        )
    return n_bytes


# ----------------------------------------------------------------- temporary files
def temporary(n_bytes: int, source: str):
    """A temporary file, gone once nothing maps it. Refused if the disk is full."""
    folder = tempfile.gettempdir()
    if n_bytes > shutil.disk_usage(folder).free:
        raise Refused(
            f"{source} needs {n_bytes / 1e9:.1f} GB on the disk for temporary files; "
            "set TMPDIR to a folder with more space or save it as .npy."
        )
    return tempfile.TemporaryFile(dir=folder)


def spooled(row_shape: tuple, dtype, blocks: Iterable, n_bytes: int, source: str):
    """``blocks`` of rows, each of ``row_shape``, on the disk and mapped.

    ``n_bytes``: at least as many as they take.
    """
    dtype = np.dtype(dtype)
    with temporary(n_bytes, source) as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype))
        row = int(np.prod(row_shape, dtype=object)) * dtype.itemsize
        shape = (file.tell() // row, *row_shape)
        file.flush()
        return np.memmap(file, dtype, "r", shape=shape)


def joined(parts: Iterable[np.ndarray], n_parts: int, source: str) -> np.ndarray:
    """Rows of ``n_parts`` arrays below one another, on the disk and mapped."""
    parts = iter(parts)
    first = next(parts)
    row_shape, n_bytes = first.shape[1:], first.nbytes * n_parts

    def blocks():
        for number, part in enumerate(chain([first], parts)):
            if part.shape[1:] != row_shape:
                raise Refused(
                    f"{source}: part {number} has rows of shape {part.shape[1:]}, the "
                    f"first of {row_shape}; keep files of one layer in a folder."
                )
            yield from (part[rows] for rows in row_blocks(part.shape))

    return spooled(row_shape, first.dtype, blocks(), n_bytes, source)


def row_blocks(shape: tuple, itemsize: int = 8) -> Iterator[slice]:
    """Slices of rows of at most `BLOCK` bytes, and at least one row."""
    row = max(1, int(np.prod(shape[1:], dtype=object)) * itemsize)
    step = max(1, BLOCK // row)
    return (
        slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)
    )


# ----------------------------------------------------------------- numpy
def read_npy(path: Path, array: str):
    """Mapped; numpy refuses objects, long headers and truncated files."""
    return np.load(path, mmap_mode="r", allow_pickle=False), None, ""


def read_npz(path: Path, array: str):
    """One member, its header read before it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        members = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
        abouts = {k: str(npy_header(archive, i)[0]) for k, i in members.items()}
        name = pick(path, abouts, array)
        return unpacked(archive, members[name], f"{path.name}[{name}]"), None, name


def npy_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo):
    """Shape, Fortran order, type and length of the header of a member."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        return *read(file), file.tell()


def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str):
    """A member of an .npz, on the disk and mapped."""
    shape, fortran, dtype, start = npy_header(archive, info)
    if dtype.hasobject:
        raise Refused(f"{source} holds Python objects; save it as float32.")
    n_bytes = check_size(source, shape, dtype.itemsize, info.compress_size)
    if start + n_bytes != info.file_size:
        raise Refused(
            f"{source} says shape {shape}, which is {n_bytes} bytes, but holds "
            f"{info.file_size - start}; save it again."
        )
    with archive.open(info) as file, temporary(n_bytes, source) as target:
        file.read(start)
        shutil.copyfileobj(file, target, 2**20)
        target.flush()
        order = "F" if fortran else "C"
        return np.memmap(target, dtype, "r", shape=shape, order=order)


# ----------------------------------------------------------------- torch, safetensors
def read_torch(path: Path, array: str):
    """A tensor or one of a dictionary, by torch's reader of weights, which runs no
    code."""
    import torch

    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            if any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
                raise Refused(f"{path.name} is compressed, as torch never writes it.")
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    name = ""
    if isinstance(loaded, dict):
        tensors = {str(k): v for k, v in loaded.items() if torch.is_tensor(v)}
        name = pick(path, {k: str(tuple(v.shape)) for k, v in tensors.items()}, array)
        loaded = tensors[name]
    if not torch.is_tensor(loaded) or loaded.layout != torch.strided:
        raise Refused(f"{path.name} holds no dense tensor; save one with torch.save.")
    tensor = loaded.detach().resolve_neg()
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise Refused(
            f"{path.name} says shape {tuple(tensor.shape)} but holds fewer numbers; "
            "save tensor.contiguous()."
        )
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return tensor.numpy(), None, name


def read_safetensors(path: Path, array: str):
    """One tensor, a block at a time."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        about = {k: str(tuple(s.get_shape())) for k, s in slices.items()}
        name = pick(path, about, array)
        part, source = slices[name], f"{path.name}[{name}]"
        if part.get_dtype() not in ("F64", "F32", "F16"):
            raise Refused(f"{source} has type {part.get_dtype()}; save it as float32.")
        shape, dtype = tuple(part.get_shape()), f"f{int(part.get_dtype()[1:]) // 8}"
        n_bytes = check_size(source, shape, int(dtype[1:]), np.inf)
        blocks = (part[rows] for rows in row_blocks(shape))
        return spooled(shape[1:], dtype, blocks, n_bytes, source), None, name


# ----------------------------------------------------------------- MATLAB, HDF5
def read_mat(path: Path, array: str):
    """One variable, images in its rows; version 7.3 is HDF5 with axes reversed."""
    import h5py
    from scipy import io

    if h5py.is_hdf5(path):
        values, labels, name = read_hdf5(path, array)
        return values.T, labels, name
    variables = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
    per_image = thingsvision_rows(variables)
    if per_image and not array:
        loaded = io.loadmat(path, variable_names=per_image)
        rows = np.concatenate([loaded[name] for name in per_image])
        return rows, tuple(per_image), ""
    name = pick(path, {k: f"{s} {c}" for k, (s, c) in variables.items()}, array)
    shape, kind = variables[name]
    if kind not in MATLAB.split():
        remedy = "save full(x)" if kind == "sparse" else "save a numeric matrix"
        raise Refused(f"{path.name}[{name}] is a {kind} array {shape}; {remedy}.")
    check_size(f"{path.name}[{name}]", shape, 8, path.stat().st_size)
    return io.loadmat(path, variable_names=[name])[name], None, name


def thingsvision_rows(variables: dict) -> list[str]:
    """Names of variables that are one row each, of one length, as it writes images."""
    shapes = {shape for shape, _ in variables.values()}
    same = len(variables) > 3 and len(shapes) == 1
    return list(variables) if same and next(iter(shapes))[:1] == (1,) else []


def read_hdf5(path: Path, array: str):
    """One data set stored in the file itself, a block at a time."""
    import h5py

    with h5py.File(path, "r") as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(
            lambda k, v: found.update({k: v} if hasattr(v, "dtype") else {})
        )
        numeric = {
            k: v for k, v in found.items() if v.dtype.kind in NUMBERS and v.shape
        }
        splits = sorted(k for k in numeric if re.fullmatch(r"features_\d+", k))
        if splits == sorted(numeric) and splits and not array:  # thingsvision's
            parts = (hdf5_values(path, numeric[k], k) for k in splits)
            return joined(parts, len(splits), path.name), None, ""
        array = array or next((k for k in RSATOOLBOX if k in numeric), "")
        name = pick(path, {k: str(v.shape) for k, v in numeric.items()}, array)
        return hdf5_values(path, numeric[name], name), None, name


def hdf5_values(path: Path, part, name: str) -> np.ndarray:
    """A data set, on the disk and mapped."""
    source = f"{path.name}[{name}]"
    if part.external or part.is_virtual:
        raise Refused(f"{source} lies in other files; save it in one file.")
    stored = part.id.get_storage_size()
    n_bytes = check_size(source, part.shape, part.dtype.itemsize, stored)
    blocks = (part[rows] for rows in row_blocks(part.shape))
    return spooled(part.shape[1:], part.dtype, blocks, n_bytes, source)


# ----------------------------------------------------------------- tables
def read_text(path: Path, array: str):
    """Rows of numbers. A first row that is not all numbers holds names of columns, a
    first column that is not holds names of rows; without a name it is an index."""
    separator = SEPARATORS[path.suffix.lower()]
    options = {"sep": separator, "header": None, "dtype": str, "keep_default_na": False}
    options |= {"compression": None, "encoding": "utf-8-sig"}
    top = pd.read_csv(path, nrows=2, **options).astype(str)
    first = top.iloc[0].tolist()
    counted = first[1:] == [str(i) for i in range(len(first) - 1)]
    has_header = not all(map(is_number, first)) or (first[0] == "" and counted)
    if first[:3] == ["0", "1", "2"] and first == [str(i) for i in range(len(first))]:
        raise Refused(
            f"{path.name} begins with the row 0, 1, 2, ..., perhaps the header of a "
            "data frame; save it with header=False or with names of columns."
        )
    second = top.iloc[-1].tolist()
    has_labels = (has_header and first[0] == "") or not is_number(second[0])
    labels: list[str] = []
    options |= {"skiprows": int(has_header)}
    chunk = max(1, BLOCK // (64 * len(first)))

    def blocks():
        for frame in pd.read_csv(path, chunksize=chunk, **options):
            labels.extend(frame.iloc[:, 0] if has_labels else [])
            yield text_numbers(path, frame.iloc[:, int(has_labels) :])

    n_bytes = 8 * path.stat().st_size
    n_columns = (len(first) - has_labels,)
    values = spooled(n_columns, np.float64, blocks(), n_bytes, path.name)
    return values, tuple(labels) if has_labels else None, ""


def is_number(text: str) -> bool:
    """Is it what Python reads as a number, or empty, "nan", "NA"?"""
    try:
        float(text)
    except ValueError:
        return text in ("", "NA")
    return True


def text_numbers(path: Path, frame: pd.DataFrame) -> np.ndarray:
    """Cells as numbers; empty ones, "nan" and "NA" are NaN."""
    cells = frame.fillna("").to_numpy(str)
    missing = np.isin(np.char.lower(np.char.strip(cells)), ["", "na", "nan"])
    numbers = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if len(bad := np.argwhere(np.isnan(numbers) & ~missing)):
        row, column = bad[0]
        raise Refused(
            f"{path.name}: {cells[row, column][:40]!r} in row {frame.index[row]} of "
            f"the data, column {column}, is no number; remove texts other than one row "
            "of names above and one column on the left."
        )
    return numbers


def read_parquet(path: Path, array: str):
    """Numeric columns; one column of texts on the left holds names of rows."""
    frame = pd.read_parquet(path)
    return *frame_values(frame, path.name), ""


def frame_values(frame: pd.DataFrame, source: str):
    """Numbers (n_rows, n_columns) of a frame and, from a first column of texts or an
    index that is not 0, 1, 2, ..., names of rows."""
    labels = None if isinstance(frame.index, pd.RangeIndex) else map(str, frame.index)
    if len(frame.columns) > 1 and not pd.api.types.is_numeric_dtype(
        frame.dtypes.iloc[0]
    ):
        labels, frame = frame.iloc[:, 0].astype(str), frame.iloc[:, 1:]
    for name, kind in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind):
            raise Refused(
                f"{source}: column {str(name)[:40]!r} of shape {frame.shape} has type "
                f"{kind}, which holds no numbers; drop it."
            )
    return frame.to_numpy(np.float64), None if labels is None else tuple(labels)


READERS: dict[str, Callable] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".pt": read_torch,
    ".pth": read_torch,
    ".safetensors": read_safetensors,
    ".mat": read_mat,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".parquet": read_parquet,
}
