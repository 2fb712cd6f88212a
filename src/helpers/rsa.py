"""Representational similarity analysis: similarity matrices and how they form.

Similarity matrices after Kriegeskorte, Mur & Bandettini (2008, Front. Syst. Neurosci.
2:4). An *insertion curve* adds features one by one and compares each partial similarity
matrix with a reference by R2, the squared Pearson correlation of the upper triangles.

Why it is fast. Pearson's r is the cosine between centred rows. Centring changes with
every inserted feature, but the centred cross-products need not be recomputed: with
``m_k`` the mean of an image's first k features, they grow by the product of ``sqrt(k /
(k + 1)) * (x_(k+1) - m_k)`` of the two images (Welford 1962, Technometrics 4, 419-420).
So Pearson and cosine are the same running sum of outer products, free of cancellation.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from helpers import checks

SIMILARITIES = ("pearson", "pearson_squared", "spearman", "cosine", "euclidean")
_COMPILED = ("pearson", "cosine")  # what the compiled kernel supports
_WORTHWHILE = 2_000_000  # from this many pairs times sizes on, "auto" uses the kernel
_BLOCK = 2**17  # entries of a matrix worked on at a time: 1 MB stays in a core's cache
_EPS = np.finfo(np.float64).eps
_THREADS = "helpers"  # how the names of our threads begin


@dataclass(frozen=True)
class InsertionCurve:
    """R2 between partial and reference similarity matrices, by number of features."""

    sizes: np.ndarray  # (n_sizes,) numbers of inserted features
    r2: np.ndarray  # (n_sizes,) in [0, 1], or NaN where undefined
    n_undefined: np.ndarray  # (n_sizes,) images without a defined similarity


def upper_triangle(matrix: np.ndarray) -> np.ndarray:
    """Pairs i < j of a square matrix (ValueError otherwise), as numpy.triu_indices."""
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be square, (n, n); got shape {matrix.shape}.")
    return matrix[~np.tri(len(matrix), dtype=bool)]


def similarity_matrix(embeddings: np.ndarray, method: str = "pearson") -> np.ndarray:
    """Similarity of every pair of images, (n_images, n_images) float64, symmetric.

    ``embeddings`` is (n_images, n_features), finite, else ValueError. ``method`` is
    "pearson", "pearson_squared" (r times r), "spearman" (mid-ranks), "cosine", or
    "euclidean" (minus the distance, so that larger is more similar). The row and column
    of an image without defined similarity (constant for correlations, all zero for
    cosine) are NaN.
    """
    x = checks.embeddings(embeddings)
    checks.choice("method", method, SIMILARITIES)
    if method == "euclidean":
        unit = np.ldexp(1.0, np.frexp(np.abs(x).max())[1] - 1)  # exact; squares fit
        return -cdist(x / unit, x / unit) * unit
    x = rankdata(x, axis=1) if method == "spearman" else x
    x = unit_rows(x, centre=method != "cosine")
    matrix = np.clip(x @ x.T, -1, 1)
    np.fill_diagonal(matrix, np.where(np.isnan(x[:, 0]), np.nan, 1))
    return matrix**2 if method == "pearson_squared" else matrix


def partial_similarities(
    embeddings: np.ndarray, order: np.ndarray, sizes=None, similarity: str = "pearson"
) -> np.ndarray:
    """Upper triangles of the partial similarity matrices, (n_sizes, n_pairs).

    Pairs of an undefined image are NaN, extreme distances in the unit of
    `checks.in_range`. Arguments and errors as `insertion_curve`.
    """
    x, order, sizes = _checked(embeddings, order, sizes, similarity)
    x, (i, j) = checks.in_range(x)[:, order], np.triu_indices(len(x), 1)
    matrices = _partial_blocks(x, sizes, similarity, slice(0, len(x)))
    return np.stack([matrix[i, j] for matrix in matrices])


def undefined_items(x: np.ndarray, sizes: np.ndarray, similarity: str) -> np.ndarray:
    """Images undefined by the first k columns of ``x``, (n_images, n_sizes) bool.

    ``x`` (n_images, n_features) and ``sizes`` k (n_sizes,) have been checked already.
    """
    if similarity == "euclidean":
        return np.zeros((len(x), len(sizes)), bool)
    start = 0 if similarity == "cosine" else x[:, :1]
    return ~np.logical_or.accumulate(x != start, axis=1)[:, sizes - 1]


def insertion_curve(
    embeddings: np.ndarray,
    order: np.ndarray,
    reference: np.ndarray,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    undefined: str = "nan",
    engine: str = "auto",
) -> InsertionCurve:
    """R2 of the partial similarity matrix and ``reference`` as features are inserted.

    Parameters
    ----------
    embeddings : (n_images, n_features), finite, at least 3 images.
    order : (n_features,) features in order of insertion (`helpers.sparsity.poz_order`).
    reference : (n_images, n_images) or its upper triangle (n_pairs,), finite.
    sizes : increasing numbers of inserted features in 1..n_features; default all.
    similarity : as ``method`` of `similarity_matrix`.
    undefined : "nan": R2 is NaN where any image's similarity is undefined; "drop": the
        other images are scored (NaN where fewer than 3 remain).
    engine : "numpy"; "compiled", for "pearson" and "cosine", with the extra ``fast``;
        or "auto", compiled where possible and worthwhile. They agree to 1e-12.

    Returns
    -------
    InsertionCurve, within 1e-10 of recomputing each partial matrix; offsets of 1e8
    cost no digits. R2 is also NaN where either side is constant over pairs. Raises
    ValueError for bad input.
    """
    x, order, sizes = _checked(embeddings, order, sizes, similarity, undefined)
    pairs = checks.reference(reference, len(x))
    return _curve(x, order, pairs, sizes, similarity, undefined, engine)


def streamed_curve(
    embeddings: np.ndarray,
    order: np.ndarray,
    reference_embeddings: np.ndarray,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    undefined: str = "nan",
    engine: str = "auto",
    reference_similarity: str = "pearson",
) -> InsertionCurve:
    """`insertion_curve` for so many images that no matrix of all pairs fits in memory.

    The reference is the similarity matrix of ``reference_embeddings`` (n_images,
    n_reference_features) by ``reference_similarity``, "pearson" or "cosine": exact, but
    computed in blocks. Else as `insertion_curve`; undefined images raise ValueError.
    """
    x, order, sizes = _checked(embeddings, order, sizes, similarity, undefined)
    checks.choice("reference_similarity", reference_similarity, _COMPILED)
    rows = checks.embeddings(reference_embeddings, name="reference_embeddings")
    rows = unit_rows(rows, centre=reference_similarity == "pearson")
    n_defined = len(rows) - np.isnan(rows[:, 0]).sum()
    if not len(rows) == n_defined == len(x):
        raise ValueError(
            f"reference_embeddings must define a similarity for each of the {len(x)} "
            f"images; got {len(rows)} images, {n_defined} of which have one."
        )
    return _curve(x, order, rows, sizes, similarity, undefined, engine)


def order_curves(
    x: np.ndarray, orders, reference, sizes, similarity="pearson", engine="auto"
) -> np.ndarray:
    """R2 of `insertion_curve` for each of many ``orders``: (n_orders, n_sizes).

    For input already checked, with ``reference`` (n_pairs,). Pairs where it is NaN are
    dropped, in plain numpy. R2 is NaN where an image is undefined.
    """

    rest = sizes, similarity, "nan", engine, len(orders)
    curves = map_in_threads(lambda order: _curve(x, order, reference, *rest), orders)
    return np.stack([curve.r2 for curve in curves])


def map_in_threads(function: Callable, items: Iterable) -> list:
    """``function`` of every item, in order, on as many threads as there are cores.

    HELPERS_THREADS (1 or more, else ValueError) sets another number. Serial in the
    browser and inside such a thread. Results must not depend on the number.
    """
    items = list(items)
    n_threads = int(os.environ.get("HELPERS_THREADS") or os.cpu_count() or 1)
    checks.at_least("HELPERS_THREADS", n_threads, 1)
    is_nested = threading.current_thread().name.startswith(_THREADS)
    if sys.platform == "emscripten" or is_nested or min(n_threads, len(items)) <= 1:
        return [function(item) for item in items]
    return list(_pool(n_threads, os.getpid()).map(function, items))


@functools.cache
def _pool(n_threads: int, process: int) -> ThreadPoolExecutor:
    """Reused threads of a process: starting new ones takes as long as a curve."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix=_THREADS)


