"""How often page 03's tests raise a false alarm: simulated studies without an effect.

No effect, exactly: images have independent, identically distributed latents a, b, c.
One quarter of the post-ReLU features codes a, one quarter b with the same weights, the
other half c. Judgments are similarities in (a, b, c) plus noise. Pruning the a-features
or the b-features then predicts judgments equally well over the population of images,
though in any one sample of them one of the two is better.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from helpers import data, inference, rsa, significance
from pipeline import manifest

SEED = 0
N_LATENTS = 8  # per a, b, c
NOISES = ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0))
"""Standard deviations of image and pair noise that are recorded."""
TESTS = (
    "stimulus bootstrap",
    "stimulus bootstrap, calibrated",
    "Williams, on pairs",
    "Steiger, on pairs",
)
"""Tests of a difference in R2 whose false alarms are counted."""


def record(simulations: int, command: str) -> None:
    """Simulate studies at each noise, into ``data/type_one_error.npz``."""
    conditions = []
    for image, pair in NOISES:
        rng = np.random.default_rng(SEED)
        rates = type_one_error(simulations, 60, 80, rng=rng, noises=(image, pair))
        about = {"image_noise": image, "pair_noise": pair, "n_simulations": simulations}
        conditions.append(rates.assign(**about))
    frame = pd.concat(conditions, ignore_index=True)
    target = data.data_folder() / "type_one_error.npz"
    np.savez_compressed(target, **{k: np.array(v.tolist()) for k, v in frame.items()})
    manifest.register(target, command, seed=str(SEED), inputs="none: simulated")


def type_one_error(
    n_simulations: int,
    n_images: int,
    n_features: int,
    *,
    rng: np.random.Generator,
    n_resamples: int = 500,
    noises: tuple[float, float] = (1.0, 1.0),
) -> pd.DataFrame:
    """`false_alarms` of the paired stimulus bootstrap, percentile and calibrated, and
    of Williams' and Steiger's tests on pairs, where there is no difference in R2.

    ``noises`` are standard deviations, relative to the signal's, of similarity in what
    only people see (so its pairs are dependent) and of independent noise per pair.
    """
    weights = rng.normal(size=(2, N_LATENTS, n_features // 2))
    p = []
    for _ in range(n_simulations):
        sample = no_effect(n_images, weights, noises, rng)
        counts = inference.bootstrap_counts(n_images, n_resamples, rng)
        p.append(p_values(sample, counts))
    return false_alarms(np.array(p))


def false_alarms(p: np.ndarray, alpha: float = 0.05) -> pd.DataFrame:
    """How often ``p`` (n_simulations, n_tests) of `TESTS` lies below ``alpha``.

    A row per test: its rate with the Clopper-Pearson interval, low and high, and
    n_undefined simulations without a p, which do not count.
    """
    rows = []
    for test, column in zip(TESTS, p.T, strict=True):
        defined = column[np.isfinite(column)]
        alarms = stats.binomtest(int((defined < alpha).sum()), len(defined))
        low, high = alarms.proportion_ci()
        rows.append((test, alarms.statistic, low, high, len(p) - len(defined)))
    return pd.DataFrame(rows, columns=["test", "rate", "low", "high", "n_undefined"])


def no_effect(
    n_images: int, weights: np.ndarray, noises: tuple[float, float], rng
) -> tuple[np.ndarray, ...]:
    """One sample under no effect: similarities of the two prunings (2, n_pairs),
    judgments and images i, j, (n_pairs,) each. ``noises`` as `type_one_error`,
    ``weights`` (2, n_latents, n_features / 2).
    """
    a, b, c, private = rng.normal(size=(4, n_images, N_LATENTS))
    quarter = weights[0][:, : weights.shape[2] // 2]
    codes = (a, quarter), (b, quarter), (c, weights[1])
    of_a, of_b, of_c = (np.maximum(latents @ w, 0) for latents, w in codes)
    i, j = np.triu_indices(n_images, 1)
    pruned = (np.hstack([part, of_c]) for part in (of_b, of_a))
    models = np.stack([rsa.similarity_matrix(x)[i, j] for x in pruned])
    signal = (a @ a.T + b @ b.T + c @ c.T)[i, j] / np.sqrt(3)
    dependent = (private @ private.T)[i, j]
    independent = np.sqrt(N_LATENTS) * rng.normal(size=len(i))
    y = signal + noises[0] * dependent + noises[1] * independent
    valid = np.isfinite(models).all(axis=0)
    return models[:, valid], y[valid], i[valid], j[valid]


def p_values(sample: tuple[np.ndarray, ...], counts: np.ndarray) -> tuple[float, ...]:
    """p of each of `TESTS` for a difference in R2 of the two models of a sample."""
    (models, y, i, j), n_images = sample, counts.shape[1]
    weights = np.ones((1, n_images)), counts, 1 - np.eye(n_images)
    r2 = (inference.weighted_r2(models, y, w, i, j) for w in weights)
    observed, resampled, left_out = map(inference.minus_last, r2)
    resampled = resampled[np.isfinite(resampled[:, 0])]
    calibrated = significance.calibrated_test(observed[0], resampled, left_out)[0, 2]
    (_, xy, xz), (_, _, yz), _ = np.corrcoef([y, *models])
    correlations = xy, xz, yz, len(y)
    return (
        significance.two_sided_p(resampled)[0],
        calibrated,
        williams_p(*correlations),
        significance.steiger_p(*correlations),
    )


def williams_p(xy: float, xz: float, yz: float, n: int) -> float:
    """As `helpers.significance.steiger_p`, by Williams' t (Steiger 1980, eq. 7)."""
    determinant = 1 - xy**2 - xz**2 - yz**2 + 2 * xy * xz * yz
    spread = 2 * (n - 1) / (n - 3) * determinant + ((xy + xz) / 2) ** 2 * (1 - yz) ** 3
    t = (xy - xz) * np.sqrt((n - 1) * (1 + yz) / spread)
    return 2 * stats.t.sf(abs(t), n - 3)
