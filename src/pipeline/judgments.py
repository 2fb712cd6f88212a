"""Read human similarity judgments, those of Peterson, Abbott & Griffiths (2018).

Their six sets (Cognitive Science 42, 2648-2669; 120 images each) are not shipped.
`load_peterson` reads any of them from a folder::

    PETERSON/
        animals/
            images/                     stim-0007.png, ... (.png, .jpg, .jpeg or .webp)
            turkResults_CogSci2016.mat  the matrix of the set
        fruits/
            images/                     ackee2.png, ...
        ...                             automobiles, furniture, various, vegetables
        datasets_peterson.pkl           matrices of sets without one of their own
        vgg19_conv_bgr.safetensors      weights (pipeline.extraction.vgg19_conv)

Where to get each part:

* Matrix of animals: ``turkResults_CogSci2016.mat`` in the public repository
  jcpeterson/percept2vec (0..10; it also holds the matrices of the two halves of the
  judgments, which give a reliability).
* Matrices of all six: ``datasets_peterson.pkl``, a pickled dict {set: {"fnames": 120
  names, "similarity": (120, 120) in 0..1}}, in public repositories that use the data
  (candemircan/naturalcogsci reads it; search for that file name), or from the authors.
  An .npz file with ``<set>_similarity`` and ``<set>_fnames`` works as well.
* Images of animals, fruits and vegetables: in the same repositories. Those of the other
  sets are not public: ask the authors.
* Weights: rename the arrays of the 16 convolutions of the VGG team's Caffe model
  (VGG_ILSVRC_19_layers) to ``block<b>_conv<c>_w`` (out, in, 3, 3; blue, green, red) and
  ``_b`` (out,). torchvision downloads its own VGG-19: `pipeline.extraction.load_model`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from helpers import data, rsa
from pipeline.pickles import read_pickle

SETS = ("animals", "automobiles", "fruits", "furniture", "various", "vegetables")
SCALES = {"turkResults_CogSci2016.mat": 10.0}
"""Highest judgment in published matrix files that do not use a scale of 0..1."""
HALVES = ("simMatrixFirstBatch", "simMatrixSecondBatch")
READERS = {".npz": data.read_arrays, ".mat": loadmat, ".pkl": read_pickle}
"""Readers of matrix files; none runs code from the file."""
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, eq=False)
class Judgments:
    """Similarity judgments of the n images of one set, 0..1."""

    name: str
    files: tuple[Path, ...]  # the images, in the order of the matrix
    matrix: np.ndarray  # (n, n) mean over raters; NaN where a pair was not judged
    halves: np.ndarray  # (2, n_pairs) of two halves of the judgments, or (0, n_pairs)


def load_peterson(folder: str | Path) -> dict[str, Judgments]:
    """Each of the six `SETS` that has a folder in ``folder``; the layout is above.

    Raises ValueError where there is none, else as `load_set`.
    """
    folders = [Path(folder) / name for name in SETS if (Path(folder) / name).is_dir()]
    if not folders:
        raise ValueError(f"{folder} must have a folder for one of {', '.join(SETS)}.")
    return {path.name: load_set(path) for path in folders}


def load_set(folder: Path) -> Judgments:
    """The set named like ``folder``: its images and their judged similarities.

    The matrix is the only .npz, .mat or .pkl file in ``folder`` or else beside it. It
    has the similarities as ``<set>_similarity``, ``similarity`` or ``simMatrix`` and
    the images' names, in its order, as ``<set>_fnames``, ``fnames`` or
    ``<set>_big_names``; or these in a dict under the set's name. Names are compared
    without folder and suffix, and "stim-0007" with "7".

    Raises ValueError where images are missing, extra or duplicated, or the matrix is
    not the only one, not square, not symmetric, out of scale or a dissimilarity.
    """
    path, name = find_matrix(folder), folder.name
    stored = READERS[path.suffix](path)
    stored = stored.get(name, stored)
    names = _entry(stored, (f"{name}_fnames", "fnames", f"{name}_big_names"), path)
    names = [str(value).strip() for value in np.ravel(names)]
    matrix = _entry(stored, (f"{name}_similarity", "similarity", "simMatrix"), path)
    n, scale = len(names), SCALES.get(path.name, 1)
    halves = [_checked(stored[key], n, scale, path) for key in HALVES if key in stored]
    triangles = [rsa.upper_triangle(half) for half in halves]
    return Judgments(
        name=name,
        files=tuple(match_images(names, folder / "images")),
        matrix=_checked(matrix, n, scale, path),
        halves=np.reshape(triangles, (len(halves), n * (n - 1) // 2)),
    )


def find_matrix(folder: Path) -> Path:
    """The only matrix file in ``folder``, or else beside it; ValueError if not one."""
    paths = []
    for place in (folder.parent, folder):
        found = sorted(path for path in place.glob("*") if path.suffix in READERS)
        paths = found or paths
    if len(paths) != 1:
        raise ValueError(
            f"{folder} must have one matrix ({', '.join(READERS)}) in it or beside it; "
            f"it has {_few(path.name for path in paths) or 'none'}."
        )
    return paths[0]


def match_images(names: Sequence[str], folder: Path) -> list[Path]:
    """The image in ``folder`` of each name, in the order of ``names``.

    Raises ValueError naming what is missing, extra or duplicated.
    """
    files = [p for p in folder.glob("*") if p.suffix.lower() in IMAGE_FILES]
    by_key, keys = {_key(file): file for file in files}, [_key(name) for name in names]
    wanted = dict(zip(keys, names, strict=True))
    problems = {
        "are the same image as another": set(files) - set(by_key.values()),
        "are named twice": [wanted[key] for key in keys if keys.count(key) > 1],
        "have no image": [wanted[key] for key in wanted.keys() - by_key.keys()],
        "are not in the matrix": [by_key[k] for k in by_key.keys() - wanted.keys()],
    }
    for problem, items in problems.items():
        if items:
            raise ValueError(f"{folder}: {_few(map(str, items))} {problem}.")
    return [by_key[key] for key in keys]


def _entry(stored: Mapping, keys: Sequence[str], path: Path) -> np.ndarray:
    for key in keys:
        if key in stored:
            return stored[key]
    names = f"one of {', '.join(keys)}; it holds {_few(stored)}"
    raise ValueError(f"{path} must hold {names}.")


def _few(names: Iterable[str]) -> str:
    """At most five names."""
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if names[5:] else "")


def _key(name: str | Path) -> str:
    """A name without folder and suffix; the number 7 of "stim-0007".

    Letters are composed (NFC): some file systems take accents apart.
    """
    name = Path(unicodedata.normalize("NFC", str(name)))
    stem = name.stem if name.suffix.lower() in IMAGE_FILES else name.name
    number = re.fullmatch(r"(?:stim-)?0*(\d+)", stem)
    return number[1] if number else stem


def _checked(values: np.ndarray, n: int, scale: float, path: Path) -> np.ndarray:
    """Similarities (n, n) divided by ``scale``."""
    matrix = np.array(values)
    if matrix.shape != (n, n) or matrix.dtype.kind not in "fiu":
        raise ValueError(
            f"{path} must hold ({n}, {n}) numbers for {n} images; it holds "
            f"{matrix.shape}, {matrix.dtype}."
        )
    matrix = matrix.astype(np.float64)
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ValueError(f"{path} must be symmetric: average the two triangles.")
    pairs = matrix[~np.eye(n, dtype=bool)]
    pairs = pairs[~np.isnan(pairs)]
    low, high = pairs.min(initial=np.inf), pairs.max(initial=-np.inf)
    if low < 0 or high > scale or (scale > 1 and high <= 1) or not len(pairs):
        raise ValueError(
            f"{path} must lie in 0..{scale:g}; it goes from {low:g} to {high:g}. "
            "Divide it by the highest possible judgment."
        )
    if not np.diag(matrix).any():
        raise ValueError(
            f"{path} must hold similarities; its diagonal is 0, as in a dissimilarity "
            "matrix. Subtract it from the highest possible judgment."
        )
    return matrix / scale
