"""Where a number comes from: versions, hashes, machine, seconds."""

from __future__ import annotations

import functools
import hashlib
import platform
import time
from importlib import metadata
from pathlib import Path

import numpy as np

_START = time.perf_counter()


def sha256(array: np.ndarray) -> str:
    """Hexadecimal sha256 of an array's bytes in C order (shape and type not included)."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Installed version of each package, left out where it is not installed."""
    installed = {}
    for name in packages:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@functools.cache
def code() -> str:
    """sha256 over the sources of this package: which code made a number, also between two versions."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def core_versions() -> dict[str, str]:
    """Versions of this package and of what its numbers depend on."""
    return versions("rarely-firing-nodes", "numpy", "scipy", "pandas", "seaborn", "numba", "torch", "torchvision")


def machine() -> str:
    """The type of machine in words, without anything that names it."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def seconds() -> float:
    """Seconds since this module was first imported, in a notebook its running time so far."""
    return time.perf_counter() - _START
