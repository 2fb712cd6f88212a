"""What rarely-firing nodes do to the geometry of a reader's own network, and to its
prediction of judgments: the numbers of page 09 and of ``make report``.

PoZ is counted over all images. What grows with the square of the number of images uses
at most ``max_images`` of them, drawn at random. Rules, measures and intervals are those
of pages 03 and 07.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pandas as pd

from helpers import checks, inference, rsa, significance, sparsity
from pipeline import census, formats, interop, specification_tables, specifications

EFFECTS = (0.01, 0.02, 0.05)
"""Changes of R2 for which the number of images is worked out."""
POWER = 0.8
"""The chance with which that number suffices where there is no change."""
N_SIZES = 50
MIN_PAIRS = 20
"""Pairs that all raters judged, from which on their agreement is computed."""
PRIMARY = "R²"
KEPT_GEOMETRY = 0.95
"""R2 between pruned and full matrix above which geometry counts as kept, as in C6."""


@dataclass(frozen=True)
class Settings:
    """Of an analysis; see the parameters of page 09."""

    similarity: str = "pearson"
    max_images: int = 200
    n_resamples: int = 1000
    n_orders: int = 100
    n_repeats: int = 10
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Analysis:
    """Frames and numbers behind the page and the report. What is undefined is NaN."""

    settings: Settings
    zeros: census.Census
    images: np.ndarray  # (n_used,) those in everything but PoZ, ascending
    n_undefined: int  # images left out, as they have no similarity to any other
    raters: np.ndarray  # (n_raters, n_pairs) of the used images; empty: no judgments
    nodes: pd.DataFrame  # a row per node: poz, kind
    curves: pd.DataFrame  # order, share, value, low, high
    rules: pd.DataFrame  # a row per rule, similarity and comparator
    needed: pd.DataFrame  # rule, effect, images; empty without judgments
    two_factor: pd.DataFrame  # rule, similarity, change, low, high; empty if not known
    levels: pd.Series  # of all nodes: r, and, with raters, ceilings and reliability
    gain: np.ndarray  # (4,) of `inference.nested_choice`; NaN without judgments

    @property
    def has_reference(self) -> bool:
        """Are there judgments? If not, the reference is the network's own matrix."""
        return len(self.raters) > 0

    @property
    def main(self) -> pd.DataFrame:
        """The rules under the main similarity, compared by R2."""
        rules = self.rules[self.rules["comparator"] == PRIMARY]
        return rules[rules["similarity"] == self.settings.similarity]


def analyse(
    values, raters: np.ndarray | None = None, settings: Settings = Settings()
) -> Analysis:
    """Analyse one layer.

    Parameters
    ----------
    values : (n_images, n_nodes) post-ReLU, of `interop.as_activations`; may be mapped.
    raters : (n_raters, n_pairs) similarities, of `interop.as_reference`; None: compare
        with the network's own geometry.

    Raises
    ------
    formats.Refused : negative or undefined activations; too few images or judgments.
    ValueError : settings out of range.
    """
    checks.choice("similarity", settings.similarity, rsa.SIMILARITIES)
    zeros = census.count(values)
    rng = np.random.default_rng(settings.seed)
    images, n_undefined = choose_images(values, zeros, settings.max_images, rng)
    x = np.asarray(values[images], np.float64)
    raters = np.empty((0, 0)) if raters is None else of_images(raters, images, values)
    y = mean_rater(raters)
    curves, gain, given = insertion(x, zeros.poz, y, settings, rng)
    counts = significance.bootstrap_counts(len(x), settings.n_resamples, rng)
    rules = by_measure(x, zeros.poz, y, counts)
    kinds = pd.DataFrame({"poz": zeros.poz, "kind": zeros.kinds})
    made = Analysis(
        settings=settings,
        zeros=zeros,
        images=images,
        n_undefined=n_undefined,
        raters=raters,
        nodes=kinds.rename_axis("node").reset_index(),
        curves=curves,
        rules=verdicts(rules, y is not None),
        needed=pd.DataFrame(),
        two_factor=for_new_raters(x, zeros.poz, raters, settings, rng),
        levels=levels(given, raters, rng),
        gain=gain,
    )
    if y is None:
        return made
    return replace(made, needed=needed_images(made.main, len(x)))


