"""One analysis of a set, its tables and records."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from helpers import checks, data, prediction, rsa, significance
from helpers.sparsity import percentage_of_zeros, poz_order
from pipeline import human


@pytest.fixture(scope="module")
def judged():
    """Embeddings (16, 40) and judgments made by the first 20 features, which fire
    often; the others are rare and noise, and the last three are ghosts."""
    rng = np.random.default_rng(20230824)
    signal = np.maximum(rng.normal(size=(16, 20)) + 0.5, 0)
    noise = np.maximum(rng.normal(size=(16, 20)) - 1.0, 0) * 4
    noise[:, -3:] = 0
    human = rsa.upper_triangle(rsa.similarity_matrix(signal))
    return np.hstack([signal, noise]), human + 0.05 * rng.normal(size=120)


def run(judged, name="planted", **options):
    small = {"n_resamples": 200, "n_orders": 50, "n_ties": 5, "n_repeats": 3}
    rng = np.random.default_rng(1)
    return prediction.predict(name, *judged, rng, **(small | options))


@pytest.fixture(scope="module")
def result(judged):
    return run(judged, reliability=0.9)


# ----------------------------------------------------------------------- one analysis
def test_embeddings_are_checked_at_most_three_times(judged, monkeypatch):
    calls, check = [], checks.embeddings
    monkeypatch.setattr(
        checks, "embeddings", lambda *a, **k: calls.append(a) or check(*a, **k)
    )
    run(judged)
    assert 1 <= len(calls) <= 3


def test_curve_is_the_insertion_curve_of_the_poz_order(judged, result):
    x, y = judged
    order = poz_order(percentage_of_zeros(x))
    expected = rsa.insertion_curve(x, order, y).r2
    for frame in (result.curve, result.orders):
        np.testing.assert_allclose(frame["r2"], expected[frame.index - 1], atol=1e-12)
        np.testing.assert_allclose(frame["share"], frame.index / 40)


def test_rules_are_points_of_the_curve(judged, result):
    rules = result.rules
    assert rules.loc["drop ghosts", "size"] == (judged[0] != 0).any(axis=0).sum() <= 37
    curve = result.curve.loc[rules["size"]]
    difference = curve["r2"] - result.full
    np.testing.assert_allclose(rules["difference"], difference, atol=1e-12)
    np.testing.assert_allclose(rules["ratio"], curve["r2"] / result.full)
    np.testing.assert_allclose(rules["share"], rules["size"] / 40)
    tested = prediction.primary(result.rules)
    for end, column in prediction.PRIMARY.items():
        np.testing.assert_array_equal(tested[end], curve[column])


def test_raters_widen_the_intervals_of_the_rules_and_change_nothing_else(judged):
    x, y = judged
    rng = np.random.default_rng(5)
    raters = y + rng.normal(size=(6, 120))
    alone = run((x, raters.mean(axis=0)))
    both = run((x, raters.mean(axis=0)), raters=raters)
    images = ["difference", "ratio", "images_low", "images_high", "images_p"]
    with_raters, without = (prediction.primary(p.rules) for p in (both, alone))
    same = without.rename(columns=lambda name: f"images_{name}")
    same = same.join(without[["difference", "ratio"]])
    np.testing.assert_allclose(with_raters[images], same[images])
    width = [rules["high"] - rules["low"] for rules in (with_raters, without)]
    assert (width[0] > width[1])[1:].all()
    pd.testing.assert_frame_equal(both.curve, alone.curve)


def test_missing_judgments_are_dropped_and_counted(judged):
    x, y = judged
    y = np.where(np.arange(120) % 7 == 0, np.nan, y)
    kept, result = np.isfinite(y), run((x, y))
    rules, order = result.rules, poz_order(percentage_of_zeros(x))
    for size in rules["size"]:
        model = rsa.similarity_matrix(x[:, order[:size]])
        pruned = rsa.upper_triangle(model)[kept]
        xy = np.corrcoef(y[kept], pruned)[0, 1]
        assert result.curve.at[size, "r2"] == pytest.approx(xy**2, abs=1e-10)
    n_undefined = result.orders["n_undefined"].max()
    np.testing.assert_array_equal(result.left_out, [18, 0, n_undefined, 0])


def test_planted_harm_of_rare_features_is_found_on_held_out_images(judged):
    result = run(judged, n_repeats=10)
    assert result.gain[0] > 0.05 and result.orders["percentile"].loc[20] > 97.5
    assert result.best["r2"] == result.curve["r2"].max() > result.full + 0.05


def test_bands_contain_what_they_are_about(result):
    curve = result.curve[result.curve["difference"].notna()]
    assert len(curve) > 20 and (curve["all_low"] <= curve["difference"]).all()
    assert (curve["difference"] <= curve["all_high"]).all()
    ranges = (curve["tied_high"] - curve["tied_low"])[curve["share"] > 0.1]
    assert result.tie_range == ranges.max() > 0 and ranges.min() >= 0
    assert ranges.loc[40] < 1e-12


def test_a_rule_that_keeps_no_feature_has_no_result():
    rng, x = np.random.default_rng(0), np.zeros((20, 50))
    x[rng.integers(1, 20, 50), np.arange(50)] = 1 + rng.random(50)  # all PoZ are 0.95
    result = prediction.predict(
        "rare", x, rng.random(190), rng, "euclidean", 50, 20, 2, 2
    )
    none = result.rules.loc["drop PoZ > 90%"]
    assert none["size"] == 0 and none.drop(["size", "share"]).isna().all()
    assert result.rules.loc["keep the 20% lowest"].notna().all()


def test_same_generator_same_result(judged, result):
    again = run(judged, reliability=0.9)
    for field in fields(result):
        value = getattr(result, field.name)
        np.testing.assert_array_equal(getattr(again, field.name), value)


# ------------------------------------------------------- tables of several predictions
def test_effects_and_adjusted_p_are_those_of_the_rules(result):
    sets = {"a": result, "b": result}
    effects, adjusted = prediction.effects(sets), prediction.adjusted(sets)
    rule = prediction.primary(result.rules).loc["keep the 20% lowest"]
    columns = ["difference", "low", "high"], ["ratio", "ratio_low", "ratio_high"]
    for key, names in zip(("rule20_a", "fifth_b"), columns, strict=True):
        np.testing.assert_array_equal(effects.loc[key], rule[names])
    np.testing.assert_array_equal(effects.loc["gain_a"], result.gain[:3])
    family = np.tile(
        [*prediction.primary(result.rules)["p"], result.gain[3]], (2, 1)
    )  # all 8 at once
    np.testing.assert_array_equal(adjusted, significance.holm(family))


def test_in_random_orders_rare_features_seldom_do_harm(judged):
    small = {"n_resamples": 200, "n_repeats": 10}
    null = human.in_random_orders(*judged, np.random.default_rng(0), 20, **small)
    assert null.groupby("order").size().eq(3).all() and null.index.nunique() == 20
    result = replace(run(judged, n_repeats=10), null=null)
    draws = prediction.effects_by_chance({"key": result, "other": run(judged)})
    assert {name: x.shape for name, x in draws.items()} == {
        f"{what}_key": (20, 3) for what in ("rule90", "rule20", "fifth", "gain")
    }
    value, low, high = draws["fifth_key"].T  # NaN where an image is undefined
    assert not ((low > value) | (value > high)).any()
    planted = prediction.effects({"key": result})["value"]
    assert (draws["gain_key"][:, 0] < planted["gain_key"]).mean() > 0.9


def test_an_order_that_is_not_random_gives_the_effects_of_the_analysis(judged, result):
    order = poz_order(percentage_of_zeros(judged[0]))

    class Fixed:  # the order of the analysis in place of a random one
        rng = np.random.default_rng(0)

        def permutation(self, n):
            return order

        def __getattr__(self, name):
            return getattr(self.rng, name)

    null = human.in_random_orders(*judged, Fixed(), 1, 200, 3)
    sets = {"key": replace(result, null=null)}
    expected = prediction.effects(sets)["value"]
    for name, draws in prediction.effects_by_chance(sets).items():
        if name != "gain_key":  # which depends on the splits
            np.testing.assert_allclose(draws[0, 0], expected[name])


def test_gathered_frames_keep_every_row(result):
    sets = {"a": result, "b": replace(result, name="other")}
    gathered = prediction.gather(sets, "curve")
    np.testing.assert_array_equal(
        gathered.groupby("set", sort=False).size(), len(result.curve)
    )


def test_records_read_back_as_they_were(result, tmp_path):
    human.save({"a": result, "b": result}, tmp_path / "record.npz")
    read = prediction.load(data.read_arrays(tmp_path / "record.npz"))
    assert list(read) == ["a", "b"] and read["a"].name == "planted, recorded"
    for field in fields(result)[1:]:
        value, recorded = (getattr(p, field.name) for p in (result, read["b"]))
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(recorded, value)
        else:
            np.testing.assert_array_equal(recorded, value)
