"""The negative query: rank images so that those come first that do *not* belong to a category.

Ghost features of the category (`helpers.ghosts`) are one way to score images for it; what else could is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers import checks, inference, sparsity

RANKINGS = (
    "ghosts", "ghosts, share of activity", "distance from the mean", "distance, lowest-PoZ fifth",
    "activity of all nodes", "random order",
)  # fmt: skip
"""Rankings that `query_scores` gives, the paper's first."""

GRID = np.linspace(0, 1, 101)
"""False alarm rates and recalls at which `NegativeQuery` gives its curves."""


@dataclass(frozen=True, eq=False)
class NegativeQuery:
    """How well rankings bring what is *not* of a category to the top; intervals by bootstrap over images.

    Of R rankings ``names``: ``auc`` (R,), area under the ROC curve, and ``auc_band`` (2, R); ``precision`` (R,),
    average precision, and ``precision_band``; ``reverse`` (R,), average precision of the category itself when the
    ranking is turned over, and ``reverse_band``; ``gain`` (R,), the first ranking's area minus each one's,
    ``gain_band`` and two-sided ``p``. ``roc`` (R, 101) hit rate at false alarm rates 0, 0.01, ..., 1 and ``roc_band``
    (2, R, 101); ``pr`` (R, 101) precision at these recalls and ``pr_band``. Of ``n_images``, ``n_wanted`` are not of
    the category. All are NaN for a ranking without a defined score.
    """

    names: tuple[str, ...]
    auc: np.ndarray
    auc_band: np.ndarray
    precision: np.ndarray
    precision_band: np.ndarray
    reverse: np.ndarray
    reverse_band: np.ndarray
    gain: np.ndarray
    gain_band: np.ndarray
    p: np.ndarray
    roc: np.ndarray
    roc_band: np.ndarray
    pr: np.ndarray
    pr_band: np.ndarray
    n_images: int
    n_wanted: int


