"""Tests of differences between predictions, corrections for many of them, and how
reliable the judgments are that are predicted.

`helpers.inference` takes images as the sample. `dependent_correlations` takes pairs of
images as independent, and is here for contrast. Judgments of several people are rows,
(n_subjects, n_pairs); pairs that anybody left out (NaN) are dropped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers import checks, rsa

LEVEL = 0.95  # of all intervals
_ROUNDING = 1e-12  # a difference or standard error of R2 below this is rounding
_ROWS, _COLUMNS = 256, 256  # resamples and sizes at a time: 15 MB for 7140 pairs


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
    similarities, y : (n_sizes, n_pairs) and (n_pairs,), of the images i, j (n_pairs,).
    counts : (n_resamples, n_images) weights w of the images.

    Returns
    -------
    (n_resamples, n_sizes); NaN where the row holds a NaN or a side is constant over the
    weighted pairs.
    """
    out = np.full((len(counts), len(similarities)), np.nan)
    y = (y - y.mean()) / y.std()
    counts = np.ascontiguousarray(counts.T, dtype=np.float64)
    for start in range(0, len(similarities), _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        s = _standardised(similarities[columns])
        terms = np.concatenate([s, s * s, s * y, [np.ones(len(y)), y, y * y]])

        def score(first: int, terms=terms, columns=columns) -> None:
            drawn = np.ascontiguousarray(counts[:, first : first + _ROWS])
            weights = drawn[i]
            weights *= drawn[j]  # (n_pairs, n_rows)
            sums = terms @ weights  # all weighted sums in one product
            sums /= np.where(sums[-3] > 0, sums[-3], np.nan)
            mean, square, product = np.split(sums[:-3], 3)
            variances = _variance(square, mean) * _variance(sums[-1], sums[-2])
            r2 = (product - mean * sums[-2]) ** 2 / variances
            out[first : first + _ROWS, columns] = r2.T

        rsa.map_in_threads(score, range(0, counts.shape[1], _ROWS))
    return np.minimum(out, 1, out=out)


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
    error = np.sqrt(variance)
    t = np.abs(difference) / np.where(error > _ROUNDING, error, np.inf)
    p = np.where(np.isnan(difference + error), np.nan, 2 * stats.t.sf(t, n - 1))
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    return np.stack([difference - half_width, difference + half_width, p], axis=1)


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
    Learn. 52, 239-281): the variance counts 1 / n_splits + ``test_to_train`` times,
    held-out images divided by training images. p is NaN where nothing varies.
    """
    n = len(differences)
    if n < 2:
        return np.full(4, np.nan)
    mean = differences.mean()
    error = np.sqrt((1 / n + test_to_train) * differences.var(ddof=1))
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error > _ROUNDING else np.nan
    return np.array([mean, mean - half_width, mean + half_width, p])


# ------------------------------------------------------------ many tests, paired tests
def holm(p: np.ndarray) -> np.ndarray:
    """Step-down adjusted p (Holm 1979, Scand. J. Stat. 6, 65-70), shape of ``p``.

    NaN stays and does not count. Raises ValueError for p outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    flat, adjusted = p.ravel(), np.full(p.size, np.nan)
    if ((flat < 0) | (flat > 1)).any():
        wrong = flat[(flat < 0) | (flat > 1)][0]
        raise ValueError(f"p must lie in [0, 1]; got {wrong:g}.")
    ranked = np.argsort(flat)[: np.isfinite(flat).sum()]  # NaN sorts last
    steps = flat[ranked] * np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.reshape(p.shape)


@dataclass(frozen=True, eq=False)
class DependentCorrelations:
    """Tests of r_xy = r_xz in one sample; shapes of the arguments, p two-sided."""

    williams_t: np.ndarray  # with n - 3 degrees of freedom
    williams_p: np.ndarray
    steiger_z: np.ndarray  # with pooled r
    steiger_p: np.ndarray


