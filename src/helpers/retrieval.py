"""The negative query: rank images so that those *not* in a category come first.

The category's ghost features are one way to score images for it; obvious alternatives
are scored too, and all rankings are measured in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from helpers import checks, data, rsa, significance, sparsity

RANKINGS = (
    "ghosts",  # mean activation of the category's ghost features
    "ghosts, share of activity",  # their sum over the sum of all features
    "distance from the mean",  # 1 - r with the category's mean embedding
    "distance, lowest-PoZ fifth",  # the same in the features that fire most often
    "activity of all nodes",  # mean activation, which knows nothing of the category
    "random order",
)
"""Rankings that `query_scores` gives, the paper's first."""

MEASURES = ("area", "precision", "reverse", "gain")
"""ROC area; average precision; average precision of the category itself when the
ranking is reversed; ROC area of the first ranking minus that of each."""

CURVES = ("ROC", "precision")
"""Hit rate at each false alarm rate; precision at each recall."""

GRID = np.linspace(0, 1, 101)
"""False alarm rates and recalls at which the curves are given."""


@dataclass(frozen=True, eq=False)
class NegativeQuery:
    """How well rankings answer the query; NaN for a ranking without a defined score.

    ``low`` and ``high`` enclose 95 % of bootstrap resamples of the images.
    """

    # by measure of `MEASURES` and ranking: value, low, high, chance (of a random order;
    # NaN for the gain) and p (two-sided, that there is no gain; else NaN)
    measures: pd.DataFrame
    curves: (
        pd.DataFrame
    )  # by curve of `CURVES`, ranking and x of `GRID`: value, low, high


