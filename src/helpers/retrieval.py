"""The negative query: rank images so that those *not* in a category come first.

The category's ghost features are one way to score images for it; obvious alternatives
are scored too, and all rankings are measured in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from scipy import optimize, stats

from helpers import checks, data, rsa, sparsity

RANKINGS = (
    "ghosts",  # mean activation of the category's ghost features
    "ghosts, share of activity",  # their sum over the sum of all features
    "distance from the mean",  # 1 - r with the category's mean embedding
    "distance, lowest-PoZ fifth",  # the same in the features that fire most often
    "activity of all nodes",  # mean activation, which knows nothing of the category
    "random order",
)
"""Rankings that `query_scores` gives, the paper's first."""

Z = float(stats.norm.ppf(0.975))

GRID = np.linspace(0, 1, 101)
"""False alarm rates at which `roc_curve` is given."""


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
    scores: Mapping[str, np.ndarray], wanted: np.ndarray
) -> pd.DataFrame:
    """Measure rankings of a corpus as answers to the query "not this category".

    ``scores`` has, by name of the ranking, (n_images,) as `query_scores` gives;
    ``wanted`` (n_images,) bool marks the images that are *not* in the category. By
    measure and ranking: value with its 95 % interval over images, low and high, and p.
    The "area" is that under the ROC curve (`roc_area`, `area_interval`); the "gain" is
    the first ranking's area minus that of each (`delong`, `gain_test`). NaN for a
    ranking without a defined score. Raises ValueError as `delong`, or for no scores.
    """
    if not scores:
        raise ValueError("scores must name at least one ranking; got {}.")
    area, covariance = delong(np.array([*scores.values()], dtype=float), wanted)
    counts = np.count_nonzero(wanted), np.count_nonzero(~np.asarray(wanted))
    ends = np.array([area_interval(a, *counts) for a in area]).T
    low, high, p = gain_test(area[0] - area, gain_error(covariance), min(counts))
    parts = {
        "area": [area, *ends, np.full_like(area, np.nan)],
        "gain": [area[0] - area, low, high, p],
    }
    columns = ["value", "low", "high", "p"]
    frames = {
        name: pd.DataFrame(dict(zip(columns, part, strict=True)), list(scores))
        for name, part in parts.items()
    }
    return pd.concat(frames, names=["measure", "ranking"])


def gain_error(covariance: np.ndarray) -> np.ndarray:
    """Standard errors of the first area minus each, from the covariance of areas."""
    variance = covariance[0, 0] + np.diag(covariance) - 2 * covariance[0]
    return np.sqrt(np.maximum(variance, 0))


def gain_test(gain: np.ndarray, error: np.ndarray, n_few: int) -> np.ndarray:
    """Low, high and two-sided p, (3, n), of gains with standard errors, (n,) each.

    By Student's t with one degree of freedom less than there are images of the rarer
    kind, which carry most of the error. p is 1 for a ranking that is the first again.
    """
    half = stats.t.ppf(0.975, n_few - 1) * error
    scale = np.where(error < 1e-9, np.inf, error)
    p = 2 * stats.t.sf(np.abs(gain) / scale, n_few - 1)
    return np.array([gain - half, gain + half, p])


