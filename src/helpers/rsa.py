"""Representational similarity analysis: similarity matrices, and how they form as features are inserted.

Similarity matrices after Kriegeskorte, Mur & Bandettini (2008, Front. Syst. Neurosci. 2:4). An *insertion curve* adds
features one after the other and compares each partial similarity matrix with a reference by R2, the squared Pearson
correlation of the two upper triangles.

Why it is fast. Pearson's r between two images is the cosine between their centred rows. Centring changes with every
inserted feature, but the centred cross-products do not have to be formed anew: with ``m_k`` the mean of an image's
first k features, they grow by the product of ``sqrt(k / (k + 1)) * (x_(k+1) - m_k)`` of the two images (Welford 1962,
Technometrics 4, 419-420). So after one pass over the columns, Pearson and cosine are the same running sum of outer
products, free of cancellation, and n_sizes matrices cost n_features x n_images^2 operations in all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from scipy.linalg import blas
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from helpers import checks, parallel
from helpers.parallel import ordered_map as map_in_threads

SIMILARITIES = ("pearson", "pearson_squared", "spearman", "cosine", "euclidean")
_BLOCK = 2**17  # entries of a similarity matrix worked on at a time: 1 MB stays in a core's cache
_EPS = np.finfo(np.float64).eps
ENGINES = ("auto", "numpy", "compiled")
_WORTHWHILE = 2_000_000  # pairs times sizes from which on "auto" loads the compiled kernel
_LOST = 1e-3  # share of a sum of squares that a variance must keep, or it is computed anew about the mean


@dataclass(frozen=True)
class InsertionCurve:
    """R2 of partial with reference similarity matrix as features are inserted.

    ``sizes`` (n_sizes,) numbers of inserted features; ``r2`` (n_sizes,) in [0, 1] or NaN where undefined;
    ``n_undefined`` (n_sizes,) images whose similarity to the others is undefined at that size.
    """

    sizes: np.ndarray
    r2: np.ndarray
    n_undefined: np.ndarray


def upper_triangle(matrix: np.ndarray) -> np.ndarray:
    """The pairs (i, j), i < j, of a square matrix (n, n): (n_pairs,), in numpy.triu_indices(n, 1) order.

    Raises
    ------
    ValueError : matrix is not square.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must be square, (n, n); got shape {matrix.shape}.")
    return matrix[~np.tri(len(matrix), dtype=bool)]  # row by row, as triu_indices, without its two index arrays


def similarity_matrix(embeddings: np.ndarray, method: str = "pearson") -> np.ndarray:
    """Similarity of every two images.

    Parameters
    ----------
    embeddings : (n_images, n_features), finite.
    method : "pearson", "pearson_squared" (r times r), "spearman" (mid-ranks), "cosine", or "euclidean" (minus the
        distance, so that larger is more similar).

    Returns
    -------
    (n_images, n_images) float64, symmetric. Row and column of an image whose similarity is undefined (constant for the
    correlations, all zero for cosine) are NaN.

    Raises
    ------
    ValueError : embeddings of another shape or not finite; unknown method.
    """
    x = checks.embeddings(embeddings)
    checks.choice("method", method, SIMILARITIES)
    if method == "euclidean":
        return -cdist(x, x)
    x = _unit_rows(rankdata(x, axis=1) if method == "spearman" else x, centre=method != "cosine")
    matrix = x @ x.T
    np.clip(matrix, -1, 1, out=matrix)
    np.fill_diagonal(matrix, np.where(np.isnan(x[:, 0]), np.nan, 1))
    return np.square(matrix, out=matrix) if method == "pearson_squared" else matrix


