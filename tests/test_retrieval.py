"""The negative query: agreement with slow measures, ranks alone count, intervals,
undefined scores, messages; ghosts of the classes of a network."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers import retrieval
from helpers.retrieval import RANKINGS, class_ghosts, negative_query


def slow_measures(scores, wanted):
    """Area by comparing all pairs, average precision by walking down the scores."""
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
def test_measures_equal_slow_ones_also_with_ties(images):
    scores, wanted = (np.array(x) for x in zip(*images, strict=True))
    assume(wanted.any() and not wanted.all())
    query = negative_query({"a": scores}, wanted, np.random.default_rng(0), 5)
    value = query.measures["value"].unstack().T.loc["a"]
    area, precision = slow_measures(scores, wanted)
    assert value["area"] == pytest.approx(area)
    assert retrieval.roc_area(scores, wanted) == pytest.approx(area)
    assert value["precision"] == pytest.approx(precision)
    assert value["reverse"] == pytest.approx(slow_measures(-scores, ~wanted)[1])


def test_only_ranks_matter_and_reversing_them_mirrors_the_area(rng):
    scores, wanted = rng.uniform(size=50), rng.uniform(size=50) < 0.6
    rankings = {"s": scores, "exp": np.exp(3 * scores), "minus": -scores}
    measures = negative_query(rankings, wanted, rng, 50).measures
    area = measures.loc["area", "value"]
    assert area["s"] == area["exp"] == pytest.approx(1 - area["minus"])
    gain = measures.loc[("gain", "exp")]
    assert (gain[["value", "low", "high"]] == 0).all() and gain["p"] == 1


def test_perfect_and_useless_rankings(rng):
    wanted = np.arange(40) < 30
    rankings = {"perfect": wanted * 1.0, "none": np.zeros(40)}
    query = negative_query(rankings, wanted, rng, 100)
    value = query.measures["value"].unstack("measure")
    assert value.loc["perfect", ["area", "precision", "reverse"]].tolist() == [1, 1, 1]
    chance = query.measures["chance"].unstack("measure").loc["none"]
    columns = ["area", "precision", "reverse"]
    assert value.loc["none", columns].tolist() == chance[columns].tolist()
    assert chance[columns].tolist() == [0.5, 0.75, 0.25]
    assert query.measures.loc[("area", "perfect"), "low"] == 1
    assert value.loc["none", "gain"] == 0.5
    assert query.measures.loc[("gain", "none"), "p"] < 0.03
    curve = query.curves["value"].unstack("x")
    np.testing.assert_allclose(curve.loc[("ROC", "none")], retrieval.GRID)
    np.testing.assert_allclose(curve.loc[("precision", "none")], 0.75)
    np.testing.assert_allclose(curve.loc[("precision", "perfect")], 1)


def test_interval_covers_the_true_area_about_as_often_as_it_says(rng):
    true, inside = stats.norm.cdf(1 / np.sqrt(2)), []
    for _ in range(150):
        wanted = rng.uniform(size=80) < 0.5
        query = negative_query({"a": rng.normal(size=80) + wanted}, wanted, rng, 150)
        area = query.measures.loc[("area", "a")]
        inside.append(area["low"] <= true <= area["high"])
    assert 0.86 < np.mean(inside) <= 1


def test_resampling_equals_repeating_images(rng, monkeypatch):
    scores, wanted = rng.integers(0, 6, 15).astype(float), np.arange(15) % 3 > 0
    weights = rng.integers(1, 4, 15)
    repeated = {"a": np.repeat(scores, weights)}
    repeated = negative_query(repeated, np.repeat(wanted, weights), rng, 1)
    drawn = np.stack([weights] * 3)
    counts = "helpers.significance.bootstrap_counts"
    monkeypatch.setattr(counts, lambda *_: drawn)
    query = negative_query({"a": scores}, wanted, rng, 3)
    for table in ("measures", "curves"):
        expected = getattr(repeated, table)["value"]
        for end in ("low", "high"):
            np.testing.assert_allclose(getattr(query, table)[end], expected)


@pytest.mark.parametrize(
    ("scores", "wanted", "words"),
    [
        ({"a": np.ones(4)}, np.ones(4, bool), "not all the same"),
        ({"a": np.ones(4)}, np.array([1, 0, 0, 1]), "bool"),
        ({"a": np.ones(3)}, np.arange(4) < 2, r"each be \(4,\).*'a': \(3,\)"),
        ({}, np.array([True, False]), r"got \{\}"),
    ],
)
def test_queries_that_cannot_be_judged_are_refused(scores, wanted, words, rng):
    with pytest.raises(ValueError, match=words):
        negative_query(scores, wanted, rng)


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


def test_undefined_scores_come_last_and_without_any_there_are_no_measures(rng):
    wanted = np.arange(20) < 8
    scores = np.where(np.arange(20) < 18, wanted, np.nan)
    rankings = {"a": scores, "none": np.full(20, np.nan)}
    query = negative_query(rankings, wanted, rng, 20)
    value = query.measures.drop(columns=["chance", "p"]).unstack("measure")
    assert value.loc["a", ("value", "area")] == 1 == retrieval.roc_area(scores, wanted)
    assert value.loc["none"].isna().all() and value.loc["a"].notna().all()
    assert query.curves.xs("none", level="ranking").isna().all(axis=None)
    assert np.isnan(retrieval.roc_area(rankings["none"], wanted))
    ties = {"a": np.where(np.arange(20) < 4, 1.0, np.nan)}
    query = negative_query(ties, np.arange(20) % 2 == 0, rng, 20)
    assert query.measures.loc[("area", "a"), "value"] == 0.5


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
    assert len(found.table) == 2 * 3
    assert (found.table["count"] == 5).all() and (found.table["dead"] == 1).all()
    assert (found.table["ghosts"] == 1).all() and set(RANKINGS) <= set(found.table)
    response, diagonal = found.response.to_numpy(), np.eye(3, dtype=bool)
    assert (response[diagonal] == 0).all() and (response[~diagonal] > 0.5).all()


def test_expected_ghosts_of_a_class_are_those_of_as_many_random_images(rng):
    x, labels = np.maximum(rng.normal(size=(20, 12)) - 1, 0), np.arange(20) % 2
    found = class_ghosts(x[None], labels, rng).table
    draws = [(x[rng.permutation(20)[:5]] == 0).all(axis=0).sum() for _ in range(4000)]
    assert found["expected"].to_numpy() == pytest.approx(np.mean(draws), abs=0.15)


def test_a_class_without_ghosts_is_undefined(rng):
    found = class_ghosts(rng.uniform(1, 2, (1, 20, 4)), np.arange(20) % 2, rng)
    assert found.response.isna().all(axis=None) and found.table["ghosts"].isna().all()


@pytest.mark.parametrize("labels", [np.arange(3), np.arange(20)])
def test_classes_need_a_label_per_image_and_two_images(labels, rng):
    with pytest.raises(ValueError, match=r"labels must|smallest class"):
        class_ghosts(np.ones((1, 20, 4)), labels, rng)
