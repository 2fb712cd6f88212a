"""How reliable judgments are, and so how well a model can predict them: noise ceilings and split halves.

Judgments of several people are rows, (n_subjects, n_pairs), of which every pair that anybody left out is dropped and
counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers import checks


@dataclass(frozen=True)
class NoiseCeiling:
    """How well any model can predict single subjects: bounds on the mean correlation and on the mean R2.

    ``lower_each`` and ``upper_each`` (n_subjects,) correlations with the mean of the others, and of all; see
    `noise_ceiling`.
    """

    lower_r: float
    upper_r: float
    lower_r2: float
    upper_r2: float
    lower_each: np.ndarray
    upper_each: np.ndarray
    n_missing_pairs: int


@dataclass(frozen=True)
class SplitHalf:
    """``halves`` (n_splits,) correlations of two half-group means, ``r`` their mean; ``reliability`` of the mean."""

    halves: np.ndarray
    r: float
    reliability: float
    n_missing_pairs: int


def noise_ceiling(subject_rdms: np.ndarray) -> NoiseCeiling:
    """Bounds on how well any model can predict single subjects' RDMs (Nili et al. 2014).

    Subjects are standardised over pairs. lower: mean over subjects of r (or r squared) with the mean of the *other*
    subjects. upper_r: with the mean of *all*, which no RDM can exceed in mean r; upper_r2: the largest eigenvalue of
    the subjects' correlation matrix / n_subjects, which no RDM can exceed in mean r squared.

    This is the ceiling for single subjects. A model scored against the *group mean* may reach more, the reliability of
    that mean: use `split_half_reliability`.

    Parameters
    ----------
    subject_rdms : (n_subjects, n_pairs), at least 2 subjects. Pairs that are NaN for any subject are dropped and
        counted.

    Raises
    ------
    ValueError : another shape; infinite; a subject without variance.
    """
    z, n_missing = _subjects(subject_rdms)
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    total = z.sum(axis=0)
    lower = np.array([np.corrcoef(subject, total - subject)[0, 1] for subject in z])
    upper = np.array([np.corrcoef(subject, total)[0, 1] for subject in z])
    largest = np.linalg.eigvalsh(np.corrcoef(z))[-1] / len(z)
    return NoiseCeiling(
        float(lower.mean()), float(upper.mean()), float((lower**2).mean()), float(largest), lower, upper, n_missing
    )


def spearman_brown(r: np.ndarray, factor: float = 2.0) -> np.ndarray:
    """Reliability of a measurement ``factor`` times as long: factor r / (1 + (factor - 1) r), at most 1.

    NaN where r is so negative, -1 / (factor - 1) or below, that no reliability gives it.

    Raises
    ------
    ValueError : r outside [-1, 1]; factor not positive.
    """
    r = checks.correlations("r", r)
    if not factor > 0:
        raise ValueError(f"factor must be positive; got {factor!r}.")
    length = 1 + (factor - 1) * r
    return np.minimum(factor * r / np.where(length > 0, length, np.nan), 1)[()]


def split_half_reliability(subject_rdms: np.ndarray, n_splits: int = 1000, *, rng: np.random.Generator) -> SplitHalf:
    """Reliability of the mean of all subjects' RDMs: the R2 a noise-free model of that mean would reach.

    Subjects are dealt at random into two equal halves (one subject left out of an odd number), whose plain means are
    correlated; the mean of these correlations is stepped up to all subjects by Spearman-Brown. As r of the truth with a
    measurement is the square root of its reliability, **R2 / reliability is the share of explainable variance**
    (`explainable_share`) and needs no further square root. The spread of ``halves`` is over splits: no interval.

    Parameters
    ----------
    subject_rdms : (n_subjects, n_pairs), at least 2 subjects; NaN pairs as `noise_ceiling`. Standardise the subjects
        first if their mean is of standardised RDMs.

    Raises
    ------
    ValueError : as `noise_ceiling`; n_splits.
    """
    checks.at_least("n_splits", n_splits, 1)
    subjects, n_missing = _subjects(subject_rdms)
    n, half = len(subjects), len(subjects) // 2
    dealt = rng.permuted(np.tile(np.arange(n), (n_splits, 1)), axis=1)
    first, second = ((_members(dealt[:, part], n) @ subjects) for part in (slice(half), slice(half, 2 * half)))
    halves = _row_correlations(first, second)
    r = float(halves.mean())
    return SplitHalf(halves, r, float(spearman_brown(r, n / half)), n_missing)


def explainable_share(r2: np.ndarray, reliability: float) -> np.ndarray:
    """Share of the explainable variance, r2 / reliability; may exceed 1 by chance and is not clipped.

    ``reliability`` of the predicted mean (`split_half_reliability`), in (0, 1]; ValueError otherwise.
    """
    if not 0 < reliability <= 1 + 1e-12:
        raise ValueError(f"reliability must lie in (0, 1]; got {reliability!r}. Nothing is explainable at or below 0.")
    return np.asarray(r2, dtype=np.float64)[()] / reliability


def _subjects(subject_rdms: np.ndarray) -> tuple[np.ndarray, int]:
    """(n_subjects, n_pairs kept) and the number of pairs dropped."""
    rdms = np.asarray(subject_rdms, dtype=np.float64)
    if rdms.ndim != 2 or len(rdms) < 2:
        raise ValueError(
            f"subject_rdms must be (n_subjects, n_pairs) with at least 2 subjects; got shape {rdms.shape}."
        )
    if np.isinf(rdms).any():
        raise ValueError("subject_rdms must not be infinite; mark a missing pair as NaN.")
    there = ~np.isnan(rdms).any(axis=0)
    if there.sum() < 3 or (np.ptp(rdms[:, there], axis=1) == 0).any():
        raise ValueError(
            f"subject_rdms must vary over at least 3 pairs that every subject judged; {there.sum()} are complete. "
            "Leave out the subject that is constant or misses most pairs."
        )
    return rdms[:, there], int((~there).sum())


def _members(chosen: np.ndarray, n: int) -> np.ndarray:
    """(n_splits, n) with 1 / (number chosen) at the chosen columns: multiplied from the left it takes their mean."""
    weights = np.zeros((len(chosen), n))
    np.put_along_axis(weights, chosen, 1 / chosen.shape[1], axis=1)
    return weights


def _row_correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in (a, b))
    return np.einsum("ij,ij->i", a, b) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
