"""Ridge regression of judgments on products of activations.

Peterson, Abbott & Griffiths (2018, Cognitive Science 42, 2648-2669) predict the judged
similarity of images i and j by b + sum_f w_f z_if z_jf, with a weight for each feature.
There are far more features than pairs, so ridge is solved in its dual form, by the
kernel of pairs: K[(i, j), (k, l)] = sum_f z_if z_jf z_kf z_lf.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

PENALTIES = 10.0 ** np.arange(-2, 4)
"""Candidates, in units of the mean of the kernel's diagonal."""
_BLOCK = 1024  # features at a time: 29 MB for 7140 pairs
Folds = list[tuple[np.ndarray, np.ndarray]]


def factors(x: np.ndarray, similarity: str) -> np.ndarray:
    """Rows z (n_images, n_features) whose inner products are ``similarity``, "pearson"
    or "cosine"; NaN for an image for which it is undefined."""
    z = np.asarray(x, np.float64)
    if similarity == "pearson":
        z = z - z.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(norms > 1e-12, norms, np.nan)


def pair_kernel(z: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """K (n_pairs, n_pairs) of the pairs of images i, j (n_pairs,), in single precision:
    its rounding is far below the smallest penalty."""
    z, kernel = z.astype(np.float32), np.zeros((len(i), len(i)), np.float32)
    for start in range(0, z.shape[1], _BLOCK):
        products = z[i, start : start + _BLOCK] * z[j, start : start + _BLOCK]
        kernel += products @ products.T
    return kernel


def ridge(
    kernel: np.ndarray, y: np.ndarray, train: np.ndarray, inner: Folds
) -> tuple[np.ndarray, float]:
    """Predictions of all pairs from the pairs ``train``, and the penalty.

    Parameters
    ----------
    kernel, y : (n_pairs, n_pairs) and (n_pairs,), of which only ``train`` is used of y.
    train : positions of pairs.
    inner : positions, among all pairs, to fit on and to score on, for each inner fold;
        the penalty of `PENALTIES` with the highest mean r is chosen.
    """
    scores = [
        correlations(np.stack([*paths(kernel, y, fit, at)]), y[at]) for fit, at in inner
    ]
    best = PENALTIES[np.mean(scores, axis=0).argmax()]
    everything = np.arange(len(y))
    return next(paths(kernel, y, train, everything, [best])), float(best)


def paths(kernel, y, train, at, penalties=PENALTIES):
    """Predictions of the pairs ``at``, (n_at,), from ``train``, for each penalty.

    The intercept is not penalised: it is that of generalised least squares.
    """
    k = kernel[np.ix_(train, train)].astype(np.float64, order="F")
    diagonal, across = np.diag(k).copy(), kernel[np.ix_(at, train)]
    right = np.column_stack([y[train], np.ones(len(train))])
    for penalty in penalties:
        penalised = k.copy(order="F")
        np.fill_diagonal(penalised, diagonal + penalty * diagonal.mean())
        factor = linalg.cho_factor(penalised, overwrite_a=True, check_finite=False)
        of_y, of_one = linalg.cho_solve(factor, right, check_finite=False).T
        intercept = of_y.sum() / of_one.sum()
        yield across @ (of_y - intercept * of_one) + intercept


def correlations(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row (n_rows, n_pairs) with y; NaN for a constant row."""
    rounding = 1e-12 * np.abs(rows).max(axis=1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1)
    y = (y - y.mean()) / np.linalg.norm(y - y.mean())
    return rows @ y / np.where(norms > rounding, norms, np.nan)
