"""The negative query: agreement with slow measures, ranks alone count, intervals, undefined scores, error messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import retrieval
from helpers.retrieval import RANKINGS, negative_query


def slow_measures(scores, wanted):
    """Area by comparing all pairs, average precision by walking down the distinct scores."""
    pairs = [(a > b) + (a == b) / 2 for a in scores[wanted] for b in scores[~wanted]]
    precision, before = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        above = scores >= threshold
        hit = (wanted & above).sum() / wanted.sum()
        precision += (hit - before) * wanted[above].mean()
        before = hit
    return np.mean(pairs), precision


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=25))
def test_measures_equal_slow_ones_with_ties_too(images):
    scores, wanted = np.array([i[0] for i in images], float), np.array([i[1] for i in images])
    if wanted.all() or not wanted.any():
        return
    found = negative_query({"a": scores}, wanted, np.random.default_rng(0), 5)
    area, precision = slow_measures(scores, wanted)
    assert found.auc[0] == pytest.approx(area) == pytest.approx(retrieval.roc_area(scores, wanted))
    assert found.precision[0] == pytest.approx(precision)
    assert found.reverse[0] == pytest.approx(slow_measures(-scores, ~wanted)[1])


def test_query_depends_on_ranks_alone_and_turning_it_over_mirrors_the_area(rng):
    scores, wanted = rng.uniform(size=50), rng.uniform(size=50) < 0.6
    rankings = {"s": scores, "exp": np.exp(3 * scores), "minus": -scores}
    found = negative_query(rankings, wanted, rng, 50)
    assert found.auc[0] == found.auc[1] == pytest.approx(1 - found.auc[2])
    assert found.gain[1] == 0 and (found.gain_band[:, 1] == 0).all() and found.p[0] == 1


def test_perfect_and_useless_rankings(rng):
    wanted = np.arange(40) < 30
    found = negative_query({"perfect": wanted * 1.0, "none": np.zeros(40)}, wanted, rng, 100)
    assert found.auc == pytest.approx([1, 0.5]) and found.precision == pytest.approx([1, 0.75])
    assert found.reverse == pytest.approx([1, 0.25])
    assert found.pr[0] == pytest.approx(1) and found.pr[1] == pytest.approx(0.75)
    assert found.roc[1] == pytest.approx(retrieval.GRID)
    assert (found.auc_band[:, 0] == 1).all() and found.gain[1] == pytest.approx(0.5) and found.p[1] < 0.03


def test_undefined_scores_come_last(rng):
    wanted = np.array([True, True, False, False])
    found = negative_query({"a": np.array([1.0, 2, np.nan, -5])}, wanted, rng, 10)
    assert found.auc[0] == 1


def test_interval_covers_the_true_area_about_as_often_as_it_says(rng):
    true, inside = stats.norm.cdf(1 / np.sqrt(2)), []
    for _ in range(150):
        wanted = rng.uniform(size=80) < 0.5
        low, high = negative_query({"a": rng.normal(size=80) + wanted}, wanted, rng, 150).auc_band[:, 0]
        inside.append(low <= true <= high)
    assert 0.86 < np.mean(inside) <= 1


def test_resampling_equals_repeating_images(rng):
    scores, wanted = rng.integers(0, 6, 15).astype(float), np.arange(15) % 3 > 0
    weights = rng.integers(1, 4, 15)
    repeated = negative_query({"a": np.repeat(scores, weights)}, np.repeat(wanted, weights), rng, 1)
    weighted = retrieval._measures(scores, wanted, weights[None].astype(float))
    np.testing.assert_allclose([part[0] for part in weighted[:3]],
                               [repeated.auc[0], repeated.precision[0], repeated.reverse[0]])  # fmt: skip
    np.testing.assert_allclose(weighted[4][0], repeated.pr[0])


@pytest.mark.parametrize(
    ("scores", "wanted", "words"),
    [
        ({"a": np.ones(4)}, np.ones(4, bool), "both kinds"),
        ({"a": np.ones(4)}, np.array([1, 0, 0, 1]), "bool"),
        ({"a": np.ones(3)}, np.array([True, False, False, True]), r"'a' must be \(4,\)"),
        ({}, np.array([True, False]), "a ranking or more"),
    ],
)
def test_queries_that_cannot_be_judged_are_refused(scores, wanted, words, rng):
    with pytest.raises(ValueError, match=words):
        negative_query(scores, wanted, rng)


def test_scores_by_hand(rng):
    category = np.array([[1.0, 2, 0, 0], [3, 2, 0, 0]])
    corpus = np.array([[2.0, 2, 0, 0], [0, 0, 1, 3], [0, 0, 0, 0]])
    found = retrieval.query_scores(category, corpus, rng)
    assert tuple(found) == RANKINGS
    assert found["ghosts"].tolist() == [0, 2, 0]
    np.testing.assert_array_equal(found["ghosts, share of activity"], [0, 1, np.nan])
    assert found["activity of all nodes"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(
        found["distance from the mean"], [0, 1 - np.corrcoef(corpus[1], [2, 2, 0, 0])[0, 1], np.nan]
    )
    assert sorted(found["random order"]) == [0, 1, 2]


def test_a_category_without_ghosts_has_no_ghost_ranking(rng):
    found = retrieval.query_scores(np.ones((2, 3)), rng.uniform(size=(4, 3)), rng)
    assert np.isnan(found["ghosts"]).all()
    with pytest.raises(ValueError, match="3 features"):
        retrieval.query_scores(np.ones((2, 3)), np.ones((2, 4)), rng)


def test_a_ranking_without_any_defined_score_has_no_measures(rng):
    wanted = np.arange(20) < 8
    found = negative_query({"a": rng.normal(size=20), "none": np.full(20, np.nan)}, wanted, rng, 20)
    for value in (found.auc, found.precision, found.reverse, found.gain, found.p):
        assert np.isfinite(value[0]) and np.isnan(value[1])
    assert np.isnan(found.roc[1]).all() and np.isnan(found.auc_band[:, 1]).all()
    assert np.isnan(retrieval.roc_area(np.full(20, np.nan), wanted))


@pytest.mark.parametrize("wanted", [np.array([0, 1, 1]), np.array([True, False])])
def test_roc_area_refuses_what_is_no_mask(wanted):
    with pytest.raises(ValueError, match=r"wanted must be \(3,\) bool"):
        retrieval.roc_area(np.arange(3.0), wanted)
