"""Figures of the page on performance."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from benchmarks.records import duration
from helpers import figures


def contenders(ax: Axes, frame: pd.DataFrame, title: str) -> Axes:
    """Seconds of each contender as bars on a logarithmic axis, ours coloured.

    ``frame`` are the rows of one benchmark of `benchmarks.records.comparison`; a dashed
    line marks the limit.
    """
    times, limit = frame["seconds"], frame["limit"].iloc[0]
    low = min(times.min(), frame["limit"].fillna(1e9).min()) / 2
    is_ours = frame["contender"].str.startswith("ours")
    colours = [figures.PALETTE[0] if ours else "0.6" for ours in is_ours]
    bars = ax.barh(frame["contender"], times - low, left=low, color=colours, height=0.7)
    labels = [f"{duration(time)} s" for time in times]
    ax.bar_label(bars, labels, padding=3, fontsize="small")
    if pd.notna(limit):
        colour = figures.PALETTE[3]
        ax.axvline(limit, color=colour, linestyle="--", linewidth=1.4, label="limit")
        ax.legend(loc="upper right")
    ax.set(xscale="log", xlim=(low, times.max() * 12), title=title)
    ax.invert_yaxis()
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def growth(ax: Axes, frame: pd.DataFrame, xlabel: str) -> Axes:
    """Seconds against ``n``, both logarithmic, a line per engine."""
    groups = frame.groupby("engine", sort=False)
    for number, (engine, rows) in enumerate(groups):
        marker, colour = figures.MARKERS[number], figures.PALETTE[number]
        ax.plot(rows["n"], rows["seconds"], marker=marker, color=colour, label=engine)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="seconds")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    return ax
