"""Inference for predictions of human similarity: bootstrap bands, order null, nested choice of a size.

The unit of inference is the image, not the pair: all pairs of one image share its idiosyncrasies. Images are resampled
with replacement and pairs of an image with itself are dropped (Nili et al. 2014, PLoS Comput. Biol. 10:e1003553;
Schuett et al. 2023, eLife 12:e82566). That equals weighting pair (i, j), i < j, by w_i * w_j with w the number of times
an image was drawn, so weighted moments of all resamples and all sizes come out of matrix products; subsets of images
(folds) are weights of 0 and 1. R2 is the squared Pearson correlation over pairs throughout, and so blind to the sign of
r.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers import checks, parallel, rsa

_ROWS, _COLUMNS = 256, 256  # resamples and sizes worked on at a time: 256 x 7140 pair weights are 15 MB
_ROUNDING = 1e-12  # a difference of two R2 below this is rounding


@dataclass(frozen=True)
class BootstrapCurve:
    """Paired stimulus bootstrap of an insertion curve; bands are (2, n_sizes), low and high; see `bootstrap_curve`.

    ``r2``, ``full_r2`` observed; ``resampled`` (n_resamples, n_sizes) and ``resampled_full`` (n_resamples,); ``band``
    pointwise for the curve; ``difference`` (n_sizes,) R2 minus the full embedding's, with its pointwise
    ``difference_band`` and two-sided ``p``, and over all sizes at once ``simultaneous_band`` and ``adjusted_p``;
    ``calibrated_error`` (n_sizes,) its standard error with pair noise counted once, ``calibrated_band`` and
    ``calibrated_p`` by it.
    ``n_undefined`` (n_sizes,) images without a defined similarity (R2 is NaN there), ``n_missing_pairs`` human
    judgments that are NaN (dropped), ``n_undefined_resamples`` resamples without a defined R2 at some size (dropped).
    """

    sizes: np.ndarray
    r2: np.ndarray
    full_r2: float
    resampled: np.ndarray
    resampled_full: np.ndarray
    band: np.ndarray
    difference: np.ndarray
    difference_band: np.ndarray
    p: np.ndarray
    simultaneous_band: np.ndarray
    adjusted_p: np.ndarray
    calibrated_error: np.ndarray
    calibrated_band: np.ndarray
    calibrated_p: np.ndarray
    level: float
    n_undefined: np.ndarray
    n_missing_pairs: int
    n_undefined_resamples: int


@dataclass(frozen=True)
class RandomOrderNull:
    """R2 in a given order, ``r2`` (n_sizes,), among random orders, ``null`` (n_orders, n_sizes).

    ``percentile`` (n_sizes,) in 0..100 of random orders below, ties counted half; ``p`` two-sided; ``n_undefined``
    (n_sizes,) random orders without a defined R2 at that size (left out there); ``n_missing_pairs`` as
    `BootstrapCurve`.
    """

    sizes: np.ndarray
    r2: np.ndarray
    null: np.ndarray
    percentile: np.ndarray
    p: np.ndarray
    n_undefined: np.ndarray
    n_missing_pairs: int


@dataclass(frozen=True)
class NestedChoice:
    """Held-out R2 of the size chosen on other images; arrays are (n_repeats, n_folds); see `nested_choice`.

    ``chosen`` sizes; ``train_r2`` their R2 where they were chosen (optimistic); ``held_out`` and ``held_out_full`` on
    the held-out images; ``difference`` their mean difference, with ``interval`` (2,) and two-sided ``p`` by the
    corrected resampled t; ``n_undefined_splits`` splits without a defined difference (left out of the mean).
    """

    chosen: np.ndarray
    train_r2: np.ndarray
    held_out: np.ndarray
    held_out_full: np.ndarray
    difference: float
    interval: np.ndarray
    p: float
    level: float
    n_undefined_splits: int
    n_missing_pairs: int


# ---------------------------------------------------------------------------------------------------- sizes and rules
def spaced_sizes(n_features: int, n_sizes: int = 200) -> np.ndarray:
    """At most ``n_sizes`` evenly spaced, increasing sizes that end with all ``n_features``: (n_sizes,) int."""
    checks.at_least("n_features", n_features, 1)
    checks.at_least("n_sizes", n_sizes, 1)
    return np.unique(np.ceil(np.arange(1, n_sizes + 1) * n_features / n_sizes).astype(int))


def rules(poz: np.ndarray, threshold: float = 0.9, share: float = 0.2) -> dict[str, int]:
    """Sizes, in the order from low to high PoZ, of pruning rules that never see human data.

    Parameters
    ----------
    poz : (n_features,) in [0, 1] (`helpers.sparsity.percentage_of_zeros`).
    threshold, share : of the second and the third rule, in [0, 1].

    Returns
    -------
    dict, rule -> number of features kept: drop ghosts (PoZ 1); drop PoZ > threshold; keep the lowest share (rounded
    up). The first two keep or drop a tie whole; the third may cut one, so show it with random tie-breaks
    (`helpers.sparsity.poz_order` with ``rng``). Two rules can agree, and keep 0 where every feature is dropped.

    Raises
    ------
    ValueError : poz, threshold or share outside [0, 1].
    """
    poz = np.asarray(poz, dtype=np.float64)
    for name, values in (("poz", poz), ("threshold", threshold), ("share", share)):
        if not ((np.asarray(values) >= 0) & (np.asarray(values) <= 1)).all():
            raise ValueError(f"{name} must lie in [0, 1]; got {values!r}. Divide a percentage by 100.")
    return {
        "drop ghosts": int((poz < 1).sum()),
        f"drop PoZ > {threshold:.0%}": int((poz <= threshold).sum()),
        f"keep the {share:.0%} lowest": int(np.ceil(np.round(share * len(poz), 9))),
    }


def enough(curve: rsa.InsertionCurve | BootstrapCurve, share: float = 0.95) -> int:
    """Smallest size from which on R2 stays at ``share`` of the curve's last value or above.

    *From which on*: at every larger size of the curve as well, so an early peak that is lost again does not count, and
    a size where R2 is NaN does not qualify. The last size of ``curve`` must be the full embedding; divide by it for the
    share of features.

    Raises
    ------
    ValueError : share outside (0, 1]; the last R2 is NaN.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1]; got {share!r}.")
    if not np.isfinite(curve.r2[-1]):
        raise ValueError("curve must end with a defined R2; its last value is NaN. Remove the undefined images.")
    short = np.flatnonzero(~(curve.r2 >= share * curve.r2[-1] - _ROUNDING))
    return int(curve.sizes[short[-1] + 1 if len(short) else 0])