def dependent_correlations(
    r_xy: np.ndarray, r_xz: np.ndarray, r_yz: np.ndarray, n: int
) -> DependentCorrelations:
    """Williams' t and Steiger's z (Steiger 1980, Psych. Bull. 87, eq. 7 and 14).

    With x the human judgments, y and z two embeddings and ``n`` the number of *pairs*,
    pairs are taken as independent, which they are not: far too many false positives
    (`helpers.prediction.type_one_error`). NaN where y and z are the same.

    Raises
    ------
    ValueError : a correlation outside [-1, 1]; n < 4.
    """
    checks.at_least("n", n, 4)
    named = {"r_xy": r_xy, "r_xz": r_xz, "r_yz": r_yz}
    r = (checks.correlations(name, values) for name, values in named.items())
    xy, xz, yz = np.broadcast_arrays(*r)
    m = ((xy + xz) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = 1 - xy**2 - xz**2 - yz**2 + 2 * xy * xz * yz
        spread = 2 * (n - 1) / (n - 3) * determinant + m * (1 - yz) ** 3
        t = (xy - xz) * np.sqrt((n - 1) * (1 + yz) / spread)
        covariance = yz * (1 - 2 * m) - m * (1 - 2 * m - yz**2) / 2
        z_variance = (2 - 2 * covariance / (1 - m) ** 2) / (n - 3)
        z = (np.arctanh(xy) - np.arctanh(xz)) / np.sqrt(z_variance)
    t, z = (np.where(1 - yz < 1e-12, np.nan, value)[()] for value in (t, z))
    p = 2 * stats.t.sf(np.abs(t), n - 3), 2 * stats.norm.sf(np.abs(z))
    return DependentCorrelations(t, p[0], z, p[1])


# ------------------------------------------------------------ reliability of judgments
@dataclass(frozen=True, eq=False)
class NoiseCeiling:
    """Bounds on the mean r and the mean R2 of any model with single subjects."""

    lower_r: float  # mean r of a subject with the mean of the others
    upper_r: float  # mean r with the mean of all
    lower_r2: float  # mean r squared with the mean of the others
    upper_r2: float  # the largest mean r squared that any RDM can reach
    n_missing_pairs: int  # dropped


@dataclass(frozen=True, eq=False)
class SplitHalf:
    """Reliability of the mean of all subjects, from the agreement of halves of them."""

    halves: np.ndarray  # (n_splits,) correlations of two half-group means
    reliability: float  # of the mean of all: the R2 a perfect model would reach
    n_missing_pairs: int  # dropped


def noise_ceiling(subject_rdms: np.ndarray) -> NoiseCeiling:
    """How well any model can predict single subjects' RDMs (Nili et al. 2014).

    Subjects are standardised over pairs. The upper bound of R2 is the largest
    eigenvalue of their correlation matrix / n_subjects. A model scored against the
    *group mean* may reach more, its reliability: `split_half_reliability`.

    Parameters
    ----------
    subject_rdms : (n_subjects, n_pairs), at least 2 subjects.

    Raises
    ------
    ValueError : another shape; infinite; a subject without variance.
    """
    rdms, n_missing = _complete(subject_rdms)
    z = stats.zscore(rdms, axis=1)
    total = z.sum(axis=0)
    lower = np.array([np.corrcoef(subject, total - subject)[0, 1] for subject in z])
    upper = np.array([np.corrcoef(subject, total)[0, 1] for subject in z])
    largest = np.linalg.eigvalsh(np.corrcoef(z))[-1] / len(z)
    means = lower.mean(), upper.mean(), (lower**2).mean(), largest
    return NoiseCeiling(*map(float, means), n_missing)


def spearman_brown(r: np.ndarray, factor: float = 2.0) -> np.ndarray:
    """Reliability of a measurement ``factor`` times as long, at most 1.

    NaN where r is so negative, -1 / (factor - 1) or below, that no reliability gives
    it. Raises ValueError for r outside [-1, 1] or a factor that is not positive.
    """
    r = checks.correlations("r", r)
    if not factor > 0:
        raise ValueError(f"factor must be positive; got {factor!r}.")
    length = 1 + (factor - 1) * r
    return np.minimum(factor * r / np.where(length > 0, length, np.nan), 1)[()]


def split_half_reliability(
    subject_rdms: np.ndarray, n_splits: int = 1000, *, rng: np.random.Generator
) -> SplitHalf:
    """Reliability of the mean of all subjects' RDMs, (n_subjects, n_pairs).

    Subjects are dealt at random into two equal halves (one is left out of an odd
    number), whose means are correlated; the mean correlation is stepped up to all
    subjects by `spearman_brown`. The spread of ``halves`` is over splits: no interval.

    Raises
    ------
    ValueError : as `noise_ceiling`; n_splits.
    """
    checks.at_least("n_splits", n_splits, 1)
    subjects, n_missing = _complete(subject_rdms)
    n, half = len(subjects), len(subjects) // 2
    dealt = rng.permuted(np.tile(np.arange(n), (n_splits, 1)), axis=1)
    weights = np.zeros((2, n_splits, n))
    for part, members in enumerate((dealt[:, :half], dealt[:, half : 2 * half])):
        np.put_along_axis(weights[part], members, 1 / half, axis=1)
    first, second = stats.zscore(weights @ subjects, axis=2)
    halves = (first * second).mean(axis=1)
    reliability = spearman_brown(float(halves.mean()), n / half)
    return SplitHalf(halves, float(reliability), n_missing)


def explainable_share(r2: np.ndarray, reliability: float) -> np.ndarray:
    """r2 / reliability of the predicted mean, which needs no further square root.

    May exceed 1 by chance and is not clipped. Raises ValueError for a reliability
    outside (0, 1].
    """
    if not 0 < reliability <= 1 + 1e-12:
        raise ValueError(f"reliability must lie in (0, 1]; got {reliability!r}.")
    return np.asarray(r2, dtype=np.float64)[()] / reliability


def _complete(subject_rdms: np.ndarray) -> tuple[np.ndarray, int]:
    """(n_subjects, n_pairs kept) and the number of pairs dropped."""
    rdms = np.asarray(subject_rdms, dtype=np.float64)
    if rdms.ndim != 2 or len(rdms) < 2 or np.isinf(rdms).any():
        raise ValueError(
            "subject_rdms must be (n_subjects, n_pairs) of at least 2 subjects, finite "
            f"or NaN where a pair is missing; got shape {rdms.shape}."
        )
    complete = ~np.isnan(rdms).any(axis=0)
    if complete.sum() < 3 or (np.ptp(rdms[:, complete], axis=1) == 0).any():
        raise ValueError(
            "subject_rdms must vary over at least 3 pairs that every subject judged; "
            f"{complete.sum()} are complete. Leave out the subject that is constant or "
            "misses most pairs."
        )
    return rdms[:, complete], int((~complete).sum())
