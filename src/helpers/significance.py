"""Tests of differences between predictions, corrections for multiple tests, and the
reliability of the judgments that are predicted.

`helpers.inference` takes images as the sample. Judgments of several people are rows,
(n_subjects, n_pairs); pairs that anyone left out (NaN) are dropped.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from helpers import checks, rsa

LEVEL = 0.95  # of all intervals
_ROUNDING = 1e-12  # a difference or standard error of R2 below this is rounding
_ROWS = 256  # resamples at a time: 15 MB for 7140 pairs


# --------------------------------------------------------------- images as the sample
def bootstrap_counts(
    n_images: int, n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """How often each image is drawn in each resample: (n_resamples, n_images) int."""
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_resamples)


def minus_last(r2: np.ndarray) -> np.ndarray:
    """R2 (..., n_sizes + 1) minus the last; 0 where only rounding differs."""
    difference = r2[..., :-1] - r2[..., -1:]
    return np.where(np.abs(difference) <= _ROUNDING, 0, difference)


def weighted_r2(
    similarities: np.ndarray,
    y: np.ndarray,
    counts: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
) -> np.ndarray:
    """R2 of each row of similarities with ``y`` under pair weights w_i w_j.

    Parameters
    ----------
    similarities : (n_sizes, n_pairs) of the images i, j (n_pairs,).
    y : (n_pairs,), or one for each resample, (n_resamples, n_pairs).
    counts : (n_resamples, n_images) weights w of the images.

    Returns
    -------
    (n_resamples, n_sizes); NaN where the row holds a NaN or a side is constant over the
    weighted pairs.
    """
    s, y = _standardised(similarities), (y - y.mean()) / y.std()
    terms = np.concatenate([s, s * s])

    def score(start: int) -> np.ndarray:
        drawn = counts[start : start + _ROWS].T.astype(float, order="C")
        weights = drawn[i]
        weights *= drawn[j]  # (n_pairs, n_rows)
        total = weights.sum(axis=0)
        weights /= np.where(total > 0, total, np.nan)
        of_y = y[start : start + _ROWS].T if y.ndim == 2 else y[:, None]
        mean, square = np.split(terms @ weights, 2)
        weights *= of_y
        mean_y, square_y = weights.sum(axis=0), (weights * of_y).sum(axis=0)
        variances = _variance(square, mean) * _variance(square_y, mean_y)
        return (s @ weights - mean * mean_y) ** 2 / variances

    parts = rsa.map_in_threads(score, range(0, len(counts), _ROWS))
    return np.minimum(np.concatenate(parts, axis=1).T, 1)


def _standardised(rows: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and SD 1, for less rounding; constant rows become NaN."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    spread = rows.std(axis=1, keepdims=True)
    return rows / np.where(spread > _ROUNDING * largest, spread, np.nan)


def _variance(square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Mean square minus squared mean; NaN where no more than rounding is left."""
    variance = square - mean**2
    return np.where(variance > _ROUNDING * square, variance, np.nan)


