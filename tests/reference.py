"""Slow, obvious versions of the method, written from the definitions."""

import numpy as np
from scipy import stats


def similarity_matrix(x, method):
    n = len(x)
    out = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(n):
            a, b = x[i], x[j]
            if method == "euclidean":
                out[i, j] = -np.sqrt(((a - b) ** 2).sum())
            elif method == "cosine":
                if a.any() and b.any():
                    out[i, j] = a @ b / np.sqrt((a @ a) * (b @ b))
            elif np.ptp(a) > 0 and np.ptp(b) > 0:
                correlation = (
                    stats.spearmanr if method == "spearman" else stats.pearsonr
                )
                r = correlation(a, b).statistic
                out[i, j] = r**2 if method == "pearson_squared" else r
    return out


def pearson_pairs(x):
    """Pearson's r of every pair of rows, in the precision of ``x``."""
    rows = x - x.mean(axis=1, keepdims=True)
    rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return (rows @ rows.T)[np.triu_indices(len(x), 1)]


def r_squared(a, b):
    pairs = np.triu_indices(len(a), 1)
    return stats.pearsonr(a[pairs], b[pairs]).statistic ** 2


def insertion_curve(x, order, reference, sizes, method, undefined="nan"):
    """R2 and the number of undefined images, each (n_sizes,)."""
    r2, n_undefined = [], []
    for size in sizes:
        partial = similarity_matrix(x[:, order[:size]], method)
        defined = ~np.isnan(np.diag(partial))
        n_undefined.append((~defined).sum())
        enough = defined.all() if undefined == "nan" else defined.sum() >= 3
        kept = np.ix_(defined, defined)
        pairs = partial[kept][np.triu_indices(defined.sum(), 1)]
        varies = enough and np.ptp(pairs) > 1e-12
        r2.append(r_squared(partial[kept], reference[kept]) if varies else np.nan)
    return np.array(r2), np.array(n_undefined)
