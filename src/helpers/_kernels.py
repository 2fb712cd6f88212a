"""Compiled insertion curves (numba, the extra ``fast``): the arithmetic of `helpers.rsa`, pair by pair in the cache.

`helpers.rsa` holds the reference in plain numpy; this module gives the same sums faster and is imported only where it
is used. Pairs of images are cut into tiles whose running products stay in a core's first-level cache while all sizes
pass over them, so main memory is read once, whatever the number of sizes. For one pair at one size four fused
multiply-adds and an addition are left:

    g += d_i d_j      t = g / norm_j - centre norm_i      s += t      q += t t      c += t y

``d`` are the increments of `helpers.rsa`, ``norm`` the lengths of the partial rows, ``y`` the reference. Sums are taken
about ``centre``, a mean known beforehand, so they do not cancel (`helpers.rsa` checks, and repeats with a better one).
Tiles are summed in a fixed order: the number of threads changes no bit.
"""

from __future__ import annotations

import numba
import numpy as np

from helpers import _parallel

ROWS, COLUMNS, LANES = 16, 128, 8  # of a tile, 32 KB with its part of the reference; images in a cache line
FLOPS = 9
"""Floating-point operations for one pair at one size."""
TINY = np.finfo(np.float64).tiny
_BANDS = 32  # at most, each the work of one thread at a time
_FAST = {"contract", "reassoc", "nsz"}  # fused multiply-add and sums in vector lanes; NaN and infinity keep their rules


