"""One layer's numbers against slow references, and what must hold for any layer."""

import numpy as np
import pandas as pd
import pytest

from helpers import data
from pipeline import layers
from reference import r_squared


@pytest.fixture
def x(rng):
    latents = rng.normal(size=(100, 6))
    x = np.maximum(latents @ rng.normal(size=(6, 40)) - rng.uniform(-2, 4, 40), 0)
    x[:, [3, 17]] = 0
    return x[x.any(axis=1)]


@pytest.fixture
def human(x, rng):
    return np.corrcoef(x + rng.normal(size=x.shape))


def test_zeros_are_those_of_a_count(x):
    found = layers.zeros_of(x == 0)
    poz = (x == 0).mean(axis=0)
    assert found["zeros"] == pytest.approx(poz.mean())
    assert found["ghosts"] == (poz == 1).sum() >= 2
    assert found["high"] == (poz > 0.8).mean() > 0


def test_ghosts_of_fewer_images_are_the_mean_over_draws(x, rng):
    off = x == 0
    draws = [
        off[rng.choice(len(off), layers.FEWEST, replace=False)].all(axis=0).sum()
        for _ in range(4000)
    ]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - layers.zeros_of(off)["ghosts_92"]) < 4 * error + 1e-9
    assert np.isnan(layers.zeros_of(off[:50])["ghosts_92"])


def test_classes_of_poz_are_complete_and_hold_their_upper_edge():
    poz = np.array([0, 0.01, 0.2, 0.21, 0.8, 0.9, 0.91, 1, 1])
    expected = np.array([1, 2, 1, 0, 1, 1, 1, 2]) / 9
    np.testing.assert_allclose(layers.distribution(poz), expected)
    assert len(layers.BINS) == len(expected)


def r2_of(x, nodes):
    """R2 with all nodes over the images that the given nodes define; their share."""
    chosen = x[:, nodes]
    defined = np.ptp(chosen, axis=1) > 0
    full = np.corrcoef(x)[np.ix_(defined, defined)]
    return r_squared(np.corrcoef(chosen[defined]), full), defined.mean()


def test_fifths_are_those_of_the_definition(x):
    x = x[:, np.unique((x == 0).mean(axis=0), return_index=True)[1]]  # no ties
    numbers, curve = layers.profile(x, n_orders=3)
    ranked, n = np.argsort((x == 0).mean(axis=0)), -(-x.shape[1] // 5)
    for name, nodes in (("low", ranked[:n]), ("high", ranked[::-1][:n])):
        assert numbers[f"r2_{name}_20"] == pytest.approx(r2_of(x, nodes)[0])
    assert numbers["undefined_20"] == pytest.approx(1 - r2_of(x, ranked[:n])[1])
    deviant = np.argsort(-x.std(axis=0))[:n]
    assert numbers["r2_sd_20"] == pytest.approx(r2_of(x, deviant)[0])
    assert (curve[curve["share"] == 1]["value"] > 1 - 1e-12).all()


def test_dropping_keeps_what_the_threshold_keeps(x):
    numbers, _ = layers.profile(x, n_orders=2)
    poz = (x == 0).mean(axis=0)
    kept = np.flatnonzero(poz <= 0.8)
    assert numbers["kept_80"] == len(kept) / x.shape[1] < 1
    assert numbers["r2_drop_80"] == pytest.approx(r2_of(x, kept)[0])


def test_people_are_predicted_as_by_the_definition(x, human):
    numbers, _ = layers.profile(x, human, n_orders=2, n_resamples=40)
    full = np.corrcoef(x)
    assert numbers["people_all"] == pytest.approx(r_squared(full, human))
    ends = [numbers[f"people_without_minus_all{end}"] for end in ("_low", "", "_high")]
    assert ends == sorted(ends)
    difference = numbers["people_lowest"] - numbers["people_all"]
    assert numbers["people_lowest_minus_all"] == pytest.approx(difference)


def test_a_layer_that_never_falls_silent_has_no_order(x):
    """Then lowest PoZ first is a random order."""
    numbers, curve = layers.profile(x + 1, n_orders=40)
    assert numbers["zeros"] == numbers["high"] == 0 and numbers["never"] == 1
    fifth = layers.number_at(0.2, x.shape[1])
    low, random = (layers.at(curve, name, fifth) for name in ("lowest", "random"))
    spread = (random["high"] - random["low"]) / np.sqrt(40)
    assert abs(low["value"] - random["value"]) < 2 * spread
    assert numbers["beats"] == 0


def test_order_and_scale_of_nodes_and_images_do_not_matter(x, rng):
    first, _ = layers.profile(x, n_orders=2)
    other = 3 * x[rng.permutation(len(x))][:, rng.permutation(x.shape[1])]
    second, _ = layers.profile(other, n_orders=2)
    for name in ("zeros", "ghosts", "ghosts_92", "high", "r2_sd_20", "r2_drop_80"):
        assert first[name] == pytest.approx(second[name]), name


def test_threshold_zero_is_poz(x):
    numbers, _ = layers.profile(x, n_orders=2)
    table = layers.thresholds(x, [0, 0.5, 2], n_orders=2)
    for name in ("zeros", "high", "r2_low_20", "gap_20"):
        assert table[name][0] == pytest.approx(numbers[name])
    assert table["zeros"].is_monotonic_increasing


def test_averages_are_zero_only_where_every_place_is(rng):
    images = [{"a": np.maximum(rng.normal(size=(5, 3, 4)) - 1, 0)} for _ in range(30)]
    found = layers.collect(images)
    whole = np.stack([image["a"] for image in images])
    np.testing.assert_array_equal(found["a"], whole.reshape(30, -1))
    averaged = found["a, averaged"]
    np.testing.assert_allclose(averaged, whole.mean(axis=(2, 3)))
    np.testing.assert_array_equal(averaged == 0, (whole == 0).all(axis=(2, 3)))


def test_large_layers_are_sampled_once_and_the_same_for_every_image():
    nodes = layers.sampled(layers.N_NODES + 1000)
    assert len(np.unique(nodes)) == layers.N_NODES and (np.diff(nodes) > 0).all()
    np.testing.assert_array_equal(layers.sampled(7), np.arange(7))
    a, b = np.arange(30_000.0).reshape(3, 100, 100), np.zeros((3, 100, 100))
    found = layers.collect([{"a": a}, {"a": b}, {"a": a}])["a"]
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[0], layers.sampled(30_000))


def test_enough_is_where_the_curve_stays():
    share = pd.Series([0.25, 0.5, 0.75, 1])
    assert layers.enough(share, pd.Series([0.96, 0.9, 0.97, 1])) == 0.75
    assert layers.enough(share, pd.Series([0.96, 0.97, 0.98, 1])) == 0.25
    assert np.isnan(layers.enough(share, pd.Series([1, 1, 1, 0.5])))


def test_records_are_frames_again():
    arrays = {"a/x": np.arange(2), "a/y": np.array(["p", "q"]), "b/x": np.ones(1)}
    found = layers.load(arrays)
    assert list(found) == ["a", "b"] and list(found["a"]) == ["x", "y"]


def test_shipped_resnets_are_of_the_images_of_alexnet():
    resnets = data.read_shipped("resnet_last.npz")
    assert {x.shape for x in resnets.values()} == {(400, 512)}
    assert all((x >= 0).all() for x in resnets.values())