def query_scores(category: np.ndarray, corpus: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Scores (n_corpus,) of a corpus by each of `RANKINGS`, high for images unlike the category.

    * ghosts: mean activation of the category's ghosts;
    * ghosts, share of activity: their sum over the sum of all features;
    * distance from the mean: 1 - r with the category's mean embedding;
    * distance, lowest-PoZ fifth: the same in the fifth of the features that fire most often for the category;
    * activity of all nodes: mean activation, which knows nothing of the category;
    * random order.

    ``category`` (n_images, n_features) and ``corpus`` (n_corpus, n_features): post-ReLU embeddings of different images.
    NaN where a score is undefined (no ghosts, a constant embedding); `negative_query` ranks such images last.
    Raises ValueError for bad embeddings or different numbers of features.
    """
    category, corpus = (checks.embeddings(x, post_relu=True) for x in (category, corpus))
    if category.shape[1] != corpus.shape[1]:
        raise ValueError(f"corpus must have the category's {category.shape[1]} features; got {corpus.shape[1]}.")
    poz = sparsity.percentage_of_zeros(category)
    often = sparsity.poz_order(poz)[: max(2, len(poz) // 5)]
    mean, total = category.mean(axis=0), corpus.sum(axis=1)
    ghosts = corpus[:, poz == 1]
    scores = (
        ghosts.mean(axis=1) if ghosts.shape[1] else np.full(len(corpus), np.nan),
        np.divide(ghosts.sum(axis=1), total, out=np.full(len(corpus), np.nan), where=total > 0),
        _distance(corpus, mean), _distance(corpus[:, often], mean[often]), corpus.mean(axis=1),
        rng.permutation(len(corpus)).astype(float),
    )  # fmt: skip
    return dict(zip(RANKINGS, scores, strict=True))


def _distance(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """1 - Pearson's r of each row with ``centre``, NaN where either is constant."""
    rows, centre = x - x.mean(axis=1, keepdims=True), centre - centre.mean()
    length = np.sqrt((rows**2).sum(axis=1) * (centre**2).sum())
    return 1 - np.divide(rows @ centre, length, out=np.full(len(x), np.nan), where=length > 0)


def negative_query(
    scores: Mapping[str, np.ndarray], wanted: np.ndarray, rng: np.random.Generator, n_resamples: int = 1000
) -> NegativeQuery:
    """Measure rankings of a corpus as answers to the query "not this category".

    Parameters
    ----------
    scores : scores (n_images,) by the name of the ranking, as `query_scores` gives; images are ranked from the highest
        to the lowest, NaN last, equal ones together. The others are compared with the first.
    wanted : (n_images,) bool, the images that are *not* of the category.
    rng : draws the images of the resamples, with replacement, the same for all rankings. Resamples in which one kind is
        missing are left out.

    Raises
    ------
    ValueError : no scores, scores of another shape, wanted not bool or all the same.
    """
    wanted, n = np.asarray(wanted), np.size(wanted)
    if wanted.dtype != bool or wanted.ndim != 1 or wanted.all() or not wanted.any():
        raise ValueError(
            f"wanted must be (n_images,) bool with both kinds of images; got {wanted.dtype}, {wanted.sum():g} of {n} "
            "true. A query can only be judged where the corpus holds images of the category and others."
        )
    for name, values in scores.items():
        if np.shape(values) != (n,):
            raise ValueError(f"scores of {name!r} must be ({n},), as wanted; got shape {np.shape(values)}.")
    if not scores:
        raise ValueError("scores must hold a ranking or more; got none.")
    weights = inference.bootstrap_counts(n, n_resamples, rng).astype(np.float64)
    weights = weights[(weights @ wanted > 0) & (weights @ ~wanted > 0)]
    weights = np.vstack([np.ones(n), weights])  # the first row: the images themselves
    found = [_measures(np.asarray(values, float), wanted, weights) for values in scores.values()]
    auc, precision, reverse, roc, pr = (
        np.stack(part) for part in zip(*found, strict=True)
    )  # (R, 1 + n_resamples, ...)
    gain = auc[0] - auc
    return NegativeQuery(
        tuple(scores), auc[:, 0], _band(auc), precision[:, 0], _band(precision), reverse[:, 0], _band(reverse),
        gain[:, 0], _band(gain), _two_sided(gain[:, 1:]), roc[:, 0], _band(roc), pr[:, 0], _band(pr),
        n, int(wanted.sum()),
    )  # fmt: skip


def roc_area(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Chance that a wanted image scores above another one, ties half: the area under the ROC curve; NaN counts as
    lowest.

    NaN where ``wanted`` (n_images,) bool is all the same, or every score is NaN. Raises ValueError for another
    ``wanted``.
    """
    scores, wanted = np.asarray(scores, dtype=np.float64), np.asarray(wanted)
    if wanted.dtype != bool or wanted.shape != scores.shape:
        raise ValueError(f"wanted must be {scores.shape} bool, as scores; got {wanted.dtype}, {wanted.shape}.")
    if np.isnan(scores).all():
        return float("nan")
    ranks = stats.rankdata(np.where(np.isnan(scores), -np.inf, scores))
    n_wanted, n_other = np.count_nonzero(wanted), np.count_nonzero(~wanted)
    if not n_wanted or not n_other:
        return float("nan")
    return float((ranks[wanted].sum() - n_wanted * (n_wanted + 1) / 2) / (n_wanted * n_other))


def _measures(score: np.ndarray, wanted: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Area, average precision, average precision of the reverse, ROC and precision curves, for each row of weights."""
    undefined, score = np.isnan(score).all(), np.where(np.isnan(score), -np.inf, score)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # equal scores come together
    parts = []
    for some in np.array_split(weights[:, order], max(1, weights.size // 2_000_000)):
        hits, alarms = (np.cumsum(some * kind[order], axis=1)[:, ends] for kind in (wanted, ~wanted))
        parts.append(_from_counts(hits, alarms))
    measures = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return tuple(np.full_like(measure, np.nan) for measure in measures) if undefined else measures


def _from_counts(hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, ...]:
    """Measures from the numbers of wanted and other images at or above each threshold, (n_resamples, n_thresholds)."""
    zero = np.zeros((len(hits), 1))
    hits, alarms = np.hstack([zero, hits]), np.hstack([zero, alarms])
    hit, alarm = hits / hits[:, -1:], alarms / alarms[:, -1:]
    auc = np.trapezoid(hit, alarm, axis=1)
    precision = hits[:, 1:] / np.maximum(hits[:, 1:] + alarms[:, 1:], 1)
    average = (np.diff(hit, axis=1) * precision).sum(axis=1)
    rest = alarms[:, -1:] - alarms[:, :-1]  # of the other kind, from each threshold down
    reverse = (np.diff(alarm, axis=1) * rest / np.maximum(rest + hits[:, -1:] - hits[:, :-1], 1)).sum(axis=1)
    roc = np.stack([np.interp(GRID, x, y) for x, y in zip(alarm, hit, strict=True)])
    at = np.stack([np.searchsorted(x[1:], GRID - 1e-12) for x in hit])
    return auc, average, reverse, roc, np.take_along_axis(precision, np.minimum(at, precision.shape[1] - 1), axis=1)


def _band(values: np.ndarray) -> np.ndarray:
    """95 % percentile interval (2, R, ...) over the resamples, (R, 1 + n_resamples, ...), without the first."""
    if values.shape[1] < 2:
        return np.full((2, len(values), *values.shape[2:]), np.nan)
    return np.quantile(values[:, 1:], [0.025, 0.975], axis=1)


def _two_sided(differences: np.ndarray) -> np.ndarray:
    """Two-sided bootstrap p of each row (R, n_resamples) of differences; 1 for a ranking compared with itself."""
    return inference._two_sided_p(differences.T)