def insertion_curve(
    embeddings: np.ndarray,
    order: np.ndarray,
    reference: np.ndarray,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    undefined: str = "nan",
    engine: str = "auto",
) -> InsertionCurve:
    """Insert features in ``order``; at each size, R2 between the partial similarity matrix and ``reference``.

    Parameters
    ----------
    embeddings : (n_images, n_features), finite, at least 3 images.
    order : (n_features,) permutation of the features, first inserted first (`helpers.sparsity.poz_order`).
    reference : (n_images, n_images) or its upper triangle (n_pairs,): the full embedding's matrix, or human judgments.
    sizes : strictly increasing numbers of inserted features in 1..n_features; default every size.
    similarity : as ``method`` of `similarity_matrix`.
    undefined : "nan": R2 is NaN at a size where any image's similarity is undefined; "drop": the remaining images are
        scored (NaN where fewer than 3 remain). ``n_undefined`` counts them either way.
    engine : "numpy"; "compiled", for "pearson" and "cosine", with the extra ``fast``; or "auto", compiled where that is
        possible and worth while. The results are the same to 1e-12.

    Returns
    -------
    InsertionCurve. Equal to recomputing each partial matrix to 1e-10; R2 is also NaN where either side is constant over
    the pairs.

    Raises
    ------
    ValueError : bad embeddings, order, reference, sizes, similarity, undefined or engine.
    ModuleNotFoundError : engine "compiled" without numba.
    """
    x, order, sizes = _curve_input(embeddings, order, sizes, similarity, undefined)
    reference = _in_range(checks.reference(reference, len(x)))
    if _is_compiled(engine, similarity, len(x), len(sizes)):
        return _compiled_curve(x, order, sizes, similarity, undefined, reference, float(reference.mean()), False)
    mean = reference.mean()
    return _curve(x[:, order], sizes, similarity, undefined, _pairs_of(reference - mean, len(x)), mean)


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
    """`insertion_curve` for so many images that no matrix of all pairs fits: the reference comes as embeddings.

    Its similarities are computed a block of pairs at a time, used at all sizes, and forgotten; the result is exact.
    Memory grows with n_images * (n_features + n_reference_features), time with n_images squared.

    Parameters
    ----------
    reference_embeddings : (n_images, n_reference_features), for example all features of the same or another network.
    reference_similarity : "pearson" or "cosine", between rows of ``reference_embeddings``.
    embeddings, order, sizes, similarity, undefined, engine : as `insertion_curve`.

    Returns
    -------
    InsertionCurve, that of `insertion_curve` with `similarity_matrix` of ``reference_embeddings``.

    Raises
    ------
    ValueError : as `insertion_curve`; an image whose reference similarity is undefined.
    """
    x, order, sizes = _curve_input(embeddings, order, sizes, similarity, undefined)
    checks.choice("reference_similarity", reference_similarity, ("pearson", "cosine"))
    rows = _reference_rows(reference_embeddings, len(x), reference_similarity)
    mean = float((np.square(rows.sum(axis=0)).sum() - len(x)) / (len(x) * (len(x) - 1)))
    if _is_compiled(engine, similarity, len(x), len(sizes)):
        return _compiled_curve(x, order, sizes, similarity, undefined, rows, mean, True)

    def pairs(block, position, inside):
        return (rows[block] @ rows[block.start :].T).ravel()[inside] - mean

    return _curve(x[:, order], sizes, similarity, undefined, pairs, mean)


def partial_similarities(
    embeddings: np.ndarray, order: np.ndarray, sizes: np.ndarray | None = None, similarity: str = "pearson"
) -> np.ndarray:
    """Upper triangles of the partial similarity matrices, (n_sizes, n_pairs); pairs of an undefined image are NaN.

    Arguments and errors as `insertion_curve`.
    """
    x = checks.embeddings(embeddings, min_images=3)
    x = x[:, checks.order(order, x.shape[1])]
    sizes = checks.sizes(sizes, x.shape[1])
    checks.choice("similarity", similarity, SIMILARITIES)
    i, j = np.triu_indices(len(x), 1)
    pairs = np.stack([block[i, j] for block in _partial_blocks(x, sizes, similarity, slice(0, len(x)))])
    missing = undefined_items(x, sizes, similarity).T
    pairs[missing[:, i] | missing[:, j]] = np.nan
    return pairs


def order_curves(
    embeddings: np.ndarray,
    orders,
    reference: np.ndarray,
    sizes: np.ndarray,
    similarity: str = "pearson",
    engine: str = "auto",
) -> np.ndarray:
    """R2 of `insertion_curve` in each of ``orders``, (n_orders, n_sizes); checked input."""
    compiled = _is_compiled(engine, similarity, len(embeddings), len(sizes) * len(orders))
    engine = "compiled" if compiled else "numpy"

    def curve(order):
        return insertion_curve(embeddings, order, reference, sizes, similarity, engine=engine).r2

    return np.stack(map_in_threads(curve, orders))


