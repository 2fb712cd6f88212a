"""How well similarities predict people's: bootstrap over images, random orders, nested
choice of a size.

All pairs of one image share what is peculiar to it, so the sample consists of images,
not pairs (Nili et al. 2014, PLoS Comput. Biol. 10:e1003553; Schuett et al. 2023, eLife
12:e82566). R2 is the squared Pearson correlation over pairs, blind to the sign of r.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import checks, rsa
from helpers.significance import (
    bootstrap_counts,
    calibrated_test,
    corrected_t,
    interval,
    jackknife_test,
    minus_last,
    simultaneous_test,
    two_factor_test,
    two_sided_p,
    weighted_r2,
)

_ROUNDING = 1e-12  # a difference of two R2 below this is rounding


# --------------------------------------------------------------- checked and prepared
@dataclass(frozen=True, eq=False)
class Prepared:
    """Checked input of an analysis, from `prepare`; similarities are computed once."""

    embeddings: np.ndarray  # (n_images, n_features) float64
    order: np.ndarray  # (n_features,) features, first inserted first
    human: np.ndarray  # (n_pairs,) judged similarities, NaN where missing
    sizes: np.ndarray  # (n_sizes,) numbers of inserted features
    similarity: str  # method of `helpers.rsa.similarity_matrix`

    @cached_property
    def judged(self) -> np.ndarray:
        """Is the pair judged? (n_pairs,) bool."""
        return np.isfinite(self.human)

    @cached_property
    def similarities(self) -> np.ndarray:
        """Those of judged pairs, (n_sizes + 1, n_judged), with all features in the last
        row; all NaN at a size at which any image is undefined.
        """
        sizes = np.append(self.sizes, len(self.order))
        sizes, rows = np.unique(sizes, return_inverse=True)
        x, order = self.embeddings, self.order
        partial = rsa.partial_similarities(x, order, sizes, self.similarity)
        partial[np.isnan(partial).any(axis=1)] = np.nan
        return partial[rows][:, self.judged]

    def weighted_r2(self, counts: np.ndarray) -> np.ndarray:
        """`weighted_r2` at the sizes and, last, of all features."""
        i, j = np.stack(np.triu_indices(len(self.embeddings), 1))[:, self.judged]
        human = self.human[self.judged]
        return weighted_r2(self.similarities, human, counts, i, j)

    def order_r2(self, orders: Sequence[np.ndarray], engine: str = "auto"):
        """R2 at the sizes for each order of the features: (n_orders, n_sizes)."""
        x, settings = self.embeddings, (self.sizes, self.similarity, engine)
        return rsa.order_curves(x, orders, self.human, *settings)


def prepare(
    embeddings: np.ndarray,
    order: np.ndarray,
    human: np.ndarray,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
) -> Prepared:
    """Check the input of an analysis once, for every function that takes a `Prepared`.

    Raises ValueError for any invalid argument.

    Parameters
    ----------
    embeddings : (n_images, n_features), finite, at least 4 images.
    order : (n_features,) features, first inserted first.
    human : (n_images, n_images) or its upper triangle (n_pairs,). NaN pairs are dropped
        from all sizes and counted.
    sizes : increasing numbers of inserted features, default `spaced_sizes`. The full
        embedding need not be among them. Memory: n_sizes * n_pairs * 32 bytes.
    similarity : as `helpers.rsa.similarity_matrix`.
    """
    x = checks.in_range(checks.embeddings(embeddings, min_images=4))
    order = checks.order(order, x.shape[1])
    sizes = spaced_sizes(x.shape[1]) if sizes is None else sizes
    sizes = checks.sizes(sizes, x.shape[1])
    checks.choice("similarity", similarity, rsa.SIMILARITIES)
    return Prepared(x, order, _human_pairs(human, len(x)), sizes, similarity)


def _human_pairs(human: np.ndarray, n_images: int) -> np.ndarray:
    """Judgments (n_pairs,), NaN where missing."""
    pairs = checks.reference(human, n_images, "human", may_miss=True)
    judged = pairs[np.isfinite(pairs)]
    if len(judged) < 3 or np.ptp(judged) <= _ROUNDING * np.abs(judged).max():
        raise ValueError(
            "human must hold at least 3 judged pairs that are not all equal; "
            f"got {len(judged)} judged pairs."
        )
    return pairs


def spaced_sizes(n_features: int, n_sizes: int = 200) -> np.ndarray:
    """At most ``n_sizes`` evenly spaced sizes up to ``n_features``: (n_sizes,) int."""
    checks.at_least("n_features", n_features, 1)
    checks.at_least("n_sizes", n_sizes, 1)
    steps = np.arange(1, n_sizes + 1) * n_features / n_sizes
    return np.unique(np.ceil(steps).astype(int))


# -------------------------------------------------------------------------- bootstrap
def bootstrap_curve(
    given: Prepared,
    n_resamples: int = 1000,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Insertion curve against human judgments, bootstrapped over images.

    The population is that of images; network, order and raters are held fixed. The
    percentile test is conservative where the noise of single pairs dominates, as a
    resample counts it three times. For the error rates of all tests, and the choice of
    the primary one, see `pipeline.simulation`.

    ``n_resamples`` is at least 2; the smallest p is 2 / (n_resamples + 1).

    Returns
    -------
    A row per size, with 95 % intervals: r2 with low and high; its ratio to the R2 of
    all features with ratio_low and ratio_high, formed within each resample; its
    difference from that R2 with difference_low, difference_high and p (percentile).
    calibrated_low, _high and _p are those of the difference by `calibrated_test`,
    calibrated_r2_low, calibrated_ratio_low, ... those of the others, jackknife_low, ...
    those of the difference by `jackknife_test`; all_low, all_high and all_p hold for it
    at all sizes at once. n_undefined resamples without R2 at a size where the sample
    has it are left out.

    Raises
    ------
    ValueError : n_resamples; full embedding or nearly all resamples without R2.
    """
    checks.at_least("n_resamples", n_resamples, 2)
    n = len(given.embeddings)
    observed = given.weighted_r2(np.ones((1, n)))[0]
    if np.isnan(observed[-1]):
        size = np.array([len(given.order)])
        images = rsa.undefined_items(given.embeddings, size, given.similarity)
        raise ValueError(
            "the R2 of all features is undefined; remove the images that activate no "
            f"feature: {np.flatnonzero(images).tolist()}."
        )
    resampled = given.weighted_r2(bootstrap_counts(n, n_resamples, rng))
    usable = resampled[np.isfinite(resampled[:, np.isfinite(observed)]).all(axis=1)]
    if len(usable) < 2:
        raise ValueError("too few images or judged pairs: resamples have no R2.")
    left_out = given.weighted_r2(1 - np.eye(n))
    curve = pd.DataFrame(index=pd.Index(given.sizes, name="size"))
    r2 = operator.itemgetter((..., slice(-1)))
    for name, of in {"r2": r2, "ratio": _to_last, "difference": minus_last}.items():
        value, drawn, without = of(observed), of(usable), of(left_out)
        prefix = "" if name == "r2" else f"{name}_"
        curve[name] = value
        curve[[f"{prefix}low", f"{prefix}high"]] = interval(drawn).T
        calibrated = calibrated_test(value, drawn, without)
        prefix = "" if name == "difference" else f"{name}_"
        columns = [f"calibrated_{prefix}{end}" for end in ("low", "high", "p")]
        curve[columns] = calibrated
    curve["p"] = two_sided_p(drawn)
    columns = [f"jackknife_{end}" for end in ("low", "high", "p")]
    curve[columns] = jackknife_test(value, without)
    curve[["all_low", "all_high", "all_p"]] = simultaneous_test(value, drawn)
    curve = curve.drop(columns=["calibrated_r2_p", "calibrated_ratio_p"])
    return curve.assign(n_undefined=n_resamples - len(usable))


