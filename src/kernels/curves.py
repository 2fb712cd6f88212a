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

All that belongs to a tile lies in one array, ``tile``: from 0 its products g, from Y its part of the reference, from
REAL 1 for pairs i < j of images, else 0. One array, and ``max(..., 0)`` for places of columns, tell the compiler that
parts do not overlap and that no place counts from the end; else it tests both at every size.
"""

from __future__ import annotations

import numba
import numpy as np

from helpers import parallel

ROWS, COLUMNS, LANES = 8, 128, 8  # of a tile, 24 KB; images in a cache line
SIZE = ROWS * COLUMNS
Y, REAL = SIZE, 2 * SIZE
TINY = np.finfo(np.float64).tiny
NONE, ALL, DEFINED = 0, 1, 2
"""Which pairs of images are scored at a size."""
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
    parallel.ordered_map(
        lambda b: _prepare(x, order, sizes, centred, b[0], b[-1] + LANES, d, inverse, defined_from), blocks
    )
    return d, inverse, defined_from[: len(x)]


def moments(
    prepared: tuple[np.ndarray, ...],
    sizes: np.ndarray,
    state: np.ndarray,
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
    state : (n_sizes,), at each size ALL pairs are scored (every image is defined), those of the DEFINED images, or
        NONE.
    centre : (n_sizes,) about which similarities are summed.
    offset : (n_sizes,) and ``reference_centre``: the reference is summed about both together where the DEFINED are
        scored, else about ``reference_centre``.
    reference : (n_pairs,) upper triangle; or, ``streamed``, rows of length 1, (n_images, n_reference_features), whose
        products it is.
    """
    d, inverse, defined_from = prepared
    n = len(defined_from)
    columns = np.zeros((reference.shape[1] if streamed else 0, d.shape[1]))
    columns[:, :n] = reference.T if streamed else 0
    flat = np.ones(0) if streamed else np.ascontiguousarray(reference, dtype=np.float64)
    n_bands = min(_BANDS, -(-n // ROWS))
    at = (sizes.astype(np.int64), state.astype(np.int8), defined_from, centre, offset, flat, columns, reference_centre)
    bands = parallel.ordered_map(lambda band: _band(d, inverse, *at, band, n_bands), range(n_bands))
    return np.sum(bands, axis=0)  # in order


# ------------------------------------------------------------------------------------------------------------ compiled
@numba.njit(nogil=True, cache=True, fastmath=_FAST | {"nnan"})
def _largest(row):
    largest = 0.0
    for f in range(len(row)):
        largest = max(largest, abs(row[f]))
    return largest


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _prepare(x, order, sizes, centred, first, last, d, inverse, defined_from):
    values, n_used = np.zeros((sizes[-1], LANES)), sizes[-1]
    total, square = np.zeros(LANES), np.zeros(LANES)
    for j0 in range(first, last, LANES):
        n = max(0, min(LANES, len(x) - j0))
        values[:], total[:], square[:] = 0.0, 0.0, 0.0
        for j in range(n):
            row = x[j0 + j]
            scale, start = 1 / max(_largest(row), TINY), row[order[0]] if centred else 0.0
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
def _grow(tile, start, d, k, i0, j0, width):
    """Add the products of feature ``k`` to the tile, from ``start`` on."""
    i0, j0, k, start = max(i0, 0), max(j0, 0), max(k, 0), max(start, 0)
    for r in range(ROWS):
        a = start + r * COLUMNS
        for j in range(width // LANES * LANES):  # all of it: the compiler learns that there is no remainder
            tile[a + j] += d[k, i0 + r] * d[k, j0 + j]


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_by_four(tile, start, d, k, i0, j0, width):
    i0, j0, k, start = max(i0, 0), max(j0, 0), max(k, 0), max(start, 0)
    for r in range(ROWS):
        a, p, q, s, t = start + r * COLUMNS, d[k, i0 + r], d[k + 1, i0 + r], d[k + 2, i0 + r], d[k + 3, i0 + r]
        for j in range(width // LANES * LANES):
            c = j0 + j
            tile[a + j] += (p * d[k, c] + q * d[k + 1, c]) + (s * d[k + 2, c] + t * d[k + 3, c])


@numba.njit(nogil=True, cache=True)
def _grow_between(tile, start, d, first, last, i0, j0, width):
    """Add the products of features ``first`` to ``last``; four at a time, so that g is read and written less often."""
    fours = first + (last - first) // 4 * 4
    for k in range(first, fours, 4):
        _grow_by_four(tile, start, d, k, i0, j0, width)
    for k in range(fours, last):
        _grow(tile, start, d, k, i0, j0, width)


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum(tile, d, inverse, k, position, i0, j0, width, centre):
    i0, j0, k, position = max(i0, 0), max(j0, 0), max(k, 0), max(position, 0)
    s0, s1, q0, q1, c0, c1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, ROWS, 2):
        d0, d1, w0, w1 = d[k, i0 + r], d[k, i0 + r + 1], inverse[position, i0 + r], inverse[position, i0 + r + 1]
        for j in range(width // LANES * LANES):
            a, b, dj, wj = r * COLUMNS + j, (r + 1) * COLUMNS + j, d[k, j0 + j], inverse[position, j0 + j]
            g0, g1 = tile[a] + d0 * dj, tile[b] + d1 * dj
            tile[a], tile[b] = g0, g1
            t0, t1 = g0 * wj * w0 - centre, g1 * wj * w1 - centre
            s0, s1 = s0 + t0, s1 + t1
            q0, q1 = q0 + t0 * t0, q1 + t1 * t1
            c0, c1 = c0 + t0 * tile[Y + a], c1 + t1 * tile[Y + b]
    return s0 + s1, q0 + q1, c0 + c1


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum_real(tile, d, inverse, k, position, i0, j0, width, centre):
    """The same where not all entries are pairs."""
    i0, j0, k, position = max(i0, 0), max(j0, 0), max(k, 0), max(position, 0)
    s0, s1, q0, q1, c0, c1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, ROWS, 2):
        d0, d1, w0, w1 = d[k, i0 + r], d[k, i0 + r + 1], inverse[position, i0 + r], inverse[position, i0 + r + 1]
        for j in range(width // LANES * LANES):
            a, b, dj, wj = r * COLUMNS + j, (r + 1) * COLUMNS + j, d[k, j0 + j], inverse[position, j0 + j]
            g0, g1 = tile[a] + d0 * dj, tile[b] + d1 * dj
            tile[a], tile[b] = g0, g1
            t0, t1 = (g0 * wj * w0 - centre) * tile[REAL + a], (g1 * wj * w1 - centre) * tile[REAL + b]
            s0, s1 = s0 + t0, s1 + t1
            q0, q1 = q0 + t0 * t0, q1 + t1 * t1
            c0, c1 = c0 + t0 * tile[Y + a], c1 + t1 * tile[Y + b]
    return s0 + s1, q0 + q1, c0 + c1


@numba.njit(nogil=True, cache=True)
def _sum_defined(tile, inverse, position, i0, j0, width, centre, offset, defined_from, size, out):
    """Add the sums over the pairs of images that are defined at ``size``."""
    for r in range(ROWS):
        for j in range(width):
            a = r * COLUMNS + j
            if tile[REAL + a] > 0 and defined_from[i0 + r] <= size and defined_from[j0 + j] <= size:
                t, y = tile[a] * inverse[position, j0 + j] * inverse[position, i0 + r] - centre, tile[Y + a] - offset
                out[0, position] += 1
                out[1, position] += t
                out[2, position] += t * t
                out[3, position] += t * y
                out[4, position] += y
                out[5, position] += y * y


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _fill(tile, i0, j0, width, n, flat, columns, centre):
    """The tile's part of the reference about its centre, and which of its entries are pairs i < j: number, two sums."""
    n_pairs, first, second = 0, 0.0, 0.0
    tile[:] = 0.0
    _grow_between(tile, Y, columns, 0, len(columns), i0, j0, width)
    for r in range(ROWS):
        i, row = i0 + r, Y + r * COLUMNS
        stop = min(width, n - j0) if i < n else 0
        start = min(max(i + 1 - j0, 0), stop)  # columns of the pairs i < j < n
        tile[row : row + start], tile[row + stop : row + COLUMNS] = 0.0, 0.0
        tile[REAL - Y + row + start : REAL - Y + row + stop] = 1.0
        if len(flat):
            offset = i * (2 * n - i - 1) // 2 - i - 1 + j0
            for j in range(start, stop):
                tile[row + j] = flat[offset + j]
        for j in range(row + start, row + stop):
            tile[j] -= centre
        for j in range(row + start, row + stop):
            first += tile[j]
            second += tile[j] * tile[j]
        n_pairs += stop - start
    return n_pairs, first, second


@numba.njit(nogil=True, cache=True)
def _tile(tile, d, inverse, sizes, state, defined_from, centre, offset, i0, j0, width, whole, out):
    """Add the sums of one tile, images ``i0`` and on with ``width`` images from ``j0`` on, to ``out``."""
    k = 0
    for position in range(len(sizes)):
        last, here, m = sizes[position] - 1, state[position], centre[position]
        _grow_between(tile, 0, d, k, last, i0, j0, width)
        k = last + 1
        if here == ALL:
            if whole:
                s, q, c = _grow_and_sum(tile, d, inverse, last, position, i0, j0, width, m)
            else:
                s, q, c = _grow_and_sum_real(tile, d, inverse, last, position, i0, j0, width, m)
            out[1, position] += s
            out[2, position] += q
            out[3, position] += c
        else:
            _grow(tile, 0, d, last, i0, j0, width)
            if here == DEFINED:
                _sum_defined(
                    tile, inverse, position, i0, j0, width, m, offset[position], defined_from, sizes[position], out
                )


@numba.njit(nogil=True, cache=True)
def _band(d, inverse, sizes, state, defined_from, centre, offset, flat, columns, reference_centre, band, n_bands):
    """(6, n_sizes) sums over every ``n_bands``-th block of rows, with all columns from the diagonal on."""
    out, tile, n, total = np.zeros((6, len(sizes))), np.empty(3 * SIZE), len(defined_from), np.zeros(3)
    group = ROWS * (16 if n > _MANY else 1)  # rows that pass over the same columns while those are near
    for first in range(band * group, n, group * n_bands):
        for start in range(first // COLUMNS * COLUMNS, n, COLUMNS):
            stop = min(start + COLUMNS, d.shape[1])
            for i0 in range(first, min(first + group, n), ROWS):
                j0 = max(start, i0)
                if j0 < stop:
                    n_pairs, y, yy = _fill(tile, i0, j0, stop - j0, n, flat, columns, reference_centre)
                    total += np.array((n_pairs, y, yy))
                    whole = n_pairs == ROWS * (stop - j0)
                    _tile(tile, d, inverse, sizes, state, defined_from, centre, offset, i0, j0, stop - j0, whole, out)
    for position in range(len(sizes)):
        if state[position] == ALL:
            out[0, position], out[4, position], out[5, position] = total
    return out
