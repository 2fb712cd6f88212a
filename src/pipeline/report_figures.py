"""Figures and tables of page 09 and ``make report``, from `pipeline.own_network`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from helpers import figures
from pipeline import census, specifications
from pipeline.own_network import PRIMARY, Analysis
from pipeline.report import enough

COLOURS = {"live": 2, "rare": 1, "dead": 3}
"""Of each kind of node, the position in `helpers.figures.PALETTE`."""


# ----------------------------------------------------------------------------- tables
def rules_table(a: Analysis) -> pd.DataFrame:
    """Changes in R2 as text: a row per similarity, a column per rule."""
    rules = a.rules[a.rules["comparator"] == PRIMARY]
    text = "{change:+.4f} ({low:+.4f} to {high:+.4f})"
    cells = [text.format(**row) for row in rules.to_dict("records")]
    table = rules.assign(cell=cells).pivot(
        index="similarity", columns="rule", values="cell"
    )
    table = table.loc[
        list(specifications.SIMILARITIES), list(dict.fromkeys(rules["rule"]))
    ]
    return table.replace("+nan (+nan to +nan)", "undefined").rename(figures.NAMES)


def kinds_table(a: Analysis) -> pd.DataFrame:
    """Dead, rare and live nodes: number and share."""
    counts = a.nodes["kind"].value_counts().reindex(list(census.KINDS), fill_value=0)
    shares = (counts / len(a.nodes)).map("{:.1%}".format)
    return pd.DataFrame({"nodes": counts, "share": shares}).rename_axis("kind")


def needed_table(a: Analysis) -> pd.DataFrame:
    """Numbers of images: a row per rule, a column per size of an effect."""
    table = a.needed.pivot(index="rule", columns="effect", values="images")
    table = table.loc[list(dict.fromkeys(a.needed["rule"]))]
    return table.map(enough, n_used=len(a.images))


# ---------------------------------------------------------------------------- figures
def draw_poz(ax: Axes, frame: pd.DataFrame) -> Axes:
    """The frame of `census.Census.histogram`: bars, dead nodes apart."""
    for kind, colour in COLOURS.items():
        rows = frame[frame["kind"] == kind]
        x = rows["poz"] + (0.05 if kind == "dead" else 0)
        look = {"color": figures.PALETTE[colour], "edgecolor": "white"}
        ax.bar(x, rows["share"], 1 / census.BINS, label=kind, **look)
    ax.set(xlabel="PoZ", ylabel="share of nodes", xticks=[0, 0.25, 0.5, 0.75, 1.05])
    ax.set_xticklabels(["0%", "25%", "50%", "75%", "dead"])
    figures.percent(ax, "y")
    ax.legend()
    return ax


def draw_curves(ax: Axes, a: Analysis) -> Axes:
    """Insertion curves with bands: over images, and over random orders."""
    figures.lines(ax, a.curves, "share", "value", "order")
    target = "judgments" if a.has_reference else "the full matrix"
    ax.set(xlabel="share of nodes inserted", ylabel=f"R² with {target}")
    ax.set(xlim=(0, 1.01), ylim=(0, None))
    figures.percent(ax, "x")
    ax.legend(loc="lower right")
    return ax


def draw_rules(axes: np.ndarray, a: Analysis) -> np.ndarray:
    """A panel per rule: changes under every similarity and comparator."""
    for ax, (rule, frame) in zip(
        axes, a.rules.groupby("rule", sort=False), strict=True
    ):
        figures.intervals(ax, frame, "change", "similarity", "comparator")
        figures.mark_value(ax, 0)
        ax.set(title=figures.name_of(rule))
    axes[-1].set_xlabel("change by the rule")
    figures.legend_above(axes[0], 2)
    return axes
