"""Tests of differences: agreement with formulas and slow references, errors under no effect, error messages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from helpers import inference, significance

P_VALUES = hnp.arrays(float, st.integers(0, 12), elements=st.one_of(st.floats(0, 1), st.just(np.nan)))


def slow_holm(p):
    """Holm by its definition: reject in ascending order until one fails; adjusted p is the level that takes."""
    there = [value for value in p if not np.isnan(value)]
    m = len(there)
    adjusted = []
    for value in p:
        steps = [(m - rank) * other for rank, other in enumerate(sorted(there)) if other <= value]
        adjusted.append(min(1, max(steps)) if not np.isnan(value) else np.nan)
    return adjusted


@given(P_VALUES)
def test_holm_agrees_with_a_slow_reference(p):
    # with ties the slow reference may take a later, smaller step of the same value: never larger, so the maximum agrees
    np.testing.assert_allclose(significance.holm(p), slow_holm(p), atol=1e-15)


@given(P_VALUES)
def test_holm_lies_between_raw_and_bonferroni(p):
    adjusted, there = significance.holm(p), ~np.isnan(p)
    assert (adjusted[there] >= p[there]).all()
    assert (adjusted[there] <= np.minimum(1, p[there] * there.sum()) + 1e-15).all()
    np.testing.assert_array_equal(np.isnan(adjusted), ~there)


def test_holm_of_a_textbook_family():
    np.testing.assert_allclose(significance.holm([0.01, 0.04, np.nan, 0.03, 0.005]), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert significance.holm(np.full((2, 3), 0.01)).shape == (2, 3)


@pytest.mark.parametrize("p", [[0.1, -0.2], [1.2]])
def test_holm_refuses_what_is_no_p(p):
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]; got"):
        significance.holm(p)


def test_williams_t_of_the_psych_manual():
    assert significance.dependent_correlations(0.4, 0.5, 0.1, 103).williams_t == pytest.approx(-0.89, abs=0.005)


@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.integers(4, 500))
def test_williams_t_equals_its_formula(xy, xz, yz, n):
    determinant = np.linalg.det([[1, xy, xz], [xy, 1, yz], [xz, yz, 1]])
    if determinant < 1e-3:
        return  # no three variables correlate like that
    below = 2 * (n - 1) / (n - 3) * determinant + ((xy + xz) / 2) ** 2 * (1 - yz) ** 3
    expected = (xy - xz) * np.sqrt((n - 1) * (1 + yz) / below)
    result = significance.dependent_correlations(xy, xz, yz, n)
    assert result.williams_t == pytest.approx(expected, rel=1e-8)
    assert result.williams_p == pytest.approx(2 * stats.t.sf(abs(expected), n - 3), rel=1e-6)


def test_pair_tests_are_honest_where_the_sample_is_independent():
    rng = np.random.default_rng(0)
    rejected = np.zeros(2)
    for _ in range(600):
        x, shared = rng.normal(size=(2, 80))
        y, z = x + shared + rng.normal(size=(2, 80))
        (_, xy, xz), (_, _, yz), _ = np.corrcoef([x, y, z])
        result = significance.dependent_correlations(xy, xz, yz, 80)
        rejected += result.williams_p < 0.05, result.steiger_p < 0.05
    assert ((rejected > 600 * 0.025) & (rejected < 600 * 0.08)).all()


def test_pair_tests_change_sign_when_the_two_are_exchanged():
    a, b = (
        significance.dependent_correlations(0.6, 0.5, 0.8, 50),
        significance.dependent_correlations(0.5, 0.6, 0.8, 50),
    )
    assert a.williams_t == -b.williams_t > 0 and a.steiger_z == -b.steiger_z and a.williams_p == b.williams_p


def test_pair_tests_take_arrays_and_leave_the_same_embedding_undefined():
    result = significance.dependent_correlations([0.4, 0.5], 0.5, [0.9, 1.0], 100)
    np.testing.assert_array_equal(np.isnan(result.williams_p), [False, True])
    np.testing.assert_array_equal(np.isnan(result.steiger_p), [False, True])


@pytest.mark.parametrize(("arguments", "message"), [((1.1, 0, 0, 9), "r_xy must lie"), ((0.1, 0, 0, 3), "n must be")])
def test_pair_tests_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        significance.dependent_correlations(*arguments)


def test_pair_tests_reject_too_often_under_no_effect_and_the_bootstrap_does_not():
    result = significance.type_one_error(
        150, 50, 40, rng=np.random.default_rng(0), n_resamples=200, image_noise=0.5, pair_noise=0.3
    )
    rates = dict(zip(result.tests, result.rate, strict=True))
    assert rates["Williams, on pairs"] > 0.1 and rates["Steiger, on pairs"] > 0.1
    assert rates["stimulus bootstrap"] <= 0.07 and rates["stimulus bootstrap, calibrated"] <= 0.12
    assert ((result.interval[:, 0] <= result.rate) & (result.rate <= result.interval[:, 1])).all()
    np.testing.assert_allclose(result.rate, (result.p < 0.05).mean(axis=0))


def test_two_prunings_are_exchangeable_under_no_effect():
    rng, gain = np.random.default_rng(0), []
    weights = rng.normal(size=(2, 8, 20))
    for _ in range(300):
        models, y, i, j = significance._no_effect(20, weights, 1, 1, rng)
        gain.append(np.diff(inference._weighted_r2(models, y, np.ones((1, 20)), i, j))[0, 0])
    assert np.std(gain) > 0.01 and abs(np.mean(gain)) < 3.5 * np.std(gain) / np.sqrt(300)


def test_type_one_error_is_determined_by_its_generator():
    a, b = (significance.type_one_error(5, 12, 16, rng=np.random.default_rng(1), n_resamples=50) for _ in range(2))
    np.testing.assert_array_equal(a.p, b.p)


def test_type_one_error_refuses():
    with pytest.raises(ValueError, match="n_images must be at least 8; got 4"):
        significance.type_one_error(5, 4, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="alpha must lie strictly between 0 and 1"):
        significance.type_one_error(5, alpha=5, rng=np.random.default_rng(0))


def test_simulations_without_a_defined_p_are_counted_and_do_not_count(monkeypatch):
    two_sided = inference._two_sided_p
    calls = []

    def sometimes(differences):
        calls.append(1)
        return two_sided(differences) if len(calls) % 4 else np.array([np.nan])

    monkeypatch.setattr(inference, "_two_sided_p", sometimes)
    result = significance.type_one_error(8, 12, 16, rng=np.random.default_rng(0), n_resamples=50, alpha=0.999)
    assert result.n_undefined.tolist() == [2, 0, 0, 0]
    assert result.rate[0] == np.nanmean(result.p[:, 0] < 0.999) * 8 / 6
