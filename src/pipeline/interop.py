"""Activations and judgments from the objects of other libraries, and back.

Objects are recognised by what they have, not by their class, so none of the libraries
is imported or needed: ``torch`` tensors, ``xarray`` arrays, ``pandas`` frames,
``rsatoolbox`` data sets and RDMs, and whatever ``numpy.asarray`` understands. Paths go
to `pipeline.readers`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.distance import squareform

from helpers import rsa
from pipeline import formats, readers
from pipeline.formats import Refused

KINDS = ("similarity", "dissimilarity")
MIN_IMAGES = 4


def as_activations(source, array: str = "") -> np.ndarray:
    """Activations of any of these objects, one row per image.

    Parameters
    ----------
    source : path; numpy array; torch tensor; xarray array whose first dimension is that
        of images; pandas frame (a first column of texts is left out); or rsatoolbox
        Dataset (observations are images). (n_images, ...): the rest is flattened.
    array : the name of the array, for a file that holds several.

    Returns
    -------
    (n_images, n_features) of the type stored, where possible without a copy. Values are
    checked by whoever uses them, such as `pipeline.census.count`.

    Raises
    ------
    Refused : no real numbers, fewer than two dimensions, or fewer than 4 images.
    """
    values = as_array(source, array)
    name = named(source)
    if values.dtype.kind not in formats.NUMBERS:
        raise Refused(
            f"{name} of shape {values.shape} has type {values.dtype}, which holds no "
            "real numbers; convert it to float32."
        )
    if values.ndim < 2 or len(values) < MIN_IMAGES or 0 in values.shape:
        raise Refused(
            f"{name} has shape {values.shape}; activations need a row for each of at "
            f"least {MIN_IMAGES} images and a column for each node."
        )
    return values.reshape(len(values), -1)


def as_reference(source, n_images: int, kind: str = "", array: str = "") -> np.ndarray:
    """Similarities judged by one or several raters, (n_raters, n_pairs) float64.

    Parameters
    ----------
    source : as `as_activations`, or rsatoolbox RDMs. (n, n), (n_pairs,), (n_raters, n,
        n) or (n_raters, n_pairs), with pairs as numpy.triu_indices(n, 1). A diagonal is
        not read.
    n_images : n, the number of images of the activations.
    kind : "similarity", or "dissimilarity", whose sign is changed. Never guessed; only
        rsatoolbox's RDMs say it themselves.

    Raises
    ------
    Refused : another shape, kind not given, asymmetric, infinite, or constant. NaN is a
        missing judgment.
    """
    name = named(source)
    if hasattr(source, "dissimilarities"):
        source, kind = source.dissimilarities, "dissimilarity"
    if kind not in KINDS:
        raise Refused(
            f"{name}: say whether larger numbers mean more alike: kind must be "
            f"'similarity' or 'dissimilarity', got {kind!r}."
        )
    values = as_array(source, array)
    if values.dtype.kind not in formats.NUMBERS:
        raise Refused(
            f"{name} of shape {values.shape} has type {values.dtype}, which holds no "
            "real numbers; convert it to float64."
        )
    raters = as_pairs(np.asarray(values, np.float64), n_images, name)
    if np.isinf(raters).any():
        rater, pair = np.argwhere(np.isinf(raters))[0]
        raise Refused(
            f"{name} of shape {values.shape} is infinite at pair {pair} of rater "
            f"{rater}; mark missing judgments by NaN."
        )
    varies = np.array([len(np.unique(r[np.isfinite(r)])) > 1 for r in raters])
    if not varies.all():
        raise Refused(
            f"{name} of shape {values.shape}: rater {varies.argmin()} does not vary "
            "over pairs; leave that rater out."
        )
    return raters if kind == "similarity" else -raters


def as_pairs(values: np.ndarray, n: int, name: str) -> np.ndarray:
    """Pairs (n_raters, n_pairs) of `as_reference` from any of its shapes."""
    n_pairs = n * (n - 1) // 2
    if values.shape in {(n_pairs,), (n_pairs, 1)}:
        return values.reshape(1, -1)
    if values.shape[-1:] == (n_pairs,) and values.ndim == 2:
        return values
    if values.shape[-2:] != (n, n) or values.ndim not in (2, 3):
        raise Refused(
            f"{name} has shape {values.shape}; for {n} images it must be {(n, n)}, "
            f"{(n_pairs,)}, (n_raters, {n}, {n}) or (n_raters, {n_pairs}): the rows of "
            "activations and judgments are the same images in the same order."
        )
    matrices = values.reshape(-1, n, n)
    for number, matrix in enumerate(matrices):
        equal = np.isclose(matrix, matrix.T, rtol=1e-6, atol=1e-9, equal_nan=True)
        if not equal.all():
            i, j = np.argwhere(~equal)[0]
            raise Refused(
                f"{name} of shape {values.shape} is not symmetric: entries [{i}, {j}] "
                f"and [{j}, {i}] of matrix {number} differ; average the triangles."
            )
    return np.stack([rsa.upper_triangle(matrix) for matrix in matrices])


def to_rdms(similarities, self_similarity: float = 1.0, labels=None):
    """rsatoolbox RDMs of similarities, such as `helpers.rsa.similarity_matrix` gives.

    Parameters
    ----------
    similarities : (n, n), (n_pairs,), (n_raters, n, n) or (n_raters, n_pairs).
    self_similarity : of an image with itself; dissimilarities are this minus the
        similarities: 1 for correlations and cosine, 0 for minus a distance.
    labels : a name per image, kept as pattern descriptor "images".

    Needs rsatoolbox. Its inverse, but for the constant, is `as_reference`.
    """
    from rsatoolbox.rdm import RDMs

    values = np.asarray(similarities, np.float64)
    square = values.shape[-1] if values.shape[-2:-1] == values.shape[-1:] else 0
    n = square or len(squareform(np.atleast_2d(values)[0]))
    pairs = self_similarity - as_pairs(values, n, "similarities")
    about = None if labels is None else {"images": list(labels)}
    return RDMs(pairs, pattern_descriptors=about)


def as_array(source, array: str = "") -> np.ndarray:
    """The numbers of an object or file, as they are."""
    if isinstance(source, str | Path):
        return readers.read(source, array).values
    if hasattr(source, "measurements"):  # rsatoolbox Dataset
        return np.asarray(source.measurements)
    if hasattr(source, "detach"):  # torch tensor
        tensor = source.detach().cpu()
        is_half = "bfloat16" in str(tensor.dtype)
        return (tensor.float() if is_half else tensor).numpy()
    if hasattr(source, "iloc") and hasattr(source, "columns"):  # pandas frame
        return formats.frame_values(source, "the data frame")[0]
    return np.asanyarray(getattr(source, "values", source))


def named(source) -> str:
    """What a message calls an object."""
    is_path = isinstance(source, str | Path)
    return Path(source).name if is_path else f"the {type(source).__name__}"