def prepare(x: np.ndarray, order: np.ndarray, sizes: np.ndarray, centred: bool) -> tuple[np.ndarray, ...]:
    """Increments (n_features, n_images) and at each size the norm and its inverse, (n_sizes, n_images).

    ``x`` (n_images, n_features), its columns taken in ``order`` up to the last of ``sizes``; ``centred`` for Pearson,
    not for cosine. Also (n_images,): the number of features from which on an image is defined.
    """
    x, order, sizes = np.ascontiguousarray(x), order.astype(np.int64), sizes.astype(np.int64)
    width = -(-len(x) // 8) * 8  # the last images are there to fill a block, and zero
    d, norm, inverse = (np.empty((rows, width)) for rows in (int(sizes[-1]), len(sizes), len(sizes)))
    defined_from = np.empty(width, np.int64)
    blocks = np.array_split(np.arange(0, width, LANES), min(_BANDS // 8, width // LANES))
    _parallel.ordered_map(
        lambda b: _prepare(x, order, sizes, centred, b[0], b[-1] + LANES, d, norm, inverse, defined_from), blocks
    )
    return d, norm, inverse, defined_from[: len(x)]


def moments(
    prepared: tuple[np.ndarray, ...],
    sizes: np.ndarray,
    scored: np.ndarray,
    centre: np.ndarray,
    offset: np.ndarray,
    reference: np.ndarray,
    reference_centre: float,
    streamed: bool = False,
) -> np.ndarray:
    """(6, n_sizes): pairs, and sums of t, t t, t y, y and y y over the scored pairs, about the two centres.

    Parameters
    ----------
    prepared : of `prepare`.
    sizes : (n_sizes,).
    scored : (n_images, n_sizes) bool: images whose pairs count.
    centre : (n_sizes,) about which similarities are summed.
    offset : (n_sizes,) and ``reference_centre``: the reference is summed about both together where some images are not
        scored, else about ``reference_centre``.
    reference : (n_pairs,) upper triangle; or, ``streamed``, rows of length 1, (n_images, n_reference_features), whose
        products it is.
    """
    d, norm, inverse, defined_from = prepared
    n = len(defined_from)
    share = scored.sum(axis=0)
    state = np.where(share == n, 1, np.where(share >= 3, 2, 0)).astype(np.int8)  # all, some, too few to score
    mask = np.zeros((0, 0))
    if (state == 2).any():
        mask = np.zeros(norm.shape)
        mask[:, :n] = scored.T
    columns = np.zeros((reference.shape[1] if streamed else 0, d.shape[1]))
    columns[:, :n] = reference.T if streamed else 0
    flat = np.ones(0) if streamed else np.ascontiguousarray(reference, dtype=np.float64)
    n_bands = min(_BANDS, -(-n // ROWS))
    about = (sizes.astype(np.int64), state, mask, centre, offset, flat, columns, reference_centre)
    bands = _parallel.ordered_map(lambda band: _band(d, norm, inverse, n, *about, band, n_bands), range(n_bands))
    return np.sum(bands, axis=0)  # in order


# ------------------------------------------------------------------------------------------------------------ compiled
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _prepare(x, order, sizes, centred, first, last, d, norm, inverse, defined_from):
    values, n_used = np.zeros((sizes[-1], LANES)), sizes[-1]
    total, square = np.zeros(LANES), np.zeros(LANES)
    for j0 in range(first, last, LANES):
        n = max(0, min(LANES, len(x) - j0))
        values[:], total[:], square[:] = 0.0, 0.0, 0.0
        for j in range(n):
            row, largest = x[j0 + j], 0.0
            for f in range(len(row)):
                largest = max(largest, abs(row[f]))
            scale, start = 1 / max(largest, TINY), row[order[0]] if centred else 0.0
            k = 0
            while k < n_used and row[order[k]] == start:
                k += 1
            defined_from[j0 + j] = k + 1
            for k in range(n_used):
                values[k, j] = row[order[k]] * scale
        position = 0
        for k in range(n_used):
            weight = np.sqrt(k / (k + 1)) if centred else 1.0
            per = 1 / max(k, 1) if centred else 0.0
            due = sizes[position] == k + 1
            for j in range(LANES):
                step = weight * (values[k, j] - total[j] * per)
                total[j] += values[k, j]
                square[j] += step * step
                d[k, j0 + j] = step
            if due:
                for j in range(LANES):
                    length = np.sqrt(square[j])
                    norm[position, j0 + j] = length
                    inverse[position, j0 + j] = 1 / length
                for j in range(n, LANES):
                    inverse[position, j0 + j] = 0.0
            position += due


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow(g, di, dj):
    for r in range(g.shape[0]):
        for j in range(g.shape[1]):
            g[r, j] += di[r] * dj[j]


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum(g, di, dj, inverse, w, norm, centre, y):
    first, second, third = 0.0, 0.0, 0.0
    for r in range(g.shape[0]):
        s, q, c, step, shift = 0.0, 0.0, 0.0, di[r], centre * norm[r]
        for j in range(g.shape[1]):
            product = g[r, j] + step * dj[j]
            g[r, j] = product
            t = product * inverse[j] - shift
            s += t
            q += t * t
            c += t * y[r, j]
        first += w[r] * s
        second += w[r] * w[r] * q
        third += w[r] * c
    return first, second, third


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum_some(g, di, dj, inverse, w, norm, centre, y, real):
    first, second, third = 0.0, 0.0, 0.0
    for r in range(g.shape[0]):
        s, q, c, step, shift = 0.0, 0.0, 0.0, di[r], centre * norm[r]
        for j in range(g.shape[1]):
            product = g[r, j] + step * dj[j]
            g[r, j] = product
            t = (product * inverse[j] - shift) * real[r, j]
            s += t
            q += t * t
            c += t * y[r, j]
        first += w[r] * s
        second += w[r] * w[r] * q
        third += w[r] * c
    return first, second, third


@numba.njit(nogil=True, cache=True)
def _sum_scored(g, inverse, shift, y, offset, real, scored):
    n, s, q, c, first, second = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(len(g)):
        if real[j] > 0 and scored[j] > 0:
            t, target = g[j] * inverse[j] - shift, y[j] - offset
            n += 1
            s += t
            q += t * t
            c += t * target
            first += target
            second += target * target
    return n, s, q, c, first, second


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _fill(y, real, i0, j0, n, flat, columns, centre):
    """The tile's part of the reference about its centre, and which of its entries are pairs i < j: number, two sums."""
    n_pairs, first, second = 0, 0.0, 0.0
    y[:] = 0.0
    for f in range(len(columns)):
        _grow(y, columns[f, i0 : i0 + len(y)], columns[f, j0 : j0 + y.shape[1]])
    for r in range(len(y)):
        i = i0 + r
        start, stop = max(i + 1 - j0, 0), min(y.shape[1], n - j0)  # columns of the pairs i < j < n
        if i >= n:
            start = stop
        start = min(start, stop)
        real[r, :], y[r, :start], y[r, stop:] = 0.0, 0.0, 0.0
        real[r, start:stop] = 1.0
        if len(flat):
            offset = i * (2 * n - i - 1) // 2 - i - 1 + j0
            for j in range(start, stop):
                y[r, j] = flat[offset + j]
        for j in range(start, stop):
            y[r, j] -= centre
        for j in range(start, stop):
            first += y[r, j]
            second += y[r, j] * y[r, j]
        n_pairs += stop - start
    return n_pairs, first, second


@numba.njit(nogil=True, cache=True)
def _tile(d, norm, inverse, sizes, state, scored, centre, offset, y, real, i0, j0, pairs, out):
    """Add the sums of one tile, images i0.. with images j0.., to ``out``; ``pairs`` as `_fill` returns."""
    n_rows, width = y.shape
    g, whole, position = np.zeros(y.shape), pairs[0] == y.size, 0
    for k in range(sizes[-1]):
        due = sizes[position] == k + 1
        here = state[position] if due else 0
        di, dj, inv = d[k, i0 : i0 + n_rows], d[k, j0 : j0 + width], inverse[position, j0 : j0 + width]
        if here == 1:
            w, length, m = inverse[position, i0 : i0 + n_rows], norm[position, i0 : i0 + n_rows], centre[position]
            if whole:
                first, second, third = _grow_and_sum(g, di, dj, inv, w, length, m, y)
            else:
                first, second, third = _grow_and_sum_some(g, di, dj, inv, w, length, m, y, real)
            out[0, position] += pairs[0]
            out[1, position] += first
            out[2, position] += second
            out[3, position] += third
            out[4, position] += pairs[1]  # `offset` is 0 at these sizes
            out[5, position] += pairs[2]
        else:
            _grow(g, di, dj)
            for r in range(n_rows if here == 2 else 0):
                if i0 + r < scored.shape[1] and scored[position, i0 + r] > 0:
                    shift, w = centre[position] * norm[position, i0 + r], inverse[position, i0 + r]
                    n, s, q, c, first, second = _sum_scored(
                        g[r], inv, shift, y[r], offset[position], real[r], scored[position, j0 : j0 + width]
                    )
                    out[0, position] += n
                    out[1, position] += w * s
                    out[2, position] += w * w * q
                    out[3, position] += w * c
                    out[4, position] += first
                    out[5, position] += second
        position += due


@numba.njit(nogil=True, cache=True)
def _band(d, norm, inverse, n, sizes, state, scored, centre, offset, flat, columns, reference_centre, band, n_bands):
    """(6, n_sizes) sums over every ``n_bands``-th block of rows, with all columns from the diagonal on."""
    out = np.zeros((6, len(sizes)))
    for i0 in range(band * ROWS, n, ROWS * n_bands):
        j0 = i0
        while j0 < n:
            j1 = min((j0 // COLUMNS + 1) * COLUMNS, d.shape[1])
            n_rows = min(ROWS, d.shape[1] - i0)
            y, real = np.empty((n_rows, j1 - j0)), np.empty((n_rows, j1 - j0))
            pairs = _fill(y, real, i0, j0, n, flat, columns, reference_centre)
            _tile(d, norm, inverse, sizes, state, scored, centre, offset, y, real, i0, j0, pairs, out)
            j0 = j1
    return out