def _checked(embeddings, order, sizes, similarity, undefined="nan"):
    x = checks.embeddings(embeddings, min_images=3)
    order = checks.order(order, x.shape[1])
    checks.choice("similarity", similarity, SIMILARITIES)
    checks.choice("undefined", undefined, ("nan", "drop"))
    return x, order, checks.sizes(sizes, x.shape[1])


def _curve(x, order, reference, sizes, similarity, undefined, engine, n_curves=1):
    """The curve from checked input; ``reference`` pairs, or rows of length 1."""
    n = len(x)
    if reference.ndim == 1:
        mean = float(np.nanmean(reference))
    else:
        mean = float((np.square(reference.sum(axis=0)).sum() - n) / (n * (n - 1)))
    kernel = _kernel(engine, similarity, n * (n - 1) // 2 * len(sizes) * n_curves)
    if kernel and not np.isnan(reference).any():
        given = x, order, sizes, similarity == "pearson", reference, mean
        parts, n_undefined = kernel.moments(*given, map_in_threads)
    else:
        x = checks.in_range(x)[:, order] if similarity == "euclidean" else x[:, order]
        parts, n_undefined = _moments(x, sizes, similarity, reference, mean)
    r2 = _r_squared(parts, mean, similarity)
    unscored = n_undefined > (0 if undefined == "nan" else n - 3)
    return InsertionCurve(sizes, np.where(unscored, np.nan, r2), n_undefined)


def _kernel(engine: str, similarity: str, work: int):
    """`kernels.curves` for ``work`` (pairs times sizes), or None for plain numpy."""
    checks.choice("engine", engine, ("auto", "numpy", "compiled"))
    if engine == "compiled":
        checks.choice("similarity with engine 'compiled'", similarity, _COMPILED)
    elif engine == "numpy" or similarity not in _COMPILED or work < _WORTHWHILE:
        return None
    with suppress(*() if engine == "compiled" else (ImportError, RuntimeError)):
        from kernels import curves

        return curves


def unit_rows(x: np.ndarray, centre: bool = True) -> np.ndarray:
    """Rows scaled to length 1, centred first if asked; NaN for a flat or zero row."""
    x = _scaled(x, centre)
    x -= x.mean(axis=1, keepdims=True) if centre else 0
    norm = np.linalg.norm(x, axis=1)
    return x / np.where(norm == 0, np.nan, norm)[:, None]


def _scaled(x: np.ndarray, centre: bool) -> np.ndarray:
    """Rows times a power of two (exact), so that squares neither overflow nor vanish.

    If rows are centred later, their first entry is subtracted: offsets cost no digits.
    """
    exponent = np.frexp(np.maximum(x.max(axis=1), -x.min(axis=1)))[1]
    x = x * np.ldexp(1.0, -np.maximum(exponent, -1021))[:, None]
    return x - x[:, :1] if centre else x


def _partial_blocks(x, sizes, similarity, rows: slice) -> Iterator[np.ndarray]:
    """Per size, similarities of ``rows`` with these and later rows, in one buffer."""
    n_rows, x = rows.stop - rows.start, x[rows.start :, : sizes[-1]]
    starts = np.append(0, sizes[:-1]).astype(np.intp)  # 32 bits in a browser
    if similarity == "spearman":
        codes = rankdata(x, "dense", axis=1).astype(np.intp) - 1
        for size in sizes:
            ranks = np.stack([_ranks(row[:size]) for row in codes]) - size / 2
            length = np.linalg.norm(ranks, axis=1)
            ranks /= np.where(length == 0, np.nan, length)[:, None]
            yield ranks[:n_rows] @ ranks.T
    elif similarity == "euclidean":
        squared = 0.0
        for start, stop in zip(starts, sizes, strict=True):
            new = x[:, start:stop]
            squared = squared + cdist(new[:n_rows], new, "sqeuclidean")
            yield -np.sqrt(squared)
    else:
        d = _increments(x, centre=similarity != "cosine")
        products, out = np.zeros((n_rows, len(x))), np.empty((n_rows, len(x)))
        squares = np.cumsum(np.add.reduceat(d**2, starts), axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            for start, stop, w in zip(starts, sizes, 1 / np.sqrt(squares), strict=True):
                new = d[start:stop].T  # products += new[:n_rows] @ new.T, in place:
                blas.dgemm(1, new, new[:n_rows], 1, products.T, 0, 1, overwrite_c=1)
                np.multiply(products, w, out=out)
                out *= w[:n_rows, None]
                yield out * out if similarity == "pearson_squared" else out


def _ranks(codes: np.ndarray) -> np.ndarray:
    """Mid-ranks, less 1/2, of small non-negative integers: counted, not sorted."""
    counts = np.bincount(codes)
    return (np.cumsum(counts) - counts / 2)[codes]


def _increments(x: np.ndarray, centre: bool) -> np.ndarray:
    """(n_features, n_images): their outer products sum to (centred) cross-products."""
    d = np.ascontiguousarray(_scaled(x, centre).T)
    if centre:
        k = np.arange(1, len(d))[:, None]
        d[1:] = np.sqrt(k / (k + 1)) * (d[1:] - np.cumsum(d[:-1], axis=0) / k)
    return d


def _moments(x, sizes, similarity, reference, mean) -> tuple[np.ndarray, np.ndarray]:
    """Moments and undefined images as `kernels.curves.moments`, in plain numpy."""
    n, undefined = len(x), undefined_items(x, sizes, similarity)
    step = max(1, _BLOCK // n)

    def part(start):
        rows, out = slice(start, min(start + step, n)), np.zeros((6, len(sizes)))
        i, j = np.triu_indices(rows.stop - start, 1, n - start)
        if reference.ndim == 1:
            n_before = start * (2 * n - start - 1) // 2
            y = reference[n_before : n_before + len(i)] - mean
        else:
            y = (reference[rows] @ reference[start:].T)[i, j] - mean
        i, j, y = (values[np.isfinite(y)] for values in (i, j, y))
        pairs = i * (n - start) + j
        for position, block in enumerate(_partial_blocks(x, sizes, similarity, rows)):
            missing = undefined[start:, position]
            kept = ~(missing[i] | missing[j]) if missing.any() else slice(None)
            a, b = block.take(pairs)[kept], y[kept]
            if len(a):
                means = a.mean(), b.mean()
                a, b = a - means[0], b - means[1]
                out[:, position] = len(a), *means, a @ a, b @ b, a @ b
        return out

    return np.stack(map_in_threads(part, range(0, n - 1, step))), undefined.sum(axis=0)


def _r_squared(parts: np.ndarray, mean: float, similarity: str) -> np.ndarray:
    """Squared correlation (n_sizes,) from moments (n_parts, 6, n_sizes) of the parts.

    The ``mean`` was subtracted from the reference. NaN where either side varies only by
    rounding error, which for correlations is that of products of unit-length rows.
    """
    n, x, y, xx, yy, xy = np.moveaxis(parts, 1, 0)
    total = n.sum(axis=0)
    share = n / np.maximum(total, 1)
    x_mean, y_mean = (share * x).sum(axis=0), (share * y).sum(axis=0)
    x, y = x - x_mean, y - y_mean
    xx, yy = (xx + n * x * x).sum(axis=0), (yy + n * y * y).sum(axis=0)
    xy = (xy + n * x * y).sum(axis=0)
    noise, unit = (64 * _EPS) ** 2, 0 if similarity == "euclidean" else 1
    flat = xx <= noise * (xx + total * (x_mean**2 + unit))
    flat |= yy <= noise * (yy + total * (y_mean + mean) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, np.nan, np.minimum(xy / xx * (xy / yy), 1))
