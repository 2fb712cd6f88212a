"""Compiled insertion curves (numba, the extra ``fast``) that work within the cache.

`helpers.rsa` has the same method in plain numpy and calls `moments` where that pays
off. Pairs of images are cut into tiles, whose running products stay in a core's
first-level cache while all sizes pass over them, so main memory is read once, whatever
the number of sizes. For one pair at one size there remain four fused multiply-adds and
three multiplications:

    g += d_i d_j    t = (g w_i w_j - centre) mask    s += t    q += t t    c += t y

with ``d`` the increments of `helpers.rsa`, ``w`` the inverse lengths of the partial
rows, ``y`` the reference about its mean in the tile. The centre is the tile's mean
similarity at the previous size, so the sums do not cancel; where it is far off, they
are recomputed. Tiles are combined in a fixed order, whatever the number of threads.

Everything that belongs to a tile lies in one array: first its products g, from Y on its
part of the reference, from MASK on 1 for pairs of defined images i < j, else 0. One
array, and ``max(..., 0)`` around indices, tell the compiler that the parts do not
overlap and that no index is negative; otherwise it would test both at every size.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

ROWS, COLUMNS = 8, 128  # of a tile: with three parts 24 KB
LANES = 8  # images in a cache line
SIZE = ROWS * COLUMNS
Y, MASK = SIZE, 2 * SIZE
_BANDS = 32  # at most; one thread works on a band at a time
_MANY = 2000  # with more images, columns are too far apart to be fetched per tile
_FAST = {"contract", "reassoc", "nsz"}  # NaN and infinity keep their rules


def moments(
    x: np.ndarray,
    order: np.ndarray,
    sizes: np.ndarray,
    centred: bool,
    reference: np.ndarray,
    reference_mean: float,
    run: Callable = lambda function, items: [function(item) for item in items],
) -> tuple[np.ndarray, np.ndarray]:
    """Moments of partial similarities and reference, and the undefined images.

    Parameters
    ----------
    x : (n_images, n_features), inserted in ``order`` (n_features,).
    sizes : (n_sizes,) increasing numbers of inserted features.
    centred : Pearson correlation, else cosine.
    reference : (n_pairs,) upper triangle; or rows of length 1, (n_images,
        n_reference_features), whose products it is.
    reference_mean : subtracted from the reference.
    run : maps a function over items, in order; perhaps in threads.

    Returns
    -------
    (n_parts, 6, n_sizes) of disjoint groups of pairs of defined images: number, mean
    similarity, mean reference, both sums of squares and the sum of products about the
    means; and (n_sizes,) the number of images without a defined similarity.
    """
    n, n_used = len(x), int(sizes[-1])
    width = -(-n // ROWS) * ROWS  # the last images fill a tile and are never defined
    whole = np.empty((n_used + 1 + len(sizes), width))
    d, inverse = whole[: n_used + 1], whole[n_used + 1 :]
    defined_from = np.empty(width, np.int64)
    x, largest = np.ascontiguousarray(x), np.maximum(x.max(axis=1), -x.min(axis=1))
    # a power of two (exact), so that no square overflows or vanishes
    scale = np.ldexp(1.0, -np.maximum(np.frexp(largest)[1], -1021))

    def prepare(block):
        _prepare(x, scale, order, sizes, centred, block, d, inverse, defined_from)

    run(prepare, np.array_split(np.arange(0, width, LANES), min(4, width // LANES)))
    flat, columns = np.ascontiguousarray(reference), np.zeros((1, width))
    if reference.ndim == 2:
        flat, columns = np.zeros(0), np.zeros((reference.shape[1] + 1, width))
        columns[:-1, :n] = reference.T
    n_bands = min(_BANDS, width // ROWS)
    given = d, inverse, sizes, defined_from, n, flat, columns, reference_mean
    parts = np.stack(run(lambda band: _band(*given, band, n_bands), range(n_bands)))
    n_defined = np.searchsorted(np.sort(defined_from), sizes, side="right")
    return np.moveaxis(parts, 2, 1), n - n_defined


# ------------------------------------------------------------------------- compiled
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def _prepare(x, scale, order, sizes, centred, block, d, inverse, defined_from):
    """Increments (n_features + 1, n_images), inverse lengths (n_sizes, n_images).

    Also from how many features on an image is defined. The last increment is zero.
    """
    n_used = sizes[-1]
    values, total, square = np.zeros((n_used, LANES)), np.zeros(LANES), np.zeros(LANES)
    for j0 in block:
        n = min(LANES, len(x) - j0)
        values[:], total[:], square[:] = 0.0, 0.0, 0.0
        d[-1, j0 : j0 + LANES] = 0.0
        defined_from[j0 : j0 + LANES] = n_used + 1
        for j in range(n):
            row, start = x[j0 + j], x[j0 + j, order[0]] if centred else 0.0
            k, unit = 0, scale[j0 + j]
            while k < n_used and row[order[k]] == start:
                k += 1
            defined_from[j0 + j] = k + 1
            for k in range(n_used):
                values[k, j] = row[order[k]] * unit - start * unit
        position = 0
        for k in range(n_used):
            weight = np.sqrt(k / (k + 1)) if centred else 1.0
            per = 1 / max(k, 1) if centred else 0.0
            for j in range(LANES):
                step = weight * (values[k, j] - total[j] * per)
                total[j] += values[k, j]
                square[j] += step * step
                d[k, j0 + j] = step
            if sizes[position] == k + 1:
                for j in range(LANES):
                    inverse[position, j0 + j] = 1 / np.sqrt(square[j])
                    if defined_from[j0 + j] > k + 1:
                        inverse[position, j0 + j] = 0.0
                position += 1


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow(tile, start, d, first, last, i0, j0, width):
    """Add the products of features ``first`` to ``last`` to the tile, at ``start``.

    Four at a time, so that g is read and written less often; the last of ``d`` is zero.
    """
    i0, j0, start, zero = max(i0, 0), max(j0, 0), max(start, 0), max(len(d) - 1, 0)
    for k0 in range(max(first, 0), last, 4):
        k1 = k0 + 1 if k0 + 1 < last else zero
        k2 = k0 + 2 if k0 + 2 < last else zero
        k3 = k0 + 3 if k0 + 3 < last else zero
        for r in range(ROWS):
            a, i = start + r * COLUMNS, i0 + r
            d0, d1, d2, d3 = d[k0, i], d[k1, i], d[k2, i], d[k3, i]
            for j in range(width // LANES * LANES):  # says: no remainder
                c = j0 + j
                g = d0 * d[k0, c] + d1 * d[k1, c]
                tile[a + j] += g + (d2 * d[k2, c] + d3 * d[k3, c])


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _grow_and_sum(tile, d, inverse, k, position, i0, j0, width, centre, partly):
    """Add feature ``k``; sums of t, t t and t y, ``partly``: over the masked pairs.

    Two rows advance together: each column is loaded once for both.
    """
    i0, j0, k, position = max(i0, 0), max(j0, 0), max(k, 0), max(position, 0)
    s0, s1, q0, q1, c0, c1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for r in range(0, ROWS, 2):
        d0, d1 = d[k, i0 + r], d[k, i0 + r + 1]
        w0, w1 = inverse[position, i0 + r], inverse[position, i0 + r + 1]
        for j in range(width // LANES * LANES):
            a, b = r * COLUMNS + j, (r + 1) * COLUMNS + j
            dj, wj = d[k, j0 + j], inverse[position, j0 + j]
            g0, g1 = tile[a] + d0 * dj, tile[b] + d1 * dj
            tile[a], tile[b] = g0, g1
            t0, t1 = g0 * wj * w0 - centre, g1 * wj * w1 - centre
            if partly:
                t0, t1 = t0 * tile[MASK + a], t1 * tile[MASK + b]
            s0, s1 = s0 + t0, s1 + t1
            q0, q1 = q0 + t0 * t0, q1 + t1 * t1
            c0, c1 = c0 + t0 * tile[Y + a], c1 + t1 * tile[Y + b]
    return s0 + s1, q0 + q1, c0 + c1


@numba.njit(nogil=True, cache=True)
def _fill(tile, i0, j0, width, n, flat, columns, reference_mean):
    """Begin a tile: no products, and its part of the reference, less the mean."""
    tile[:] = 0.0
    _grow(tile, Y, columns, 0, len(columns) - 1, i0, j0, width)
    for i in range(i0, min(i0 + ROWS, n) if len(flat) else i0):
        row, first = Y + (i - i0) * COLUMNS, i * (2 * n - i - 1) // 2 - i - 1 + j0
        for j in range(max(i + 1 - j0, 0), min(width, n - j0)):
            tile[row + j] = flat[first + j]
    tile[Y:MASK] -= reference_mean


@numba.njit(nogil=True, cache=True, fastmath=_FAST)
def _mask(tile, defined_from, size, i0, j0, width):
    """Mark the pairs defined at ``size``; subtract the reference's mean over them.

    Returns their number, that mean, the sum of squares about it, and the size at which
    another image is defined.
    """
    changes, n, total, square = 2**62, 0.0, 0.0, 0.0
    of_columns = defined_from[j0 : j0 + width]
    for j in range(width):
        if of_columns[j] > size:
            changes = min(changes, of_columns[j])
    for r in range(ROWS):
        row, start = MASK + r * COLUMNS, max(i0 + r + 1 - j0, 0)
        if defined_from[i0 + r] <= size:
            tile[row + start : row + width] = of_columns[start:] <= size
        else:
            changes = min(changes, defined_from[i0 + r])
    for a in range(SIZE):
        n += tile[MASK + a]
        total += tile[MASK + a] * tile[Y + a]
    mean = total / max(n, 1.0)
    for a in range(SIZE):
        y = tile[Y + a] - mean
        tile[Y + a] = y
        square += tile[MASK + a] * y * y
    return n, mean, square, changes


@numba.njit(nogil=True, cache=True)
def _merge(total, n, x, y, xx, yy, xy):
    """Add moments to ``total`` (Chan, Golub & LeVeque 1983, Am. Stat. 37, 242-247)."""
    before = total[0]
    total[0] += n
    dx, dy, share = x - total[1], y - total[2], n / total[0]
    total[1] += share * dx
    total[2] += share * dy
    total[3] += xx + before * share * dx * dx
    total[4] += yy + before * share * dy * dy
    total[5] += xy + before * share * dx * dy


@numba.njit(nogil=True, cache=True)
def _tile(tile, d, inverse, sizes, defined_from, i0, j0, width, out):
    """Add to ``out`` the pairs of images from ``i0`` with ``width`` from ``j0`` on."""
    k, n, x_mean, y_mean, yy, changes = 0, 0.0, 0.0, 0.0, 0.0, 0
    for p in range(len(sizes)):
        last = sizes[p] - 1
        if last + 1 >= changes:
            n, shift, yy, changes = _mask(tile, defined_from, last + 1, i0, j0, width)
            y_mean += shift
        partly = n < ROWS * width
        _grow(tile, 0, d, k, last, i0, j0, width)
        s, q, c = _grow_and_sum(
            tile, d, inverse, last, p, i0, j0, width, x_mean, partly
        )
        if n > 0 and s * s > 0.8 * n * q:  # the centre is far off: recompute
            x_mean += s / n
            s, q, c = _grow_and_sum(
                tile, d, inverse, len(d) - 1, p, i0, j0, width, x_mean, partly
            )
        if n > 0:
            x_mean += s / n
            _merge(out[p], n, x_mean, y_mean, q - s * s / n, yy, c)
        k = last + 1


@numba.njit(nogil=True, cache=True)
def _band(
    d, inverse, sizes, defined_from, n, flat, columns, reference_mean, band, n_bands
):
    """(n_sizes, 6) moments over every ``n_bands``-th block of rows, from i < j on."""
    out, tile = np.zeros((len(sizes), 6)), np.empty(3 * SIZE)
    group = ROWS * (16 if n > _MANY else 1)  # rows that share columns while near
    for first in range(band * group, n, group * n_bands):
        for start in range(first // COLUMNS * COLUMNS, n, COLUMNS):
            stop = min(start + COLUMNS, d.shape[1])
            for i0 in range(first, min(first + group, n), ROWS):
                j0 = max(start, i0)
                if j0 < stop:
                    width = stop - j0
                    _fill(tile, i0, j0, width, n, flat, columns, reference_mean)
                    _tile(tile, d, inverse, sizes, defined_from, i0, j0, width, out)
    return out