# ----------------------------------------------------------------------------- images
def choose_images(
    values, zeros: census.Census, max_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """At most ``max_images`` images with a defined similarity, ascending, and how many
    of those looked at have none."""
    active = np.flatnonzero(zeros.n_active > 0)
    drawn = rng.choice(active, min(max_images, len(active)), replace=False)
    drawn = np.sort(drawn)
    flat = np.array([np.ptp(np.asarray(values[image])) == 0 for image in drawn], bool)
    if (~flat).sum() < interop.MIN_IMAGES:
        raise formats.Refused(
            f"activations of shape {values.shape} have {(~flat).sum()} images that "
            "differ between nodes; at least 4 are needed: give more images."
        )
    return drawn[~flat], len(zeros.silent_images) + int(flat.sum())


def of_images(raters: np.ndarray, images: np.ndarray, values) -> np.ndarray:
    """Judgments (n_raters, n_used_pairs) among the ``images``."""
    n = len(values)
    i, j = (images[side] for side in np.triu_indices(len(images), 1))
    pairs = i * n - i * (i + 1) // 2 + j - i - 1
    return raters[:, pairs]


def mean_rater(raters: np.ndarray) -> np.ndarray | None:
    """The mean over raters of each pair, NaN where nobody judged it."""
    if not len(raters):
        return None
    n_judged = np.isfinite(raters).sum(axis=0)
    return np.nansum(raters, axis=0) / np.where(n_judged, n_judged, np.nan)


# ----------------------------------------------------------------------------- curves
def insertion(x, poz, y, settings: Settings, rng):
    """Insertion curves by PoZ and in random orders, and the choice of a size.

    Returns the frame ``curves``, ``gain`` and the prepared input of the lowest-first
    order.
    """
    order, n = sparsity.poz_order(poz), x.shape[1]
    if y is None:
        y = rsa.upper_triangle(rsa.similarity_matrix(x, settings.similarity))
        settings = replace(settings, n_repeats=0)
    sizes = inference.spaced_sizes(n, N_SIZES)
    given = inference.prepare(x, order, y, sizes, settings.similarity)
    boot = inference.bootstrap_curve(given, n_resamples=settings.n_resamples, rng=rng)
    highest = replace(given, order=sparsity.poz_order(poz, highest_first=True))
    spread, null = inference.random_order_null(given, settings.n_orders, rng=rng)
    frames = {
        "lowest": boot.rename(columns={"r2": "value"}),
        "highest": pd.DataFrame({"value": highest.order_r2([highest.order])[0]}),
        "random": spread.assign(value=np.median(null, axis=0)),
    }
    columns = ["value", "low", "high"]
    parts = [
        frame.reindex(columns=columns).assign(order=name, share=sizes / n)
        for name, frame in frames.items()
    ]
    gain = np.full(4, np.nan)
    if settings.n_repeats and len(x) >= 12:
        gain = inference.nested_choice(given, n_repeats=settings.n_repeats, rng=rng)[1]
    return pd.concat(parts, ignore_index=True), gain, given


# ----------------------------------------------------------------------------- rules
def by_measure(x, poz, y, counts) -> pd.DataFrame:
    """Change of the prediction by each rule, under every similarity and comparator.

    ``y`` (n_pairs,), NaN where missing, or None for the network's own matrix under the
    same similarity. Columns: rule, kept, similarity, comparator, all, change, low,
    high, error (SD of the resamples), n_undefined (resamples left out).
    """
    order, kept = sparsity.poz_order(poz), sparsity.rules(poz)
    i, j = np.triu_indices(len(x), 1)
    weights = np.concatenate([np.ones((1, len(x)), int), counts])
    frames = []
    for method in specifications.SIMILARITIES:
        masks = [order[:k] for k in kept.values()] + [order]
        pairs = np.stack([pruned(x[:, mask], method)[i, j] for mask in masks])
        human = pairs[-1] if y is None else y
        judged = np.isfinite(human)
        for name, compare in specifications.RESAMPLED.items():
            given = pairs[:, judged], human[judged], weights, i[judged], j[judged]
            frame = changes(compare(*given)).assign(similarity=method, comparator=name)
            sizes, n = np.array(list(kept.values())), len(order)
            frames.append(frame.assign(rule=list(kept), kept=sizes, share=sizes / n))
    return pd.concat(frames, ignore_index=True)


def pruned(x: np.ndarray, method: str) -> np.ndarray:
    """`specifications.similarity`; all NaN where no node is left."""
    if not x.shape[1]:
        return np.full((len(x), len(x)), np.nan)
    return specifications.similarity(x, method)


def changes(scores: np.ndarray) -> pd.DataFrame:
    """Changes from the last column: of the sample (first row) and its resamples.

    A resample without a score where the sample has one is left out and counted.
    """
    change = significance.minus_last(scores)
    defined = np.isfinite(change[0])
    usable = change[1:][np.isfinite(change[1:, defined]).all(axis=1)]
    low, high = (
        significance.interval(usable) if len(usable) > 1 else change[:1] * np.nan
    )
    columns = {"all": scores[0, -1], "change": change[0], "low": low, "high": high}
    columns["error"] = usable.std(axis=0, ddof=1) if len(usable) > 1 else np.nan
    return pd.DataFrame(columns).assign(n_undefined=len(change) - 1 - len(usable))


def verdicts(rules: pd.DataFrame, has_reference: bool) -> pd.DataFrame:
    """With ``verdict``: of the prediction, as on page 07; of the geometry, whether R2
    with the full matrix is above or below `KEPT_GEOMETRY`."""
    rules = specification_tables.with_verdicts(rules)
    if has_reference:
        return rules
    low, high = rules["all"] + rules["low"], rules["all"] + rules["high"]
    clear = [rules["change"].isna(), low >= KEPT_GEOMETRY, high < KEPT_GEOMETRY]
    names = ["undefined", "keeps the geometry", "changes the geometry"]
    return rules.assign(verdict=np.select(clear, names, "undecided"))


def needed_images(main: pd.DataFrame, n_images: int) -> pd.DataFrame:
    """Images with which the interval of a change excludes an effect of a given size.

    If a rule changes nothing, the 95 % interval from n images lies within -effect to
    effect with the chance `POWER` when (z_0.975 + z_((1 + POWER) / 2)) * SE(n) =
    effect. SE falls as 1 / sqrt(n); the resampled SE counts the noise of single pairs
    three times, so n is rather too large. NaN where a rule drops nothing or is
    undefined.
    """
    z = NormalDist().inv_cdf
    factor = z(0.975) + z((1 + POWER) / 2)
    rows = []
    for _, row in main.iterrows():
        error = row["error"] if row["error"] > 0 else np.nan
        for effect in EFFECTS:
            n = np.ceil(n_images * (factor * error / effect) ** 2)
            rows.append({"rule": row["rule"], "effect": effect, "images": n})
    return pd.DataFrame(rows)


# ----------------------------------------------------------------------------- levels
def levels(given: inference.Prepared, raters: np.ndarray, rng) -> pd.Series:
    """Of all nodes: the correlation r of the network's similarities with judgments;
    with several raters, bounds of the noise ceiling and the reliability of the mean,
    unless too few pairs were judged by all of them."""
    human = given.human[given.judged]
    found = {"r": np.corrcoef(given.similarities[-1], human)[0, 1]}
    n_common = np.isfinite(raters).all(axis=0).sum() if len(raters) > 1 else 0
    if n_common >= MIN_PAIRS:
        low, high = significance.noise_ceiling(raters)
        reliability = significance.split_half_reliability(raters, rng=rng)
        found |= {"ceiling_low": low, "ceiling_high": high, "reliability": reliability}
    return pd.Series(found)


def for_new_raters(x, poz, raters, settings: Settings, rng) -> pd.DataFrame:
    """Changes in R2 for new images and new raters, under each similarity.

    Empty unless three or more raters judged every pair.
    """
    if len(raters) < 3 or not np.isfinite(raters).all():
        return pd.DataFrame()
    order, kept = sparsity.poz_order(poz), sparsity.rules(poz)
    sizes = np.unique([k for k in kept.values() if k])
    frames = []
    for method in rsa.SIMILARITIES:
        given = inference.prepare(x, order, raters.mean(axis=0), sizes, method)
        table = inference.two_factor(given, raters, settings.n_resamples, rng=rng)
        rows = table.rename(columns={"difference": "change"}).reindex(kept.values())
        frames.append(rows.assign(rule=list(kept), similarity=method))
    return pd.concat(frames).rename_axis("kept").reset_index()


def disagreements(analysis: Analysis) -> pd.DataFrame:
    """Verdicts of each rule, and how many measures give each: a row per rule."""
    rules = analysis.rules
    table = pd.crosstab(rules["rule"], rules["verdict"])
    return table.reindex(index=list(dict.fromkeys(rules["rule"])))
