"""Intervals of ROC areas: the bootstrap against repeated images, BCa against scipy's,
the record."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from helpers import data, retrieval
from pipeline import roc_simulation


def test_resampled_areas_are_those_of_repeated_images(rng):
    few, many = rng.integers(0, 5, (2, 2, 9)).astype(float)
    counts = rng.multinomial(18, np.full(18, 1 / 18), 30)
    found = roc_simulation.resampled_areas(few, many, counts.astype(float))
    scores, wanted = np.hstack([few, many]), np.arange(18) >= 9
    for areas, drawn in zip(found, counts, strict=True):
        images = np.repeat(np.arange(18), drawn)
        expected = [retrieval.roc_area(s[images], wanted[images]) for s in scores]
        assert areas == pytest.approx(expected)


def test_bca_is_scipys_where_the_estimate_is_a_mean(rng):
    x = rng.exponential(size=40)
    draws = rng.choice(x, (20_000, 40)).mean(axis=1)
    found = roc_simulation.bootstraps(x.mean(), draws, x - x.mean())
    options = {"n_resamples": 20_000, "method": "BCa", "rng": 1}
    expected = stats.bootstrap((x,), np.mean, **options).confidence_interval
    assert found["BCa bootstrap"] == pytest.approx(tuple(expected), rel=0.02)
    percentile = tuple(np.quantile(draws, [0.025, 0.975]))
    assert found["percentile bootstrap"] == percentile
    one_sided = roc_simulation.bootstraps(2.0, draws * 0, x - x.mean())
    assert np.isnan(one_sided["BCa bootstrap"]).all()


def test_intervals_of_an_area_by_hand():
    found = roc_simulation.of_area(0.8, 0.01, 12, 500)
    assert np.mean(found["DeLong"]) == pytest.approx(0.8)
    ends = special.logit(found["logit DeLong"])
    assert np.mean(ends) == pytest.approx(special.logit(0.8))
    assert np.ptp(ends) == pytest.approx(np.ptp(found["DeLong"]) / 0.16)
    assert np.ptp(found["DeLong, t"]) > np.ptp(found["DeLong"])
    assert np.isnan(roc_simulation.of_area(1.0, 0.0, 12, 500)["logit DeLong"]).all()


def test_true_areas_are_those_of_the_populations_and_coverage_is_counted(
    rng, monkeypatch
):
    monkeypatch.setattr(roc_simulation, "N_CATEGORY", (30,))
    monkeypatch.setattr(roc_simulation, "N_OTHERS", 60)
    own = rng.normal(size=(2, 400))
    population = {"p": (own, own + 1)}
    table = roc_simulation.coverage(population, 40, rng).set_index("scores")
    expected = (own[0][:, None] < own[0] + 1).mean()
    np.testing.assert_allclose(table.loc["p, ghosts", "true"], expected)
    assert len(table) == 2 * 7 + 4 and (table["coverage"] > 0.8).all()
    assert table.loc["p", "method"].tolist()[:2] == ["DeLong", "DeLong, t"]


def test_recorded_choice_follows_the_rule():
    table = pd.DataFrame(data.read_shipped("roc_coverage.npz"))
    lowest = table.groupby(["estimate", "method"])["coverage"].min()
    width = table.groupby(["estimate", "method"])["width"].mean()
    for estimate, chosen in (("area", "Newcombe"), ("difference", "DeLong, t")):
        near = lowest[estimate] >= lowest[estimate].max() - 0.01
        assert width[estimate][near].idxmin() == chosen
    assert (table["low"] <= table["coverage"]).all()
