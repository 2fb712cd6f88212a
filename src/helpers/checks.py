"""Checks at the public edge.

Each returns its argument in the form the code works on, or raises ValueError: what is wrong, the value, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def embeddings(values, post_relu: bool = False, min_images: int = 1) -> np.ndarray:
    """``values`` as a finite float64 array (n_images, n_features); non-negative where ``post_relu``."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[0] < min_images or array.shape[1] < 1:
        raise ValueError(
            f"embeddings must be (n_images, n_features) with at least {min_images} image(s) and 1 feature; "
            f"got shape {array.shape}. Flatten the features of each image into one row."
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"embeddings must hold real numbers; got dtype {array.dtype}.")
    array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(
            f"embeddings must be finite; embeddings[{row}, {column}] is {array[row, column]}. "
            "Remove or mend that image."
        )
    if post_relu and (array < 0).any():
        row, column = np.argwhere(array < 0)[0]
        raise ValueError(
            f"embeddings must be post-ReLU (non-negative); embeddings[{row}, {column}] is {array[row, column]:g}. "
            "Take the output of the ReLU node, not of the linear layer before it."
        )
    return array


def order(values, n_features: int) -> np.ndarray:
    """``values`` as a permutation of 0 .. n_features - 1."""
    array = np.asarray(values)
    if array.shape != (n_features,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"order must hold {n_features} integer feature indices; got shape {array.shape}, dtype {array.dtype}. "
            "helpers.sparsity.poz_order makes one."
        )
    if not np.array_equal(np.sort(array), np.arange(n_features)):
        wrong = np.setdiff1d(array, np.arange(n_features))
        what = f"holds {wrong[0]}, outside 0..{n_features - 1}" if wrong.size else "names a feature twice"
        raise ValueError(f"order must be a permutation of the {n_features} features; it {what}.")
    return array


def sizes(values, n_features: int) -> np.ndarray:
    """``values`` (None: every size) as strictly increasing integers in 1 .. n_features."""
    array = np.arange(1, n_features + 1) if values is None else np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu" or (np.diff(array) <= 0).any():
        raise ValueError(f"sizes must be strictly increasing integers; got {values!r}.")
    if array[0] < 1 or array[-1] > n_features:
        raise ValueError(f"sizes must lie in 1..{n_features} (the number of features); got {array[0]}..{array[-1]}.")
    return array


def reference(values, n_images: int) -> np.ndarray:
    """``values``, (n, n) or (n_pairs,), as the finite upper triangle (n_pairs,) in numpy.triu_indices(n, 1) order."""
    array = np.asarray(values, dtype=np.float64)
    n_pairs = n_images * (n_images - 1) // 2
    if array.shape == (n_images, n_images):
        for start in range(0, n_images, step := max(1, 2**17 // n_images)):
            ours, theirs = array[start : start + step], array[:, start : start + step].T
            if not np.allclose(ours, theirs, rtol=1e-9, atol=1e-12, equal_nan=True):
                agree = np.isclose(ours, theirs, rtol=1e-9, atol=1e-12, equal_nan=True).all(axis=1)
                i = start + int(agree.argmin())
                raise ValueError(
                    f"reference must be symmetric; row {i} and column {i} differ. Average the two triangles."
                )
        array = array[~np.tri(n_images, dtype=bool)]
    if array.shape != (n_pairs,):
        raise ValueError(
            f"reference must be ({n_images}, {n_images}) or ({n_pairs},) for {n_images} images; "
            f"got shape {array.shape}."
        )
    if not np.isfinite(array).all():
        pair = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"reference must be finite; pair {pair} is {array[pair]}. Drop the images without a defined similarity."
        )
    return array


def choice(name: str, value, allowed: Iterable) -> None:
    """Raise unless ``value`` is one of ``allowed``."""
    if value not in (options := list(allowed)):
        raise ValueError(f"{name} must be one of {options}; got {value!r}.")


def at_least(name: str, value: float, minimum: float) -> None:
    """Raise unless ``value`` is ``minimum`` or more."""
    if not value >= minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {value!r}.")


def fraction(name: str, value: float) -> None:
    """Raise unless ``value`` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {value!r}. Divide a percentage by 100.")


def correlations(name: str, values) -> np.ndarray:
    """``values`` as float64 in [-1, 1], but for rounding; NaN stays."""
    array = np.asarray(values, dtype=np.float64)
    if (np.abs(array) > 1 + 1e-12).any():
        raise ValueError(f"{name} must lie in [-1, 1]; got {values!r}.")
    return array
