"""Ensembles: summaries are scipy's and pandas' on the models' own curves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import reference
from helpers import ensembles, rsa
from helpers.data import Lenets
from helpers.sparsity import percentage_of_zeros, poz_order


@pytest.fixture
def models(rng):
    """Three networks of 12 nodes, one of them a ghost; 40 images of four classes."""
    thresholds = rng.uniform(-1, 1.5, (3, 1, 12))
    x = np.maximum(rng.normal(size=(3, 40, 12)) - thresholds, 0).astype(np.float32)
    x[:, :, 0] += 1  # so that every image has a similarity
    x[:, :, 5] = 0
    labels = np.repeat(np.arange(4), 10)
    pozs = np.stack([percentage_of_zeros(each) for each in x])
    means = x.reshape(3, 4, 10, 12).mean(axis=2)
    accuracy = np.array([0.5, 0.6, 0.7])
    return Lenets("cifar10", np.arange(3), accuracy, 40, pozs, means, labels, x, "")


def curves_of(models, first="lowest", sizes=None):
    orders = ensembles.poz_orders(models.poz, first)
    return ensembles.insertion_curves(models.embeddings, orders, sizes)


# ------------------------------------------------------------------ a row per model
def test_per_model_counts_nodes(models):
    table = ensembles.per_model({"a": models, "b": models}).set_index(["set", "seed"])
    assert len(table) == 6
    for name, seed in table.index:
        poz = models.poz[seed]
        expected = models.accuracy[seed], np.mean(poz > 0.8), sum(poz == 1)
        shown = table.loc[(name, seed), ["accuracy", "rare", "ghosts"]]
        assert tuple(shown) == pytest.approx(expected)


@pytest.mark.parametrize("first", ["lowest", "highest", "random", "live", "rarest"])
def test_orders_are_permutations_and_follow_poz(models, rng, first):
    orders = ensembles.poz_orders(models.poz, first, rng)
    for order, poz in zip(orders, models.poz, strict=True):
        assert sorted(order) == list(range(12))
        if first in ("lowest", "highest"):
            assert np.array_equal(order, poz_order(poz, first == "highest"))
        if first in ("live", "rarest"):
            assert np.all(np.diff(poz[order] == 1) >= 0), "ghosts come last"
        if first == "rarest":
            assert np.all(np.diff(poz[order][: sum(poz < 1)]) <= 0)
    with pytest.raises(ValueError, match="first must be one of"):
        ensembles.poz_orders(models.poz, "rare")


def test_curves_are_those_of_single_models_unless_most_items_are_left_out(models):
    models.embeddings[:, :21, :9] = 0  # 21 of 40 images only fire with the last nodes
    models.embeddings[:, :, 9:] += 1
    together = ensembles.insertion_curves(models.embeddings, [np.arange(12)] * 3)
    too_few = together.n_undefined > 20
    assert too_few.any() and not too_few.all()
    for x, r2, missing in zip(models.embeddings, together.r2, too_few, strict=True):
        full = rsa.similarity_matrix(x)
        alone = rsa.insertion_curve(x, np.arange(12), full, undefined="drop").r2
        np.testing.assert_array_equal(r2, np.where(missing, np.nan, alone))


def test_sizes_of_each_model_are_read_from_its_own_curve(models, rng):
    full, sizes = curves_of(models), rng.integers(1, 13, (3, 5))
    own = curves_of(models, sizes=sizes)
    for name in ("r2", "n_undefined"):
        expected = np.take_along_axis(getattr(full, name), sizes - 1, axis=1)
        np.testing.assert_allclose(getattr(own, name), expected, atol=1e-10)


@pytest.mark.parametrize("first", ["lowest", "rarest"])
def test_all_live_nodes_are_all_but_the_ghosts(models, first):
    models.embeddings[1, :, 6] = models.embeddings[2, :, 3:5] = 0
    pozs = np.stack([percentage_of_zeros(each) for each in models.embeddings])
    sizes = ensembles.live_sizes(pozs, (0.01, 0.5, 1))
    assert sizes.tolist() == [[1, 6, 11], [1, 5, 10], [1, 4, 9]]
    orders = ensembles.poz_orders(pozs, first)
    r2 = ensembles.insertion_curves(models.embeddings, orders, sizes).r2[:, -1]
    for x, poz, value in zip(models.embeddings, pozs, r2, strict=True):
        pair = rsa.similarity_matrix(x[:, poz < 1]), rsa.similarity_matrix(x)
        assert value == pytest.approx(reference.r_squared(*pair), abs=1e-10)


@pytest.mark.parametrize("similarity", ["pearson", "cosine", "euclidean"])
def test_items_are_left_out_as_if_they_had_not_been_there(models, similarity):
    x, nodes = models.embeddings[0], np.arange(1, 4)
    x[:7, nodes] = 0  # seven undefined items
    found = ensembles.left_out_r2(x, nodes, similarity)
    curve = ensembles.insertion_curves([x], [np.roll(range(12), -1)], 3 + 0 * nodes)
    if similarity == "pearson":
        assert found[0] == pytest.approx(curve.r2[0, 0], abs=1e-10)
    for i in range(40):
        rest = np.delete(x, i, axis=0)
        some, full = (
            rsa.similarity_matrix(z, similarity) for z in (rest[:, nodes], rest)
        )
        kept = np.isfinite(np.diag(some))
        some, full = (matrix[np.ix_(kept, kept)] for matrix in (some, full))
        expected = reference.r_squared(some, full)
        assert found[i + 1] == pytest.approx(expected, abs=1e-10)
    x[:21, nodes] = 0
    undefined = np.isnan(ensembles.left_out_r2(x, nodes, similarity)).all()
    assert undefined == (similarity != "euclidean")


def test_r2_varies_with_the_order_of_ties_and_only_with_it(models, rng):
    n_zero = np.arange(12)  # of 40 images, a different number for every node
    values = 1 + np.abs(rng.normal(size=(3, 40, 12)))
    untied = np.where(np.arange(40)[:, None] < n_zero, 0, values).astype(np.float32)
    for x, tied in ((untied, False), (values.astype(np.float32), True)):
        width = ensembles.tie_range(replace(models, embeddings=x), 0.5, 40, 5, rng)
        assert np.array_equal(width > 0, [tied] * 3)


# --------------------------------------------------------------- summaries over models
@pytest.mark.parametrize(
    ("share", "n", "size"), [(0.8, 84, 67), (0.2, 84, 17), (0.001, 84, 1), (1, 7, 7)]
)
def test_size_of_share(share, n, size):
    assert ensembles.size_of_share(share, n) == size


def test_interval_is_scipys_over_the_defined_models(rng):
    values = rng.normal(size=20)
    found = ensembles.mean_over_models(np.append(values, [np.nan] * 20))
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found == pytest.approx((values.mean(), *interval))


def two_way_table(rng, n_models, n_items, sds=(1, 1, 2)):
    """Effects of models, items and both: values of models, and without each item."""
    shapes = (n_models, 1), (1, n_items), (n_models, n_items)
    table = sum(sd * rng.normal(size=n) for sd, n in zip(sds, shapes, strict=True))
    without = [np.delete(table, i, axis=1).mean(axis=1) for i in range(n_items)]
    return table, table.mean(axis=1), np.transpose(without)


def test_variance_of_both_samples_is_the_sum_of_bootstraps(rng):
    """2 (V_items + V_models) - V_both, each from many resamples."""
    table, values, left_out = two_way_table(rng, 12, 9)
    models, items = (rng.integers(n, size=(40_000, n)) for n in table.shape)
    v_models = np.var(values[models].mean(axis=1)) * 12 / 11
    v_items = np.var(table.mean(axis=0)[items].mean(axis=1)) * 9 / 8
    rest = table - table.mean(axis=0) - values[:, None] + table.mean()
    interaction = (rest**2).sum() / (11 * 8) / table.size
    resampled = [table[np.ix_(m, i)].mean() for m, i in zip(models, items, strict=True)]
    v_both = np.var(resampled)
    found = ensembles.two_way_variance(values, left_out)
    assert found == pytest.approx(v_models + v_items - interaction, rel=0.03)
    assert found == pytest.approx(2 * (v_models + v_items) - v_both, rel=0.25)


def test_intervals_over_both_samples_cover_the_truth_and_those_over_models_do_not(rng):
    covered = []
    for _ in range(600):
        _, values, left_out = two_way_table(rng, 15, 20)
        for parts in ((values, left_out), (values,)):
            _, low, high = ensembles.mean_over_models(*parts)
            covered.append(low <= 0 <= high)
    both, models_only = np.mean(np.reshape(covered, (-1, 2)), axis=0)
    assert 0.93 <= both <= 0.98
    assert models_only < 0.9


def test_without_an_effect_of_items_the_interval_is_over_models(rng):
    values = rng.normal(size=8)
    left_out = np.tile(values[:, None], (1, 50))
    expected = ensembles.mean_over_models(values)
    assert ensembles.mean_over_models(values, left_out) == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [np.nan], [0.5, 0.7, np.nan, np.nan, np.nan]])
def test_a_minority_of_models_gives_no_value(values):
    assert np.isnan(ensembles.mean_over_models(np.array(values))[0])


def test_one_model_has_no_finite_interval():
    assert ensembles.mean_over_models(np.array([0.4])) == (0.4, -np.inf, np.inf)


def test_mean_curves_are_means_and_sds_where_most_models_have_a_value():
    curves = {("a",): np.array([[0.2, 0.9], [0.4, 1], [np.nan, np.nan], [0, np.nan]])}
    first, second = ensembles.mean_curves(curves, [1, 2], ("set", "x")).itertuples()
    assert (first.set, first.x, second.x) == ("a", 1, 2)
    assert (first.value, first.low, first.high) == pytest.approx((0.2, 0, 0.4))
    assert (second.value, second.high) == pytest.approx((0.95, 1))
    few = {("a",): curves["a",][1:]}
    assert ensembles.mean_curves(few, [1, 2], ("set", "x"))[
        "value"
    ].isna().tolist() == [
        False,
        True,
    ]


def test_poz_distribution_is_a_histogram(models):
    bins = ensembles.poz_distribution({"a": models.poz})
    assert bins["value"].sum() == pytest.approx(1)
    up_to = ensembles.poz_distribution({"a": models.poz}, cumulative=True)
    at = up_to.set_index("PoZ")["value"]
    assert at.iloc[-1] == pytest.approx(1)
    assert at.loc[0.5] == pytest.approx(np.mean(models.poz < 0.5))


# ------------------------------------------------------------------------ tables of R2
def test_at_shares_reads_the_curves(models):
    curve = curves_of(models)
    table = ensembles.at_shares({("a", "class means", "lowest"): curve}, (0.3, 1), 12)
    assert table.index.tolist() == ["low30_a_classes", "low100_a_classes"]
    row = table.loc["low30_a_classes"]
    at = curve.r2[:, 3]  # 4 of 12 nodes
    interval = ensembles.mean_over_models(at)
    assert tuple(row[["value", "low", "high"]]) == pytest.approx(interval)
    assert row["n_defined"] == np.isfinite(at).sum()
    assert row["n_above"] == sum(at > ensembles.NOTABLE_R2)
    assert row["n_undefined"] == pytest.approx(curve.n_undefined[:, 3].mean())
    with pytest.raises(ValueError, match="unpack"):
        sparse = curves_of(models, sizes=np.array([3, 12]))
        ensembles.at_shares({("a", "images", "lowest"): sparse}, [0.3], 12)


def test_subset_r2_is_read_from_the_full_curve(models):
    x, pozs = {("a", "images"): models.embeddings}, {"a": models.poz}
    table = ensembles.subset_r2(x, pozs, "highest", (0.9, 0.5))
    key = ("a", "images", "highest")
    full = ensembles.at_shares({key: curves_of(models, "highest")}, (0.9, 0.5), 12)
    np.testing.assert_allclose(table["value"], full["value"], atol=1e-10)


@pytest.mark.parametrize("order", ["random", "inserted"])
def test_random_orders_are_judged_as_the_given_one_is(models, rng, monkeypatch, order):
    x = {("mnist", "images"): models.embeddings}
    shares = {"lowest": (0.5, 1.0), "highest": (0.25,)}
    if order == "inserted":
        inserted = [np.arange(12)] * 6
        monkeypatch.setattr(ensembles, "poz_orders", lambda *_: inserted)
    draws = ensembles.in_random_orders(x, shares, rng, n_orders=2, n_draws=30)
    assert draws["low50_mnist_images"].shape == (30, 3)
    np.testing.assert_allclose(draws["low100_mnist_images"], 1)
    assert (draws["low100_mnist_images_above"] == 3).all()
    value, low, high = draws["high25_mnist_images"].T
    assert ((low <= value) & (value <= high)).all()
    curve = ensembles.insertion_curves(models.embeddings, [np.arange(12)] * 3)
    for key, size in {"low50_mnist_images": 6, "high25_mnist_images": 3}.items():
        expected = ensembles.mean_over_models(curve.r2[:, size - 1])
        assert np.allclose(draws[key], expected) == (order == "inserted")
        if order == "random":
            assert np.ptp(draws[key][:, 0]) > 0.01


def test_random_live_nodes_come_before_ghosts(models, rng):
    models.embeddings[:, :, 6:9] = 0
    key = ("mnist", "images")
    x, pozs = models.embeddings, {key: models.poz}
    pozs[key] = np.stack([percentage_of_zeros(each) for each in x])
    shares = {"rarest": (1.0,)}
    draws = ensembles.in_random_orders({key: x}, shares, rng, pozs=pozs, n_draws=5)
    orders, sizes = ensembles.poz_orders(pozs[key], "lowest"), np.array([8])
    live = ensembles.insertion_curves(x, orders, sizes).r2[:, 0]
    expected = [ensembles.mean_over_models(live)] * 5
    assert live.max() < 1
    np.testing.assert_allclose(draws["rarest100_mnist_images"], expected, atol=1e-10)


@pytest.mark.parametrize(("poz", "share"), [(0.95, 1), (0.6, 0), (0.8, 0.5)])
def test_zeros_that_fall_on_any_node_make_all_or_no_nodes_rare(poz, share, rng):
    pozs = np.stack([[poz - 0.05, poz + 0.05] * 20] * 10)
    draws = ensembles.rare_by_chance(pozs, 2000, rng, 50)
    assert draws.shape == (50, 3)
    assert draws[:, 0].mean() == pytest.approx(share, abs=0.02)


def test_choices_are_combined_and_agree_with_a_slow_reference(models, rng):
    table = ensembles.low_poz_r2(models, 0.5, 40, rng)
    table = table.set_index(["items", "PoZ from", "similarity"])["value"]
    choices = (ensembles.ITEMS, ensembles.SOURCES, rsa.SIMILARITIES)
    assert len(table) == np.prod([len(choice) for choice in choices])
    by_hand = []
    for x in models.embeddings:
        kept = x[:, np.argsort((x == 0).mean(axis=0), kind="stable")[:6]]
        pair = (rsa.similarity_matrix(each, "cosine") for each in (kept, x))
        small, full = (rsa.upper_triangle(matrix) for matrix in pair)
        valid = np.isfinite(small)
        by_hand.append(np.corrcoef(small[valid], full[valid])[0, 1] ** 2)
    row = ("images", ensembles.SOURCES[1], "cosine")
    assert table[row] == pytest.approx(np.mean(by_hand), abs=1e-10)
    of_all_images = table["images"].unstack("PoZ from")
    assert of_all_images[ensembles.SOURCES[0]].equals(
        of_all_images[ensembles.SOURCES[1]]
    ), "all images are compared here"


def test_all_nodes_give_the_full_matrix_under_every_choice(models, rng):
    table = ensembles.low_poz_r2(models, 1.0, 40, rng)
    np.testing.assert_allclose(table["value"], 1, atol=1e-10)
