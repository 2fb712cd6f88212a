"""Tables of page 08: what they count, on frames whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from pipeline import layer_tables as tables
from pipeline import layers


@pytest.fixture
def numbers(rng):
    x = np.maximum(rng.normal(size=(95, 60)) - 0.5, 0)
    human = np.corrcoef(x + rng.normal(size=x.shape))
    found = {}
    for name, values in {"a": x, "a, averaged": x[:, :30] + x[:, 30:]}.items():
        found["N", name, "s"] = layers.profile(values, human, 2, 20)[0]
    return tables.with_kinds(tables.described(found))


def test_kinds_are_told_by_name(numbers):
    assert list(numbers["averaged"]) == ["before", "after"]
    assert list(numbers["name"]) == ["N a", "N a, averaged"]


def test_classes_add_up(numbers):
    np.testing.assert_allclose(tables.classes(numbers).sum(axis=1), 1)


def test_bounds_decide(numbers):
    found = tables.carried(numbers[:1]).set_index("column")
    layer = numbers.iloc[0]
    for column, row in found.iterrows():
        inside = row["at_least"] <= layer[column] <= row["at_most"]
        assert row["holds"] == inside and row["value"] == layer[column]
    assert found["random"]["r2_low_80"] == layer["r2_random_80"]
    assert found["random"]["r2_high_20"] == layer["r2_random_20"]
    assert found["random"][["high", "gap_20", "ghosts"]].isna().all()


def test_expected_counts_layers_and_the_undefined(numbers):
    numbers.loc[0, "r2_drop_80"] = np.nan
    found = tables.expected(numbers)
    assert (found["layers"] == 1).all()
    undefined = found[found["column"] == "r2_drop_80"].iloc[0]
    assert undefined["undefined"] == 1 and undefined["within"] == 0
    zeros = found.iloc[0]
    assert zeros["lowest"] == numbers["zeros"][0] and zeros["within"] == 1


def test_both_comparisons_and_their_sides():
    names = ["random", "all"]
    ends = {"": [0.1, -0.1], "_low": [0.05, -0.2], "_high": [0.2, -0.05]}
    row = {
        f"people_lowest_minus_{name}{end}": values[i]
        for i, name in enumerate(names)
        for end, values in ends.items()
    }
    found = tables.fifths_of_people(pd.DataFrame([{"name": "n", "set": "s"} | row]))
    assert list(found["clearly"]) == ["better", "worse"]
    assert list(found["change"]) == [0.1, -0.1]


def test_before_and_after_are_side_by_side(numbers):
    found = tables.averaging(numbers)
    assert found.shape == (1, 10)
    row = found.loc[("N a", "s")]
    assert row[("zeros", "before")] == numbers["zeros"][0]
    assert row[("R², all nodes", "after")] == numbers["people_all"][1]


def test_models_are_averaged_within_layer_and_set():
    frame = pd.DataFrame({"network": "L", "layer": ["a", "a", "b"], "set": "s"})
    found = tables.over_models(frame.assign(zeros=[0.2, 0.4, 1], model=["0", "1", "0"]))
    assert list(found["layer"]) == ["a", "b"]
    np.testing.assert_allclose(found["zeros"], [0.3, 1])


def test_seeds_are_averaged_and_their_range_is_kept():
    smooth = pd.DataFrame({"activation": "GELU", "unit": "node", "threshold": [0, 0]})
    columns = ["r2_random_20", "r2_sd_20", "zeros", "poz_sd", "accuracy"]
    smooth = smooth.assign(r2_low_20=[0.5, 0.7], **dict.fromkeys(columns, 0.5))
    found = tables.by_activation(smooth).iloc[0]
    assert (found["low"], found["high"]) == (0.5, 0.7)
    assert found["value"] == pytest.approx(0.6)
    assert found["panel"] == "LeNet-5, units of each node"


def test_summary_is_text_and_undefined_is_a_dash(numbers):
    numbers.loc[0, "r2_drop_80"] = np.nan
    found = tables.summary(numbers)
    assert found.loc["N a", "R² without PoZ > 80 %"] == "–"
    assert found.loc["N a", "nodes"] == "60"
