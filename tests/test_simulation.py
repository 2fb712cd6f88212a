"""Simulated studies: the truth they are scored against, and how they are counted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from helpers import data, rsa
from pipeline import simulation


@pytest.fixture(scope="module")
def population():
    """Sixty of the shipped images, and of every 16th of their features."""
    stored = data.read_shipped("alexnet_fc7.npz")
    shape = len(stored["index"]), 4096
    fc7 = data.unpack_sparse(stored["nonzero"], stored["values"], shape)
    return simulation.Population(fc7[:60, ::16].astype(float))


@pytest.mark.parametrize("effect", simulation.WEIGHTS)
def test_true_r2_is_that_over_all_pairs_of_the_population(population, effect):
    weights, everyone = simulation.WEIGHTS[effect], np.arange(60)
    x, share = population.embeddings, 0.35
    signal = population.signal(everyone, weights)
    assert signal.mean() == pytest.approx(0, abs=1e-6)
    assert signal.std() == pytest.approx(1, abs=1e-6)
    expected = []
    for size in (*population.sizes, x.shape[1]):
        kept = x[:, population.order[:size]]
        pairs = rsa.upper_triangle(np.corrcoef(kept))
        expected.append(share * np.corrcoef(pairs, signal)[0, 1] ** 2)
    np.testing.assert_allclose(population.true_r2(weights, share), expected, atol=1e-6)
    difference = expected[simulation.FIFTH] - expected[-1]
    assert (abs(difference) < 1e-6) == (effect == "no difference")


def test_a_study_is_that_of_the_embeddings_of_its_images(population):
    images, human = np.arange(50, 20, -1), np.random.default_rng(0).random(435)
    given = population.prepare(images, human)
    assert np.isnan(given.similarities).sum() == 0
    plain = replace(given)  # without the similarities of the population
    counts = np.random.default_rng(1).multinomial(30, np.full(30, 1 / 30), 20)
    both = given.weighted_r2(counts), plain.weighted_r2(counts)
    np.testing.assert_allclose(*both, atol=1e-5)


@pytest.mark.parametrize("shares", simulation.SETTINGS.values())
def test_parts_of_judgments_have_their_shares_of_variance(shares):
    rng, i_j = np.random.default_rng(0), np.triu_indices(60, 1)
    signal = rng.normal(size=len(i_j[0]))
    drawn = [simulation.judgments(signal, shares, 60, rng) for _ in range(300)]
    assert sum(shares) == pytest.approx(1)
    assert np.mean(np.square(drawn)) == pytest.approx(1, abs=0.06)
    covariance = np.mean([y @ signal for y in drawn]) / (signal @ signal)
    assert covariance == pytest.approx(np.sqrt(shares[0]), abs=0.02)


def test_image_effects_are_shared_by_the_pairs_of_an_image():
    rng, zero = np.random.default_rng(0), np.zeros(60 * 59 // 2)
    i, j = np.triu_indices(60, 1)
    for shares, expected in (((0, 1, 0, 0), 0.5), ((0, 0, 1, 0), 0), ((0, 0, 0, 1), 0)):
        shared = []
        for _ in range(100):
            y = simulation.judgments(zero, shares, 60, rng)
            total = np.bincount(i, y, 60) + np.bincount(j, y, 60)
            same = (total**2).sum() - 2 * (y**2).sum()  # of pairs with one image shared
            shared.append(same / (60 * 59 * 58) / np.mean(y**2))
        assert np.mean(shared) == pytest.approx(expected, abs=0.07)


def test_studies_are_determined_by_their_generator_and_hold_every_interval(population):
    weights, shares = simulation.WEIGHTS["difference"], (0.35, 0.3, 0.3, 0.05)
    a, b = (
        simulation.studies(
            population, weights, shares, 2, 24, 60, rng=np.random.default_rng(1)
        )
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(a, b)
    assert a.groupby(["quantity", "method"]).size().eq(2).all() and len(a) == 20
    with_ends = a[a["quantity"] != "difference, all sizes"].dropna(subset="low")
    held = with_ends["truth"].between(with_ends["low"], with_ends["high"])
    np.testing.assert_array_equal(held, with_ends["held"])
    by_chance = np.random.default_rng(2)
    rated = simulation.rated_studies(population, weights, 2, 20, 4, 30, rng=by_chance)
    assert rated["truth"].nunique() == 1 and len(rated) == 6


def test_rates_count_intervals_that_hold_the_truth_and_small_p():
    found = pd.DataFrame(
        {
            "quantity": "difference",
            "method": ["a"] * 10 + ["b"] * 10,
            "value": np.tile(np.arange(10.0), 2),
            "low": np.tile(np.arange(10) - 3.0, 2),
            "high": np.tile(np.arange(10) + 3.0, 2),
            "p": [*np.linspace(0.01, 0.1, 10), *[np.nan] * 10],
            "truth": 4.0,
            "held": [0, 1, 1, 1, 1, 1, 1, 1, 0, 0] * 2,
        }
    )
    a, b = simulation.rates(found).to_dict("records")
    assert a["coverage"] == 0.7 and a["alarms"] == 0.4 and np.isnan(b["alarms"])
    # Clopper & Pearson, by the beta quantiles
    assert a["coverage_low"] == pytest.approx(stats.beta.ppf(0.025, 7, 4))
    assert a["alarms_high"] == pytest.approx(stats.beta.ppf(0.975, 5, 6))
    assert a["half_width"] == 3 and a["bias"] == 0.5
    spread = stats.norm.ppf(0.975) * np.arange(10).std(ddof=1)
    assert a["relative_width"] == pytest.approx(3 / spread)


R = st.floats(-0.9, 0.9)


@given(R, R, R, st.integers(4, 500))
def test_steiger_p_equals_its_formula(xy, xz, yz, n):
    assume(np.linalg.det([[1, xy, xz], [xy, 1, yz], [xz, yz, 1]]) > 1e-3)
    square = ((xy + xz) / 2) ** 2
    c = yz * (1 - 2 * square) - square * (1 - 2 * square - yz**2) / 2
    c /= (1 - square) ** 2
    z = (np.arctanh(xy) - np.arctanh(xz)) * np.sqrt((n - 3) / (2 - 2 * c))
    p = simulation.steiger_p(xy, xz, yz, n)
    assert p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)
    assert p == pytest.approx(simulation.steiger_p(xz, xy, yz, n), rel=1e-9)


def test_steiger_p_takes_arrays_and_leaves_the_same_embedding_undefined():
    r = np.array([0.4, 0.5]), 0.5, np.array([0.9, 1.0])
    p = simulation.steiger_p(*r, 100)
    np.testing.assert_array_equal(np.isnan(p), [False, True])