# ------------------------------------------------------------------------------------------------------------ internals
def _curve_input(embeddings, order, sizes, similarity, undefined) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = checks.embeddings(embeddings, min_images=3)
    order = checks.order(order, x.shape[1])
    sizes = checks.sizes(sizes, x.shape[1])
    checks.choice("similarity", similarity, SIMILARITIES)
    checks.choice("undefined", undefined, ("nan", "drop"))
    return _in_range(x) if similarity == "euclidean" else x, order, sizes


def _in_range(values: np.ndarray) -> np.ndarray:
    """``values``, divided by the largest where squares of them would be too large or too small: R2 has no unit."""
    largest = max(values.max(), -values.min())
    return values if 1e-100 < largest < 1e100 or largest == 0 else values / largest


def _reference_rows(embeddings: np.ndarray, n_images: int, similarity: str) -> np.ndarray:
    """Rows of length 1 whose products are the reference, (n_images, n_reference_features)."""
    rows = checks.embeddings(embeddings)
    if len(rows) != n_images:
        raise ValueError(f"reference_embeddings must hold the {n_images} images of embeddings; got {len(rows)}.")
    rows = _unit_rows(rows, centre=similarity == "pearson")
    if (undefined := np.isnan(rows[:, 0])).any():
        raise ValueError(
            f"reference_embeddings must give every image a similarity; undefined for image(s) "
            f"{np.flatnonzero(undefined)[:5].tolist()}. Remove images that activate no feature."
        )
    return rows


def _is_compiled(engine: str, similarity: str, n_images: int, n_sizes: int) -> bool:
    """Is the compiled kernel to be used? Raises where it is asked for and cannot be."""
    checks.choice("engine", engine, ENGINES)
    possible = similarity in ("pearson", "cosine")
    if engine == "compiled" and not possible:
        raise ValueError(f"engine 'compiled' must have similarity pearson or cosine; got {similarity!r}. Use 'numpy'.")
    if engine == "numpy" or not possible:
        return False
    if engine == "compiled" and find_spec("numba") is None:
        raise ModuleNotFoundError("engine 'compiled' needs numba: pip install 'rarely-firing-nodes[fast]', or 'numpy'.")
    worthwhile = n_images * (n_images - 1) // 2 * n_sizes >= _WORTHWHILE
    return engine == "compiled" or (worthwhile and find_spec("numba") is not None)


def _scored(valid: np.ndarray, undefined: str) -> np.ndarray:
    return valid if undefined == "drop" else np.where(valid.all(axis=0), valid, False)


def _curve(x, sizes, similarity, undefined, pairs_of: Callable, mean: float) -> InsertionCurve:
    """The curve in plain numpy; ``pairs_of`` gives the reference of a block of rows, without its ``mean``."""
    valid = ~undefined_items(x, sizes, similarity)
    scored = _scored(valid, undefined)
    moments = _moments(x, sizes, similarity, pairs_of, scored)
    moments[2] += mean
    r2 = _r_squared(moments, similarity)
    r2[scored.sum(axis=0) < 3] = np.nan
    return InsertionCurve(sizes, r2, (~valid).sum(axis=0))


