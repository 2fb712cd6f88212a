import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import linalg, stats

from helpers import datasets, ghost_figures, ghosts
from pipeline import judgments
from helpers.ghosts import component_stability, ghost_scores, label_enrichment, top_images
from helpers.retrieval import RANKINGS, negative_query
from helpers.sparsity import ghost_features


def planted(rng, n=300, n_noise=20):
    """A corpus of three labels; eight ghosts fire together, and for label 1 only, the rest for anything, weakly."""
    labels = rng.integers(0, 3, n)
    coding = np.outer(rng.uniform(1, 3, n) * (labels == 1), rng.uniform(1.5, 1.6, 8))
    return np.hstack([coding, np.maximum(rng.normal(size=(n, n_noise)) - 1.5, 0)]), labels


# ------------------------------------------------------------------------------------------------------------ counting
def test_counts_and_overlap_by_hand(rng):
    x = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1]])
    found = ghosts.ghost_counts(x, np.array([[True, False, False], [False, False, True], [True, True, True]]), rng, 0)
    assert found.count.tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.overlap, [[1, 1 / 4, 1 / 3], [1 / 4, 1, 1 / 2], [1 / 3, 1 / 2, 1]])


def test_expected_number_is_the_mean_over_all_sets_of_that_size(sparse, rng):
    from itertools import combinations

    members = np.arange(12) < np.array([[3], [1]])
    every = [len(ghost_features(sparse[list(some)])) for some in combinations(range(12), 3)]
    found = ghosts.ghost_counts(sparse, members, rng, 500)
    assert found.expected[0] == pytest.approx(np.mean(every))
    assert found.expected[1] == pytest.approx((sparse == 0).mean(axis=0).sum())
    assert found.random[:, 0].mean() == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(500))


def test_a_homogeneous_set_has_more_ghosts_than_random_ones_of_its_size(rng):
    x = rng.uniform(1, 2, (40, 30)) * (rng.uniform(size=(40, 30)) < 0.5)
    x[:10, :15] = 0
    found = ghosts.ghost_counts(x, np.arange(40)[None] < 10, rng)
    assert found.count[0] > found.random.max() and found.p[0] == pytest.approx(1 / 201)


def test_overlap_is_nan_where_no_set_has_a_ghost(rng):
    found = ghosts.ghost_counts(np.ones((4, 5)), np.eye(4, dtype=bool), rng, 2)
    assert np.isnan(found.overlap).all() and not found.count.any() and (found.expected == 0).all()


@pytest.mark.parametrize("members", [np.ones((1, 3), bool), np.zeros((1, 12), bool), np.ones((1, 12))])
def test_sets_that_are_none_are_refused(members, sparse, rng):
    with pytest.raises(ValueError, match=r"members must be \(n_sets, 12\) bool"):
        ghosts.ghost_counts(sparse, members, rng)


def test_dead_features_are_told_from_specific_ones(sparse):
    own, other = sparse[:6], sparse[6:]
    dead, specific = ghosts.dead_and_specific(ghost_features(own), other[:2], other[2:])
    assert dead.tolist() == ghost_features(sparse).tolist()
    assert sorted([*dead, *specific]) == ghost_features(own).tolist()
    with pytest.raises(ValueError, match="others must be"):
        ghosts.dead_and_specific(ghost_features(own))


def test_kinds_split_the_92_objects():
    kinds = ghosts.kinds92(judgments.load_objects92())
    assert (np.sum(list(kinds.values()), axis=0) == 1).all()
    assert [int(kind.sum()) for kind in kinds.values()] == [24, 24, 23, 21]


# ---------------------------------------------------------------------------------------------------------- components
@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (200, 120), (120, 200)], ids=str)
def test_scores_are_those_of_a_full_decomposition(shape, rng):
    x = np.maximum(rng.normal(size=shape) - 0.5, 0) * np.geomspace(4, 0.2, shape[1])
    found = ghost_scores(x, 4)
    left, singular, right = linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(left * singular)[:, :4], atol=1e-8)
    np.testing.assert_allclose(np.abs(found.loadings), np.abs(right)[:4], atol=1e-8)
    np.testing.assert_allclose(found.explained, (singular**2 / (singular**2).sum())[:4])
    np.testing.assert_allclose((x - x.mean(axis=0)) @ found.loadings.T, found.scores, atol=1e-8)


