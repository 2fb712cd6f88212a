"""How files enter ``data/``: packing, atomic writes, entries of the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from helpers import data


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` once it has been written.

    If the block fails, ``path`` stays as it was and nothing else is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        yield (temporary := Path(folder) / path.name)
        os.replace(temporary, path)


def read_cached(path: Path) -> data.Arrays | None:
    """The arrays of an .npz file; None where it is missing or, with a warning that
    names it, damaged (CRC-32)."""
    if not path.exists():
        return None
    try:
        return data.read_arrays(path)
    except Exception as error:  # noqa: BLE001 - damaged files raise errors of many kinds
        warnings.warn(f"{path} is damaged and made again: {error}", stacklevel=2)
        return None


def write_cached(path: Path, arrays: data.Arrays) -> None:
    """An .npz file, put in place in one step; ValueError for arrays of objects."""
    if objects := [name for name, values in arrays.items() if values.dtype.hasobject]:
        raise ValueError(
            f"{', '.join(objects)} must hold numbers or text, not objects."
        )
    with atomic(path) as target:
        np.savez(target, **arrays)


def state(*modules: str) -> str:
    """sha256 over code (of ``modules``, else all), versions and shipped files.

    What is kept between runs is kept under this key.
    """
    files = {entry["file"]: entry["sha256"] for entry in data.manifest()}
    about = [data.code_hash(*modules), data.versions(), files]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def register(file: Path, command: str, **texts: str) -> dict:
    """Enter a new or changed file into the manifest beside it and return the entry.

    ``command`` made the file; ``texts`` are ``source``, ``licence`` and further notes.
    Texts not given are kept from the shipped file of this name. Raises ValueError where
    there is no source or licence.
    """
    entries = {entry["file"]: entry for entry in data.manifest()}
    entry = entries.get(file.name, {}) | texts
    entry |= {
        "file": file.name,
        "sha256": data.file_sha256(file),
        "bytes": file.stat().st_size,
        "arrays": describe(file),
        "command": command,
        "code": data.code_hash()[:12],
        "versions": ", ".join(f"{k} {v}" for k, v in data.versions().items()),
        "machine": data.machine(),
    }
    if missing := {"source", "licence"} - entry.keys():
        raise ValueError(
            f"{file.name} is new: give its {' and '.join(sorted(missing))}."
        )
    path = file.parent / "manifest.json"
    entries = json.loads(path.read_text("utf-8")) if path.exists() else []
    entries = [other for other in entries if other["file"] != file.name] + [entry]
    entries.sort(key=lambda entry: entry["file"])
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    with atomic(path) as target:
        target.write_text(text, "utf-8")
    print(f"{file.name}: {entry['bytes'] / 1e6:.2f} MB")
    return entry


def describe(file: Path) -> dict[str, dict]:
    """Shape, type and sha256 of each array in a shipped file."""
    if file.suffix == ".safetensors":
        from safetensors.numpy import load_file as read
    else:
        read = data.read_arrays
    return {
        name: {
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "sha256": data.sha256(array),
        }
        for name, array in sorted(read(file).items())
    }


def to_sheet(images: np.ndarray) -> np.ndarray:
    """Tile images (n, height, width, channels) row by row into one image.

    The last row is filled up with the colour of the first pixel; inverse:
    `helpers.data.from_sheet`.
    """
    n_missing = -len(images) % data.TILES_PER_ROW
    fill = np.broadcast_to(images[0, 0, 0], (n_missing, *images.shape[1:]))
    images = np.concatenate([images, fill])
    _, height, width, channels = images.shape
    rows = images.reshape(-1, data.TILES_PER_ROW, height, width, channels)
    return rows.swapaxes(1, 2).reshape(-1, data.TILES_PER_ROW * width, channels)


def pack_sparse(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Post-ReLU embeddings (n, n_features) as bits and values in half precision.

    The bits say where ``embeddings.T`` is not zero, the values are its entries there;
    inverse: `helpers.data.unpack_sparse`. Raises ValueError where rounding would give
    a zero or an infinity.
    """
    nonzero = embeddings.T != 0
    with np.errstate(over="ignore"):
        values = embeddings.T[nonzero].astype(np.float16)
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("embeddings must be post-ReLU and fit half precision.")
    return np.packbits(nonzero), values