def _compiled_curve(x, order, sizes, similarity, undefined, reference, mean, streamed) -> InsertionCurve:
    """The same curve by the compiled kernel; ``reference`` and ``streamed`` as `kernels.curves.moments`."""
    from kernels import curves

    prepared = curves.prepare(x, order, sizes, similarity == "pearson")
    n_defined = np.searchsorted(np.sort(prepared[2]), sizes, side="right")
    some = curves.DEFINED if undefined == "drop" else curves.NONE
    state = np.where(n_defined == len(x), curves.ALL, np.where(n_defined >= 3, some, curves.NONE))
    centre, offset, out = _guess(prepared, sizes, state), np.zeros(len(sizes)), np.zeros((6, len(sizes)))
    again, partly = np.arange(len(sizes)), state != curves.ALL
    for _ in range(3):  # sums about a poor centre are taken again about the mean they gave
        sums = curves.moments(
            _at(prepared, again), sizes[again], state[again], centre[again], offset[again], reference, mean, streamed
        )  # fmt: skip
        out[:, again] = _about_means(sums, centre[again], mean + offset[again])
        poor = _is_poor(sums[0], sums[1], out[3, again])
        poor |= _is_poor(sums[0], sums[4], out[4, again]) & partly[again]
        centre[again], offset[again] = out[1, again], np.where(partly[again], out[2, again] - mean, 0)
        if not len(again := again[poor]):
            break
    r2 = _r_squared(out, similarity)
    r2[state == curves.NONE] = np.nan
    return InsertionCurve(sizes, r2, len(x) - n_defined)


