"""How well similarities predict people's: bootstrap over images, random orders, nested
choice of a size.

All pairs of one image share what is peculiar to it, so the sample consists of images,
not pairs (Nili et al. 2014, PLoS Comput. Biol. 10:e1003553; Schuett et al. 2023, eLife
12:e82566). R2 is the squared Pearson correlation over pairs, blind to the sign of r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import checks, rsa
from helpers.significance import (  # noqa: F401 - some are re-exported
    bootstrap_counts,
    calibrated_test,
    corrected_t,
    interval,
    minus_last,
    noise_ceiling,
    simultaneous_test,
    spearman_brown,
    split_half_reliability,
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


def _prepared(embeddings, order, human, sizes, similarity) -> Prepared:
    if not isinstance(embeddings, Prepared):
        return prepare(embeddings, order, human, sizes, similarity)
    if any(value is not None for value in (order, human, sizes)):
        raise ValueError("order, human and sizes must be left out beside a Prepared.")
    return embeddings


def spaced_sizes(n_features: int, n_sizes: int = 200) -> np.ndarray:
    """At most ``n_sizes`` evenly spaced sizes up to ``n_features``: (n_sizes,) int."""
    checks.at_least("n_features", n_features, 1)
    checks.at_least("n_sizes", n_sizes, 1)
    steps = np.arange(1, n_sizes + 1) * n_features / n_sizes
    return np.unique(np.ceil(steps).astype(int))


# -------------------------------------------------------------------------- bootstrap
def bootstrap_curve(
    embeddings: np.ndarray | Prepared,
    order: np.ndarray | None = None,
    human: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    n_resamples: int = 1000,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Insertion curve against human judgments, bootstrapped over images.

    The population is that of images; network, order and raters are held fixed. The
    percentile test is conservative, as a resample counts the noise of single pairs
    three times; the calibrated one is its sensitivity analysis. For the error rates of
    both see `pipeline.simulation`.

    Parameters
    ----------
    embeddings, order, human, sizes, similarity : as `prepare`, or only a `Prepared`.
    n_resamples : at least 2; the smallest p is 2 / (n_resamples + 1).

    Returns
    -------
    A row per size, with 95 % intervals: r2 with low and high; its ratio to the R2 of
    all features with ratio_low and ratio_high, formed within each resample; its
    difference from that R2 with difference_low, difference_high and p (percentile),
    calibrated_low, ..., and, over all sizes at once, all_low, all_high and all_p.
    n_undefined resamples without R2 at a size where the sample has it are left out.

    Raises
    ------
    ValueError : as `prepare`; full embedding or nearly all resamples without R2.
    """
    checks.at_least("n_resamples", n_resamples, 2)
    given = _prepared(embeddings, order, human, sizes, similarity)
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
    difference, differences = minus_last(observed), minus_last(usable)
    left_out = minus_last(given.weighted_r2(1 - np.eye(n)))
    full = np.where(usable[:, -1:] > _ROUNDING, usable[:, -1:], np.nan)
    curve = pd.DataFrame({"r2": observed[:-1]}, pd.Index(given.sizes, name="size"))
    curve[["low", "high"]] = interval(usable[:, :-1]).T
    curve["ratio"] = curve["r2"] / observed[-1]
    curve[["ratio_low", "ratio_high"]] = interval(usable[:, :-1] / full).T
    curve["difference"] = difference
    curve[["difference_low", "difference_high"]] = interval(differences).T
    curve["p"] = two_sided_p(differences)
    calibrated = calibrated_test(difference, differences, left_out)
    curve[["calibrated_low", "calibrated_high", "calibrated_p"]] = calibrated
    simultaneous = simultaneous_test(difference, differences)
    curve[["all_low", "all_high", "all_p"]] = simultaneous
    return curve.assign(n_undefined=n_resamples - len(usable))


# ---------------------------------------------------------------------- random orders
@dataclass(frozen=True, eq=False)
class RandomOrderNull:
    """R2 in a given order, among that in random orders; see `random_order_null`."""

    curve: pd.DataFrame  # a row per size
    null: np.ndarray  # (n_orders, n_sizes) R2 in random orders


def random_order_null(
    embeddings: np.ndarray | Prepared,
    human: np.ndarray | None = None,
    order: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    n_orders: int = 1000,
    similarity: str = "pearson",
    *,
    rng: np.random.Generator,
    engine: str = "auto",
) -> RandomOrderNull:
    """Does the order predict better than chance? R2 among random orders, at each size.

    It says nothing about other images: the population is that of orders. Arguments and
    errors as `bootstrap_curve`, ``engine`` as `helpers.rsa.insertion_curve`.

    Returns
    -------
    RandomOrderNull. ``curve`` has r2 in the given order; low and high, between which
    95 % of random orders lie; percentile of random orders below (0..100, ties half);
    two-sided p, twice the share of orders on the rarer side, the given one included;
    n_undefined random orders without R2 (left out). R2 within 1e-9 is a tie.
    """
    checks.at_least("n_orders", n_orders, 1)
    given = _prepared(embeddings, order, human, sizes, similarity)
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
    return RandomOrderNull(curve, null)


# ---------------------------------------------------------------------- nested choice
def nested_choice(
    embeddings: np.ndarray | Prepared,
    order: np.ndarray | None = None,
    human: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    n_folds: int = 3,
    n_repeats: int = 20,
    similarity: str = "pearson",
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
    embeddings, order, human, sizes, similarity : as `bootstrap_curve`. Sizes at which
        an image is undefined are not candidates; of equals, the smallest is chosen.
    n_folds, n_repeats : at least 2 folds of at least 4 images; at least 1 repeat.

    Returns
    -------
    A row per split: the chosen size, its train_r2 where it was chosen, its R2 held_out,
    and full, that of all features on the held-out images; and, (4,), the mean of
    held_out - full where both are defined, its interval's ends and two-sided p.

    Raises
    ------
    ValueError : as `bootstrap_curve`; bad n_folds or n_repeats; no candidate size.
    """
    checks.at_least("n_repeats", n_repeats, 1)
    given = _prepared(embeddings, order, human, sizes, similarity)
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
