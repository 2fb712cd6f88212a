"""Human similarity judgments of images: the shipped 92 objects, and the sets of Peterson, Abbott & Griffiths (2018).

A similarity is larger for images that are more alike. Dissimilarities, such as those of the 92 objects, enter with
the sign changed.

**The six sets** (Cognitive Science 42, 2648-2669; animals, automobiles, fruits, furniture, various, vegetables; 120
images each) are not shipped. `load_peterson` reads them from a folder::

    PETERSON/
        animals/
            images/                     stim-0007.png, ... (any size, .png, .jpg, .jpeg or .webp)
            turkResults_CogSci2016.mat  the set's matrix
        fruits/
            images/                     ackee2.png, ...
        ...                             any of the six sets
        datasets_peterson.pkl           matrices of the sets that have none in their own folder
        vgg19_conv_bgr.safetensors      weights for pool5 (pipeline.extraction.vgg19_conv)

How to get each part:

* Matrix of animals: ``turkResults_CogSci2016.mat`` in the public repository jcpeterson/percept2vec (0..10; it also
  holds the matrices of the two halves of the judgments, for a reliability).
* Matrices of all six: ``datasets_peterson.pkl``, a pickled dict {set: {"fnames": 120 names, "similarity": (120, 120) in
  0..1}}, in public repositories that use the data (one that reads it is candemircan/naturalcogsci; search for that file
  name); or ask the authors. It is read with `read_pickle`, which can build nothing but arrays and plain Python values.
  An .npz file with ``<set>_similarity`` and ``<set>_fnames`` will do as well.
* Images of animals, fruits and vegetables: in the same repositories. Those of automobiles, furniture and various are
  not public: ask the authors.
* Weights: torchvision fetches its VGG-19 itself (`pipeline.extraction.load_model`). For pool5 with the VGG team's
  weights, rename the arrays of the 16 convolutions of their Caffe model (VGG_ILSVRC_19_layers) to
  ``block<b>_conv<c>_w`` (out, in, 3, 3; blue, green, red) and ``_b`` (out,).
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import datasets, rsa

SETS = ("animals", "automobiles", "fruits", "furniture", "various", "vegetables")
"""The sets of Peterson, Abbott & Griffiths (2018)."""

PUBLISHED_SCALE = {"turkResults_CogSci2016.mat": 10.0}
"""Published matrix files whose judgments do not lie in 0..1: their highest possible value."""

MATRIX_FILES = (".npz", ".mat", ".pkl", ".pickle")
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, eq=False)
class Judgments:
    """Similarity judgments of the images of one set.

    ``names`` the n images, in the order of everything else; ``files`` their files in that order (empty: none given);
    ``matrix`` (n, n) symmetric similarities, mean over raters, 0..1 unless ``scale`` says otherwise, NaN where a pair
    was not judged; ``raters`` (n_raters, n_pairs) single raters' similarities, or of two halves of the judgments, in
    numpy.triu_indices(n, 1) order (empty: none known), what they are in ``rater_names``; ``n_missing`` pairs that are
    NaN in ``matrix``.
    """

    name: str
    names: tuple[str, ...]
    matrix: np.ndarray
    raters: np.ndarray
    rater_names: tuple[str, ...]
    n_missing: int
    files: tuple[Path, ...] = ()
    scale: str = "similarity, 0 to 1"


@dataclass(frozen=True, eq=False)
class Objects92:
    """92 object images (Kriegeskorte et al. 2008), judged by 16 raters (Mur et al. 2013), with fMRI and a VGG.

    ``images`` (92, 175, 175, 3) uint8 RGB on grey; ``category`` (92,) names, ``human``, ``face``, ``animal`` and
    ``natural`` (92,) bool; ``judgments`` minus the dissimilarities of 16 raters, arbitrary units, and their mean;
    ``brain`` (8, 4186) minus the dissimilarities in human inferior temporal cortex (fMRI), 4 subjects x 2 sessions,
    named in ``brain_names``; ``embeddings`` (92, 25088) float32, VGG-16 pool5, post-ReLU.
    """

    images: np.ndarray
    category: np.ndarray
    human: np.ndarray
    face: np.ndarray
    animal: np.ndarray
    natural: np.ndarray
    judgments: Judgments
    brain: np.ndarray
    brain_names: tuple[str, ...]
    embeddings: np.ndarray


# ----------------------------------------------------------------------------------------------------- the 92 objects
def load_objects92() -> Objects92:
    """The shipped 92 objects. Dissimilarities become similarities by changing their sign, which leaves R2 as it is.

    RDMs and embeddings are rounded to half precision (zeros of the embeddings are exact); images are as published.
    Raises ValueError where a file differs from the manifest.
    """
    stored = datasets.read_shipped("objects92.npz")
    sheet = datasets.read_shipped("objects92_images.webp")["image"]
    pool5 = datasets.read_shipped("objects92_vgg16_pool5.npz")
    n = len(stored["category"])
    padded = -(-n // datasets.TILES_PER_ROW) * datasets.TILES_PER_ROW
    raters = -stored["human_rdms"].astype(np.float64)
    names = tuple(f"{i:02d} {category}" for i, category in enumerate(stored["category"], 1))
    judgments = Judgments(
        name="92 objects", names=names, matrix=_square(raters.mean(axis=0), n), raters=raters,
        rater_names=tuple(f"rater {i}" for i in range(1, len(raters) + 1)), n_missing=0,
        scale="minus dissimilarity, arbitrary units",
    )  # fmt: skip
    return Objects92(
        images=datasets.from_sheet(sheet, padded)[:n],
        judgments=judgments,
        brain=-stored["brain_rdms"].astype(np.float64),
        brain_names=tuple(map(str, stored["brain_names"])),
        embeddings=datasets.unpack_sparse(pool5["nonzero"], pool5["values"], (n, int(pool5["n_features"]))),
        **{key: stored[key] for key in ("category", "human", "face", "animal", "natural")},
    )


def _square(pairs: np.ndarray, n: int) -> np.ndarray:
    """The symmetric matrix (n, n) of pairs (n_pairs,); 0 on the diagonal, minus the dissimilarity of the same image."""
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = pairs
    return matrix + matrix.T


# ---------------------------------------------------------------------------------------------------- a folder per set
def load_peterson(folder: str | Path) -> dict[str, Judgments]:
    """Every one of the six `SETS` that ``folder`` has a subfolder of; layout and sources at the head of this module.

    Published matrix files in other units (`PUBLISHED_SCALE`) are converted. Raises ValueError where there is no set at
    all, else as `load_set`.
    """
    folder = Path(folder)
    found = [name for name in SETS if (folder / name).is_dir()]
    if not found:
        raise ValueError(f"folder must hold a folder of at least one of {', '.join(SETS)}; there is none in {folder}.")
    matrices = {name: find_matrix(folder / name) for name in found}
    return {name: load_set(folder / name, path, PUBLISHED_SCALE.get(path.name, 1)) for name, path in matrices.items()}


def load_set(
    folder: str | Path, matrix: str | Path | None = None, scale: float = 1, names: Sequence[str] | None = None
) -> Judgments:
    """One set: the images of ``folder/images`` and their judged similarities, in the order of the matrix.

    Parameters
    ----------
    folder : its last part is the set's name.
    matrix : file with the matrix: .npz, .mat or .pkl; default the only one in ``folder`` or, failing that, beside it.
        It holds the similarities as ``<set>_similarity``, ``similarity`` or ``simMatrix`` and the images' names as
        ``<set>_fnames``, ``fnames``, ``names`` or ``<set>_big_names``; or a dict of these under the set's name.
    scale : the judgments' highest possible value; they are divided by it.
    names : the images' names in the order you hold them in: must be the matrix's own. Needed where it has none.

    Names are compared without folder and suffix, and "stim-0007" with "7".

    Raises
    ------
    ValueError : images missing, extra or in another order than the matrix; a matrix that is not square, not symmetric,
        out of scale or a dissimilarity; more than one file to choose from. NaN off the diagonal is allowed and counted.
    FileNotFoundError : no matrix, no images.
    """
    folder = Path(folder)
    path = Path(matrix) if matrix else find_matrix(folder)
    stored = _named(read_matrix_file(path), folder.name, path)
    own = _names(stored, folder.name)
    if own is None and names is None:
        raise ValueError(f"names must be given: {path} does not say which image is which, and files have no order.")
    if own is not None and names is not None:
        match_images(own, names)
    own = own if own is not None else names
    files = match_images(own, _images(folder / "images"), ordered=False)
    similarity = _checked(_matrix(stored, folder.name, path), len(own), scale, path)
    halves = [_checked(stored[key], len(own), scale, path) for key in _HALVES if key in stored]
    upper = [rsa.upper_triangle(half) for half in halves]
    return Judgments(
        name=folder.name,
        names=tuple(file.stem for file in files),
        matrix=similarity,
        raters=np.stack(upper) if upper else np.empty((0, len(own) * (len(own) - 1) // 2)),
        rater_names=("first half", "second half") if upper else (),
        n_missing=int(np.isnan(rsa.upper_triangle(similarity)).sum()),
        files=tuple(files),
    )


def find_matrix(folder: str | Path) -> Path:
    """The only matrix file in ``folder``, failing that the only one beside it.

    Raises FileNotFoundError where there is none, ValueError where there are several.
    """
    for place in (Path(folder), Path(folder).parent):
        found = sorted(path for path in place.iterdir() if path.suffix in MATRIX_FILES) if place.is_dir() else []
        if len(found) > 1:
            raise ValueError(f"matrix must be given: {place} holds {', '.join(path.name for path in found)}.")
        if found:
            return found[0]
    raise FileNotFoundError(
        f"No matrix of similarities ({', '.join(MATRIX_FILES)}) in {folder} or beside it. The head of "
        "pipeline.judgments says where the published ones are."
    )


def match_images(names: Sequence[str], files: Sequence[str | Path], ordered: bool = True) -> list[Path]:
    """The file of each name, in the order of ``names``; never by sorting.

    ``ordered``: the files must be in that order already. Names are compared without folder and suffix, and "stim-0007"
    with "7". Raises ValueError naming what is missing, extra, there twice or, if ``ordered``, out of order.
    """
    keys = [_key(name) for name in names]
    by_key: dict[str, Path] = {}
    for file in map(Path, files):
        if (other := by_key.setdefault(_key(file), file)) is not file:
            raise ValueError(f"images must be there once; {other.name} and {file.name} are the same one.")
    if len(set(keys)) < len(keys):
        twice = next(name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1)
        raise ValueError(f"names must be unique; the matrix names {twice!r} twice.")
    if missing := [str(name) for name, key in zip(names, keys, strict=True) if key not in by_key]:
        raise ValueError(f"images must be complete; {_few(missing)} of the matrix have no image. Add them.")
    if extra := [file.name for key, file in by_key.items() if key not in set(keys)]:
        raise ValueError(f"images must be those of the matrix; it does not know {_few(extra)}. Take them away.")
    if ordered and list(by_key) != keys:
        i = next(i for i, (a, b) in enumerate(zip(by_key, keys, strict=True)) if a != b)
        raise ValueError(
            f"images must be in the order of the matrix; position {i} has {Path(files[i]).name}, the matrix has "
            f"{names[i]}. Reorder them (pipeline.judgments.match_images with ordered=False gives the order)."
        )
    return [by_key[key] for key in keys]


# ------------------------------------------------------------------------------------------------------------ matrices
_HALVES = ("simMatrixFirstBatch", "simMatrixSecondBatch")


def read_matrix_file(path: str | Path) -> Mapping:
    """What a .npz, .mat or .pkl file holds, by name; no code in it can run. Raises ValueError for another kind."""
    path = Path(path)
    if path.suffix == ".npz":
        return datasets.read_arrays(path)
    if path.suffix == ".mat":
        from scipy.io import loadmat

        return {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    if path.suffix in (".pkl", ".pickle"):
        content = read_pickle(path)
        return content if isinstance(content, Mapping) else {"similarity": content}
    raise ValueError(f"matrix must be a file of kind {', '.join(MATRIX_FILES)}; got {path}.")


def _named(content: Mapping, name: str, path: Path) -> Mapping:
    """The part of the content about set ``name``."""
    if isinstance(content.get(name), Mapping):
        return content[name]
    if content and all(isinstance(part, Mapping) for part in content.values()):
        raise ValueError(f"{path} holds the sets {', '.join(content)}, not {name!r}. Name the folder after its set.")
    return content


def _matrix(stored: Mapping, name: str, path: Path) -> np.ndarray:
    for key in (f"{name}_similarity", "similarity", "simMatrix"):
        if key in stored:
            return stored[key]
    raise ValueError(
        f"{path} must hold {name}_similarity, similarity or simMatrix; it holds {', '.join(map(str, stored))}."
    )


def _names(stored: Mapping, name: str) -> list[str] | None:
    for key in (f"{name}_fnames", "fnames", "names", f"{name}_big_names"):
        if key in stored:
            return [str(one).strip() for one in np.ravel(np.asarray(stored[key]))]
    return None


def _images(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_FILES) if folder.is_dir() else []
    if not files:
        raise FileNotFoundError(f"No images ({', '.join(IMAGE_FILES)}) in {folder}.")
    return files


def _key(name: str | Path) -> str:
    """A name without folder, suffix and blanks; of "stim-0007" the number, as the published animals matrix has it."""
    name = Path(str(name).strip())
    stem = name.stem if name.suffix.lower() in IMAGE_FILES else name.name
    number = re.fullmatch(r"(?:stim-)?0*(\d+)", stem)
    return number[1] if number else stem


def _few(names: Iterable[str], n: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def _checked(values, n: int, scale: float, path: Path) -> np.ndarray:
    """A matrix of similarities (n, n) divided by ``scale``, if it is one."""
    matrix = np.array(values)
    if matrix.shape != (n, n) or matrix.dtype.kind not in "fiu":
        raise ValueError(
            f"matrix must be ({n}, {n}) numbers for {n} images; {path} has {matrix.shape}, {matrix.dtype}."
        )
    matrix = matrix.astype(np.float64)
    pairs = matrix[~np.eye(n, dtype=bool)]
    if np.isinf(pairs).any():
        raise ValueError(f"matrix must be finite or NaN; {path} holds an infinite value.")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=1e-12, equal_nan=True):
        i, j = np.argwhere(~np.isclose(matrix, matrix.T, rtol=1e-9, atol=1e-12, equal_nan=True))[0]
        raise ValueError(
            f"matrix must be symmetric; {path} has {matrix[i, j]:g} for images {i}, {j} and {matrix[j, i]:g} for "
            f"{j}, {i}. Average the two."
        )
    if np.isnan(pairs).all():
        raise ValueError(f"matrix must have judgments; every pair in {path} is NaN.")
    _check_scale(np.nanmin(pairs), np.nanmax(pairs), scale, path)
    if not np.diag(matrix).any():
        raise ValueError(
            f"matrix must hold similarities; the diagonal of {path} is 0, as in a dissimilarity matrix. Store the "
            "highest possible value minus it."
        )
    return matrix / scale


def _check_scale(low: float, high: float, scale: float, path: Path) -> None:
    if not scale > 0:
        raise ValueError(f"scale must be positive, the judgments' highest possible value; got {scale}.")
    if low < 0 or high > scale:
        remedy = "This looks like 0 to 10: pass scale=10" if low >= 0 and scale < high <= 10 else "Rescale it"
        raise ValueError(f"matrix must lie in 0..{scale:g}; {path} goes from {low:g} to {high:g}. {remedy}.")
    if scale > 1 and high <= 1:
        raise ValueError(f"scale must be 1 for {path}: it goes from {low:g} to {high:g}, not up to {scale:g}.")


# ------------------------------------------------------------------------------------------------------------- pickles
def read_pickle(path: str | Path):
    """A pickle of arrays and plain Python values; nothing else can be built, and no code in it can run.

    Raises ValueError where the file asks for anything else (named), or is damaged.
    """
    with Path(path).open("rb") as file:
        try:
            return _ArraysOnly(file, encoding="latin1").load()
        except Exception as error:
            raise ValueError(f"{path} is not a pickle of arrays and plain values: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows only what arrays are built of."""

    def find_class(self, module: str, name: str):
        where = module.replace("numpy.core", "numpy._core")
        try:
            return _allowed()[where, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed") from None


def _allowed() -> dict[tuple[str, str], object]:
    from numpy._core import multiarray, numeric

    return {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy._core.multiarray", "_reconstruct"): multiarray._reconstruct,
        ("numpy._core.multiarray", "scalar"): multiarray.scalar,
        ("numpy._core.numeric", "_frombuffer"): numeric._frombuffer,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _latin1,
    }


def _latin1(text: str, encoding: str) -> bytes:
    """What old pickles keep bytes as; the general function would decompress and more."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for bytes in {encoding}, which is not allowed")
    return text.encode("latin1")
