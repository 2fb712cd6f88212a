"""The negative query: agreement with slow measures and scikit-learn, ranks alone count,
intervals, undefined scores, messages; ghosts of the classes of a network."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from helpers import retrieval
from helpers.retrieval import RANKINGS, class_ghosts, negative_query


def slow_area(scores, wanted):
    """By comparing all pairs."""
    pairs = [(a > b) + (a == b) / 2 for a in scores[wanted] for b in scores[~wanted]]
    return np.mean(pairs)


def slow_delong(scores, wanted):
    """Covariance of areas from DeLong's structural components, pair by pair."""
    kernel = [
        [[(a > b) + (a == b) / 2 for b in row[~wanted]] for a in row[wanted]]
        for row in scores
    ]
    kernel = np.array(kernel)
    parts = np.cov(kernel.mean(axis=2)), np.cov(kernel.mean(axis=1))
    return sum(
        np.atleast_2d(p) / n for p, n in zip(parts, kernel.shape[1:], strict=True)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=25))
def test_area_equals_slow_one_and_scikit_learns_also_with_ties(images):
    scores, wanted = (np.array(x) for x in zip(*images, strict=True))
    assume(wanted.any() and not wanted.all())
    area = retrieval.roc_area(scores, wanted)
    assert area == pytest.approx(slow_area(scores, wanted))
    assert area == pytest.approx(metrics.roc_auc_score(wanted, scores))
    below, above = retrieval.placements(scores, wanted)
    assert area == pytest.approx(above.mean()) and len(below) == wanted.sum()
    query = negative_query({"a": scores, "b": -scores}, wanted)["value"]
    assert query["area"].tolist() == pytest.approx([area, 1 - area])
    assert query["gain"].tolist() == pytest.approx([0, 2 * area - 1])


def test_covariance_is_that_of_the_structural_components(rng):
    scores, wanted = rng.integers(0, 6, (3, 40)).astype(float), np.arange(40) < 13
    areas, covariance = retrieval.delong(scores, wanted)
    np.testing.assert_allclose(covariance, slow_delong(scores, wanted), atol=1e-12)
    assert areas == pytest.approx([slow_area(row, wanted) for row in scores])


def test_covariance_agrees_with_a_bootstrap_of_both_kinds_of_images(rng):
    scores, wanted = rng.normal(size=(2, 300)), np.arange(300) < 100
    scores += wanted
    draws = []
    for _ in range(600):
        parts = [rng.choice(np.flatnonzero(k), k.sum()) for k in (wanted, ~wanted)]
        images = np.concatenate(parts)
        draws.append([retrieval.roc_area(s[images], wanted[images]) for s in scores])
    covariance = retrieval.delong(scores, wanted)[1]
    np.testing.assert_allclose(np.cov(np.transpose(draws)), covariance, atol=2e-4)


def test_only_ranks_matter_and_a_ranking_gains_nothing_over_itself(rng):
    scores, wanted = rng.uniform(size=50), rng.uniform(size=50) < 0.6
    measures = negative_query({"s": scores, "exp": np.exp(3 * scores)}, wanted)
    assert measures.loc["area"].loc["s"].equals(measures.loc["area"].loc["exp"])
    gain = measures.loc[("gain", "exp")]
    assert (gain[["value", "low", "high"]] == 0).all() and gain["p"] == 1


def test_perfect_and_useless_rankings():
    wanted = np.arange(40) < 30
    measures = negative_query({"perfect": wanted * 1.0, "none": np.zeros(40)}, wanted)
    area = measures.loc["area"]
    assert area["value"].tolist() == [1, 0.5] and area.loc["perfect", "high"] == 1
    assert 0.6 < area.loc["perfect", "low"] < 0.95 and area.loc["none", "low"] < 0.5
    curve = retrieval.roc_curve(np.zeros(40), wanted)
    np.testing.assert_allclose(curve, retrieval.GRID)
    assert (retrieval.roc_curve(wanted * 1.0, wanted)[1:] == 1).all()


def test_area_under_the_curve_is_the_area(rng):
    scores, wanted = rng.integers(0, 9, 400) / 1.0, rng.uniform(size=400) < 0.4
    scores += wanted
    area = np.trapezoid(retrieval.roc_curve(scores, wanted), retrieval.GRID)
    assert area == pytest.approx(retrieval.roc_area(scores, wanted), abs=0.003)
    false_alarms, hits, _ = metrics.roc_curve(wanted, scores)
    expected = np.interp(retrieval.GRID, false_alarms, hits)
    np.testing.assert_allclose(retrieval.roc_curve(scores, wanted), expected)


@pytest.mark.parametrize("area", [0.0, 0.5, 0.83, 1.0])
def test_ends_of_the_interval_lie_z_standard_errors_from_the_area(area):
    m, n = 12, 500
    for end in retrieval.area_interval(area, m, n):
        pairs = (m + n) / 2 - 1
        shape = 1 + pairs * (1 - end) / (2 - end) + pairs * end / (1 + end)
        error = np.sqrt(end * (1 - end) * shape / (m * n))
        assert abs(end - area) == pytest.approx(retrieval.Z * error)
    mirrored = 1 - np.array(retrieval.area_interval(1 - area, m, n))[::-1]
    assert retrieval.area_interval(area, m, n) == pytest.approx(mirrored)