def _guess(prepared, sizes: np.ndarray, state: np.ndarray) -> np.ndarray:
    """(n_sizes,): mean similarity among some 16 of the images at some of the sizes, and between those on a line."""
    from kernels import curves

    at = np.unique(np.linspace(0, len(sizes) - 1, 100).astype(int))
    chosen = np.arange(0, len(prepared[2]), max(1, len(prepared[2]) // 15))
    padded = np.append(chosen, np.full(-len(chosen) % curves.ROWS, prepared[0].shape[1] - 1))
    d, inverse, defined_from = _at(prepared, at)
    some = np.ascontiguousarray(d[:, padded]), np.ascontiguousarray(inverse[:, padded]), defined_from[chosen]
    none, zero = np.zeros(len(chosen) * (len(chosen) - 1) // 2), np.zeros(len(at))
    with parallel.one_thread():  # too little to share
        sums = curves.moments(some, sizes[at], state[at], zero, zero, none, 0.0, False)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.nan_to_num(sums[1] / sums[0], nan=0.0, posinf=0.0, neginf=0.0)
    return np.interp(sizes, sizes[at], means)


def _at(prepared, rows: np.ndarray):
    """What was prepared, for some of the sizes."""
    d, inverse, defined_from = prepared
    return prepared if len(rows) == len(inverse) else (d, inverse[rows], defined_from)


def _about_means(sums: np.ndarray, centre: np.ndarray, reference_centre: np.ndarray) -> np.ndarray:
    """Moments as `_moments` gives them from `kernels.curves.moments`: sums about two centres."""
    n, s, q, c, y, yy = sums
    shift, y_shift = s / np.maximum(n, 1), y / np.maximum(n, 1)
    return np.stack(
        [n, centre + shift, reference_centre + y_shift, np.maximum(q - s * shift, 0), np.maximum(yy - y * y_shift, 0),
         c - s * y_shift]
    )  # fmt: skip


def _is_poor(n: np.ndarray, total: np.ndarray, about_mean: np.ndarray) -> np.ndarray:
    """Was a sum of squares mostly the distance of the centre from the mean?"""
    return total**2 > 4 * n * about_mean


def _unit_rows(x: np.ndarray, centre: bool) -> np.ndarray:
    """Rows scaled to length 1, after centring if asked; rows without a direction become NaN."""
    flat = x.max(axis=1) == x.min(axis=1) if centre else ~x.any(axis=1)
    x = x / np.where(flat, 1, np.abs(x).max(axis=1))[:, None]  # no square may overflow or vanish
    if centre:
        x -= x.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ij,ij->i", x, x))
    return x / np.where(flat | (norm == 0), np.nan, norm)[:, None]


def undefined_items(x: np.ndarray, sizes: np.ndarray, similarity: str) -> np.ndarray:
    """(n_images, n_sizes): is the image's similarity undefined when the first k columns of ``x`` are inserted?"""
    if similarity == "euclidean":
        return np.zeros((len(x), len(sizes)), bool)
    highest, lowest = np.maximum.accumulate(x, axis=1), np.minimum.accumulate(x, axis=1)
    flat = (highest == 0) & (lowest == 0) if similarity == "cosine" else highest == lowest
    return flat[:, sizes - 1]


def _increments(x: np.ndarray, centre: bool) -> np.ndarray:
    """Columns whose running outer products are the (centred) cross-products of the first k columns of ``x``."""
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if not centre:
        return x
    k = np.arange(1, x.shape[1])
    means = np.cumsum(x[:, :-1], axis=1) / k
    return np.hstack([np.zeros((len(x), 1)), np.sqrt(k / (k + 1)) * (x[:, 1:] - means)])


def _partial_blocks(x: np.ndarray, sizes: np.ndarray, similarity: str, rows: slice) -> Iterator[np.ndarray]:
    """At each size, the similarities of the images in ``rows`` with those from ``rows.start`` on (a reused buffer)."""
    if similarity == "spearman":
        for size in sizes:
            unit = _unit_rows(rankdata(x[rows.start :, :size], axis=1), centre=True)
            yield unit[: rows.stop - rows.start] @ unit.T
    elif similarity == "euclidean":
        squared = 0.0
        for start, stop in zip(np.append(0, sizes[:-1]), sizes, strict=True):
            squared = squared + cdist(x[rows, start:stop], x[rows.start :, start:stop], "sqeuclidean")
            yield -np.sqrt(squared)
    else:
        yield from _correlation_blocks(x, sizes, similarity, rows)


def _increments_and_scale(x: np.ndarray, sizes: np.ndarray, similarity: str) -> tuple[np.ndarray, ...]:
    """Increments (n_features, n_images), inverse lengths (n_sizes, n_images), and where each size's features begin."""
    d = _increments(x[:, : sizes[-1]], centre=similarity != "cosine")
    starts = np.append(0, sizes[:-1])
    with np.errstate(divide="ignore"):
        scale = 1 / np.sqrt(np.cumsum(np.add.reduceat(d**2, starts, axis=1), axis=1))
    return np.ascontiguousarray(d.T), np.ascontiguousarray(scale.T), starts


def _correlation_blocks(x: np.ndarray, sizes: np.ndarray, similarity: str, rows: slice) -> Iterator[np.ndarray]:
    d, scale, starts = _increments_and_scale(x[rows.start :], sizes, similarity)
    n_rows = rows.stop - rows.start
    products, out = np.zeros((n_rows, d.shape[1])), np.empty((n_rows, d.shape[1]))
    with np.errstate(invalid="ignore"):
        for start, stop, w in zip(starts, sizes, scale, strict=True):
            _add_products(products, d[start:stop])
            np.multiply(products, w, out=out)
            out *= w[:n_rows, None]
            yield out * out if similarity == "pearson_squared" else out


def _row_blocks(n_images: int) -> Iterator[slice]:
    step = max(1, _BLOCK // n_images)
    return (slice(start, min(start + step, n_images)) for start in range(0, n_images, step))


def _pairs_of(reference: np.ndarray, n_images: int) -> Callable:
    """A function from a block of rows to its part of ``reference`` (n_pairs,)."""
    return lambda rows, position, inside: reference[position : position + len(inside)]


def _moments(x: np.ndarray, sizes: np.ndarray, similarity: str, pairs_of: Callable, scored: np.ndarray) -> np.ndarray:
    """(6, n_sizes): number of pairs, both means, both sums of squares and the sum of products about them."""
    starts = np.append(0, np.cumsum([_n_pairs_in(rows, len(x)) for rows in _row_blocks(len(x))]))

    def part(block):
        rows, position = block
        j_after_i = np.arange(rows.start, len(x)) > np.arange(rows.start, rows.stop)[:, None]
        pairs = np.flatnonzero(j_after_i)
        target = pairs_of(rows, position, pairs)
        if similarity in ("pearson", "cosine"):
            return _correlation_moments(x, sizes, similarity, rows, pairs, target, scored)
        blocks = zip(_partial_blocks(x, sizes, similarity, rows), scored.T, strict=True)
        return np.stack([_block_moments(block, pairs, target, rows, keep) for block, keep in blocks], axis=1)

    blocks = list(zip(_row_blocks(len(x)), starts, strict=False))
    return functools.reduce(_merge, map_in_threads(part, blocks), np.zeros((6, len(sizes))))


def _n_pairs_in(rows: slice, n_images: int) -> int:
    return sum(n_images - 1 - i for i in range(rows.start, rows.stop))


def _correlation_moments(x, sizes, similarity, rows, pairs, target, scored) -> np.ndarray:
    """`_block_moments` at every size, from weighted sums over the running products without forming the similarities.

    With g the products and w the inverse lengths of the images, the sums of r, r r and r y over a block are w' g w,
    w w' (g g) w w and w' (g y) w; the square of the block's own images is halved, and its diagonal, ones, taken off.
    Where too little of the sum of squares is left about the mean, or not all images count, the similarities are formed
    after all.
    """
    d, scale, starts = _increments_and_scale(x[rows.start :], sizes, similarity)
    n_rows, n, everyone = rows.stop - rows.start, len(pairs), scored.all(axis=0)
    products, buffer = np.zeros((n_rows, d.shape[1])), np.empty((n_rows, d.shape[1]))
    y, mean, half = np.zeros(products.shape), target.mean() if n else 0.0, np.ones(d.shape[1])
    y.ravel()[pairs] = target - mean
    half[:n_rows] = 0.5
    yy, any_scored, out = np.vdot(y, y), scored.any(axis=0), np.zeros((6, len(sizes)))
    for position, (start, stop, w) in enumerate(zip(starts, sizes, scale, strict=True)):
        _add_products(products, d[start:stop])
        if not any_scored[position] or not n:
            continue
        if everyone[position]:
            w_rows, w_half = w[:n_rows], w * half
            first = products.dot(w_half).dot(w_rows) - n_rows / 2
            square = np.multiply(products, products, out=buffer).dot(w_half * w).dot(w_rows * w_rows) - n_rows / 2
            xx = square - first * first / n
            if xx > _LOST * (square + n_rows):
                third = np.multiply(products, y, out=buffer).dot(w).dot(w_rows)
                out[:, position] = n, first / n, mean, xx, yy, third
                continue
        with np.errstate(invalid="ignore"):
            np.multiply(products, w, out=buffer)
            buffer *= w[:n_rows, None]
        out[:, position] = _block_moments(buffer, pairs, target, rows, scored[:, position])
    return out


def _add_products(products: np.ndarray, d: np.ndarray) -> None:
    """Add, in place, the products of the features, one a row of ``d``, of the first images with all."""
    if len(d) == 1:
        blas.dger(1.0, d[0], d[0, : len(products)], a=products.T, overwrite_a=1)
    else:
        products += d[:, : len(products)].T @ d


def _block_moments(
    block: np.ndarray, pairs: np.ndarray, target: np.ndarray, rows: slice, keep: np.ndarray
) -> np.ndarray:
    if not keep.all():
        kept = np.outer(keep[rows], keep[rows.start :]).ravel()[pairs]
        pairs, target = pairs[kept], target[kept]
    if not len(pairs):
        return np.zeros(6)
    values = block.ravel().take(pairs)
    mean, target_mean = values.mean(), target.mean()
    values -= mean
    target = target - target_mean
    return np.array([len(pairs), mean, target_mean, values @ values, target @ target, values @ target])


def _merge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Moments of two disjoint groups as one (Chan, Golub & LeVeque 1983, Am. Stat. 37, 242-247)."""
    n = a[0] + b[0]
    share = b[0] / np.maximum(n, 1)
    dx, dy = b[1] - a[1], b[2] - a[2]
    weight = a[0] * share
    return np.stack(
        [n, a[1] + share * dx, a[2] + share * dy,
         a[3] + b[3] + weight * dx**2, a[4] + b[4] + weight * dy**2, a[5] + b[5] + weight * dx * dy]
    )  # fmt: skip


def _r_squared(moments: np.ndarray, similarity: str) -> np.ndarray:
    """Squared correlation; NaN where a side varies by no more than rounding does.

    Rounding of a correlation or cosine is that of sums of products of rows of length 1, also where it is near 0.
    """
    n, x_mean, y_mean, xx, yy, xy = moments
    noise, unit = (64 * _EPS) ** 2, 0 if similarity == "euclidean" else 1
    flat = (xx <= noise * (xx + n * (x_mean**2 + unit))) | (yy <= noise * (yy + n * y_mean**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(flat, np.nan, np.minimum(xy / xx * (xy / yy), 1))
