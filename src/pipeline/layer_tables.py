"""Tables of page 08, from the numbers of `pipeline.layers.profile`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline import layers

AVERAGED = ", averaged"
SUMMARY = {
    "images": "images",
    "nodes": "nodes",
    "zeros": "zeros",
    "high": "PoZ > 80 %",
    "ghosts": "ghosts",
    "r2_low_20": "R², lowest-PoZ 20 %",
    "r2_random_20": "R², random 20 %",
    "r2_sd_20": "R², highest-SD 20 %",
    "enough_low": "R² ≥ 0.95 from, lowest PoZ first",
    "enough_random": "in random order",
    "r2_drop_80": "R² without PoZ > 80 %",
    "poz_sd": "rank correlation of PoZ and SD",
}
"""Columns of `summary` and their titles."""
UNITS = {"layer": "the layer", "node": "each node"}


def described(numbers: Mapping[tuple[str, str, str], Mapping]) -> pd.DataFrame:
    """A row per (network, layer, set), from its numbers."""
    names = ["network", "layer", "set"]
    rows = [dict(zip(names, key, strict=True)) | row for key, row in numbers.items()]
    return pd.DataFrame(rows)


def with_kinds(numbers: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``averaged``, "before" or "after", and ``name`` of network and layer.

    Layers read before averaging are split off from their averages; the ResNets' last
    layers are averages.
    """
    after = numbers["layer"].str.endswith(AVERAGED)
    kinds = {"averaged": np.where(after, "after", "before")}
    return numbers.assign(name=numbers["network"] + " " + numbers["layer"], **kinds)


def over_models(lenets: pd.DataFrame) -> pd.DataFrame:
    """Means over models of each layer and set, layers from input to output."""
    keys = ["network", "layer", "set"]
    return lenets.groupby(keys, sort=False).mean(numeric_only=True).reset_index()


def classes(numbers: pd.DataFrame) -> pd.DataFrame:
    """Share of nodes in each class of PoZ: a row per ``name``, a column per class."""
    columns = {f"bin_{i}": title for i, title in enumerate(layers.BINS)}
    return numbers.set_index("name")[[*columns]].rename(columns=columns)


def summary(numbers: pd.DataFrame) -> pd.DataFrame:
    """`SUMMARY` as text: a row per name; "sampled" nodes are those that were drawn."""
    table = numbers.set_index("name")[[*SUMMARY]]
    whole = ("images", "nodes", "ghosts")
    share = ("zeros", "high", "enough_low", "enough_random")
    formats = {key: "{:,.0f}" if key in whole else "{:.3f}" for key in SUMMARY}
    formats |= dict.fromkeys(share, "{:.1%}") | {"poz_sd": "{:+.2f}"}
    text = {SUMMARY[k]: table[k].map(formats[k].format) for k in SUMMARY}
    return pd.DataFrame(text).replace(["nan", "+nan"], "–")


def carried(numbers: pd.DataFrame) -> pd.DataFrame:
    """`layers.CARRIED` judged for each layer: a row per bound and name.

    ``random`` is what as many random nodes give, where the bound is on R2.
    """
    chance = {f"r2_{order}": "r2_random" for order in ("low_80", "low_30", "high_20")}
    parts = []
    for _, layer in numbers.iterrows():
        part = layers.CARRIED.assign(name=layer["name"])
        part["value"] = [layer[column] for column in part["column"]]
        ranks = part["column"].str.extract(r"r2_\w+_(\d+)")[0]
        named = ["r2_random_" + str(rank) for rank in ranks]
        given = part["column"].isin(chance)
        random = [layer.get(name, np.nan) for name in named]
        part["random"] = np.where(given, random, np.nan)
        part["holds"] = part["value"].between(part["at_least"], part["at_most"])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def expected(numbers: pd.DataFrame) -> pd.DataFrame:
    """`layers.EXPECTED` over all rows of ``numbers``: how many lie within the bounds.

    Undefined values are counted, and lie outside.
    """
    rows = []
    for _, bound in layers.EXPECTED.iterrows():
        values = numbers.loc[numbers["averaged"] == bound["averaged"], bound["column"]]
        within = values.between(bound["at_least"], bound["at_most"])
        counts = {"layers": len(values), "within": within.sum()}
        counts |= {"undefined": values.isna().sum(), "lowest": values.min()}
        rows.append(dict(bound) | counts | {"highest": values.max()})
    return pd.DataFrame(rows)


def fifths_of_people(numbers: pd.DataFrame) -> pd.DataFrame:
    """What the lowest-PoZ fifth changes in the prediction of people.

    A row per ``name``, set and comparison: "minus a random fifth", "minus all nodes".
    ``clearly`` says on which side of zero the interval lies.
    """
    titles = {"random": "minus a random fifth", "all": "minus all nodes"}
    parts = []
    for other, title in titles.items():
        ends = [f"people_lowest_minus_{other}{end}" for end in ("", "_low", "_high")]
        names = dict(zip(ends, ("change", "low", "high"), strict=True))
        part = numbers[["name", "set", *ends]].rename(columns=names)
        parts.append(part.assign(comparison=title))
    frame = pd.concat(parts, ignore_index=True)
    sides = [frame["low"] > 0, frame["high"] < 0]
    return frame.assign(clearly=np.select(sides, ["better", "worse"], "neither"))


def averaging(numbers: pd.DataFrame) -> pd.DataFrame:
    """Layers of judged sets before and after averaging over places, side by side."""
    columns = {"zeros": "zeros", "high": "PoZ > 80 %", "people_all": "R², all nodes"}
    columns |= {"people_lowest": "R², lowest-PoZ 20 %"}
    columns |= {"people_random": "R², random 20 %"}
    layer = numbers["network"] + " " + numbers["layer"].str.removesuffix(AVERAGED)
    wide = numbers.assign(layer=layer).set_index(["layer", "set", "averaged"])
    wide = wide[[*columns]].rename(columns=columns).unstack("averaged")
    return wide[[(c, k) for c in columns.values() for k in ("before", "after")]]


def by_activation(smooth: pd.DataFrame) -> pd.DataFrame:
    """R2 of the fifth that is silent least, by threshold: means over seeds.

    ``low`` and ``high`` are the range over seeds. A ``panel`` per unit, a ``line`` per
    activation function.
    """
    groups = smooth.groupby(["activation", "unit", "threshold"], sort=False)
    fifth = groups["r2_low_20"].agg(["mean", "min", "max"])
    fifth.columns = ["value", "low", "high"]
    columns = ["r2_random_20", "r2_sd_20", "zeros", "poz_sd", "accuracy"]
    frame = fifth.join(groups[columns].mean()).reset_index()
    panel = "LeNet-5, units of " + frame.pop("unit").map(UNITS)
    return frame.rename(columns={"activation": "line"}).assign(panel=panel)


def of_thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """The same for one network of each name: a ``line`` per unit."""
    names = {"r2_low_20": "value", "unit": "line", "network": "panel"}
    value = table["r2_low_20"]
    return (
        table.drop(columns=["low", "high"], errors="ignore")
        .assign(low=value, high=value)
        .rename(columns=names)
    )