def test_interval_covers_the_true_area_about_as_often_as_it_says(rng):
    true, inside = stats.norm.cdf(1 / np.sqrt(2)), []
    wanted = np.arange(80) < 12
    for _ in range(400):
        area = retrieval.roc_area(rng.normal(size=80) + wanted, wanted)
        low, high = retrieval.area_interval(area, 12, 68)
        inside.append(low <= true <= high)
    assert 0.93 < np.mean(inside) < 1


def test_test_of_a_gain_keeps_its_level_with_few_images(rng):
    wanted, alarms = np.arange(100) < 12, 0
    for _ in range(500):
        scores = rng.normal(size=(2, 100)) + wanted
        gain = negative_query(dict(zip("ab", scores, strict=True)), wanted)
        p = gain.loc[("gain", "b"), "p"]
        low, high = gain.loc[("gain", "b"), ["low", "high"]]
        assert (p < 0.05) == (low > 0 or high < 0)
        alarms += p < 0.05
    assert 0.01 < alarms / 500 < 0.08


@pytest.mark.parametrize(
    ("scores", "wanted", "words"),
    [
        ({"a": np.ones(4)}, np.ones(4, bool), "not all the same"),
        ({"a": np.ones(4)}, np.array([1, 0, 0, 1]), "bool"),
        ({"a": np.ones(3)}, np.arange(4) < 2, r"wanted must be \(3,\)"),
        ({}, np.array([True, False]), r"got \{\}"),
    ],
)
def test_queries_that_cannot_be_judged_are_refused(scores, wanted, words):
    with pytest.raises(ValueError, match=words):
        negative_query(scores, wanted)


def test_scores_by_hand(rng):
    category = np.array([[1.0, 2, 0, 0], [3, 2, 0, 0]])
    corpus = np.array([[2.0, 2, 0, 0], [0, 0, 1, 3], [0, 0, 0, 0]])
    scores = retrieval.query_scores(category, corpus, rng)
    assert tuple(scores) == RANKINGS
    assert scores["ghosts"].tolist() == [0, 2, 0]
    share = scores["ghosts, share of activity"]
    np.testing.assert_array_equal(share, [0, 1, np.nan])
    assert scores["activity of all nodes"].tolist() == [1, 1, 0]
    far = 1 - np.corrcoef(corpus[1], [2, 2, 0, 0])[0, 1]
    np.testing.assert_allclose(scores["distance from the mean"], [0, far, np.nan])
    assert sorted(scores["random order"]) == [0, 1, 2]


def test_a_category_without_ghosts_has_no_ghost_ranking(rng):
    scores = retrieval.query_scores(np.ones((2, 3)), rng.uniform(size=(4, 3)), rng)
    assert np.isnan(scores["ghosts"]).all()
    with pytest.raises(ValueError, match="3 features"):
        retrieval.query_scores(np.ones((2, 3)), np.ones((2, 4)), rng)


def test_undefined_scores_come_last_and_without_any_there_are_no_measures():
    wanted = np.arange(20) < 8
    scores = np.where(np.arange(20) < 18, wanted, np.nan)
    query = negative_query({"a": scores, "none": np.full(20, np.nan)}, wanted)
    value = query.drop(columns="p").unstack("measure")
    assert value.loc["a", ("value", "area")] == 1
    assert value.loc["none"].isna().all() and value.loc["a"].notna().all()
    ties = np.where(np.arange(20) < 4, 1.0, np.nan)
    area = retrieval.roc_area(ties, np.arange(20) % 2 == 0)
    assert area == pytest.approx(0.5)


@pytest.mark.parametrize("wanted", [np.array([0, 1, 1]), np.array([True, False])])
def test_roc_area_refuses_what_is_no_mask(wanted):
    with pytest.raises(ValueError, match=r"wanted must be \(3,\) bool"):
        retrieval.roc_area(np.arange(3.0), wanted)


def test_words_show_an_interval_where_there_is_one():
    columns = ["value", "low", "high"]
    table = pd.DataFrame([[5.37, 2, 8], [2, 2, 2], [np.nan] * 3], columns=columns)
    words = retrieval.in_words(table, ".1f")
    assert words.tolist() == ["5.4 (2.0 to 8.0)", "2.0", "nan"]


# --------------------------------------------------------------- classes of a network
def test_class_ghosts_of_a_network_that_gives_each_class_its_own_nodes(rng):
    labels = np.repeat([0, 1, 2], 10)
    nodes = np.repeat(np.eye(3), 2, axis=1)[labels] * rng.uniform(1, 2, (30, 6))
    x = np.stack([np.hstack([nodes, np.zeros((30, 1)), np.ones((30, 1))])] * 2)
    found = class_ghosts(x, labels, rng)
    assert len(found) == 2 * 3
    assert (found["count"] == 5).all() and (found["dead"] == 1).all()
    assert (found["ghosts"] == 1).all() and set(RANKINGS) <= set(found)


def test_a_class_without_ghosts_is_undefined(rng):
    found = class_ghosts(rng.uniform(1, 2, (1, 20, 4)), np.arange(20) % 2, rng)
    assert found["ghosts"].isna().all() and (found["count"] == 0).all()


@pytest.mark.parametrize("labels", [np.arange(3), np.arange(20)])
def test_classes_need_a_label_per_image_and_two_images(labels, rng):
    with pytest.raises(ValueError, match=r"labels must|smallest class"):
        class_ghosts(np.ones((1, 20, 4)), labels, rng)


def test_no_rows_have_no_words():
    empty = pd.DataFrame(columns=["value", "low", "high"], dtype=float)
    assert retrieval.in_words(empty, ".2f").empty
