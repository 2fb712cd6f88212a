"""Argument checks, made once on entry to a public function.

Each returns its argument in the form that the code works with, or raises a ValueError
that names the argument, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def embeddings(values, post_relu: bool = False, min_images: int = 1) -> np.ndarray:
    """``values`` as finite float64 (n_images, n_features); ``post_relu``: >= 0."""
    array = _real("embeddings", values)
    if array.ndim != 2 or array.shape[0] < min_images or array.shape[1] < 1:
        raise ValueError(
            "embeddings must be (n_images, n_features) with at least "
            f"{min_images} image(s) and 1 feature; got shape {array.shape}. "
            "Flatten the features of each image into one row."
        )
    rules = [(~np.isfinite(array), "finite", "Correct or remove that image.")]
    if post_relu:
        remedy = "Take the output of the ReLU node, not of the layer before it."
        rules.append((array < 0, "post-ReLU (non-negative)", remedy))
    for is_wrong, what, remedy in rules:
        if is_wrong.any():
            row, column = np.argwhere(is_wrong)[0]
            raise ValueError(
                f"embeddings must be {what}; embeddings[{row}, {column}] is "
                f"{array[row, column]:g}. {remedy}"
            )
    return array


def order(values, n_features: int) -> np.ndarray:
    """``values`` as a permutation of 0 .. n_features - 1, int64."""
    array = np.asarray(values)
    if array.shape != (n_features,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"order must hold {n_features} integer feature indices; got shape "
            f"{array.shape}, dtype {array.dtype}. helpers.sparsity.poz_order makes one."
        )
    if not np.array_equal(np.sort(array), np.arange(n_features)):
        raise ValueError(
            f"order must name each of the features 0..{n_features - 1} once; it names "
            f"{len(np.unique(array))} different ones in {array.min()}..{array.max()}."
        )
    return array.astype(np.int64, copy=False)


def sizes(values, n_features: int) -> np.ndarray:
    """``values`` (None: every size) as increasing int64 in 1 .. n_features."""
    array = np.arange(1, n_features + 1) if values is None else np.asarray(values)
    is_list = array.ndim == 1 and array.size > 0 and array.dtype.kind in "iu"
    # neighbours are compared: differences of unsigned integers are never negative
    if not is_list or (array[1:] <= array[:-1]).any():
        raise ValueError(f"sizes must be strictly increasing integers; got {values!r}.")
    if array[0] < 1 or array[-1] > n_features:
        raise ValueError(
            f"sizes must lie in 1..{n_features} (the number of features); "
            f"got {array[0]}..{array[-1]}."
        )
    return array.astype(np.int64, copy=False)


def reference(values, n_images: int) -> np.ndarray:
    """``values``, (n, n) or (n_pairs,), as a finite upper triangle (n_pairs,), float64.

    Its order is that of numpy.triu_indices(n, 1).
    """
    array = _real("reference", values)
    n_pairs = n_images * (n_images - 1) // 2
    if array.shape == (n_images, n_images):
        _check_symmetry(array)
        array = array[~np.tri(n_images, dtype=bool)]
    if array.shape != (n_pairs,):
        raise ValueError(
            f"reference must be ({n_images}, {n_images}) or ({n_pairs},) for "
            f"{n_images} images; got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        pair = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"reference must be finite; pair {pair} is {array[pair]}. "
            "Drop the images without a defined similarity."
        )
    return array


def choice(name: str, value, allowed: Iterable) -> None:
    """Raise unless ``value`` is one of ``allowed``."""
    options = list(allowed)
    if value not in options:
        raise ValueError(f"{name} must be one of {options}; got {value!r}.")


def at_least(name: str, value: float, minimum: float) -> None:
    """Raise unless ``value`` is ``minimum`` or more."""
    if not value >= minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {value!r}.")


def _real(name: str, values) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}.")
    return array.astype(np.float64, copy=False)


def _check_symmetry(matrix: np.ndarray) -> None:
    """Compare the triangles a few rows at a time, without a second matrix."""
    step = max(1, 2**17 // len(matrix))
    for start in range(0, len(matrix), step):
        rows, columns = matrix[start : start + step], matrix[:, start : start + step].T
        equal = np.isclose(rows, columns, rtol=1e-9, atol=1e-12, equal_nan=True)
        if not equal.all():
            i = start + int(equal.all(axis=1).argmin())
            raise ValueError(
                f"reference must be symmetric; row {i} and column {i} differ. "
                "Average the two triangles."
            )
