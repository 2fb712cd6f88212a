"""Compiled insertion curves (numba, the extra ``fast``): the arithmetic of `helpers.rsa`, pair by pair in the cache.

`helpers.rsa` holds the reference in plain numpy; this module gives the same sums faster and is imported only where it
is used. Pairs of images are cut into tiles whose running products stay in a core's first-level cache while all sizes
pass over them, so main memory is read once, whatever the number of sizes. For one pair at one size four fused
multiply-adds, a multiplication and an addition are left:

    g += d_i d_j      t = g w_i w_j - centre      s += t      q += t t      c += t y

``d`` are the increments of `helpers.rsa`, ``w`` the inverse lengths of the partial rows, ``y`` the reference. Sums are
taken about ``centre``, a mean known beforehand, so they do not cancel (`helpers.rsa` checks, and repeats with a better
one). Tiles are summed in a fixed order: the number of threads changes no bit. Two rows of a tile advance together: each
column is loaded once for both, and additions that need not wait for one another fill the processor's pipelines.
"""

from __future__ import annotations

import numba
import numpy as np

from helpers import _parallel

ROWS, COLUMNS, LANES = 16, 64, 8  # of a tile, 16 KB with its part of the reference; images in a cache line
SIZE = ROWS * COLUMNS
FLOPS = 10
"""Floating-point operations for one pair at one size."""
TINY = np.finfo(np.float64).tiny
_BANDS = 32  # at most, each the work of one thread at a time
_MANY = 2000  # images; with more, columns are too far away to be fetched again for every tile
_FAST = {"contract", "reassoc", "nsz"}  # fused multiply-add and sums in vector lanes; NaN and infinity keep their rules


