"""Other features of the same layer to compare ghosts with.

Ghosts fire less than random features, and vary otherwise. Their controls are therefore
features that are not ghosts of the set but fire as often in the corpus, or vary as
much; and, to see whether foreignness is special to ghosts or graded, features that are
live but rare in the set.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from helpers import ghosts, retrieval
from pipeline import descriptions

N_COMPONENTS, N_TOP = 10, 20
STATISTICS = {
    "firing as often": lambda corpus: (corpus > 0).mean(axis=0),
    "varying as much": lambda corpus: corpus.var(axis=0),
}
CONTROLS = ("random features", *STATISTICS, "rare but live")
ENDS = np.array([0, -1, 1])
"""A value and the ends of its interval, in half widths."""
EDGES = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)
"""PoZ at which a grade of features ends and the next begins; from the last but one on
they are rare."""


def pools(
    control: str, poz: np.ndarray, corpus: np.ndarray
) -> list[tuple[np.ndarray, int]]:
    """Positions of features to draw from, and how many, for one of `CONTROLS`.

    ``poz`` (n_features,) is that in the set; ``corpus`` is (n_images, n_features).
    Together as many as there are ghosts. Random features come from all, the others from
    those that are not ghosts. Features with a like statistic are drawn within tenths of
    the ghosts' distribution of it, and all are taken where there are fewer.
    """
    silent = poz == 1
    if control == "random features":
        return [(np.arange(len(poz)), np.count_nonzero(silent))]
    if control == "rare but live":
        return [(np.flatnonzero((poz >= EDGES[-2]) & ~silent), silent.sum())]
    statistic = STATISTICS[control](corpus)
    ends = np.quantile(statistic[silent], np.linspace(0, 1, 11))
    inside = (statistic >= ends[0]) & (statistic <= ends[-1])
    tenths = np.where(inside, np.digitize(statistic, ends[1:-1]), -1)
    return [
        (np.flatnonzero((tenths == k) & ~silent), np.sum((tenths == k) & silent))
        for k in range(10)
    ]


def draw(pools: list[tuple[np.ndarray, int]], rng: np.random.Generator) -> np.ndarray:
    """Positions of features drawn from the pools, none twice, in ascending order."""
    parts = [rng.choice(x, min(n, len(x)), replace=False) for x, n in pools]
    return np.sort(np.concatenate(parts))


def n_labelled(enrichment: pd.DataFrame) -> int:
    """Components with an over-represented label (Holm, 5 %)."""
    return int((enrichment["adjusted_p"] < 0.05).groupby("component").any().sum())


def relative_share(top: np.ndarray, in_category: np.ndarray) -> float:
    """Share of a category among images over its share of all; 1 is chance.

    ``top`` holds positions in ``in_category`` (n_images,) bool. NaN for a category
    without images.
    """
    in_category = np.asarray(in_category, dtype=bool)
    share = in_category.mean()
    return float(in_category[top].mean() / share) if share else np.nan


def at_the_top(
    scores: np.ndarray, labels: np.ndarray, in_category: np.ndarray, n_top: int
) -> dict[str, float]:
    """What ghosts and other features are compared in: the number of "labelled
    components", and the "category at the top" (`relative_share`).

    Arguments as of `ghosts.label_enrichment` and `relative_share`.
    """
    return {
        "labelled components": n_labelled(
            ghosts.label_enrichment(scores, labels, n_top)
        ),
        "category at the top": relative_share(
            ghosts.top_images(scores, n_top), in_category
        ),
    }


def relative_response(
    activations: np.ndarray, in_category: np.ndarray
) -> tuple[float, float, float]:
    """Mean activation of features by a category's images over that by all others.

    ``activations`` is (n_images, n_features), ``in_category`` (n_images,) bool. The
    ratio with its 95 % interval over images: normal on the logarithm by the delta
    method, with Student's t for the images of the smaller kind. NaN where either mean
    is 0, interval NaN for one image of a kind.
    """
    strength = np.asarray(activations, float).mean(axis=1)
    parts = strength[in_category], strength[~np.asarray(in_category)]
    n, mean, variance = np.array([(len(x), x.mean(), x.var(ddof=1)) for x in parts]).T
    if not mean.all():
        return np.nan, np.nan, np.nan
    error = np.sqrt((variance / (n * mean**2)).sum())
    half = stats.t.ppf(0.975, n.min() - 1) * error
    return tuple(float(x) for x in np.exp(np.log(mean[0] / mean[1]) + half * ENDS))


def measures(
    activations: np.ndarray,
    labels: np.ndarray,
    in_category: np.ndarray,
    looks: pd.DataFrame | None = None,
) -> dict[str, float]:
    """What ghosts and controls are compared in: `at_the_top`, "response"
    (`relative_response`) and, of described images, `descriptions.summary`.

    ``activations`` is (n_images, n_features) on the features to be measured.
    """
    scores = ghosts.ghost_scores(activations, N_COMPONENTS).scores
    found = at_the_top(scores, labels, in_category, N_TOP)
    if in_category.any():
        found["response"] = relative_response(activations, in_category)[0]
    if looks is not None:
        found |= descriptions.summary(descriptions.compare(scores, looks, N_TOP))
    return found


def compare(
    poz: np.ndarray,
    corpus: np.ndarray,
    labels: np.ndarray,
    in_category: np.ndarray,
    rng: np.random.Generator,
    n_draws: int,
    looks: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """`measures` of ghosts and of draws of each of `CONTROLS`, by features and draw.

    A control without any feature has no rows.
    """
    about = labels, in_category, looks
    rows = {("ghosts", 0): measures(corpus[:, poz == 1], *about)}
    for control in CONTROLS:
        sources = pools(control, poz, corpus)
        there_are_some = any(len(positions) for positions, _ in sources)
        for k in range(n_draws if there_are_some else 0):
            rows[control, k] = measures(corpus[:, draw(sources, rng)], *about)
    return pd.DataFrame(rows).T.rename_axis(["features", "draw"])


def graded(
    poz: np.ndarray, corpus: np.ndarray, in_category: np.ndarray
) -> pd.DataFrame:
    """The category's response by PoZ in the set: n_features, value, low and high
    (`relative_response`), a row per grade from `EDGES`, the last for ghosts.
    """
    rows = {}
    for low, high in [*pairwise(EDGES), (1.0, 1.0)]:
        chosen = (poz == 1) if low == 1 else (poz >= low) & (poz < high)
        name = "1" if low == 1 else f"{low:g} to {high:g}"
        values = np.full(3, np.nan)
        if chosen.any() and in_category.any():
            values = relative_response(corpus[:, chosen], in_category)
        rows[name] = [np.count_nonzero(chosen), *values]
    columns = ["n_features", "value", "low", "high"]
    return pd.DataFrame(rows, columns).T.rename_axis("poz")


def query_areas(
    corpus: np.ndarray, n_features: int, wanted: np.ndarray, n_draws: int, rng
) -> pd.DataFrame:
    """ROC area of the query by the mean activation of random features, by draw.

    ``wanted`` as for `retrieval.negative_query`; columns value, low and high.
    """
    rows = []
    for _ in range(n_draws):
        drawn = rng.choice(corpus.shape[1], n_features, replace=False)
        query = {"random features": corpus[:, drawn].mean(axis=1)}
        rows.append(retrieval.negative_query(query, wanted).loc["area"].iloc[0])
    areas = pd.DataFrame(rows, index=pd.RangeIndex(n_draws, name="draw"))
    return areas[["value", "low", "high"]]
