"""Pickles of arrays and plain Python values, read with stand-ins for everything else.

Python's own, slower unpickler (`pickle._Unpickler`) reads the file, and it gets no
function or class but the stand-ins below. numpy's own reconstruction is not among them:
it trusts the type and length that a file states, and a forged file can make it write
beyond its memory. Arrays are made here, of numbers and text whose bytes have the length
that shape and type demand. A file may still hold wrong numbers, or more values than
there is memory for.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def read_pickle(path: str | Path):
    """What the file holds; ValueError where it is damaged or asks for anything else."""
    try:
        with Path(path).open("rb") as file:
            return _plain(_StandIns(file, encoding="latin1").load(), {})
    except Exception as error:
        raise ValueError(f"{path} is not a pickle of arrays: {error}") from error


class _StandIns(pickle._Unpickler):  # noqa: SLF001 - the C one has unchecked numbers
    """An unpickler whose only names are those that pickled arrays ask for."""

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[module.replace("numpy.core", "numpy._core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


class _Function:
    """A function that a file may call, and not change."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable) -> None:
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setstate__(self, state) -> None:
        raise pickle.UnpicklingError("it sets the state of a function")


class _Type:
    """Stands for a numpy.dtype of numbers or text."""

    def __init__(self, code: str, *_) -> None:
        if not re.fullmatch(r"[biuf][1248]|[SUO][1-9]\d{0,5}", code):
            raise pickle.UnpicklingError(f"it has values of type {code!r}")
        self.code, self.order = code, "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]
        if self.order not in ("<", ">", "|", "=") or any(state[2:5]):
            raise pickle.UnpicklingError("it has values with a structure")

    def array(self, content, shape: tuple, order: str = "C") -> np.ndarray:
        """The values in ``content``, bytes or, of text, a list."""
        n = math.prod(shape)
        if self.code[0] == "O":
            if len(content) != n or not all(isinstance(x, str) for x in content):
                raise pickle.UnpicklingError("it has an array of objects")
            return np.array(content, dtype=str).reshape(shape, order=order)
        kind = "u1" if self.code == "b1" else self.code
        if isinstance(content, str):  # by Python 2
            content = content.encode("latin1")
        values = np.frombuffer(bytes(content), np.dtype(self.order + kind))
        if len(values) != n or min(shape, default=0) < 0:
            raise pickle.UnpicklingError(f"it has {len(values)} values for {shape}")
        if kind[0] == "U":
            values = np.array(values.tolist(), dtype=str)  # no code beyond Unicode
        values = values.astype(bool) if self.code == "b1" else values.copy()
        return values.reshape(shape, order=order)


class _Array:
    """Stands for an array whose state follows."""

    def __init__(self, *_) -> None:
        self.values = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        self.values = dtype.array(content, shape, "F" if is_fortran else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes as old pickles store them; `codecs.encode` would also decompress."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}")
    return text.encode("latin1")


def _plain(value: Any, seen: dict[int, Any]):
    """``value`` with arrays in place of their stand-ins; each part is visited once."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Array):
        if value.values is None:
            raise pickle.UnpicklingError("it has an array without values")
        return value.values
    if isinstance(value, dict):
        plain = seen[id(value)] = {}
        plain.update((key, _plain(item, seen)) for key, item in value.items())
        return plain
    if isinstance(value, list):
        plain = seen[id(value)] = []
        plain.extend(_plain(item, seen) for item in value)
        return plain
    if isinstance(value, tuple):
        seen[id(value)] = tuple(_plain(item, seen) for item in value)
        return seen[id(value)]
    if isinstance(value, (_Type, _Function)):
        raise pickle.UnpicklingError(
            "it has a function or a type where a value belongs"
        )
    return value


_ALLOWED = {
    ("numpy", "ndarray"): _Function(_Array),  # only passed on
    ("numpy", "dtype"): _Function(_Type),
    ("numpy._core.multiarray", "_reconstruct"): _Function(_Array),
    ("numpy._core.multiarray", "scalar"): _Function(
        lambda dtype, content: dtype.array(content, (1,))[0]
    ),
    ("numpy._core.numeric", "_frombuffer"): _Function(
        lambda content, dtype, shape, order: dtype.array(content, shape, order)
    ),
    ("collections", "OrderedDict"): _Function(dict),
    ("_codecs", "encode"): _Function(_latin1),
}