# ---------------------------------------------------------------------------------------------------------- bootstrap
def bootstrap_counts(n_images: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each image is drawn in each resample: (n_resamples, n_images) int, rows sum to n_images."""
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_resamples)


def bootstrap_curve(
    embeddings: np.ndarray,
    order: np.ndarray,
    human: np.ndarray,
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    n_resamples: int = 1000,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
) -> BootstrapCurve:
    """Insertion curve against human judgments with bands from a paired stimulus bootstrap over images.

    What the intervals are for: R2, and its difference from the full embedding, over the population of images from which
    this set was drawn, with network, order of the features and raters as they are. ``band``, ``difference_band`` and
    ``p`` are percentile.

    They err towards caution because a resample counts the independent noise of single pairs three times
    (E[(w_i w_j)^2] - 1 = 3), a jackknife over images twice. So 2 * jackknife - bootstrap variance (never below
    jackknife / 2) counts it once: ``calibrated_error``, with t on n_images - 1 degrees of freedom ``calibrated_band``
    and ``calibrated_p``. How often either rejects under no effect: `helpers.significance.type_one_error`. The
    percentile test is the one to report, the calibrated one its sensitivity analysis.

    The band over all sizes at once is difference +- c * SE, with SE the resamples' standard deviation and c the
    quantile of max over sizes of abs(resampled - observed) / SE.

    Parameters
    ----------
    embeddings : (n_images, n_features), at least 4 images.
    order : (n_features,) feature indices, first inserted first.
    human : (n_images, n_images) or its upper triangle (n_pairs,). NaN pairs are dropped from all sizes and counted.
    sizes : increasing numbers of inserted features; default `spaced_sizes`. The full embedding need not be among them.
        Memory: n_sizes * n_pairs * 8 bytes for the similarities.
    similarity : as `helpers.rsa.similarity_matrix`.
    n_resamples : smallest two-sided p is 2 / (n_resamples + 1).
    level : of all intervals, in (0, 1).

    Returns
    -------
    BootstrapCurve. p is twice the smaller share of resampled differences on either side of 0 (+1 in both counts), the
    level at which the percentile interval touches 0; where pruned and full are the same in every resample it is 1.
    adjusted_p is single-step max-statistic, and controls the family of all sizes.

    Raises
    ------
    ValueError : bad embeddings, order, human, sizes, similarity, n_resamples or level; full embedding undefined.
    """
    checks.fraction("level", level)
    checks.at_least("n_resamples", n_resamples, 2)
    x, similarities, sizes, y, i, j = _scored(embeddings, order, human, sizes, similarity)
    everyone = np.ones((1, len(x)))
    observed = _weighted_r2(similarities, y, everyone, i, j)[0]
    if np.isnan(observed[-1]):
        constant = np.flatnonzero(rsa._undefined(x, sizes[-1:], similarity))
        raise ValueError(
            f"embeddings must give all features a defined R2; undefined for image(s) {constant[:5].tolist()}, "
            "or all pairs are alike. Remove images that activate no feature."
        )
    resampled = _weighted_r2(similarities, y, bootstrap_counts(len(x), n_resamples, rng), i, j)
    left_out = _weighted_r2(similarities, y, 1 - np.eye(len(x)), i, j)
    used = _usable(resampled, observed)
    difference, shifted, left_out = (_minus_full(r2) for r2 in (observed, resampled, left_out))
    return BootstrapCurve(
        sizes=sizes[:-1],
        r2=observed[:-1],
        full_r2=float(observed[-1]),
        resampled=resampled[:, :-1],
        resampled_full=resampled[:, -1],
        band=_percentiles(resampled[used, :-1], level),
        difference=difference,
        difference_band=_percentiles(shifted[used], level),
        p=_two_sided_p(shifted[used]),
        **_simultaneous(difference, shifted[used], level),
        **_calibrated(difference, shifted[used], left_out, level),
        level=level,
        n_undefined=rsa._undefined(x[:, order], sizes[:-1], similarity).sum(axis=0),
        n_missing_pairs=_n_pairs(len(x)) - len(y),
        n_undefined_resamples=int((~used).sum()),
    )


# --------------------------------------------------------------------------------------------------------- order null
def random_order_null(
    embeddings: np.ndarray,
    human: np.ndarray,
    order: np.ndarray,
    sizes: np.ndarray | None = None,
    n_orders: int = 1000,
    similarity: str = "pearson",
    *,
    rng: np.random.Generator,
) -> RandomOrderNull:
    """Is the order better than chance? At each size, R2 of ``order`` among random orders of the same features.

    The reference set is all orders of these features for these images: nothing is said about other images
    (`bootstrap_curve` does that). Arguments as `bootstrap_curve`; sizes default to 100 `spaced_sizes`.

    Returns
    -------
    RandomOrderNull. R2 that agree to 1e-9 are ties, as all are at full size: percentile 50 and p 1. p is
    min(1, 2 * (1 + the smaller of the numbers of random orders at or above, and at or below) / (1 + n_orders)).

    Raises
    ------
    ValueError : bad embeddings, human, order, sizes, n_orders or similarity.
    """
    checks.at_least("n_orders", n_orders, 1)
    x = checks.embeddings(embeddings, min_images=4)
    order = checks.order(order, x.shape[1])
    sizes = checks.sizes(spaced_sizes(x.shape[1], 100) if sizes is None else sizes, x.shape[1])
    checks.choice("similarity", similarity, rsa.SIMILARITIES)
    y, i, j = _human_pairs(human, len(x))
    score = _order_scorer(x, sizes, similarity, y, i, j, n_orders)
    orders = [order, *(rng.permutation(x.shape[1]) for _ in range(n_orders))]
    scores = np.stack(parallel.ordered_map(score, orders))
    r2, null = scores[0], scores[1:]
    above, below = (null > r2 + 1e-9).sum(axis=0), (null < r2 - 1e-9).sum(axis=0)
    n = np.isfinite(null).sum(axis=0)
    undefined = np.isnan(r2) | (n == 0)
    percentile = np.where(undefined, np.nan, 50 * (1 + (below - above) / np.maximum(n, 1)))
    p = np.where(undefined, np.nan, np.minimum(1, 2 * (1 + n - np.maximum(above, below)) / (1 + n)))
    return RandomOrderNull(sizes, r2, null, percentile, p, n_orders - n, _n_pairs(len(x)) - len(y))


# ------------------------------------------------------------------------------------------------------ nested choice
def nested_choice(
    embeddings: np.ndarray,
    order: np.ndarray | Callable[[np.ndarray], np.ndarray],
    human: np.ndarray,
    sizes: np.ndarray | None = None,
    n_folds: int = 3,
    n_repeats: int = 20,
    similarity: str = "pearson",
    *,
    rng: np.random.Generator,
    level: float = 0.95,
) -> NestedChoice:
    """Choose the size with the highest R2 on some images, score it on others: cross-validation over images.

    Each repeat deals the images into folds. The size is chosen on the pairs among training images and scored, beside
    the full embedding, on the pairs among held-out images; pairs across the two are not used. Few, large folds, since
    the pairs that score grow with the square of the fold.

    The interval is Nadeau & Bengio's (2003, Mach. Learn. 52, 239-281) corrected resampled t: the variance of the J
    split differences times 1 / J + 1 / (n_folds - 1), because splits share images. It is least to be
    trusted where most splits choose the full embedding, since it shrinks to 0 there. A bootstrap of the whole procedure
    would be too wide: duplicates leave its folds too few images.

    Parameters
    ----------
    order : (n_features,) feature indices; or a function from the training images' embeddings (n_train, n_features) to
        such an order, called for each split. PoZ never sees human data, so the order of the whole set leaks none of it;
        the function is the strict form and costs one pass over the features per split.
    n_folds, n_repeats : at least 2 folds of at least 4 images; at least 1 repeat.
    embeddings, human, sizes, similarity, level : as `bootstrap_curve`. Sizes at which an image is undefined are not
        candidates.

    Returns
    -------
    NestedChoice. Of equally good sizes the smallest is chosen. difference > 0: the chosen size predicts better than all
    features. p is NaN where the difference does not vary over the splits.

    Raises
    ------
    ValueError : as `bootstrap_curve`; n_folds or n_repeats; no candidate size is defined.
    """
    checks.fraction("level", level)
    checks.at_least("n_repeats", n_repeats, 1)
    x = checks.embeddings(embeddings, min_images=8)
    if not 2 <= n_folds <= len(x) // 4:
        raise ValueError(
            f"n_folds must lie in 2..{len(x) // 4}, so that each holds 4 of {len(x)} images; got {n_folds}."
        )
    held_out = _deal(len(x), n_folds, n_repeats, rng)
    if callable(order):
        splits = [_choose(x, order(x[~test]), human, sizes, similarity, test[None]) for test in held_out]
        chosen, scores = (np.concatenate(part) for part in zip(*splits, strict=True))
    else:
        chosen, scores = _choose(x, order, human, sizes, similarity, held_out)
    difference = scores[:, 1] - scores[:, 2]
    mean, interval, p = _corrected_t(difference[np.isfinite(difference)], 1 / (n_folds - 1), level)
    chosen, *scores = (part.reshape(n_repeats, n_folds) for part in (chosen, *scores.T))
    n_missing = _n_pairs(len(x)) - len(_human_pairs(human, len(x))[0])
    return NestedChoice(chosen, *scores, mean, interval, p, level, int(np.isnan(difference).sum()), n_missing)


# ------------------------------------------------------------------------------------------------------------ internals
def _n_pairs(n_images: int) -> int:
    return n_images * (n_images - 1) // 2


def _human_pairs(human: np.ndarray, n_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judgments that are there, and the two images of each: y, i, j, each (n_pairs,)."""
    human = np.asarray(human, dtype=np.float64)
    missing = np.isnan(human)
    try:
        y = checks.reference(np.where(missing, 0, human), n_images)
        there = checks.reference(missing, n_images) == 0
    except ValueError as error:
        raise ValueError(str(error).replace("reference", "human")) from None
    i, j = (index[there] for index in np.triu_indices(n_images, 1))
    if len(y[there]) < 3 or np.ptp(y[there]) <= _ROUNDING * np.abs(y[there]).max():
        raise ValueError(
            f"human must hold at least 3 judged pairs that are not all equal; got {there.sum()} judged pairs."
        )
    return y[there], i, j


def _scored(embeddings, order, human, sizes, similarity):
    """Embeddings, similarities (n_sizes + 1, n_pairs) with the full embedding last, sizes likewise, judgments, i, j."""
    x = checks.embeddings(embeddings, min_images=4)
    sizes = checks.sizes(spaced_sizes(x.shape[1]) if sizes is None else sizes, x.shape[1])
    y, i, j = _human_pairs(human, len(x))
    computed = sizes if sizes[-1] == x.shape[1] else np.append(sizes, x.shape[1])
    similarities = rsa.partial_similarities(x, order, computed, similarity)
    if len(y) < similarities.shape[1]:
        # the size is undefined as a whole where an image is, also if none of that image's pairs was judged
        undefined = np.isnan(similarities).any(axis=1)
        similarities = similarities[:, _pair_index(i, j, len(x))]
        similarities[undefined] = np.nan
    rows = np.append(np.arange(len(sizes)), len(computed) - 1)
    return x, similarities[rows], computed[rows], y, i, j


def _pair_index(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    """Position of pair (i, j) in numpy.triu_indices(n, 1) order."""
    return i * (2 * n - i - 1) // 2 + j - i - 1


def _weighted_r2(
    similarities: np.ndarray, y: np.ndarray, counts: np.ndarray, i: np.ndarray, j: np.ndarray
) -> np.ndarray:
    """R2 of each row of ``similarities`` (n_sizes, n_pairs) with ``y`` (n_pairs,) under pair weights w_i w_j.

    ``counts`` (n_resamples, n_images). Returns (n_resamples, n_sizes); NaN where the row holds a NaN or a side is
    constant over the weighted pairs.
    """
    out = np.full((len(counts), len(similarities)), np.nan)
    y = (y - y.mean()) / y.std()
    counts = np.ascontiguousarray(counts.T, dtype=np.float64)
    for start in range(0, len(similarities), _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        s = _standardised(similarities[columns])
        summed = np.concatenate([s, s * s, s * y, [np.ones(len(y)), y, y * y]])  # all weighted sums in one product

        def score(first, summed=summed, columns=columns):
            drawn = np.ascontiguousarray(counts[:, first : first + _ROWS])
            w = drawn[i]
            w *= drawn[j]  # (n_pairs, n_rows)
            sums = summed @ w
            total = np.where(sums[-3] > 0, sums[-3], np.nan)
            sums /= total
            mean, square, product = np.split(sums[:-3], 3)
            y_mean, y_square = sums[-2:]
            variances = _variance(square, mean) * _variance(y_square, y_mean)
            out[first : first + _ROWS, columns] = ((product - mean * y_mean) ** 2 / variances).T

        parallel.ordered_map(score, range(0, counts.shape[1], _ROWS))
    return np.minimum(out, 1, out=out)


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and standard deviation 1 (R2 is the same, rounding smaller); constant rows become NaN."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    spread = rows.std(axis=1, keepdims=True)
    return rows / np.where(spread > _ROUNDING * largest, spread, np.nan)


def _variance(square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Mean square minus squared mean; NaN where no more than rounding is left."""
    variance = square - mean**2
    return np.where(variance > _ROUNDING * square, variance, np.nan)


def _minus_full(r2: np.ndarray) -> np.ndarray:
    """R2 minus the full embedding's, which comes last; 0 where they differ by rounding only."""
    difference = r2[..., :-1] - r2[..., -1:]
    return np.where(np.abs(difference) <= _ROUNDING, 0, difference)


def _usable(resampled: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(n_resamples,): is R2 defined at every size at which the observed one is?"""
    used = np.isfinite(resampled[:, np.isfinite(observed)]).all(axis=1)
    if used.sum() < 2:
        raise ValueError(
            "n_resamples must leave 2 resamples with a defined R2; too few images or judged pairs for that."
        )
    return used


def _percentiles(resampled: np.ndarray, level: float) -> np.ndarray:
    """(2, n_sizes): the central ``level`` of each column; NaN in a column that holds NaN."""
    return np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2], axis=0)


def _two_sided_p(differences: np.ndarray) -> np.ndarray:
    """Percentile bootstrap p of no difference for each column; NaN in a column that holds NaN."""
    one_side = np.minimum((differences <= 0).sum(axis=0), (differences >= 0).sum(axis=0))
    p = np.minimum(1, 2 * (1 + one_side) / (1 + len(differences)))
    return np.where(np.isnan(differences).any(axis=0), np.nan, p)


def _simultaneous(difference: np.ndarray, resampled: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Studentised max-statistic band and adjusted p; a difference that is 0 in every resample has band 0 and p 1."""
    error = resampled.std(axis=0, ddof=1)
    varies = error > _ROUNDING
    scale = np.where(varies, error, np.inf)
    largest = np.abs((resampled - difference) / scale)[:, np.isfinite(difference)].max(axis=1, initial=0)
    half_width = np.quantile(largest, level) * np.where(varies, error, 0)
    exceeded = (largest[:, None] >= np.abs(difference) / scale).sum(axis=0)
    undefined = np.isnan(difference)
    return {
        "simultaneous_band": np.where(undefined, np.nan, np.stack([difference - half_width, difference + half_width])),
        "adjusted_p": np.where(undefined, np.nan, (1 + exceeded) / (1 + len(resampled))),
    }


def _calibrated(
    difference: np.ndarray, resampled: np.ndarray, left_out: np.ndarray, level: float
) -> dict[str, np.ndarray]:
    """Error, t band and t test with pair noise counted once; ``left_out`` (n_images, n_sizes), without each image."""
    # V1 of images + V2 of pairs; the jackknife estimates V1 + 2 V2 (Efron & Stein 1981, Ann. Stat. 9, 586-596)
    n = len(left_out)
    jackknife = (n - 1) * left_out.var(axis=0)
    error = np.sqrt(np.maximum(2 * jackknife - resampled.var(axis=0, ddof=1), jackknife / 2))
    t = np.abs(difference) / np.where(error > _ROUNDING, error, np.inf)
    p = np.where(np.isnan(difference + error), np.nan, 2 * stats.t.sf(t, n - 1))
    half_width = stats.t.ppf((1 + level) / 2, n - 1) * error
    band = np.stack([difference - half_width, difference + half_width])
    return {"calibrated_error": error, "calibrated_band": band, "calibrated_p": p}


def _order_scorer(x, sizes, similarity, y, i, j, n_orders) -> Callable[[np.ndarray], np.ndarray]:
    """A function from an order to R2 at each size, (n_sizes,), to be called for ``n_orders`` orders."""
    if len(y) == _n_pairs(len(x)):
        compiled = rsa._is_compiled("auto", similarity, len(x), len(sizes) * n_orders)
        engine = "compiled" if compiled else "numpy"
        return lambda order: rsa.insertion_curve(x, order, y, sizes, similarity, engine=engine).r2
    judged, everyone = _pair_index(i, j, len(x)), np.ones((1, len(x)))

    def score(order):
        similarities = rsa.partial_similarities(x, order, sizes, similarity)
        undefined = np.isnan(similarities).any(axis=1)
        return np.where(undefined, np.nan, _weighted_r2(similarities[:, judged], y, everyone, i, j)[0])

    return score


def _deal(n_images: int, n_folds: int, n_repeats: int, rng: np.random.Generator) -> np.ndarray:
    """(n_repeats * n_folds, n_images) bool: the held-out images of each split."""
    fold = rng.permuted(np.tile(np.arange(n_images) % n_folds, (n_repeats, 1)), axis=1)
    return (fold[:, None, :] == np.arange(n_folds)[:, None]).reshape(-1, n_images)


def _choose(x, order, human, sizes, similarity, held_out) -> tuple[np.ndarray, np.ndarray]:
    """Chosen size (n_splits,) and R2 of chosen in training, chosen held out, full held out: (n_splits, 3)."""
    _, similarities, sizes, y, i, j = _scored(x, order, human, sizes, similarity)
    train, test = (_weighted_r2(similarities, y, images, i, j) for images in (~held_out, held_out))
    candidates = np.where(np.isfinite(train[:, :-1]), train[:, :-1], -np.inf)
    if (candidates == -np.inf).all(axis=1).any() or np.isnan(similarities[-1]).any():
        raise ValueError(
            "sizes must hold a size with a defined R2 on the training images, and the full embedding must be."
        )
    best = (candidates >= candidates.max(axis=1, keepdims=True) - _ROUNDING).argmax(axis=1)
    split = np.arange(len(held_out))
    return sizes[best], np.stack([train[split, best], test[split, best], test[:, -1]], axis=1)


def _corrected_t(differences: np.ndarray, test_to_train: float, level: float) -> tuple[float, np.ndarray, float]:
    """Mean, interval (2,) and two-sided p by Nadeau & Bengio's corrected resampled t."""
    n = len(differences)
    if n < 2:
        return np.nan, np.full(2, np.nan), np.nan
    mean = float(differences.mean())
    error = np.sqrt((1 / n + test_to_train) * differences.var(ddof=1))
    interval = mean + np.array([-1, 1]) * stats.t.ppf((1 + level) / 2, n - 1) * error
    return mean, interval, float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error > _ROUNDING else np.nan