def prepare(x: np.ndarray, order: np.ndarray, sizes: np.ndarray, centred: bool) -> tuple[np.ndarray, ...]:
    """Increments (n_features, n_images) and at each size the inverse norm, (n_sizes, n_images).

    ``x`` (n_images, n_features), its columns taken in ``order`` up to the last of ``sizes``; ``centred`` for Pearson,
    not for cosine. Also (n_images,): the number of features from which on an image is defined.
    """
    x, order, sizes = np.ascontiguousarray(x), order.astype(np.int64), sizes.astype(np.int64)
    width = -(-len(x) // ROWS) * ROWS  # the last images are there to fill a tile, and zero
    rows = int(sizes[-1])
    whole = np.empty((rows + len(sizes), width))  # in one piece: the system hands out large ones faster
    d, inverse = whole[:rows], whole[rows:]
    defined_from = np.empty(width, np.int64)
    blocks = np.array_split(np.arange(0, width, LANES), min(_BANDS // 8, width // LANES))
    _parallel.ordered_map(
        lambda b: _prepare(x, order, sizes, centred, b[0], b[-1] + LANES, d, inverse, defined_from), blocks
    )
    return d, inverse, defined_from[: len(x)]


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
    d, inverse, defined_from = prepared
    n = len(defined_from)
    share = scored.sum(axis=0)
    state = np.where(share == n, 1, np.where(share >= 3, 2, 0)).astype(np.int8)  # all, some, too few to score
    mask = np.zeros((0, 0))
    if (state == 2).any():
        mask = np.zeros(inverse.shape)
        mask[:, :n] = scored.T
    columns = np.zeros((reference.shape[1] if streamed else 0, d.shape[1]))
    columns[:, :n] = reference.T if streamed else 0
    flat = np.ones(0) if streamed else np.ascontiguousarray(reference, dtype=np.float64)
    n_bands = min(_BANDS, -(-n // ROWS))
    about = (sizes.astype(np.int64), state, mask, centre, offset, flat, columns, reference_centre)
    bands = _parallel.ordered_map(lambda band: _band(d, inverse, n, *about, band, n_bands), range(n_bands))
    return np.sum(bands, axis=0)  # in order


# ------------------------------------------------------------------------------------------------------------ compiled
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _prepare(x, order, sizes, centred, first, last, d, inverse, defined_from):
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
                    inverse[position, j0 + j] = 1 / np.sqrt(square[j])
                for j in range(n, LANES):
                    inverse[position, j0 + j] = 0.0
            position += due


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow(g, di, dj):
    for r in range(ROWS):
        for j in range(len(dj)):
            g[r * COLUMNS + j] += di[r] * dj[j]


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_by_four(g, di, ei, fi, hi, dj, ej, fj, hj):
    for r in range(ROWS):
        d, e, f, h, row = di[r], ei[r], fi[r], hi[r], r * COLUMNS
        for j in range(len(dj) // LANES * LANES):
            g[row + j] += (d * dj[j] + e * ej[j]) + (f * fj[j] + h * hj[j])


@numba.njit(nogil=True, cache=True)
def _grow_between(g, d, i0, j0, j1):
    """Add the products of all features of ``d``; four at a time, so that ``g`` is read and written less often."""
    i1, fours = i0 + ROWS, len(d) // 4 * 4
    for k in range(0, fours, 4):
        _grow_by_four(
            g, d[k, i0:i1], d[k + 1, i0:i1], d[k + 2, i0:i1], d[k + 3, i0:i1],
            d[k, j0:j1], d[k + 1, j0:j1], d[k + 2, j0:j1], d[k + 3, j0:j1],
        )  # fmt: skip
    for k in range(fours, len(d)):
        _grow(g, d[k, i0:i1], d[k, j0:j1])


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum(g, di, dj, wi, wj, centre, y):
    s0, s1, q0, q1, c0, c1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, ROWS, 2):
        d0, d1, w0, w1, start = di[r], di[r + 1], wi[r], wi[r + 1], r * COLUMNS
        for j in range(len(dj) // LANES * LANES):  # all of it: the compiler learns that there is no remainder
            a, b = start + j, start + COLUMNS + j
            g0, g1 = g[a] + d0 * dj[j], g[b] + d1 * dj[j]
            g[a], g[b] = g0, g1
            t0, t1 = g0 * wj[j] * w0 - centre, g1 * wj[j] * w1 - centre
            s0, s1 = s0 + t0, s1 + t1
            q0, q1 = q0 + t0 * t0, q1 + t1 * t1
            c0, c1 = c0 + t0 * y[a], c1 + t1 * y[b]
    return s0 + s1, q0 + q1, c0 + c1


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum_some(g, di, dj, wi, wj, centre, y, real):
    s0, s1, q0, q1, c0, c1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, ROWS, 2):
        d0, d1, w0, w1, start = di[r], di[r + 1], wi[r], wi[r + 1], r * COLUMNS
        for j in range(len(dj) // LANES * LANES):
            a, b = start + j, start + COLUMNS + j
            g0, g1 = g[a] + d0 * dj[j], g[b] + d1 * dj[j]
            g[a], g[b] = g0, g1
            t0, t1 = (g0 * wj[j] * w0 - centre) * real[a], (g1 * wj[j] * w1 - centre) * real[b]
            s0, s1 = s0 + t0, s1 + t1
            q0, q1 = q0 + t0 * t0, q1 + t1 * t1
            c0, c1 = c0 + t0 * y[a], c1 + t1 * y[b]
    return s0 + s1, q0 + q1, c0 + c1


@numba.njit(nogil=True, cache=True)
def _sum_scored(g, w, wj, centre, y, offset, real, scored):
    n, s, q, c, first, second = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(len(scored)):
        if real[j] > 0 and scored[j] > 0:
            t, target = g[j] * wj[j] * w - centre, y[j] - offset
            n += 1
            s += t
            q += t * t
            c += t * target
            first += target
            second += target * target
    return n, s, q, c, first, second


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _fill(y, real, i0, j0, j1, n, flat, columns, centre):
    """The tile's part of the reference about its centre, and which of its entries are pairs i < j: number, two sums."""
    n_pairs, first, second = 0, 0.0, 0.0
    y[:], real[:] = 0.0, 0.0
    _grow_between(y, columns, i0, j0, j1)
    for r in range(ROWS):
        i, row = i0 + r, r * COLUMNS
        stop = min(j1, n) - j0 if i < n else 0
        start = min(max(i + 1 - j0, 0), stop)  # columns of the pairs i < j < n
        y[row : row + start], y[row + stop : row + COLUMNS], real[row + start : row + stop] = 0.0, 0.0, 1.0
        if len(flat):
            offset = i * (2 * n - i - 1) // 2 - i - 1 + j0
            for j in range(start, stop):
                y[row + j] = flat[offset + j]
        for j in range(row + start, row + stop):
            y[j] -= centre
        for j in range(row + start, row + stop):
            first += y[j]
            second += y[j] * y[j]
        n_pairs += stop - start
    return n_pairs, first, second


@numba.njit(nogil=True, cache=True)
def _tile(d, inverse, sizes, state, scored, centre, offset, g, y, real, i0, j0, j1, pairs, out):
    """Add the sums of one tile, images i0.. with images j0..j1, to ``out``; ``pairs`` as `_fill` returns."""
    whole, k = pairs[0] == ROWS * (j1 - j0), 0
    g[:] = 0.0
    for position in range(len(sizes)):
        last, here = sizes[position] - 1, state[position]
        _grow_between(g, d[k:last], i0, j0, j1)
        k = last + 1
        di, dj = d[last, i0 : i0 + ROWS], d[last, j0:j1]
        if here == 1:
            wi, wj, m = inverse[position, i0 : i0 + ROWS], inverse[position, j0:j1], centre[position]
            if whole:
                first, second, third = _grow_and_sum(g, di, dj, wi, wj, m, y)
            else:
                first, second, third = _grow_and_sum_some(g, di, dj, wi, wj, m, y, real)
            out[0, position] += pairs[0]
            out[1, position] += first
            out[2, position] += second
            out[3, position] += third
            out[4, position] += pairs[1]  # `offset` is 0 at these sizes
            out[5, position] += pairs[2]
        else:
            _grow(g, di, dj)
            for r in range(ROWS if here == 2 else 0):
                if scored[position, i0 + r] > 0:
                    row = r * COLUMNS
                    sums = _sum_scored(
                        g[row : row + COLUMNS], inverse[position, i0 + r], inverse[position, j0:j1], centre[position],
                        y[row : row + COLUMNS], offset[position], real[row : row + COLUMNS], scored[position, j0:j1],
                    )  # fmt: skip
                    for m in range(6):
                        out[m, position] += sums[m]


@numba.njit(nogil=True, cache=True)
def _band(d, inverse, n, sizes, state, scored, centre, offset, flat, columns, reference_centre, band, n_bands):
    """(6, n_sizes) sums over every ``n_bands``-th block of rows, with all columns from the diagonal on."""
    out, g, y, real = np.zeros((6, len(sizes))), np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    group = ROWS * (4 if n > _MANY else 1)  # rows that pass over the same columns while those are near
    for first in range(band * group, n, group * n_bands):
        for start in range(first // COLUMNS * COLUMNS, n, COLUMNS):
            j1 = min(start + COLUMNS, d.shape[1])
            for i0 in range(first, min(first + group, n), ROWS):
                j0 = max(start, i0)
                if j0 < j1:
                    pairs = _fill(y, real, i0, j0, j1, n, flat, columns, reference_centre)
                    _tile(d, inverse, sizes, state, scored, centre, offset, g, y, real, i0, j0, j1, pairs, out)
    return out
