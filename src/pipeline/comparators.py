"""How two matrices of similarities are compared, beside R2: the other comparators of
page 07, and intervals without a bootstrap.

Rank correlations are taken over pairs i < j. Linear CKA and the whitened cosine use
whole matrices, from which they remove row and column means.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from helpers import rsa, significance

_ROWS = 64  # resamples at a time: 4 MB for 7140 pairs


def weighted_spearman(
    similarities: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
) -> np.ndarray:
    """Spearman's rho of each row of similarities with ``y`` under weights w_i w_j.

    Ranks are formed anew under the weights. Arguments and result (n_resamples, n_rows)
    as `helpers.significance.weighted_r2`; NaN for a row with NaN or a constant side.
    """

    def score(start: int) -> np.ndarray:
        drawn = counts[start : start + _ROWS].T.astype(float, order="C")
        weights = drawn[i] * drawn[j]  # (n_pairs, n_resamples)
        of_y, ranks = _centred_ranks(y, weights)
        y_ranks = np.empty_like(ranks)
        y_ranks[of_y] = ranks
        y_products = weights * y_ranks
        y_variance = np.einsum("pr,pr->r", y_products, y_ranks)
        rho = []
        for row in similarities:
            order, ranks = _centred_ranks(row, weights)
            covariance = np.einsum("pr,pr->r", ranks, y_products[order])
            variance = np.einsum("pr,pr,pr->r", ranks, ranks, weights[order])
            product = variance * y_variance
            defined = (product > 0) & np.isfinite(row).all()
            rho.append(covariance / np.sqrt(np.where(defined, product, np.nan)))
        return np.array(rho)

    parts = rsa.map_in_threads(score, range(0, len(counts), _ROWS))
    return np.concatenate(parts, axis=1).T


def _centred_ranks(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Ascending order (n_pairs,) of values, and mid-ranks minus their weighted mean in
    that order, (n_pairs, n_resamples), where a value counts ``weights`` times."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    groups = weights[order]
    if len(starts) < len(values):
        groups = np.add.reduceat(groups, starts, axis=0)
    ranks = np.cumsum(groups, axis=0)
    total = ranks[-1].copy()
    ranks -= groups / 2
    ranks -= total / 2
    if len(starts) < len(values):
        sizes = np.diff(np.append(starts, len(values)))
        ranks = np.repeat(ranks, sizes, axis=0)
    return order, ranks


def tau_a(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-a: concordant minus discordant pairs of entries, of all of them.

    scipy's tau-c counts the same but divides by another number.
    """
    n, n_values = len(x), min(len(np.unique(x)), len(np.unique(y)))
    tau_c = stats.kendalltau(x, y, variant="c").statistic
    return float(tau_c * n * (n_values - 1) / (n_values * (n - 1)))


def matrix_tau_a(matrix: np.ndarray, other: np.ndarray) -> float:
    """`tau_a` of pairs i < j of two matrices (n, n); NaN where the first has NaN."""
    x, y = rsa.upper_triangle(matrix), rsa.upper_triangle(other)
    return np.nan if np.isnan(x).any() else tau_a(x, y)


def linear_cka(kernel: np.ndarray, other: np.ndarray) -> float:
    """Cosine of two kernels (n, n) without row and column means, from -1 to 1.

    Of inner products: linear CKA (Kornblith et al. 2019, ICML). Of similarities whose
    diagonal is constant: the whitened cosine of the dissimilarities, diagonal minus
    similarity (Diedrichsen et al. 2021, NBDT 5(3)), with the same noise for all
    images. NaN where a kernel holds NaN or does not vary.
    """
    a, b = _double_centred(kernel), _double_centred(other)
    norms = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norms) if norms > 0 else np.nan


def _double_centred(kernel: np.ndarray) -> np.ndarray:
    rows = kernel - kernel.mean(axis=0)
    return rows - rows.mean(axis=1, keepdims=True)


def left_out(
    compare: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """``compare`` of the matrices (n, n) and, (n,), without each image: (n + 1,)."""
    kept = [np.arange(len(a))]
    kept += [np.delete(kept[0], image) for image in kept[0]]
    return np.array([compare(a[np.ix_(k, k)], b[np.ix_(k, k)]) for k in kept])


def jackknife_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Value and 95 % interval, from values (n + 1, ...) of `left_out`: t on n - 1
    degrees of freedom."""
    value, without = values[0], values[1:]
    n = len(without)
    error = np.sqrt((n - 1) * without.var(axis=0))
    half_width = stats.t.ppf((1 + significance.LEVEL) / 2, n - 1) * error
    return value, value - half_width, value + half_width