def share_interval(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(2, ...) ends of the 95 % interval of k in n, after Clopper & Pearson (1934)."""
    tail = (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, k, n - k + 1)
    high = stats.beta.ppf(1 - tail, k + 1, n - k)
    return np.array([np.where(k > 0, low, 0), np.where(k < n, high, 1)])


# -------------------------------------------------------------------- resampled tests
def interval(resampled: np.ndarray) -> np.ndarray:
    """(2, ...) percentiles of each column of resamples; NaN if it holds NaN."""
    return np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)


def two_sided_p(differences: np.ndarray) -> np.ndarray:
    """Percentile bootstrap p of no difference, for each column of resamples.

    Twice the smaller share on either side of 0, with 1 added to both counts; 1 where
    all are 0, NaN in a column that holds NaN.
    """
    sides = (differences <= 0).sum(axis=0), (differences >= 0).sum(axis=0)
    p = np.minimum(1, 2 * (1 + np.minimum(*sides)) / (1 + len(differences)))
    return np.where(np.isnan(differences).any(axis=0), np.nan, p)


def against_draws(value: float, draws: np.ndarray) -> np.ndarray:
    """``value`` minus draws by chance (n,): their mean, and where 95 % of them lie.

    The difference from the mean and its ends, (3,): both ends are above 0 for a value
    above nearly all draws, below 0 for one below them. NaN where any draw is.
    """
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return value - np.array([np.mean(draws), high, low])


def jackknife_test(difference: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """t test with the jackknife's variance: low, high, p (n_sizes, 3).

    Arguments as `calibrated_test`; the noise of single pairs counts twice.
    """
    n = len(left_out)
    return _t_test(difference, np.sqrt((n - 1) * left_out.var(axis=0)), n - 1)


def calibrated_test(
    difference: np.ndarray, resampled: np.ndarray, left_out: np.ndarray
) -> np.ndarray:
    """t test that counts the noise of single pairs once: low, high, p (n_sizes, 3).

    ``difference`` (n_sizes,), and the same in ``resampled`` images (n_resamples,
    n_sizes) and with each image ``left_out`` (n_images, n_sizes). With variance V1 of
    images and V2 of pairs the bootstrap estimates V1 + 3 V2, as E[(w_i w_j)^2] - 1 = 3,
    and the jackknife V1 + 2 V2 (Efron & Stein 1981, Ann. Stat. 9, 586-596). Hence
    2 * jackknife - bootstrap, never below jackknife / 2, on n_images - 1 degrees of
    freedom.
    """
    n = len(left_out)
    jackknife = (n - 1) * left_out.var(axis=0)
    variance = np.maximum(2 * jackknife - resampled.var(axis=0, ddof=1), jackknife / 2)
    return _t_test(difference, np.sqrt(variance), n - 1)


def two_factor_test(
    difference: np.ndarray, variances: np.ndarray, n_images: int, n_raters: int
) -> np.ndarray:
    """t test for new images and new raters: low, high, p (n_sizes, 3).

    ``variances`` (3, n_sizes) of the difference in resamples of images, of raters, and
    of both. Where each is counted once, images and raters interact in the first two and
    three times in the third: variance 2 (V_images + V_raters) - V_both, in the form for
    few raters, at least either and at most V_both (Schuett et al. 2023). The degrees of
    freedom are those of the smaller sample.
    """
    images, raters, both = variances
    by_image, by_rater = n_images / (n_images - 1), n_raters / (n_raters - 1)
    alone = by_image * images, by_rater * raters
    shared = by_image * by_rater * (both - images - raters)
    variance = np.minimum(np.maximum(sum(alone) - shared, np.maximum(*alone)), both)
    return _t_test(difference, np.sqrt(variance), min(n_images, n_raters) - 1)


def _t_test(value: np.ndarray, error: np.ndarray, freedom: int) -> np.ndarray:
    """low, high and two-sided p, (n, 3); p 1 where nothing varies."""
    t = np.abs(value) / np.where(error > _ROUNDING, error, np.inf)
    p = np.where(np.isnan(value + error), np.nan, 2 * stats.t.sf(t, freedom))
    half_width = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    return np.stack([value - half_width, value + half_width, p], axis=1)


def simultaneous_test(difference: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Studentised maximum statistic of all sizes at once: low, high, p (n_sizes, 3).

    Arguments as `calibrated_test`. The band is difference +- c SE, with SE the standard
    deviation of the resamples and c the quantile of the largest abs(resampled -
    difference) / SE of any size; width 0 and p 1 where the resamples do not vary.
    """
    error = resampled.std(axis=0, ddof=1)
    varies, defined = error > _ROUNDING, np.isfinite(difference)
    scale = np.where(varies, error, np.inf)
    deviation = np.abs((resampled - difference) / scale)[:, defined]
    largest = deviation.max(axis=1, initial=0)
    half_width = np.quantile(largest, LEVEL) * np.where(varies, error, 0)
    exceeded = (largest[:, None] >= np.abs(difference) / scale).sum(axis=0)
    p = np.where(defined, (1 + exceeded) / (1 + len(resampled)), np.nan)
    return np.stack([difference - half_width, difference + half_width, p], axis=1)


def corrected_t(differences: np.ndarray, test_to_train: float) -> np.ndarray:
    """Mean of differences (n_splits,), its interval's ends, and two-sided p: (4,).

    Corrected resampled t, for splits that share images (Nadeau & Bengio 2003, Mach.
    Learn. 52, 239-281): the variance is multiplied by 1 / n_splits + ``test_to_train``,
    the ratio of held-out to training images. p is NaN where nothing varies.
    """
    n = len(differences)
    if n < 2:
        return np.full(4, np.nan)
    mean = differences.mean()
    error = np.sqrt((1 / n + test_to_train) * differences.var(ddof=1))
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error > _ROUNDING else np.nan
    return np.array([mean, mean - half_width, mean + half_width, p])


# ------------------------------------------------------------------------- many tests
def holm(p: np.ndarray) -> np.ndarray:
    """Step-down adjusted p (Holm 1979, Scand. J. Stat. 6, 65-70), shape of ``p``.

    NaN stays and does not count. Raises ValueError for p outside [0, 1].
    """
    p = checks.real("p", p)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p must lie in [0, 1]; got {p}.")
    adjusted = np.full(p.size, np.nan)
    ranked = np.argsort(p, axis=None)[: np.isfinite(p).sum()]  # NaN sorts last
    steps = p.ravel()[ranked] * np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.reshape(p.shape)


# ------------------------------------------------------------ reliability of judgments
def noise_ceiling(subject_rdms: np.ndarray) -> tuple[float, float]:
    """Mean R2 with single subjects, (n_subjects, n_pairs): the lower bound, reached by
    the mean of the others, and the upper, which no model exceeds (Nili et al. 2014).

    The upper bound is the largest eigenvalue of the subjects' correlation matrix /
    n_subjects. A model scored against the *group mean* may reach more, its
    reliability: `split_half_reliability`. ValueError unless at least 2 subjects vary
    over pairs that everybody judged.
    """
    z = stats.zscore(_complete(subject_rdms), axis=1)
    total = z.sum(axis=0)
    others = [np.corrcoef(subject, total - subject)[0, 1] for subject in z]
    largest = np.linalg.eigvalsh(np.corrcoef(z))[-1]
    return float(np.square(others).mean()), float(largest / len(z))


def spearman_brown(r: float, factor: float = 2.0) -> float:
    """Reliability of a measurement ``factor`` times as long as one of reliability r.

    At most 1; NaN for r of -1 / (factor - 1) or below, which no reliability gives.
    """
    length = 1 + (factor - 1) * r
    return min(factor * r / length, 1.0) if length > 0 else np.nan


def split_half_reliability(
    subject_rdms: np.ndarray, n_splits: int = 1000, *, rng: np.random.Generator
) -> float:
    """Reliability of the mean of all subjects' RDMs, (n_subjects, n_pairs): the R2 with
    it that a perfect model would reach.

    Subjects are dealt at random into two equal halves (one is left out of an odd
    number), whose means are correlated; the mean correlation is stepped up to all
    subjects by `spearman_brown`. ValueError as `noise_ceiling`, and for n_splits < 1.
    """
    checks.at_least("n_splits", n_splits, 1)
    subjects = _complete(subject_rdms)
    n, half = len(subjects), len(subjects) // 2
    dealt = rng.permuted(np.tile(np.arange(n), (n_splits, 1)), axis=1)
    weights = np.zeros((2, n_splits, n))
    for part, members in enumerate((dealt[:, :half], dealt[:, half : 2 * half])):
        np.put_along_axis(weights[part], members, 1 / half, axis=1)
    first, second = stats.zscore(weights @ subjects, axis=2)
    return float(spearman_brown((first * second).mean(axis=1).mean(), n / half))


def _complete(subject_rdms: np.ndarray) -> np.ndarray:
    """The pairs (n_subjects, n_kept) that every subject judged."""
    rdms = checks.in_range(checks.real("subject_rdms", subject_rdms))
    if rdms.ndim != 2 or len(rdms) < 2 or np.isinf(rdms).any():
        raise ValueError(
            "subject_rdms must be (n_subjects, n_pairs) of at least 2 subjects, finite "
            f"or NaN where a pair is missing; got shape {rdms.shape}."
        )
    rdms = rdms[:, ~np.isnan(rdms).any(axis=0)]
    if rdms.shape[1] < 3 or (np.ptp(rdms, axis=1) == 0).any():
        raise ValueError(
            "subject_rdms must vary over at least 3 pairs that every subject judged; "
            f"{rdms.shape[1]} are complete. Leave out the subject that is constant or "
            "misses most pairs."
        )
    return rdms
