"""Figures of the page on performance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchmarks.records import duration
from helpers import figures


def contenders(ax: Axes, frame: pd.DataFrame, title: str) -> Axes:
    """Seconds of each contender as bars on a logarithmic axis, ours coloured.

    ``frame`` are the rows of one benchmark of `benchmarks.records.comparison`; a dashed
    line marks the limit.
    """
    times, limit = frame["seconds"], frame["limit"].iloc[0]
    is_ours = frame["contender"].str.startswith("ours")
    colours = [figures.PALETTE[0] if ours else "0.6" for ours in is_ours]
    bars = ax.barh(frame["contender"], times, color=colours, height=0.7)
    labels = [f"{duration(time)} s" for time in times]
    ax.bar_label(bars, labels, padding=3, fontsize="small")
    if pd.notna(limit):
        ax.axvline(limit, color=figures.PALETTE[3], linestyle="--", label="limit")
        ax.legend(loc="upper right")
    low = np.nanmin([times.min(), limit]) / 2
    ax.set(xscale="log", xlim=(low, times.max() * 12), title=title)
    ax.invert_yaxis()
    ax.minorticks_off()
    return ax


def growth(ax: Axes, frame: pd.DataFrame, xlabel: str) -> Axes:
    """Seconds against ``n``, both logarithmic, a line per engine."""
    figures.lines(ax, frame, "n", "seconds", "engine", marker="o")
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="seconds")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    return ax
