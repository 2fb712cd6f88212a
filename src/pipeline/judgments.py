"""Human similarity judgments from files, as of Peterson, Abbott & Griffiths (2018).

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from helpers import data, rsa
from pipeline.pickles import read_pickle

SETS = ("animals", "automobiles", "fruits", "furniture", "various", "vegetables")
SCALES = {"turkResults_CogSci2016.mat": 10.0}
"""Published matrix files whose judgments do not lie in 0..1: the highest value."""
HALVES = ("simMatrixFirstBatch", "simMatrixSecondBatch")
MATRIX_FILES = (".npz", ".mat", ".pkl", ".pickle")
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
        raise ValueError(
            f"folder must have one of {', '.join(SETS)}; {folder} has none."
        )
    sets = {}
    for path in folders:
        matrix = find_matrix(path)
        sets[path.name] = load_set(path, matrix, SCALES.get(matrix.name, 1))
    return sets


def load_set(
    folder: str | Path,
    matrix: str | Path | None = None,
    scale: float = 1,
    names: Sequence[str] | None = None,
) -> Judgments:
    """One set: the images in ``folder/images`` and their judged similarities.

    Parameters
    ----------
    folder : its last part is the name of the set.
    matrix : .npz, .mat or .pkl file; default: the only one in ``folder`` or beside it.
        It has the similarities as ``<set>_similarity``, ``similarity`` or ``simMatrix``
        and the images' names as ``<set>_fnames``, ``fnames``, ``names`` or
        ``<set>_big_names``; or these in a dict under the set's name.
    scale : the judgments' highest possible value; they are divided by it.
    names : the images in the order of the matrix, for a file without names.

    Names are compared without folder and suffix, and "stim-0007" with "7".

    Raises
    ------
    ValueError : images are missing, extra or duplicated; the matrix is not square, not
        symmetric, out of scale, a dissimilarity, or not the only one.
    FileNotFoundError : no matrix, no images.
    """
    folder = Path(folder)
    path = Path(matrix) if matrix else find_matrix(folder)
    stored = _part_about(folder.name, read_matrix_file(path), path)
    names = _names(stored, folder.name, names, path)
    files = match_images(names, _images(folder / "images"))
    keys = [f"{folder.name}_similarity", "similarity", "simMatrix"]
    if not (keys := [key for key in keys if key in stored]):
        raise ValueError(f"{path} must hold similarity; it holds {_few(stored)}.")
    n = len(names)
    halves = [_checked(stored[key], n, scale, path) for key in HALVES if key in stored]
    return Judgments(
        name=folder.name,
        files=tuple(files),
        matrix=_checked(stored[keys[0]], n, scale, path),
        halves=np.array([rsa.upper_triangle(half) for half in halves]).reshape(
            len(halves), n * (n - 1) // 2
        ),
    )


def find_matrix(folder: Path) -> Path:
    """The only matrix file in ``folder``, or else the only one beside it.

    Raises FileNotFoundError where there is none, ValueError where there are several.
    """
    for place in (folder, folder.parent):
        paths = sorted(path for path in place.glob("*") if path.suffix in MATRIX_FILES)
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise ValueError(f"matrix must be given: {place} holds {names}.")
        if paths:
            return paths[0]
    raise FileNotFoundError(
        f"No matrix of similarities ({', '.join(MATRIX_FILES)}) in {folder} or beside "
        "it. The head of pipeline.judgments says where the published ones are."
    )


def match_images(names: Sequence[str], files: Sequence[Path]) -> list[Path]:
    """The file of each name, in the order of ``names``.

    Raises ValueError naming what is missing, extra or duplicated.
    """
    keys = [_key(name) for name in names]
    by_key: dict[str, Path] = {}
    for file in files:
        if (other := by_key.setdefault(_key(file), file)) is not file:
            raise ValueError(f"{other.name} and {file.name} are the same image.")
    if duplicates := [n for n, k in zip(names, keys, strict=True) if keys.count(k) > 1]:
        raise ValueError(f"names must be unique; the matrix has {_few(duplicates)}.")
    if missing := [n for n, k in zip(names, keys, strict=True) if k not in by_key]:
        raise ValueError(f"{_few(missing)} of the matrix have no image. Add them.")
    if extra := [by_key[key].name for key in by_key if key not in keys]:
        raise ValueError(f"{_few(extra)} are not in the matrix. Remove these images.")
    return [by_key[key] for key in keys]


def read_matrix_file(path: Path) -> Mapping:
    """What a .npz, .mat or .pkl file holds, by name; no code in it can run."""
    if path.suffix == ".npz":
        return data.read_arrays(path)
    if path.suffix == ".mat":
        return {
            k: value for k, value in loadmat(path).items() if not k.startswith("__")
        }
    if path.suffix in MATRIX_FILES:
        content = read_pickle(path)
        return content if isinstance(content, Mapping) else {"similarity": content}
    raise ValueError(f"matrix must be one of {', '.join(MATRIX_FILES)}; got {path}.")


def _part_about(name: str, content: Mapping, path: Path) -> Mapping:
    if isinstance(content.get(name), Mapping):
        return content[name]
    if content and all(isinstance(part, Mapping) for part in content.values()):
        raise ValueError(
            f"{path} holds {_few(content)}, not {name!r}: rename the folder."
        )
    return content


def _names(
    stored: Mapping, name: str, given: Sequence[str] | None, path: Path
) -> Sequence[str]:
    for key in (f"{name}_fnames", "fnames", "names", f"{name}_big_names"):
        if key in stored:
            names = [str(value).strip() for value in np.ravel(stored[key])]
            if given is not None and [_key(n) for n in given] != [
                _key(n) for n in names
            ]:
                raise ValueError(f"names must be those of {path}, in its order.")
            return names
    if given is None:
        raise ValueError(f"names must be given: {path} does not name its images.")
    return given


def _images(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_FILES)
    if not files:
        raise FileNotFoundError(f"No images ({', '.join(IMAGE_FILES)}) in {folder}.")
    return files


def _key(name: str | Path) -> str:
    """A name without folder, suffix and blanks; the number 7 of "stim-0007"."""
    name = Path(str(name).strip())
    stem = name.stem if name.suffix.lower() in IMAGE_FILES else name.name
    number = re.fullmatch(r"(?:stim-)?0*(\d+)", stem)
    return number[1] if number else stem


def _few(names: Iterable[str], n: int = 5) -> str:
    names = list(map(str, names))
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _checked(values: np.ndarray, n: int, scale: float, path: Path) -> np.ndarray:
    """Similarities (n, n) divided by ``scale``."""
    matrix = np.array(values)
    if matrix.shape != (n, n) or matrix.dtype.kind not in "fiu":
        what = f"{matrix.shape}, {matrix.dtype}"
        raise ValueError(
            f"matrix must be ({n}, {n}) numbers for {n} images; got {what}."
        )
    matrix = matrix.astype(np.float64)
    pairs = matrix[~np.eye(n, dtype=bool)]
    same = np.isclose(matrix, matrix.T, rtol=1e-9, atol=1e-12, equal_nan=True)
    if not same.all():
        i, j = np.argwhere(~same)[0]
        raise ValueError(
            f"matrix must be symmetric; it has {matrix[i, j]:g} for images {i}, {j} "
            f"and {matrix[j, i]:g} for {j}, {i}. Average the two."
        )
    if np.isinf(pairs).any() or np.isnan(pairs).all():
        raise ValueError(f"matrix must be finite where judged; {path} is not.")
    low, high = np.nanmin(pairs), np.nanmax(pairs)
    if low < 0 or high > scale or (scale > 1 and high <= 1):
        raise ValueError(
            f"matrix must lie in 0..{scale:g}; {path} goes from {low:g} to {high:g}. "
            "Set scale to the highest possible judgment."
        )
    if not np.diag(matrix).any():
        raise ValueError(
            f"matrix must hold similarities; the diagonal of {path} is 0, as in a "
            "dissimilarity matrix. Store the highest possible value minus it."
        )
    return matrix / scale