@pytest.mark.parametrize("n", [30, 150])
def test_neither_dead_features_nor_any_order_change_scores(n, rng):
    x = planted(rng, n, 60)[0]
    images, features = rng.permutation(n), rng.permutation(68)
    changed = np.insert(x[images][:, features], [0, 5, 68], 0, axis=1)
    before, after = ghost_scores(x, 3), ghost_scores(changed, 3)
    np.testing.assert_allclose(after.scores, before.scores[images], atol=1e-7)
    np.testing.assert_allclose(after.explained, before.explained)


def test_sign_gives_the_long_tail_a_high_score(rng):
    found = ghost_scores(planted(rng)[0], 5)
    assert (stats.skew(found.scores, axis=0) > 0).all()


def test_sign_of_a_symmetric_component_makes_its_largest_loading_positive():
    found = ghost_scores(np.array([[0.0, 3], [1, 0]]), 1)
    assert found.loadings[0, np.abs(found.loadings[0]).argmax()] > 0


def test_scores_scale_with_activations(rng):
    x = planted(rng, 40)[0]
    np.testing.assert_allclose(ghost_scores(7 * x, 3).scores, 7 * ghost_scores(x, 3).scores, atol=1e-9)


@pytest.mark.parametrize("n_images", [20, 200])
def test_components_that_do_not_exist_are_nan(n_images, rng):
    one = ghost_scores(rng.uniform(size=(n_images, 1)), 4)
    assert one.n_defined == 1 and one.scores.shape == (n_images, 4)
    assert np.isfinite(one.scores[:, 0]).all() and one.explained[0] == pytest.approx(1)
    assert np.isnan(one.scores[:, 1:]).all() and np.isnan(one.explained[1:]).all()
    same = ghost_scores(np.outer(rng.uniform(size=n_images), np.ones(100)), 4)
    assert same.n_defined == 1 and np.isnan(same.loadings[1:]).all()


