"""Pickles of arrays and plain Python values, read without running any code in them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy._core import multiarray, numeric


def read_pickle(path: str | Path):
    """What the file holds; ValueError where it is damaged or asks for anything else."""
    with Path(path).open("rb") as file:
        try:
            return _ArraysOnly(file, encoding="latin1").load()
        except Exception as error:
            raise ValueError(f"{path} is not a pickle of arrays: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows only what arrays are built of."""

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[module.replace("numpy.core", "numpy._core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes as old pickles store them; `codecs.encode` would also decompress."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy._core.multiarray", "_reconstruct"): multiarray._reconstruct,  # noqa: SLF001
    ("numpy._core.multiarray", "scalar"): multiarray.scalar,
    ("numpy._core.numeric", "_frombuffer"): numeric._frombuffer,  # noqa: SLF001
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
}
