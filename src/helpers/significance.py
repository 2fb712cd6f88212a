"""Tests of a difference between two predictions, how often they are wrong, and correction for many of them.

`helpers.inference` takes images as the sample. Tests that take pairs as independent are here for contrast, with the
simulation under no effect that shows what either kind does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers import checks, inference, rsa

_LATENTS = 8  # per a, b, c in the simulation under no effect
_NULL_TESTS = ("stimulus bootstrap", "stimulus bootstrap, calibrated", "Williams, on pairs", "Steiger, on pairs")


@dataclass(frozen=True)
class DependentCorrelations:
    """Williams' t with ``df`` and Steiger's z for r_xy = r_xz, with two-sided p; shapes of the arguments."""

    williams_t: np.ndarray
    df: np.ndarray
    williams_p: np.ndarray
    steiger_z: np.ndarray
    steiger_p: np.ndarray


@dataclass(frozen=True)
class TypeOneError:
    """Rejections under no effect: ``tests`` names; ``rate`` (n_tests,) with Clopper-Pearson ``interval`` (n_tests, 2);
    ``p`` (n_simulations, n_tests) every p value; ``alpha`` the nominal rate; ``n_undefined`` (n_tests,) simulations
    without a defined p, which do not count."""

    tests: tuple[str, ...]
    rate: np.ndarray
    interval: np.ndarray
    p: np.ndarray
    alpha: float
    n_undefined: np.ndarray


def holm(p: np.ndarray) -> np.ndarray:
    """Step-down adjusted p values (Holm 1979, Scand. J. Stat. 6, 65-70), shape of ``p``; NaN stays and does not count.

    Raises
    ------
    ValueError : p outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    flat, adjusted = p.ravel(), np.full(p.size, np.nan)
    if ((flat < 0) | (flat > 1)).any():
        raise ValueError(f"p must lie in [0, 1]; got {flat[(flat < 0) | (flat > 1)][0]:g}.")
    ranked = np.argsort(flat)[: np.isfinite(flat).sum()]  # NaN sorts last
    steps = flat[ranked] * np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.reshape(p.shape)


def dependent_correlations(r_xy: np.ndarray, r_xz: np.ndarray, r_yz: np.ndarray, n: int) -> DependentCorrelations:
    """Test r_xy = r_xz in one sample: Williams' t (df = n - 3) and Steiger's z with pooled r (Steiger 1980, eq. 7, 14).

    With x the human judgments, y and z two embeddings and n the number of *pairs* it treats pairs as independent, which
    they are not: far too liberal, shown for contrast only (`type_one_error`). NaN where y and z are the same.

    Raises
    ------
    ValueError : a correlation outside [-1, 1]; n < 4.
    """
    checks.at_least("n", n, 4)
    named = {"r_xy": r_xy, "r_xz": r_xz, "r_yz": r_yz}
    xy, xz, yz = np.broadcast_arrays(*(checks.correlations(name, r) for name, r in named.items()))
    mean = (xy + xz) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = 1 - xy**2 - xz**2 - yz**2 + 2 * xy * xz * yz
        spread = 2 * (n - 1) / (n - 3) * determinant + mean**2 * (1 - yz) ** 3
        t = (xy - xz) * np.sqrt((n - 1) * (1 + yz) / spread)
        covariance = (yz * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - yz**2) / 2) / (1 - mean**2) ** 2
        z = (np.arctanh(xy) - np.arctanh(xz)) * np.sqrt((n - 3) / (2 - 2 * covariance))
    t, z = (np.where(1 - yz < 1e-12, np.nan, value)[()] for value in (t, z))
    return DependentCorrelations(t, n - 3, 2 * stats.t.sf(np.abs(t), n - 3), z, 2 * stats.norm.sf(np.abs(z)))


