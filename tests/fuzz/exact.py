"""The method again, from its definitions, slowly and with longer numbers."""

import numpy as np
from scipy.stats import rankdata

LONG = np.longdouble


def similarities(x, method):
    """Of every pair i < j, NaN where undefined."""
    n = len(x)
    rows = rankdata(x, axis=1) if method == "spearman" else x
    rows = rows.astype(LONG)
    i, j = np.triu_indices(n, 1)
    if method == "euclidean":
        return -np.sqrt(((rows[i] - rows[j]) ** 2).sum(axis=1))
    if method == "cosine":
        flat = ~x.any(axis=1)
    else:
        flat = (x == x[:, :1]).all(axis=1)
        rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows**2).sum(axis=1))
    rows = rows / np.where(flat | (length == 0), np.nan, length)[:, None]
    r = (rows[i] * rows[j]).sum(axis=1)
    return r**2 if method == "pearson_squared" else r


def undefined(x, method):
    if method == "euclidean":
        return np.zeros(len(x), bool)
    return ~x.any(axis=1) if method == "cosine" else (x == x[:, :1]).all(axis=1)


def r_squared(a, b, weights=None):
    """Squared correlation, and how far rounding of either side may move it."""
    w = np.ones(len(a), LONG) if weights is None else weights.astype(LONG)
    a, b = a.astype(LONG), b.astype(LONG)
    if not w.sum() > 0:
        return np.nan, np.inf
    centred, spread = [], []
    for values in (a, b):
        middle = values - (w * values).sum() / w.sum()
        centred.append(middle)
        largest = np.abs(values).max(initial=0)
        deviation = np.sqrt((w * middle**2).sum() / w.sum())
        spread.append(float(deviation / largest) if largest else 0.0)
    if min(spread) < 1e-5:
        return np.nan, np.inf  # constant, or too close to it to compare digits
    a, b = centred
    r2 = (w * a * b).sum() ** 2 / ((w * a * a).sum() * (w * b * b).sum())
    return float(r2), 1e-13 / min(spread) ** 2


def curve(x, order, y, sizes, method, rule):
    """R2, its tolerance and undefined images at each size."""
    i, j = np.triu_indices(len(x), 1)
    rows = []
    for size in sizes:
        part = x[:, order[:size]]
        missing = undefined(part, method)
        kept = ~(missing[i] | missing[j]) & np.isfinite(y)
        enough = not missing.any() if rule == "nan" else (~missing).sum() >= 3
        pairs = similarities(part, method)
        r2 = r_squared(pairs[kept], y[kept]) if enough else (np.nan, 0.0)
        rows.append((*r2, missing.sum()))
    return np.array(rows, float).T


def roc_area(scores, wanted):
    """Share of pairs of a wanted and another image in which the wanted is higher."""
    above = scores[wanted][:, None] - scores[~wanted]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def holm(p):
    """Step-down by its definition: reject while p <= level / number left."""
    known = np.flatnonzero(~np.isnan(p))
    ranked = known[np.argsort(p[known], kind="stable")]
    adjusted, largest = np.full(len(p), np.nan), 0.0
    for step, position in enumerate(ranked):
        largest = max(largest, p[position] * (len(ranked) - step))
        adjusted[position] = min(largest, 1.0)
    return adjusted
