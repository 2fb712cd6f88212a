from dataclasses import asdict

import numpy as np
import pytest

from helpers import datasets, prediction, rsa
from helpers.sparsity import percentage_of_zeros, poz_order


@pytest.fixture
def judged(rng):
    """Embeddings (16, 40) whose first 20, often firing, nodes make the judgments; the others are rare and noise."""
    signal = np.maximum(rng.normal(size=(16, 20)) + 0.5, 0)
    noise = np.maximum(rng.normal(size=(16, 20)) - 1.0, 0) * 4
    noise[:, -3:] = 0
    human = rsa.upper_triangle(rsa.similarity_matrix(signal)) + 0.05 * rng.normal(size=120)
    return np.hstack([signal, noise]), human


def run(judged, **options):
    small = {"n_resamples": 200, "n_orders": 50, "n_ties": 5, "n_repeats": 3}
    return prediction.predict("planted", *judged, np.random.default_rng(1), **(small | options))


def test_curve_is_the_insertion_curve_of_the_poz_order(judged):
    x, human = judged
    found = run(judged)
    order = poz_order(percentage_of_zeros(x))
    np.testing.assert_array_equal(found.curve, rsa.insertion_curve(x, order, human).r2)
    np.testing.assert_allclose(found.difference, found.curve[found.sizes - 1] - found.curve[-1], atol=1e-12)


def test_rules_are_points_of_the_curve(judged):
    found = run(judged)
    assert found.rule_sizes[0] == (judged[0] != 0).any(axis=0).sum() <= 37  # all but the ghosts
    np.testing.assert_allclose(found.rule_difference, found.curve[found.rule_sizes - 1] - found.curve[-1], atol=1e-12)


def test_planted_harm_of_rare_nodes_is_found_on_held_out_images(judged):
    found = run(judged, n_repeats=10)
    assert found.held_out[0] > 0.05
    assert found.best_size < 40 and found.curve[found.best_size - 1] > found.curve[-1] + 0.05
    assert found.percentile[np.searchsorted(found.null_sizes, 20)] > 97.5


def test_bands_contain_what_they_are_about(judged):
    found = run(judged)
    inside = (found.simultaneous_band[0] <= found.difference) & (found.difference <= found.simultaneous_band[1])
    defined = np.isfinite(found.difference)
    assert inside[defined].all()
    tied = np.isfinite(found.ties[0])
    assert tied.sum() > 20 and (found.ties[0] <= found.ties[1])[tied].all()
    assert np.isnan(found.band[:, ~defined]).all()


def test_missing_judgments_are_dropped_and_counted(judged):
    x, human = judged
    gaps = human.copy()
    gaps[[3, 77]] = np.nan
    order = poz_order(percentage_of_zeros(x))
    curve = prediction.human_curve(x, order, gaps, np.array([10, 25, 40]), "pearson")
    keep = np.isfinite(gaps)
    for size, r2 in zip((10, 25, 40), curve, strict=True):
        partial = rsa.upper_triangle(rsa.similarity_matrix(x[:, order[:size]]))
        assert r2 == pytest.approx(np.corrcoef(partial[keep], gaps[keep])[0, 1] ** 2, abs=1e-10)
    assert run((x, gaps)).n_missing == 2


def test_enough_is_a_share_from_which_on_the_curve_stays_high(judged):
    found = run(judged)
    size = round(found.enough * 40)
    assert (found.curve[size - 1 :] >= 0.95 * found.curve[-1] - 1e-9).all()
    assert size == 1 or not found.curve[size - 2] >= 0.95 * found.curve[-1]


def test_records_read_back_as_they_were(judged, tmp_path):
    found = run(judged)
    prediction.save({"a": found, "b": found}, tmp_path / "record.npz")
    read = prediction.load(datasets.read_arrays(tmp_path / "record.npz"))
    assert list(read) == ["a", "b"]
    for field, value in asdict(found).items():
        if field != "curve":
            np.testing.assert_array_equal(getattr(read["b"], field), value)
    np.testing.assert_allclose(read["b"].curve, found.curve, rtol=1e-6)
    assert read["a"].best_size == found.best_size


def test_same_generator_same_result(judged):
    a, b = run(judged), run(judged)
    for field, value in asdict(a).items():
        np.testing.assert_array_equal(getattr(b, field), value)


def test_a_rule_that_keeps_no_feature_has_no_result(rng):
    x = np.zeros((20, 50))
    x[rng.integers(0, 20, 50), np.arange(50)] = 1 + rng.random(50)  # each fires once: all PoZ are 0.95
    x[0, :] = 0
    found = prediction.predict("rare", x, rng.random(190), rng, "euclidean", 50, 20, 2, 2)
    none = list(found.rules).index("drop PoZ > 90%")
    assert found.rule_sizes[none] == 0 and np.isnan(found.rule_difference[none])
    assert np.isnan(found.rule_band[:, none]).all() and np.isnan(found.rule_p[:, none]).all()
    assert np.isfinite(found.rule_difference[found.rule_sizes > 0]).all()


def test_a_missing_judgment_changes_no_rule_of_the_curve(rng):
    x, human = np.outer(1 + rng.random(12), np.ones(5)), rng.random(66)  # rows in parallel: R2 is undefined
    gap = np.where(np.arange(66) == 7, np.nan, human)
    for judgments in (human, gap):
        assert np.isnan(prediction.human_curve(x, np.arange(5), judgments, None, "cosine")).all()
    with pytest.raises(ValueError, match="human must be finite"):
        prediction.human_curve(x, np.arange(5), np.where(np.arange(66) == 7, np.inf, human), None, "cosine")


def test_an_undefined_image_that_nobody_judged_leaves_the_size_undefined(rng):
    x, human = np.maximum(rng.normal(size=(12, 20)), 0), rsa.similarity_matrix(rng.normal(size=(12, 6)))
    x[3, :10], human[3, :], human[:, 3] = 0, np.nan, np.nan
    curve = prediction.human_curve(x, np.arange(20), human, np.array([5, 10, 20]), "pearson")
    np.testing.assert_array_equal(np.isnan(curve), [True, True, False])
