"""Ghosts: counts against enumeration, components against a full decomposition,
enrichment against Fisher's test, planted structure, undefined values, the record."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from helpers import data, ghosts
from helpers.ghosts import component_stability, ghost_scores, label_enrichment
from helpers.retrieval import RANKINGS
from helpers.sparsity import ghost_features


def planted(rng, n=300, n_noise=20):
    """A corpus of three labels: eight ghosts fire together, for label 1 only; the rest
    fire for anything, weakly."""
    labels = rng.integers(0, 3, n)
    strength = rng.uniform(1, 3, n) * (labels == 1)
    coding = np.outer(strength, rng.uniform(1.5, 1.6, 8))
    noise = np.maximum(rng.normal(size=(n, n_noise)) - 1.5, 0)
    return np.hstack([coding, noise]), labels


# --------------------------------------------------------------------------- counting
def test_counts_and_overlap_by_hand(rng):
    x = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1]])
    sets = {"a": np.arange(3) == 0, "b": np.arange(3) == 2, "all": np.arange(3) >= 0}
    counts = ghosts.ghost_counts(x, sets, rng, 3)
    assert counts.table["images"].tolist() == [1, 1, 3]
    assert counts.table["ghosts"].tolist() == [3, 2, 1]
    expected = [[1, 1 / 4, 1 / 3], [1 / 4, 1, 1 / 2], [1 / 3, 1 / 2, 1]]
    np.testing.assert_allclose(counts.overlap["overlap"].unstack(sort=False), expected)


def test_expected_number_is_the_mean_over_all_sets_of_that_size(sparse, rng):
    sets = {"three": np.arange(12) < 3, "one": np.arange(12) < 1}
    subsets = combinations(range(12), 3)
    numbers = [len(ghost_features(sparse[list(subset)])) for subset in subsets]
    table = ghosts.ghost_counts(sparse, sets, rng, 500).table
    assert table.loc["three", "expected"] == pytest.approx(np.mean(numbers))
    assert table.loc["one", "expected"] == pytest.approx((sparse == 0).sum() / 12)
    for name, level in (("low", 0.025), ("high", 0.975)):
        assert table.loc["three", name] == pytest.approx(
            np.quantile(numbers, level), abs=1
        )


def test_a_homogeneous_set_has_more_ghosts_than_random_ones_of_its_size(rng):
    x = rng.uniform(1, 2, (40, 30)) * (rng.uniform(size=(40, 30)) < 0.5)
    x[:10, :15] = 0
    found = ghosts.ghost_counts(x, {"alike": np.arange(40) < 10}, rng).table.iloc[0]
    assert found["ghosts"] > found["high"] and found["p"] == pytest.approx(1 / 201)


def test_random_sets_are_kept_draw_by_draw(sparse, rng):
    sets = {"five": np.arange(12) < 5, "two": np.arange(12) > 9}
    counts = ghosts.ghost_counts(sparse, sets, rng, 300)
    assert counts.random.shape == (300, 2)
    bounds = counts.random.quantile([0.025, 0.975])
    np.testing.assert_allclose(counts.table[["low", "high"]].T, bounds)
    n_above = (counts.random >= counts.table["ghosts"]).sum()
    np.testing.assert_allclose(counts.table["p"], (1 + n_above) / 301)


def test_overlap_is_nan_where_no_set_has_a_ghost(rng):
    sets = dict(zip("abcd", np.eye(4, dtype=bool), strict=True))
    counts = ghosts.ghost_counts(np.ones((4, 5)), sets, rng, 2)
    assert counts.overlap.isna().all(axis=None)
    assert not counts.table[["ghosts", "expected"]].any(axis=None)


@pytest.mark.parametrize("mask", [np.ones(3, bool), np.zeros(12, bool), np.ones(12)])
def test_masks_that_give_no_set_are_refused(mask, sparse, rng):
    with pytest.raises(ValueError, match=r"sets must be \(12,\) bool"):
        ghosts.ghost_counts(sparse, {"a": mask}, rng)


def test_overlaps_are_shown_below_and_chance_above_the_diagonal():
    pairs = pd.MultiIndex.from_product([["b", "a"]] * 2, names=["set", "other"])
    values = {"overlap": [1.0, 0.1, 0.1, 1.0], "chance": [1.0, 0.3, 0.3, 1.0]}
    square = ghosts.overlap_square(pd.DataFrame(values, pairs))
    expected = pd.DataFrame([[np.nan, 0.3], [0.1, np.nan]], ["b", "a"], ["b", "a"])
    pd.testing.assert_frame_equal(square, expected, check_names=False)


def test_kinds_divide_the_92_objects():
    kinds = ghosts.kinds92(data.load_objects92())
    assert (np.sum(list(kinds.values()), axis=0) == 1).all()
    assert [int(kind.sum()) for kind in kinds.values()] == [24, 24, 23, 21]


# ------------------------------------------------------------------------- components
@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (120, 200)], ids=str)
def test_scores_are_those_of_a_full_decomposition(shape, rng):
    x = np.maximum(rng.normal(size=shape) - 0.5, 0) * np.geomspace(4, 0.2, shape[1])
    found, centred = ghost_scores(x, 4), x - x.mean(axis=0)
    left, singular, right = linalg.svd(centred, full_matrices=False)
    expected = np.abs(left * singular)[:, :4]
    np.testing.assert_allclose(np.abs(found.scores), expected, atol=1e-8)
    np.testing.assert_allclose(np.abs(found.loadings), np.abs(right)[:4], atol=1e-8)
    shares = singular**2 / (singular**2).sum()
    np.testing.assert_allclose(found.explained, shares[:4])
    np.testing.assert_allclose(centred @ found.loadings.T, found.scores, atol=1e-8)


@pytest.mark.parametrize("n", [30, 150])
def test_dead_features_order_and_scale_do_not_change_components(n, rng):
    x = planted(rng, n, 60)[0]
    images, features = rng.permutation(n), rng.permutation(68)
    changed = 7 * np.insert(x[images][:, features], [0, 5, 68], 0, axis=1)
    before, after = ghost_scores(x, 3), ghost_scores(changed, 3)
    np.testing.assert_allclose(after.scores, 7 * before.scores[images], atol=1e-6)
    np.testing.assert_allclose(after.explained, before.explained)


def test_signs_give_the_long_tail_high_scores_else_the_largest_loading(rng):
    assert (stats.skew(ghost_scores(planted(rng)[0], 5).scores, axis=0) > 0).all()
    symmetric = ghost_scores(np.array([[0.0, 3], [1, 0]]), 1).loadings[0]
    assert symmetric[np.abs(symmetric).argmax()] > 0


@pytest.mark.parametrize("n", [20, 200])
def test_components_that_do_not_exist_are_nan(n, rng):
    same = np.outer(rng.uniform(size=n), np.ones(100))
    for corpus in (rng.uniform(size=(n, 1)), same):
        found = ghost_scores(corpus, 4)
        assert found.scores.shape == (n, 4) and np.isfinite(found.scores[:, 0]).all()
        assert found.explained[0] == pytest.approx(1)
        assert (
            np.isnan(found.scores[:, 1:]).all() and np.isnan(found.loadings[1:]).all()
        )


@pytest.mark.parametrize("shape", [(8, 5), (100, 90)], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_corpus_has_no_component(shape, value):
    found = ghost_scores(np.full(shape, value), 3)
    assert found.scores.shape == (shape[0], 3) and np.isnan(found.scores).all()


@pytest.mark.parametrize(
    ("corpus", "n_components", "words"),
    [
        (np.zeros((5, 0)), 2, "the category has no ghosts"),
        (np.ones((5, 2)), 0, "n_components must be at least 1"),
        (np.ones((1, 2)), 2, "at least 2 image"),
        (np.full((5, 2), -1.0), 2, "post-ReLU"),
        (np.full((5, 2), np.nan), 2, "finite"),
    ],
)
def test_bad_corpora_are_refused(corpus, n_components, words):
    with pytest.raises(ValueError, match=words):
        ghost_scores(corpus, n_components)


def test_planted_component_is_stable_and_shuffled_ones_are_not(rng):
    table = component_stability(planted(rng, 400)[0], rng, 3, 5)
    assert table.loc[("agreement of halves", 1), "low"] > 0.98
    assert table.loc[("features shuffled", 1), "value"] < 0.8
    assert table["value"].between(0, 1).all() and len(table) == 4 * 3


def test_angles_are_scipys_and_variance_is_that_of_the_whole_corpus(rng):
    x = planted(rng, 60)[0]
    table = component_stability(x, np.random.default_rng(4), 3, 1)["value"]
    draws = np.random.default_rng(4)
    draws.permuted(x, axis=0)
    halves = np.array_split(draws.permutation(60), 2)
    bases = [ghost_scores(x[half], 3).loadings.T for half in halves]
    expected = np.cos(linalg.subspace_angles(*bases)) ** 2
    np.testing.assert_allclose(np.sort(table["common subspace"]), np.sort(expected))
    explained = ghost_scores(x, 3).explained
    np.testing.assert_allclose(table["variance explained"], explained)


def test_one_ghost_is_stable_and_the_rest_undefined(rng):
    table = component_stability(rng.uniform(size=(20, 1)), rng, 3, 2)["value"]
    agreement = table["agreement of halves"]
    assert agreement[1] == pytest.approx(1) and agreement[[2, 3]].isna().all()


# ------------------------------------------------------------------------- top images
def test_top_images_are_the_highest_ties_keep_their_order_undefined_are_left_out():
    scores = np.array([[1.0, 0, np.nan], [3, 0, 1], [2, 5, 2], [3, 0, 3]])
    assert ghosts.top_images(scores, 3).tolist() == [[1, 3, 2], [2, 0, 1]]
    for n in (0, 5):
        with pytest.raises(ValueError, match=r"1\.\.n_images"):
            ghosts.top_images(scores, n)


def test_planted_label_is_found_and_no_other(rng):
    x, labels = planted(rng)
    found = label_enrichment(ghost_scores(x, 3).scores, labels, 20)
    assert found.loc[(1, 1), "adjusted_p"] < 1e-6 and found.loc[(1, 1), "count"] == 20
    assert (found.drop((1, 1))["adjusted_p"] > 0.01).all()
    assert (found["adjusted_p"] < 0.05).sum() == 1


def test_p_is_that_of_fishers_exact_test(rng):
    scores, labels = rng.normal(size=(30, 2)), rng.choice(list("abc"), 30)
    found, top = label_enrichment(scores, labels, 8), ghosts.top_images(scores, 8)
    for (component, label), row in found.iterrows():
        images = top[component - 1]
        inside, rest = labels[images] == label, np.delete(labels, images) == label
        table = [[inside.sum(), (~inside).sum()], [rest.sum(), (~rest).sum()]]
        p = stats.fisher_exact(table, "greater").pvalue
        assert row["p"] == pytest.approx(p) and row["count"] == inside.sum()
    assert (found.groupby("component")[["count", "expected"]].sum() == 8).all(axis=None)


def test_under_no_effect_false_alarms_stay_rare(rng):
    labels, alarms = np.repeat(np.arange(5), 40), 0
    for _ in range(300):
        enrichment = label_enrichment(rng.normal(size=(200, 4)), labels, 20)
        alarms += (enrichment["adjusted_p"] < 0.05).any()
    assert alarms / 300 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_undefined_components_are_not_tested(rng):
    scores, labels = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    alone = label_enrichment(scores[:, [0, 2]], labels, 5)
    scores[:, 1] = np.nan
    found = label_enrichment(scores, labels, 5)
    assert found.loc[2, ["count", "p", "adjusted_p"]].isna().all(axis=None)
    np.testing.assert_array_equal(found.loc[[1, 3]], alone)
    with pytest.raises(ValueError, match=r"labels must be \(30,\)"):
        label_enrichment(scores, labels[:4], 5)


# --------------------------------------------------------------------- shipped records
@pytest.fixture(scope="module")
def recorded():
    return ghosts.load(data.read_shipped("ghosts_imagenet.npz"))


def test_record_agrees_with_itself(recorded):
    numbers = recorded.counts["ghosts"].to_dict()
    assert numbers == {"animals": 161, "fruits": 442, "vegetables": 376}
    n_top = recorded.top.groupby(["set", "component"]).size()
    assert (recorded.labels.groupby(["set", "component"])["count"].sum() == n_top).all()
    for name, rows in recorded.labels.groupby("set"):
        of_ghosts = recorded.draws.loc[(name, "ghosts", 0)]
        named = (rows["adjusted_p"] < 0.05).groupby("component").any().sum()
        assert named == of_ghosts["labelled components"]
        response = recorded.graded.loc[(name, "1")]
        assert response["n_features"] == numbers[name]
        assert of_ghosts["response"] == pytest.approx(response["value"], rel=1e-5)
        first = recorded.looks.loc[name, 1]["value"]
        np.testing.assert_allclose(of_ghosts[first.index], first, rtol=1e-5)
        value = recorded.measures.loc[name]["value"].unstack("measure")
        assert value.index.tolist() == sorted(RANKINGS)
        gain = value.loc["ghosts", "area"] - value["area"]
        np.testing.assert_allclose(value["gain"], gain, atol=1e-6)
        more = (recorded.random[name] >= recorded.counts.loc[name, "ghosts"]).sum()
        expected = (1 + more) / (1 + len(recorded.random))
        assert recorded.counts.loc[name, "p"] == pytest.approx(expected)
    assert (recorded.areas["low"] <= recorded.areas["high"]).all()


def test_table_of_labels_names_the_over_represented(recorded):
    table = ghosts.label_table(recorded, 5)
    assert len(table) == 3 * 5
    first = table.loc[("fruits", 5)]
    assert first["over-represented"] == "dogs (11, 2.2), birds (9, 1.6)"
    assert first["highest images"].count(", ") == 4
    assert table.loc[("animals", 2), "over-represented"] == "none"


def test_shipped_activations_are_those_of_every_ghost():
    stored, objects = data.read_shipped("ghosts_cifar10.npz"), data.load_objects92()
    kinds = ghosts.kinds92(objects)
    features = [ghost_features(objects.embeddings[kind]) for kind in kinds.values()]
    assert np.array_equal(np.unique(np.concatenate(features)), stored["features"])
    assert stored["sets"].tolist() == list(kinds)
    n = len(stored["features"])
    for bits, expected in zip(stored["ghosts"], features, strict=True):
        member = np.unpackbits(bits, count=n).astype(bool)
        assert np.array_equal(stored["features"][member], expected)
    assert stored["rankings"].tolist() == list(RANKINGS[:-1])
    assert stored["scores"].shape == (4, 5, 2000)
    assert np.isfinite(stored["scores"]).all()


def test_shipped_ghosts_of_fruits_are_as_many_as_recorded(recorded):
    stored = data.read_shipped("ghosts_fruits_cifar10.npz")
    n = len(stored["features"])
    counts = np.unpackbits(stored["ghosts"], axis=1, count=n).sum(axis=1)
    assert counts.tolist() == recorded.counts.loc[stored["sets"], "ghosts"].tolist()