def query_scores(
    category: np.ndarray, corpus: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Scores (n_corpus,) by each of `RANKINGS`, high for images unlike the category.

    ``category`` and ``corpus`` are (n_images, n_features) post-ReLU, of other images.
    A score that is undefined (no ghosts, a constant embedding) is NaN. Raises
    ValueError for bad embeddings or different numbers of features.
    """
    category = checks.embeddings(category, post_relu=True, name="category")
    corpus = checks.embeddings(corpus, post_relu=True, name="corpus")
    if category.shape[1] != corpus.shape[1]:
        n_features, got = category.shape[1], corpus.shape[1]
        raise ValueError(
            f"corpus must have the category's {n_features} features; got {got}."
        )
    poz = sparsity.percentage_of_zeros(category)
    often = sparsity.poz_order(poz)[: max(2, len(poz) // 5)]
    mean, ghosts = checks.in_range(category).mean(axis=0), corpus[:, poz == 1]
    n_ghosts = np.full(len(corpus), ghosts.shape[1])
    scores = (
        _ratio(ghosts.sum(axis=1), n_ghosts),
        _ratio(ghosts.sum(axis=1), corpus.sum(axis=1)),
        _distance(corpus, mean),
        _distance(corpus[:, often], mean[often]),
        corpus.mean(axis=1),
        rng.permutation(len(corpus)).astype(float),
    )
    return dict(zip(RANKINGS, scores, strict=True))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise ratio, NaN where the denominator is 0."""
    undefined = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _distance(x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """1 - Pearson's r of each row with ``centre``, NaN where either is constant."""
    return 1 - rsa.unit_rows(x) @ rsa.unit_rows(centre[None])[0]


def negative_query(
    scores: Mapping[str, np.ndarray],
    wanted: np.ndarray,
    rng: np.random.Generator,
    n_resamples: int = 1000,
) -> NegativeQuery:
    """Measure rankings of a corpus as answers to the query "not this category".

    Parameters
    ----------
    scores : by name of the ranking, (n_images,) as `query_scores` gives; ranked from
        high to low, NaN last, ties together. The gain is that of the first ranking.
    wanted : (n_images,) bool, the images that are *not* in the category.
    rng : draws the resamples of the images, the same ones for all rankings. Resamples
        with only one kind of image are left out.

    Raises
    ------
    ValueError : no scores, scores of another shape, wanted not bool or all the same.
    """
    wanted = np.asarray(wanted)
    _check_query(scores, wanted)
    weights = significance.bootstrap_counts(len(wanted), n_resamples, rng).astype(float)
    weights = weights[(weights @ wanted > 0) & (weights @ ~wanted > 0)]
    weights = np.vstack([np.ones(len(wanted)), weights])  # first the images as they are
    parts = [_measure(np.asarray(s, float), wanted, weights) for s in scores.values()]
    area, precision, reverse, roc, pr = map(np.stack, zip(*parts, strict=True))
    gain = area[0] - area
    values = np.stack([area, precision, reverse, gain])
    measures = _summary(values, measure=MEASURES, ranking=list(scores))
    chance = {"area": 0.5, "precision": wanted.mean(), "reverse": 1 - wanted.mean()}
    measures["chance"] = measures.index.get_level_values("measure").map(chance)
    measures.loc["gain", "p"] = significance.two_sided_p(gain[:, 1:].T)
    values = np.stack([roc, pr]).swapaxes(2, 3)
    curves = _summary(values, curve=CURVES, ranking=list(scores), x=GRID)
    return NegativeQuery(measures, curves)


def _check_query(scores: Mapping[str, np.ndarray], wanted: np.ndarray) -> None:
    if wanted.dtype != bool or wanted.ndim != 1 or len(set(wanted)) < 2:
        got = f"{wanted.dtype}, {np.count_nonzero(wanted)} of {wanted.size} true"
        raise ValueError(
            f"wanted must be (n_images,) bool, not all the same; got {got}."
        )
    shapes = {name: np.shape(values) for name, values in scores.items()}
    if set(shapes.values()) != {wanted.shape}:
        raise ValueError(
            f"scores must each be {wanted.shape}, as wanted; got {shapes}."
        )


def _summary(values: np.ndarray, **levels) -> pd.DataFrame:
    """Values observed, first along the last axis, with 95 % intervals of the rest."""
    band = np.full((2, *values.shape[:-1]), np.nan)
    if values.shape[-1] > 1:
        band = np.quantile(values[..., 1:], [0.025, 0.975], axis=-1)
    columns = np.stack([values[..., 0], *band], axis=-1).reshape(-1, 3)
    rows = pd.MultiIndex.from_product(levels.values(), names=levels.keys())
    return pd.DataFrame(columns, rows, ["value", "low", "high"])


def roc_area(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Area under the ROC curve: chance that a wanted image scores above another one.

    Ties count half, and NaN as lowest. NaN where ``wanted`` (n_images,) bool is all the
    same, or every score is NaN. Raises ValueError for a bad ``wanted``.
    """
    scores, wanted = checks.real("scores", scores), checks.as_array("wanted", wanted)
    if wanted.dtype != bool or wanted.shape != scores.shape:
        got = f"{wanted.dtype}, {wanted.shape}"
        raise ValueError(f"wanted must be {scores.shape} bool, as scores; got {got}.")
    n_pairs = np.count_nonzero(wanted) * np.count_nonzero(~wanted)
    if np.isnan(scores).all() or not n_pairs:
        return float("nan")
    ranks = stats.rankdata(np.nan_to_num(scores, nan=-np.inf))[wanted]
    return float((ranks.sum() - len(ranks) * (len(ranks) + 1) / 2) / n_pairs)


def _measure(
    score: np.ndarray, wanted: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Area, average precision, that of the reverse, ROC and precision curves.

    One of each per row of ``weights`` (n_resamples, n_images): how often images count.
    """
    undefined, score = np.isnan(score).all(), np.where(np.isnan(score), -np.inf, score)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # ties together
    parts = []
    for block in np.array_split(weights[:, order], max(1, weights.size // 2_000_000)):
        hits = np.cumsum(block * wanted[order], axis=1)[:, ends]
        alarms = np.cumsum(block * ~wanted[order], axis=1)[:, ends]
        parts.append(_from_counts(hits, alarms))
    measures = tuple(map(np.concatenate, zip(*parts, strict=True)))
    return tuple(np.full_like(m, np.nan) for m in measures) if undefined else measures


def _from_counts(hits: np.ndarray, alarms: np.ndarray) -> tuple[np.ndarray, ...]:
    """Measures from numbers of wanted and other images at or above each threshold.

    Both are (n_resamples, n_thresholds); curves come out as (n_resamples, len(GRID)).
    """
    zero = np.zeros((len(hits), 1))
    hits, alarms = np.hstack([zero, hits]), np.hstack([zero, alarms])
    hit, alarm = hits / hits[:, -1:], alarms / alarms[:, -1:]
    precision = hits[:, 1:] / np.maximum(hits[:, 1:] + alarms[:, 1:], 1)
    others_below = alarms[:, -1:] - alarms[:, :-1]
    wanted_below = hits[:, -1:] - hits[:, :-1]
    reverse = others_below / np.maximum(others_below + wanted_below, 1)
    reached = np.stack([np.searchsorted(x[1:], GRID - 1e-12) for x in hit])
    reached = np.minimum(reached, precision.shape[1] - 1)
    return (
        np.trapezoid(hit, alarm, axis=1),
        (np.diff(hit, axis=1) * precision).sum(axis=1),
        (np.diff(alarm, axis=1) * reverse).sum(axis=1),
        np.stack([np.interp(GRID, x, y) for x, y in zip(alarm, hit, strict=True)]),
        np.take_along_axis(precision, reached, axis=1),
    )


def in_words(table: pd.DataFrame, form: str) -> pd.Series:
    """Values with their intervals, columns value, low, high: "5.4 (2.0 to 8.0)"."""
    shown = table[["value", "low", "high"]].map(f"{{:{form}}}".format)
    interval = " (" + shown["low"] + " to " + shown["high"] + ")"
    return shown["value"] + interval.where(table["low"] < table["high"], "")


# ---------------------------------------------------------------- classes of a network
@dataclass(frozen=True, eq=False)
class ClassGhosts:
    """Ghosts of each class, from half of its images; NaN where it has none."""

    # by (model, class): count; expected, for as many random images; dead, features
    # that are zero for all images; ROC area of "not this class" by each of `RANKINGS`
    table: pd.DataFrame
    # activation on the ghosts of a class (row) by other images of a class (column), as
    # a share of all their activity, mean over models
    response: pd.DataFrame


def class_ghosts(
    embeddings: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> ClassGhosts:
    """Ghosts of every class in every model of an ensemble.

    ``embeddings`` is (n_models, n_images, n_features) post-ReLU, with ``labels``
    (n_images,). Halves are drawn at random, the same for all models. Raises ValueError
    where labels have another shape or a class has only one image.
    """
    embeddings = checks.as_array("embeddings", embeddings)
    labels = checks.as_array("labels", labels)
    if embeddings.ndim != 3 or labels.shape != embeddings.shape[1:2]:
        got = f"{labels.shape} for embeddings {embeddings.shape}"
        raise ValueError(f"labels must be one per image of each model; got {got}.")
    half = np.unique(labels, return_counts=True)[1].min() // 2
    checks.at_least("half of the smallest class", half, 1)
    defines = np.zeros(len(labels), bool)
    defines[data.stratified(labels, half, rng)] = True
    models = [_one_model(x, labels, defines, rng) for x in embeddings]
    tables, responses = zip(*models, strict=True)
    return ClassGhosts(
        pd.concat(dict(enumerate(tables)), names=["model"]),
        pd.concat(responses).groupby(level=0).mean(),
    )


def _one_model(
    x: np.ndarray, labels: np.ndarray, defines: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `ClassGhosts.table` for one model, and its responses (C, C)."""
    silent = (x == 0).sum(axis=0)
    n_dead = np.count_nonzero(silent == len(x))
    probe, probed = x[~defines], labels[~defines]
    sums = pd.DataFrame(probe).groupby(probed).sum()
    activity = sums.sum(axis=1).replace(0, np.nan)
    rows, response = {}, {}
    for name in sums.index:
        members = x[defines & (labels == name)]
        ghosts = sparsity.ghost_features(members)
        response[name] = sums[ghosts].sum(axis=1, min_count=1) / activity
        n = len(members)
        expected = stats.hypergeom.pmf(n, len(x), silent, n).sum()
        rows[name] = {"count": len(ghosts), "expected": expected, "dead": n_dead}
        for ranking, scores in query_scores(members, probe, rng).items():
            rows[name][ranking] = roc_area(scores, probed != name)
    return pd.DataFrame(rows).T.rename_axis("class"), pd.DataFrame(response).T
