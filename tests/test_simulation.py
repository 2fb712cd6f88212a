"""False alarms in simulated studies without an effect."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers import inference
from pipeline import simulation


def test_pair_tests_reject_too_often_under_no_effect_and_the_bootstrap_does_not():
    noise = {"noises": (0.5, 0.3), "n_resamples": 200}
    rng = np.random.default_rng(0)
    rates = simulation.type_one_error(150, 50, 40, rng=rng, **noise)
    percentile, calibrated, williams, steiger = rates["rate"]
    assert percentile <= 0.07 and calibrated <= 0.12 and min(williams, steiger) > 0.1
    assert tuple(rates["test"]) == simulation.TESTS


def test_two_prunings_are_exchangeable_under_no_effect():
    rng = np.random.default_rng(0)
    weights, everyone = rng.normal(size=(2, 8, 20)), np.ones((1, 20))
    samples = (simulation.no_effect(20, weights, (1, 1), rng) for _ in range(300))
    gain = [
        np.diff(inference.weighted_r2(models, y, everyone, i, j))
        for models, y, i, j in samples
    ]
    assert np.std(gain) > 0.01
    assert abs(np.mean(gain)) < 3.5 * np.std(gain) / np.sqrt(300)


def test_false_alarms_are_counted_among_simulations_with_a_defined_p():
    p = np.tile(np.linspace(0.01, 0.8, 10)[:, None], 4)
    p[[2, 5], 0] = np.nan
    rates = simulation.false_alarms(p, alpha=0.3)
    np.testing.assert_allclose(rates["rate"], [3 / 8, 0.4, 0.4, 0.4])
    assert list(rates["n_undefined"]) == [2, 0, 0, 0]
    # Clopper & Pearson, by the beta quantiles
    assert rates.at[0, "low"] == pytest.approx(stats.beta.ppf(0.025, 3, 6))
    assert rates.at[0, "high"] == pytest.approx(stats.beta.ppf(0.975, 4, 5))


def test_type_one_error_is_determined_by_its_generator():
    a, b = (
        simulation.type_one_error(5, 12, 16, n_resamples=50, rng=rng)
        for rng in (np.random.default_rng(1), np.random.default_rng(1))
    )
    pd.testing.assert_frame_equal(a, b)


def test_williams_p_of_the_psych_manual():
    p = simulation.williams_p(0.4, 0.5, 0.1, 103)
    assert p == pytest.approx(2 * stats.t.sf(0.89, 100), abs=0.003)


@pytest.mark.parametrize("seed", range(5))
def test_williams_p_equals_its_formula(seed):
    r = np.corrcoef(np.random.default_rng(seed).normal(size=(3, 9)))
    xy, xz, yz = r[0, 1], r[0, 2], r[1, 2]
    below = 2 * 8 / 6 * np.linalg.det(r) + (xy + xz) ** 2 / 4 * (1 - yz) ** 3
    t = (xy - xz) * np.sqrt(8 * (1 + yz) / below)
    p = simulation.williams_p(xy, xz, yz, 9)
    assert p == pytest.approx(2 * stats.t.sf(abs(t), 6))
    assert p == pytest.approx(simulation.williams_p(xz, xy, yz, 9))