@pytest.mark.parametrize("shape", [(8, 5), (100, 90)], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_corpus_has_no_component(shape, value):
    found = ghost_scores(np.full(shape, value), 3)
    assert found.n_defined == 0 and np.isnan(found.scores).all() and found.scores.shape == (shape[0], 3)


@pytest.mark.parametrize(
    ("corpus", "n_components", "words"),
    [
        (np.zeros((5, 0)), 2, "the category has none"),
        (np.ones((5, 2)), 0, "n_components must be at least 1"),
        (np.ones((1, 2)), 2, "at least 2 image"),
        (np.full((5, 2), -1.0), 2, "post-ReLU"),
        (np.full((5, 2), np.nan), 2, "finite"),
    ],
)
def test_bad_corpora_are_refused(corpus, n_components, words):
    with pytest.raises(ValueError, match=words):
        ghost_scores(corpus, n_components)


def test_top_images_are_the_highest_and_ties_keep_their_order():
    scores = np.array([[1.0, 0], [3, 0], [2, 5], [3, 0]])
    assert top_images(scores, 3).tolist() == [[1, 3, 2], [2, 0, 1]]
    for n in (0, 5):
        with pytest.raises(ValueError, match=r"1\.\.4"):
            top_images(scores, n)
    with pytest.raises(ValueError, match="component 1 is NaN"):
        top_images(np.array([[1, np.nan]]), 1)


# ---------------------------------------------------------------------------------------------------------- enrichment
def test_planted_label_is_found_and_no_other(rng):
    x, labels = planted(rng)
    found = label_enrichment(ghost_scores(x, 3).scores, labels, 20)
    assert found.adjusted_p[0, 1] < 1e-6 and found.count[0, 1] == 20
    assert (np.delete(found.adjusted_p.ravel(), 1) > 0.01).all()


def test_p_is_that_of_fishers_exact_test(rng):
    scores, labels = rng.normal(size=(30, 2)), rng.choice(list("abc"), 30)
    found, top = label_enrichment(scores, labels, 8), top_images(scores, 8)
    for k, l in np.ndindex(found.p.shape):
        inside = labels[top[k]] == found.labels[l]
        rest = np.delete(labels, top[k]) == found.labels[l]
        table = [[inside.sum(), (~inside).sum()], [rest.sum(), (~rest).sum()]]
        assert found.p[k, l] == pytest.approx(stats.fisher_exact(table, "greater").pvalue)
        assert found.fold[k, l] == pytest.approx(inside.mean() / (labels == found.labels[l]).mean())
    assert (found.count.sum(axis=1) == 8).all() and found.expected.sum() == pytest.approx(8)


def test_under_no_effect_false_alarms_stay_rare(rng):
    labels = np.repeat(np.arange(5), 40)
    alarms = [(label_enrichment(rng.normal(size=(200, 4)), labels, 20).adjusted_p < 0.05).any() for _ in range(300)]
    assert np.mean(alarms) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_undefined_components_are_not_tested(rng):
    scores, labels = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    alone = label_enrichment(scores[:, :2], labels, 5)
    scores[:, 2] = np.nan
    found = label_enrichment(scores, labels, 5)
    assert np.isnan(found.p[2]).all() and np.isnan(found.adjusted_p[2]).all()
    np.testing.assert_array_equal(found.adjusted_p[:2], alone.adjusted_p)
    with pytest.raises(ValueError, match=r"labels must be \(30,\)"):
        label_enrichment(scores, labels[:4], 5)


def test_relative_share_is_one_by_chance_and_nan_where_there_is_no_such_image(rng):
    own = np.array([True, False, False, False])
    assert ghosts.relative_share(np.array([[0, 1]]), own) == 2 and ghosts.relative_share(np.arange(4), own) == 1
    assert np.isnan(ghosts.relative_share(np.arange(4), np.zeros(4, bool)))


def test_random_features_of_a_corpus_without_structure_mean_nothing(rng):
    corpus, labels = np.maximum(rng.normal(size=(120, 60)), 0), np.repeat(np.arange(4), 30)
    meaningful, foreign = ghosts.random_feature_reference(corpus, 20, labels, labels == 0, rng, 8, 3, 15)
    assert meaningful.shape == foreign.shape == (8,) and meaningful.mean() < 0.5
    assert foreign.mean() == pytest.approx(1, abs=0.4)


# ----------------------------------------------------------------------------------------------------------- stability
def test_planted_component_is_stable_and_shuffled_ones_are_not(rng):
    found = component_stability(planted(rng, 400)[0], rng, 3, 5)
    assert found.cosine[:, 0].min() > 0.98 and found.shuffled[:, 0].mean() < 0.8
    for values in (found.cosine, found.shuffled, found.angles):
        assert values.shape == (5, 3) and (values >= 0).all() and (values <= 1).all()


def test_angles_are_scipys(rng):
    x = planted(rng, 60)[0]
    found = component_stability(x, np.random.default_rng(4), 3, 1).angles[0]
    draws = np.random.default_rng(4)
    draws.permuted(x, axis=0)
    halves = np.array_split(draws.permutation(60), 2)
    bases = [ghost_scores(x[half], 3).loadings.T for half in halves]
    np.testing.assert_allclose(np.sort(found), np.sort(np.cos(linalg.subspace_angles(*bases))))


def test_one_ghost_is_stable_and_the_rest_undefined(rng):
    found = component_stability(rng.uniform(size=(20, 1)), rng, 3, 2)
    assert found.cosine[:, 0] == pytest.approx(1) and np.isnan(found.cosine[:, 1:]).all()


# ---------------------------------------------------------------------------------------------------- classes, records
def test_class_ghosts_of_a_network_that_gives_each_class_its_own_nodes(rng):
    labels = np.repeat([0, 1, 2], 10)
    own = np.repeat(np.eye(3), 2, axis=1)[labels] * rng.uniform(1, 2, (30, 6))
    x = np.stack([np.hstack([own, np.zeros((30, 1)), np.ones((30, 1))])] * 2)
    found = ghosts.class_ghosts(x, labels, rng)
    assert (found.count == 5).all() and found.dead.tolist() == [1, 1]
    diagonal = np.eye(3, dtype=bool)
    assert (found.response[:, diagonal] == 0).all() and (found.response[:, ~diagonal] > 0.5).all()
    assert (found.auc[..., 0] == 1).all() and found.auc.shape == (2, 3, len(RANKINGS))


def test_a_class_without_ghosts_is_undefined(rng):
    found = ghosts.class_ghosts(rng.uniform(1, 2, (1, 20, 4)), np.arange(20) % 2, rng)
    assert np.isnan(found.response).all() and np.isnan(found.auc[..., 0]).all()
    for labels in (np.arange(3), np.arange(20)):
        with pytest.raises(ValueError, match="labels must"):
            ghosts.class_ghosts(np.ones((1, 20, 4)), labels, rng)


def test_recorded_results_are_what_was_found(rng, tmp_path):
    query = negative_query({"a": rng.normal(size=30), "b": rng.normal(size=30)}, np.arange(30) < 20, rng, 20)
    fields = {name: rng.uniform(size=(2, 3)) for name in ghosts.GhostRecord.__dataclass_fields__}
    fields |= {"query": query, "n_ghosts": 7, "p": 0.25, "top_labels": np.array([["fig", "dog"]])}
    ghosts.save({"fruits": ghosts.GhostRecord(**fields)}, tmp_path / "record.npz")
    back = ghosts.load(datasets.read_arrays(tmp_path / "record.npz"))["fruits"]
    assert back.n_ghosts == 7 and back.p == 0.25 and back.query.names == ("a", "b")
    assert back.top_labels.tolist() == [["fig", "dog"]]
    np.testing.assert_allclose(back.query.roc_band, query.roc_band, rtol=1e-6)
    np.testing.assert_allclose(back.explained, fields["explained"], rtol=1e-6)


def test_shipped_activations_are_those_of_every_ghost():
    stored, objects = datasets.read_shipped("ghosts_cifar10.npz"), judgments.load_objects92()
    kinds = ghosts.kinds92(objects)
    every = [ghost_features(objects.embeddings[own]) for own in kinds.values()]
    assert np.array_equal(np.unique(np.concatenate(every)), stored["features"])
    assert stored["kinds"].tolist() == list(kinds) and stored["rankings"].tolist() == list(RANKINGS[:-1])
    assert stored["scores"].shape == (4, 5, 2000) and np.isfinite(stored["scores"]).all()


def test_recorded_sets_have_the_ghosts_that_their_embeddings_were_seen_to_have():
    recorded = ghosts.load(datasets.read_shipped("ghosts_imagenet.npz"))
    assert {name: int(r.n_ghosts) for name, r in recorded.items()} == {"animals": 161, "fruits": 442, "vegetables": 376}
    for r in recorded.values():
        assert r.count.sum(axis=1) == pytest.approx(r.top.shape[1]) and r.query.names == RANKINGS
        assert r.query.n_wanted == round((1 - r.own_share) * r.query.n_images)


# ------------------------------------------------------------------------------------------------------------- figures
@pytest.fixture
def ax():
    yield plt.subplots()[1]
    plt.close("all")


def test_frames_are_drawn_where_labels_are_over_represented(rng, ax):
    x, labels = planted(rng)
    found = label_enrichment(ghost_scores(x, 3).scores, labels, 20)
    ghost_figures.enrichment(ax, found, "planted")
    frames = [(int(frame.get_x()), int(frame.get_y())) for frame in ax.patches]
    assert frames == [(column, row) for row, column in np.argwhere(found.adjusted_p < 0.05)] != []


def test_every_image_is_drawn_in_its_row(ax):
    image = np.zeros((4, 4, 3), np.uint8)
    ghost_figures.rows_of_images({"first": [image] * 3, "PC 1": [image] * 3}, gap_after_first=True)
    drawn = plt.gca()
    assert len(drawn.images) == 6 and [t.get_text() for t in drawn.get_yticklabels()] == ["first", "PC 1"]


def test_areas_of_all_rankings_but_the_random_one_are_drawn(rng, ax):
    scores = {name: rng.normal(size=30) for name in RANKINGS}
    query = negative_query(scores, np.arange(30) < 20, rng, 20)
    ghost_figures.query_areas(ax, {"not this": query, "nor that": query})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(RANKINGS[:-1])


def test_numbers_and_figures_need_no_torch():
    code = "import sys, helpers.ghosts, helpers.ghost_figures; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interval_of_a_relative_share_is_that_of_its_count():
    low, high = ghosts.relative_share_interval(0.5, 0.2, 200)  # 20 of 200 where 40 are expected
    expected = stats.binomtest(20, 200).proportion_ci(method="exact")
    assert (low * 0.2, high * 0.2) == pytest.approx((expected.low, expected.high))
    low, high = ghosts.relative_share_interval(0.0, 0.01, 200)
    assert low == 0 and high > 1  # none where two are expected says little
    assert np.isnan(ghosts.relative_share_interval(np.nan, 0.0, 200)).all()
