"""Tables and a figure of page 07, from the frames of `pipeline.specifications` and
`pipeline.held_out`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from helpers import figures
from pipeline import held_out_methods, specifications


def with_verdicts(changes: pd.DataFrame) -> pd.DataFrame:
    """Changes with their ``verdict``: on which side of zero does the interval lie?

    And with the ``ratio`` of the prediction after pruning to that from all features.
    """
    clear = [changes["low"] > 0, changes["high"] < 0]
    verdict = np.select(clear, ["clear improvement", "clear loss"], "neither")
    verdict = np.where(changes["change"].isna(), "undefined", verdict)
    ratio = 1 + changes["change"] / changes["all"]
    return changes.assign(verdict=verdict, ratio=ratio)


def counts(changes: pd.DataFrame, *by: str) -> pd.DataFrame:
    """How many of `with_verdicts` are clear, in each group of the columns ``by``.

    Columns: improvements, losses, undefined and n, the number of all.
    """
    groups = changes.groupby([*by], sort=False)["verdict"]
    names = {
        "improvements": "clear improvement",
        "losses": "clear loss",
        "undefined": "undefined",
    }
    columns = {
        k: groups.agg(lambda v, name=v: (v == name).sum()) for k, v in names.items()
    }
    return pd.DataFrame(columns | {"n": groups.size()})


def counts_table(changes: pd.DataFrame, by: str) -> pd.DataFrame:
    """`counts` as text: a row per value of the column ``by``, a column per set."""
    numbers = counts(changes, by, "set")
    text = "+{improvements} −{losses} of {n}"
    cells = [text.format(**row) for row in numbers.to_dict("records")]
    table = pd.Series(cells, numbers.index).unstack("set", sort=False)
    return table.reindex(columns=list(dict.fromkeys(changes["set"]))).fillna("")


def bending(changes: pd.DataFrame) -> pd.DataFrame:
    """Changes in two steps that add up: by what silenced features had said ("lost
    activity") and by removing them once they are silent ("fewer silent nodes").

    A row per combination of choices that was recorded both ways, with ``total``.
    """
    keys = ["set", *specifications.CHOICES[:-1]]
    both = changes["similarity"].isin(specifications.CORRELATIONS)
    both &= changes["comparator"].isin(specifications.RESAMPLED)
    rows = changes[both & (changes["order"] == "PoZ")]
    wide = rows.set_index([*keys, "nodes"])["change"].unstack("nodes", sort=False)
    steps = {"total": wide["removed"], "lost activity": wide["silenced"]}
    steps["fewer silent nodes"] = wide["removed"] - wide["silenced"]
    return pd.DataFrame(steps).reset_index()


CHANGES = {
    "clear loss": figures.PALETTE[3],
    "neither": "0.6",
    "clear improvement": figures.PALETTE[0],
}
"""Colours of a change whose interval lies below, around or above zero."""


def specification_curve(
    top: Axes, grid: Axes, frame: pd.DataFrame, choices: Mapping[str, Sequence[str]]
) -> None:
    """Changes in ascending order, with low and high; below, marks of their choices.

    ``frame`` has the columns "change", "low", "high", "verdict" (of `CHANGES`) and the
    keys of ``choices``, whose values are the rows of the grid.
    """
    ranked = frame.sort_values("change", ignore_index=True)
    names = [(column, value) for column in choices for value in choices[column]]
    gaps = [list(choices).index(column) for column, _ in names]
    places = pd.Series(np.arange(len(names)) + gaps, pd.MultiIndex.from_tuples(names))
    for verdict, colour in CHANGES.items():
        rows = ranked[ranked["verdict"] == verdict]
        look = {"color": colour, "linewidth": 0.5, "alpha": 0.3}
        top.vlines(rows.index, rows["low"], rows["high"], **look)
        top.plot(rows["change"], ".", color=colour, ms=2, label=verdict)
        for column in choices:
            marks = places[column].reindex(rows[column]).to_numpy()
            grid.plot(rows.index, marks, "|", color=colour, ms=3, mew=0.4)
    figures.mark_value(top, 0, "y")
    labels = [figures.NAMES.get(value, value) for _, value in names]
    grid.set(yticks=places, yticklabels=labels, xticks=[])
    grid.set_ylim(places.max() + 0.5, -0.5)
    grid.tick_params(labelsize="xx-small", length=0)


# --------------------------------------------------------------------- held-out images
def held_out_changes(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Contrasts of `pipeline.held_out`, `with_verdicts`; ``all`` is the mean held-out
    R2 of what is subtracted."""
    keys = ["set", "similarity", "minus"]
    means = frames["splits"].groupby(["set", "similarity", "method"])["r2"].mean()
    levels = means.rename("all").rename_axis(keys)
    return with_verdicts(frames["contrasts"].join(levels, on=keys))


def conclusions(changes: pd.DataFrame) -> pd.DataFrame:
    """In how many sets each contrast of `held_out_changes` is a clear improvement or
    loss, the smaller number of the similarities. A conclusion needs three."""
    table = counts(changes, "method", "minus", "similarity")[["improvements", "losses"]]
    return table.groupby(level=["method", "minus"], sort=False).min()


def chosen_sizes(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Gains in R2 over all nodes by the size chosen in PoZ order: a row per set and
    similarity.

    Columns: the ``largest`` gain of any size on all images; of the chosen size, on the
    images where it was ``chosen`` and on those ``held_out``; ``hindsight``, the largest
    held-out mean of any one size; and the smallest, median and largest share chosen.
    """
    keys = ["set", "similarity"]
    curves = frames["sizes"].set_index([*keys, "share"])
    curves = curves[["all_images", "held_out"]]
    best = (curves - curves.xs(1, level="share")).groupby(keys, sort=False).max()
    splits = frames["splits"].set_index([*keys, "split", "method"])
    by_method = splits[["train_r2", "r2"]].unstack("method")
    gain = by_method.xs(held_out_methods.SIZE, axis=1, level="method")
    gain = gain - by_method.xs(held_out_methods.ALL, axis=1, level="method")
    gain = gain.groupby(keys).mean()
    share = splits.xs(held_out_methods.SIZE, level="method")["chosen"].groupby(keys)
    columns = {"largest": best["all_images"], "chosen": gain["train_r2"]}
    columns |= {"held_out": gain["r2"], "hindsight": best["held_out"]}
    columns |= {"low": share.min(), "median": share.median(), "high": share.max()}
    return pd.DataFrame(columns).reindex(best.index)
