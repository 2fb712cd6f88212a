"""Figures of the pages on performance and on work beyond one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from helpers import figures
from benchmarks.records import duration


def contenders(ax: Axes, rows: Sequence[Mapping], title: str, limits: Mapping[str, float] | None = None) -> Axes:
    """Seconds of each contender as bars on a logarithmic axis, ours coloured; ``limits`` name vertical lines."""
    times = np.array([row["seconds"] for row in rows])
    ours = [row["name"].startswith(("ours", "streamed")) for row in rows]
    limits = limits or {}
    low = min([*times, *limits.values()]) / 2
    colours = [figures.PALETTE[0] if mine else "0.6" for mine in ours]
    ax.barh(np.arange(len(rows)), times - low, left=low, color=colours, height=0.7)
    for place, seconds in enumerate(times):
        ax.text(seconds * 1.15, place, f"{duration(seconds)} s", va="center", fontsize="small")
    for (name, seconds), style in zip(limits.items(), ("--", ":"), strict=False):
        ax.axvline(seconds, color=figures.PALETTE[3], linestyle=style, linewidth=1.4, label=name)
    ax.set(xscale="log", xlim=(low, max(times) * 12), title=title, xlabel="seconds")
    ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
    ax.invert_yaxis()
    if limits:
        ax.legend(fontsize="small", loc="upper right")
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def growth(ax: Axes, curves: Sequence[Mapping], xlabel: str) -> Axes:
    """Seconds against size, both logarithmic, a line per entry of ``curves``."""
    for curve, marker, colour in zip(curves, "osD^", figures.PALETTE, strict=False):
        label = f"{curve['name']} (exponent {curve['exponent']:.2f})"
        ax.plot(curve["values"], curve["seconds"], marker=marker, color=colour, label=label)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="seconds")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1))
    return ax


def sweep(ax: Axes, table: pd.DataFrame, x: str, y: str) -> Axes:
    """A dot per row of ``table``: columns ``x`` and ``y``, coloured by ``layer`` and marked by ``dataset``."""
    layers = list(dict.fromkeys(table["layer"]))
    for (dataset, layer), rows in table.groupby(["dataset", "layer"], sort=False):
        marker = "o" if dataset == "mnist" else "^"
        label = f"{layer}, {figures.NAMES[dataset]}"
        ax.plot(rows[x], rows[y], marker, color=figures.PALETTE[layers.index(layer)], alpha=0.8, label=label)
    ax.set(xlabel="share of nodes with PoZ above 80 %", ylabel="R² of the lowest-PoZ half", ylim=(None, 1.01))
    ax.legend(fontsize="small", ncols=2)
    figures.percent(ax, "x")
    return ax
