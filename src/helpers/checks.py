"""Argument checks, made once on entry to a public function.

Each returns its argument in the form that the code works with, or raises a ValueError
that names the argument, the value and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import numpy as np


def as_array(name: str, values) -> np.ndarray:
    """``values`` as an array, if they can be one and nothing in them is masked."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} must not be masked; use .filled(numpy.nan) or remove."
        )
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError, ValueError) as error:  # ragged, or has a gradient
        raise ValueError(f"{name} must be an array of numbers: {error}") from error


def real(name: str, values) -> np.ndarray:
    """``values``, real numbers of any type and not masked, as float64."""
    array = as_array(name, values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}.")
    return array.astype(np.float64, copy=False)


def embeddings(
    values, post_relu: bool = False, min_images: int = 1, name: str = "embeddings"
) -> np.ndarray:
    """``values`` as finite float64 (n_images, n_features); ``post_relu``: >= 0."""
    array = real(name, values)
    if array.ndim != 2 or array.shape[0] < min_images or array.shape[1] < 1:
        raise ValueError(
            f"{name} must be (n_images, n_features) with at least {min_images} image(s)"
            f" and 1 feature; got shape {array.shape}. Flatten each image into one row."
        )
    is_wrong = ~np.isfinite(array) | (array < 0 if post_relu else False)
    if is_wrong.any():
        row, column = np.argwhere(is_wrong)[0]
        rule = "post-ReLU (finite, never negative)" if post_relu else "finite"
        raise ValueError(
            f"{name} must be {rule}; {name}[{row}, {column}] is {array[row, column]:g}."
        )
    return array


def order(values, n_features: int) -> np.ndarray:
    """``values`` as a permutation of 0 .. n_features - 1, int64."""
    array, every = as_array("order", values), np.arange(n_features)
    is_list = array.shape == every.shape and array.dtype.kind in "iu"
    if not is_list or not np.array_equal(np.sort(array), every):
        raise ValueError(
            f"order must hold each of the integers 0..{n_features - 1} once; got dtype "
            f"{array.dtype}, shape {array.shape}, {len(np.unique(array))} different. "
            "helpers.sparsity.poz_order makes one."
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def sizes(values, n_features: int) -> np.ndarray:
    """``values`` (None: every size) as increasing int64 in 1 .. n_features."""
    values = np.arange(1, n_features + 1) if values is None else values
    array = as_array("sizes", values)
    is_list = array.ndim == 1 and array.size > 0 and array.dtype.kind in "iu"
    # neighbours are compared: differences of unsigned integers are never negative
    increases = is_list and (array[1:] > array[:-1]).all()
    if not increases or array[0] < 1 or array[-1] > n_features:
        raise ValueError(
            f"sizes must be strictly increasing integers in 1..{n_features} (the "
            f"number of features); got {values!r}."
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def reference(
    values, n_images: int, name: str = "reference", may_miss: bool = False
) -> np.ndarray:
    """``values``, (n, n) or (n_pairs,), as a finite upper triangle (n_pairs,), float64.

    Its order is that of numpy.triu_indices(n, 1), its unit that of `in_range`;
    ``may_miss``: NaN is allowed.
    """
    array = in_range(real(name, values))
    n_pairs = n_images * (n_images - 1) // 2
    if array.shape == (n_images, n_images):
        is_above = ~np.tri(n_images, dtype=bool)
        array, below = array[is_above], array.T[is_above]
        atol = 1e-12 * np.fmax.reduce(np.abs(array), initial=0)
        if not np.allclose(array, below, rtol=1e-9, atol=atol, equal_nan=True):
            raise ValueError(f"{name} must be symmetric; average the two triangles.")
    if array.shape != (n_pairs,):
        raise ValueError(
            f"{name} must be ({n_images}, {n_images}) or ({n_pairs},) for "
            f"{n_images} images; got shape {array.shape}."
        )
    is_wrong = ~np.isfinite(array) & ~(may_miss & np.isnan(array))
    if is_wrong.any():
        pair = int(is_wrong.argmax())
        raise ValueError(
            f"{name} must be finite; pair {pair} is {array[pair]}. "
            "Drop the images without a defined similarity."
        )
    return array


def in_range(values: np.ndarray) -> np.ndarray:
    """``values`` over a power of two (exact) where squares would overflow or vanish."""
    low, high = (part.reduce(values, None, initial=0) for part in (np.fmin, np.fmax))
    largest = max(high, -low)
    if 1e-100 < largest < 1e100 or not 0 < largest < np.inf:
        return values
    return values / np.ldexp(1.0, np.frexp(largest)[1] - 1)


def choice(name: str, value, allowed: Iterable) -> None:
    """Raise unless ``value`` is one of ``allowed``."""
    options = list(allowed)
    if value not in options:
        raise ValueError(f"{name} must be one of {options}; got {value!r}.")


def at_least(name: str, value: int, minimum: int) -> None:
    """Raise unless ``value`` is an integer, ``minimum`` or more."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (is_whole and value >= minimum):
        rule = f"at least {minimum}" if is_whole else "a whole number"
        raise ValueError(f"{name} must be {rule}; got {value!r}.")