def type_one_error(
    n_simulations: int = 200,
    n_images: int = 60,
    n_features: int = 80,
    *,
    rng: np.random.Generator,
    n_resamples: int = 500,
    image_noise: float = 1.0,
    pair_noise: float = 1.0,
    alpha: float = 0.05,
) -> TypeOneError:
    """How often each test of a difference in R2 rejects when there is none: simulation.

    No effect, exactly: images have independent, identically distributed latents a, b, c. One quarter of the post-ReLU
    features codes a, one quarter codes b with the same weights, the other half c. Judgments are similarities in (a, b,
    c) plus noise. Pruning the a-features or the b-features then predicts the judgments equally well over the population
    of images, for exchanging a and b changes nothing, while any one sample of images favours one of the two.

    Parameters
    ----------
    n_images, n_features : at least 8 and 16.
    image_noise, pair_noise : standard deviations, relative to that of the signal, of similarity in what only people see
        (a property of images: its pairs are dependent) and of independent noise per pair.

    Returns
    -------
    TypeOneError for the paired stimulus bootstrap (percentile, and calibrated: `helpers.inference.bootstrap_curve`) and
    Williams' and Steiger's tests with pairs as the sample.

    Raises
    ------
    ValueError : a number too small, a negative noise, alpha outside (0, 1).
    """
    minima = {"n_simulations": 1, "n_images": 8, "n_features": 16, "n_resamples": 2, "image_noise": 0, "pair_noise": 0}
    given = (n_simulations, n_images, n_features, n_resamples, image_noise, pair_noise)
    for (name, minimum), value in zip(minima.items(), given, strict=True):
        checks.at_least(name, value, minimum)
    checks.fraction("alpha", alpha)
    weights = rng.normal(size=(2, _LATENTS, n_features // 2))
    p = np.empty((n_simulations, len(_NULL_TESTS)))
    for simulation in range(n_simulations):
        models, y, i, j = _no_effect(n_images, weights, image_noise, pair_noise, rng)
        counts = (np.ones((1, n_images)), inference.bootstrap_counts(n_images, n_resamples, rng), 1 - np.eye(n_images))
        observed, resampled, left_out = (-np.diff(inference._weighted_r2(models, y, weight, i, j)) for weight in counts)
        resampled = resampled[inference._usable(resampled, observed[0])]
        calibrated = inference._calibrated(observed[0], resampled, left_out, 1 - alpha)["calibrated_p"]
        (_, xy, xz), (_, _, yz), _ = np.corrcoef([y, *models])
        contrast = dependent_correlations(xy, xz, yz, len(y))
        p[simulation] = *inference._two_sided_p(resampled), *calibrated, contrast.williams_p, contrast.steiger_p
    rejected, defined = (p < alpha).sum(axis=0), np.isfinite(p).sum(axis=0)
    interval = [
        stats.binomtest(int(k), int(n)).proportion_ci(method="exact") if n else (np.nan, np.nan)
        for k, n in zip(rejected, defined, strict=True)
    ]
    rate = rejected / np.where(defined, defined, np.nan)
    return TypeOneError(_NULL_TESTS, rate, np.array(interval), p, alpha, n_simulations - defined)


def _no_effect(n_images, weights, image_noise, pair_noise, rng):
    """One data set under no effect: similarities of the two pruned embeddings (2, n_pairs), judgments, i, j."""
    a, b, c, private = rng.normal(size=(4, n_images, _LATENTS))
    quarter = weights[0][:, : weights.shape[2] // 2]
    of_a, of_b, of_c = (np.maximum(z @ w, 0) for z, w in ((a, quarter), (b, quarter), (c, weights[1])))
    i, j = np.triu_indices(n_images, 1)
    models = np.stack([rsa.similarity_matrix(np.hstack([part, of_c]))[i, j] for part in (of_b, of_a)])
    signal, dependent = (a @ a.T + b @ b.T + c @ c.T)[i, j] / np.sqrt(3), (private @ private.T)[i, j]
    noise = image_noise * dependent + pair_noise * np.sqrt(_LATENTS) * rng.normal(size=len(i))
    there = np.isfinite(models).all(axis=0)
    return models[:, there], (signal + noise)[there], i[there], j[there]