def _to_last(r2: np.ndarray) -> np.ndarray:
    """R2 (..., n_sizes + 1) divided by the last; NaN where that is 0."""
    return 1 + minus_last(r2) / np.where(r2[..., -1:] > _ROUNDING, r2[..., -1:], np.nan)


def two_factor(
    given: Prepared,
    raters: np.ndarray,
    n_resamples: int = 1000,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Differences from the R2 of all features, for new images *and* new raters.

    R2 is that with the mean of ``raters`` (n_raters, n_pairs), at least 3 and finite,
    who all judged every pair; ``given.human`` is not used.

    Returns
    -------
    A row per size: difference and ratio, as in `bootstrap_curve`; low, high and p of
    the one, ratio_low and ratio_high by `two_factor_test`; and the difference's
    standard errors over images, raters and both by the bootstrap over each.
    """
    n, m = len(given.embeddings), len(raters)
    checks.at_least("number of raters", m, 3)
    average = raters.mean(axis=0)
    x = replace(given, human=average).similarities
    pairs, one = np.triu_indices(n, 1), np.ones((1, n))
    images = bootstrap_counts(n, n_resamples, rng)
    averages = bootstrap_counts(m, n_resamples, rng) @ raters / m
    draws = (
        (average, images),
        (averages, one.repeat(n_resamples, 0)),
        (averages, images),
    )
    observed, *resampled = (
        weighted_r2(x, *d, *pairs) for d in [(average, one), *draws]
    )
    table = pd.DataFrame(index=pd.Index(given.sizes, name="size"))
    for name, of in {"ratio_": _to_last, "": minus_last}.items():
        value = of(observed)[0]
        variances = np.stack([of(r2).var(axis=0, ddof=1) for r2 in resampled])
        table[name.removesuffix("_") or "difference"] = value
        columns = [f"{name}{end}" for end in ("low", "high", "p")]
        table[columns] = two_factor_test(value, variances, n, m)
    table[["images", "raters", "both"]] = np.sqrt(variances.T)
    return table.drop(columns="ratio_p")


# ---------------------------------------------------------------------- random orders
def random_order_null(
    given: Prepared,
    n_orders: int = 1000,
    *,
    rng: np.random.Generator,
    engine: str = "auto",
) -> tuple[pd.DataFrame, np.ndarray]:
    """Does the order predict better than chance? R2 among random orders, at each size.

    It says nothing about other images: the population is that of orders. ``engine`` is
    as in `helpers.rsa.insertion_curve`. Raises ValueError for n_orders below 1.

    Returns
    -------
    A row per size: r2 in the given order; low and high, between which 95 % of random
    orders lie; percentile of random orders below (0..100, ties half); two-sided p,
    twice the share of orders on the rarer side, the given one included; n_undefined
    random orders without R2 (left out). R2 within 1e-9 is a tie. And R2 in random
    orders, (n_orders, n_sizes).
    """
    checks.at_least("n_orders", n_orders, 1)
    orders = [rng.permutation(len(given.order)) for _ in range(n_orders)]
    scores = given.order_r2([given.order, *orders], engine)
    r2, null = scores[0], scores[1:]
    above, below = (null > r2 + 1e-9).sum(axis=0), (null < r2 - 1e-9).sum(axis=0)
    n = np.isfinite(null).sum(axis=0)
    p = np.minimum(1, 2 * (1 + n - np.maximum(above, below)) / (1 + n))
    curve = pd.DataFrame({"r2": r2}, pd.Index(given.sizes, name="size"))
    curve[["low", "high"]] = interval(null).T
    curve["percentile"] = 50 * (1 + (below - above) / np.maximum(n, 1))
    curve["p"] = p
    curve.loc[np.isnan(r2) | (n == 0), ["percentile", "p"]] = np.nan
    curve["n_undefined"] = n_orders - n
    return curve, null


# ---------------------------------------------------------------------- nested choice
def nested_choice(
    given: Prepared,
    n_folds: int = 3,
    n_repeats: int = 20,
    *,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Choose the size with the highest R2 on some images, score it on others.

    Each repeat deals the images into folds. The size is chosen on the pairs among
    training images and scored, beside the full embedding, on those among held-out
    images; so folds should be few and large. The interval shrinks to 0, and is not to
    be trusted, where most splits choose the full embedding.

    Parameters
    ----------
    given : sizes at which an image is undefined are not candidates; of equals, the
        smallest is chosen.
    n_folds, n_repeats : at least 2 folds of at least 4 images; at least 1 repeat.

    Returns
    -------
    A row per split: the chosen size, its train_r2 where it was chosen, its R2 held_out,
    and full, that of all features on the held-out images; and, (4,), the mean of
    held_out - full where both are defined, its interval's ends and two-sided p.

    Raises
    ------
    ValueError : bad n_folds or n_repeats; no candidate size.
    """
    checks.at_least("n_repeats", n_repeats, 1)
    n = len(given.embeddings)
    if not 2 <= n_folds <= n // 4:
        raise ValueError(
            f"n_folds must lie in 2..{n // 4}, so that each holds 4 of {n} images; "
            f"got {n_folds}."
        )
    fold = rng.permuted(np.tile(np.arange(n) % n_folds, (n_repeats, 1)), axis=1)
    held_out = (fold[:, None] == np.arange(n_folds)[:, None]).reshape(-1, n)
    splits = _choose(given, held_out)
    gain = (splits["held_out"] - splits["full"]).dropna()
    return splits, corrected_t(gain.to_numpy(), 1 / (n_folds - 1))


def _choose(given: Prepared, held_out: np.ndarray) -> pd.DataFrame:
    """A row per split: chosen, train_r2, held_out, full."""
    train, test = given.weighted_r2(~held_out), given.weighted_r2(held_out)
    candidates = np.where(np.isfinite(train[:, :-1]), train[:, :-1], -np.inf)
    best = candidates.max(axis=1, keepdims=True)
    if np.isneginf(best).any() or np.isnan(given.similarities[-1]).any():
        raise ValueError(
            "sizes must include one with a defined R2 on the training images, and R2 "
            "of the full embedding must be defined."
        )
    column = (candidates >= best - _ROUNDING).argmax(axis=1)
    split = np.arange(len(held_out))
    scores = {"train_r2": train[split, column], "held_out": test[split, column]}
    columns = {"chosen": given.sizes[column], **scores, "full": test[:, -1]}
    return pd.DataFrame(columns, pd.Index(split, name="split"))