def placements(scores: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of other images below each wanted one, of wanted ones above each other one.

    Ties count half, and NaN as lowest. Both means are the area under the ROC curve.
    Raises ValueError where ``wanted`` (n_images,) is not bool or is all the same.
    """
    scores, wanted = checks.real("scores", scores), checks.as_array("wanted", wanted)
    if wanted.dtype != bool or wanted.shape != scores.shape or len(set(wanted)) < 2:
        got = f"{wanted.dtype}, {wanted.shape}, {np.count_nonzero(wanted)} true"
        raise ValueError(
            f"wanted must be {scores.shape} bool, not all the same; got {got}."
        )
    filled = np.nan_to_num(scores, nan=-np.inf)
    ranks, (one, other) = stats.rankdata(filled), (filled[wanted], filled[~wanted])
    below = (ranks[wanted] - stats.rankdata(one)) / len(other)
    above = 1 - (ranks[~wanted] - stats.rankdata(other)) / len(one)
    undefined = np.nan if np.isnan(scores).all() else 0.0
    return below + undefined, above + undefined


def roc_area(scores: np.ndarray, wanted: np.ndarray) -> float:
    """Area under the ROC curve: chance that a wanted image scores above another one.

    Conventions and errors as `placements`; NaN where every score is.
    """
    return float(placements(scores, wanted)[0].mean())


def delong(scores: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas (n_rankings,) under the ROC curves of scores (n_rankings, n_images), and
    their covariance over images (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44).

    Conventions and errors as `placements`; NaN covariance with one image of a kind.
    """
    pairs = zip(*(placements(row, wanted) for row in scores), strict=True)
    below, above = map(np.array, pairs)
    covariance = np.zeros((len(below), len(below)))
    for part in (below, above):
        centred, n = part - part.mean(axis=1, keepdims=True), part.shape[1]
        covariance += centred @ centred.T / (n * (n - 1) or np.nan)
    return below.mean(axis=1), covariance


def area_interval(area: float, m: int, n: int) -> tuple[float, float]:
    """95 % interval of an area under the ROC curve of ``m`` and ``n`` images.

    The areas from which it lies `Z` standard errors away (Newcombe 2006, Stat. Med. 25,
    559-573, method 5): within 0 and 1, and defined at both. Of the intervals tried in
    `pipeline.roc_simulation`, the one whose coverage holds with a few images. NaN for
    an undefined area.
    """
    pairs = (m + n) / 2 - 1

    def beyond(x: float) -> float:
        shape = 1 + pairs * (1 - x) / (2 - x) + pairs * x / (1 + x)
        return Z**2 * x * (1 - x) * shape / (m * n) - (x - area) ** 2

    if np.isnan(area):
        return np.nan, np.nan
    below, above = area * (1 - 1e-9), area + 1e-9 * (1 - area)  # 0 and 1 are roots
    low = optimize.brentq(beyond, 0, below) if area > 0 else 0.0
    return low, optimize.brentq(beyond, above, 1) if area < 1 else 1.0


def roc_curve(scores: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Hit rates at the false alarm rates of `GRID`; conventions as `placements`."""
    placements(scores, wanted)  # refuses what cannot be judged
    filled = np.nan_to_num(np.asarray(scores, float), nan=-np.inf)
    steps = np.append(np.unique(filled), np.inf)[::-1]
    hit, alarm = (
        1 - np.searchsorted(np.sort(filled[kind]), steps) / np.count_nonzero(kind)
        for kind in (wanted, ~np.asarray(wanted))
    )
    return np.interp(GRID, alarm, hit)


def in_words(table: pd.DataFrame, form: str) -> pd.Series:
    """Values with their intervals, columns value, low, high: "5.4 (2.0 to 8.0)"."""
    shown = table[["value", "low", "high"]].map(f"{{:{form}}}".format).astype(str)
    interval = " (" + shown["low"] + " to " + shown["high"] + ")"
    return shown["value"] + interval.where(table["low"] < table["high"], "")


def class_ghosts(
    embeddings: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Ghosts of every class, from half of its images, in every model of an ensemble.

    ``embeddings`` is (n_models, n_images, n_features) post-ReLU, with ``labels``
    (n_images,). By (model, class): count; dead, features that are zero for all images;
    ROC area of "not this class" by each of `RANKINGS` among the other halves, NaN
    without ghosts. Halves are drawn at random, the same for all models. Raises
    ValueError where labels have another shape or a class has only one image.
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
    rows = {}
    for (model, x), name in product(enumerate(embeddings), np.unique(labels)):
        members = x[defines & (labels == name)]
        scores = query_scores(members, x[~defines], rng)
        row = {k: roc_area(s, labels[~defines] != name) for k, s in scores.items()}
        row["count"] = len(sparsity.ghost_features(members))
        row["dead"] = len(sparsity.ghost_features(x))
        rows[model, name] = row
    return pd.DataFrame(rows).T.rename_axis(["model", "class"])
