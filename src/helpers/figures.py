"""The book's figure style and its figures. Every function draws a tidy frame (or an
array) that it is given, the one that the caption offers as a file; none computes.

Plots are dark ink on a transparent ground; dark mode inverts their lightness.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import PercentFormatter

PALETTE = sns.color_palette("colorblind")
COLOURS = {
    "lowest": PALETTE[0],
    "highest": PALETTE[3],
    "random": (0.45, 0.45, 0.45),
    "mnist": PALETTE[2],
    "cifar10": PALETTE[4],
}
NAMES = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "lowest": "lowest PoZ first",
    "highest": "highest PoZ first",
    "random": "random order",
    "pearson": "Pearson",
    "pearson_squared": "Pearson, squared",
    "spearman": "Spearman",
    "cosine": "cosine",
    "euclidean": "minus Euclidean distance",
    "distance, lowest-PoZ fifth": "distance, lowest 20 %",
    "keep the 20% lowest": "keep the lowest 20 %",
}
"""Names of data sets, orders, similarities and rules in figures and tables."""
WIDTH = 7.2
"""Page width in inches."""
MARKERS = "osD^vPX*"
_STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "figure.facecolor": "none",
    "legend.fontsize": "small",
    "legend.frameon": False,
    "savefig.facecolor": "none",
}


def use_style() -> None:
    """Set the book's style; call once at the top of a notebook."""
    sns.set_theme(style="ticks", palette="colorblind", font_scale=0.95, rc=_STYLE)
    with suppress(ImportError):  # in the browser there is no inline backend
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")


def panels(columns: int, rows: int = 1, height: float = 2.9, **options) -> np.ndarray:
    """Axes (rows, columns) of a figure of page width; ``height`` of a row in inches."""
    size = (WIDTH, height * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **options)[1]


def percent(ax: Axes, axes: str) -> None:
    """Show the named axes ("x", "y" or "xy") in percent, as the text writes it."""
    for name in axes:
        shown = PercentFormatter(1, decimals=0, symbol="\u2009%")  # a thin space
        getattr(ax, f"{name}axis").set_major_formatter(shown)


def legend_above(ax: Axes, n_columns: int) -> None:
    """The legend of one panel, above all panels of its figure."""
    shown = ax.get_legend_handles_labels()
    ax.figure.legend(*shown, loc="outside upper center", ncols=n_columns)


def name_of(value: object) -> str:
    """What a figure calls a value: by `NAMES`, percentages as the text writes them."""
    return re.sub(r"(?<=\d)%", " %", str(NAMES.get(value, value)))


# ---------------------------------------------------------------- drawers of any frame
def lines(
    ax: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str | None = None,
    colours: Mapping | None = None,
    styles: Mapping | None = None,
    strength: float = 0.2,
    **line,
) -> Axes:
    """A line per value of ``hue``, labelled with it by `NAMES`.

    A band is drawn between the columns ``low`` and ``high`` where the frame has them;
    NaN leaves a gap. ``colours`` and ``styles`` (of the lines) map values of ``hue``;
    ``strength`` is that of a band's colour, from 0 (white) to 1.
    """
    colours, styles = colours or COLOURS, styles or {"random": "--"}
    groups = frame.groupby(hue, sort=False) if hue else [("", frame)]
    for number, (name, rows) in enumerate(groups):
        colour = colours.get(name, PALETTE[number % len(PALETTE)])
        if {"low", "high"} <= set(rows):
            band(ax, rows[x], rows["low"], rows["high"], colour, strength)
        look = {"linewidth": 2, "linestyle": styles.get(name, "-"), "color": colour}
        label = name_of(name) or None
        ax.plot(rows[x], rows[y], **({"label": label} | look | line))
    return ax


def band(ax: Axes, x, low, high, colour, strength: float) -> None:
    """A band that covers what lies below it, so that two make no third colour; its
    outline stays visible where another band covers it.
    """
    tint = 1 - strength * (1 - np.array(to_rgb(colour)))
    ax.fill_between(x, low, high, color=tuple(tint), linewidth=0, zorder=0.5)
    outline = {"facecolor": "none", "edgecolor": colour, "linewidth": 0.4}
    ax.fill_between(x, low, high, alpha=0.7, zorder=1.5, **outline)


def intervals(
    ax: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str | None = None,
    colours: Mapping | None = None,
    markers: Mapping | None = None,
    spread: float = 0.6,
) -> Axes:
    """A dot at column ``x`` with its interval ``low`` to ``high``, in the row ``y``.

    Rows keep the order of the frame, from top to bottom. Values of ``hue`` lie below
    one another within ``spread`` of a row; those of ``markers``, where it is given.
    NaN leaves its place empty.
    """
    rows = list(dict.fromkeys(frame[y]))
    hues = list(markers or dict.fromkeys(frame[hue])) if hue else [""]
    offsets = spread * ((np.arange(len(hues)) + 0.5) / len(hues) - 0.5)
    for number, (name, offset) in enumerate(zip(hues, offsets, strict=True)):
        part = frame[frame[hue] == name] if hue else frame
        place = np.array([rows.index(row) for row in part[y]]) + offset
        error = np.abs(part[["low", "high"]].to_numpy(float).T - part[x].to_numpy())
        look = {
            "color": (colours or {}).get(name, PALETTE[number % len(PALETTE)]),
            "fmt": (markers or {}).get(name, MARKERS[number % len(MARKERS)]),
            "label": name_of(name) or None,
        }
        ax.errorbar(part[x], place, xerr=error, markersize=5, capsize=2, **look)
    ax.set(yticks=range(len(rows)), yticklabels=map(name_of, rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    return ax


def heatmap(ax: Axes, table: pd.DataFrame, title: str = "", **options) -> Axes:
    """seaborn's heat map of a frame with named rows and columns, numbers written in."""
    defaults = {"annot": True, "fmt": ".2f", "cbar": False, "linewidths": 0.5}
    sns.heatmap(table, ax=ax, **(defaults | options))
    ax.set(title=title, xlabel="", ylabel="")
    ax.tick_params(length=0)
    plt.setp(ax.get_yticklabels(), rotation=0)
    for number in ax.texts:
        text = re.sub(
            r"^[+-](0(\.0+)?\D*)$", r"\1", number.get_text()
        )  # zero has no sign
        number.set_text(text.replace("-", "\N{MINUS SIGN}"))
    return ax


def mark_value(ax: Axes, value: float, axis: str = "x", label: str = "") -> None:
    """A dotted line across the panel, at a value of the named axis."""
    draw = ax.axvline if axis == "x" else ax.axhline
    draw(value, color="0.35", linestyle=":", linewidth=1.2, label=label or None)


# ------------------------------------------------------------------ page 01
def silent_nodes(ax: Axes, frame: pd.DataFrame, title: str) -> Axes:
    """Similarity of each pair as silent nodes are added.

    ``frame`` has the columns "silent nodes", "pair" and "similarity".
    """
    styles = dict(zip(frame["pair"].unique(), ("-", "--", ":"), strict=False))
    lines(ax, frame, "silent nodes", "similarity", "pair", styles=styles)
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="silent nodes added (log scale from 1)", title=title)
    ax.set_ylabel("similarity of the pair")
    ax.set_xlim(0, frame["silent nodes"].max())
    return ax


def matrix(ax: Axes, values: np.ndarray, labels: Sequence[str], title: str) -> Axes:
    """A similarity matrix (n, n) from -1 to 1 as a heat map with its numbers."""
    table = pd.DataFrame(values, labels, labels)
    return heatmap(ax, table, title, vmin=-1, vmax=1, cmap="vlag", square=True)


# ------------------------------------------------------------------ page 02
def histogram(ax: Axes, frame: pd.DataFrame, x: str, y: str, hue: str) -> Axes:
    """Bars around ``x``, whiskers from ``low`` to ``high``; side by side by ``hue``."""
    width = np.diff(frame[x].to_numpy()[:2]) / frame[hue].nunique()
    for number, (name, rows) in enumerate(frame.groupby(hue, sort=False)):
        colour = COLOURS.get(name, PALETTE[5])
        place = rows[x] + width * (number - (frame[hue].nunique() - 1) / 2)
        look = {"color": (*colour, 0.45), "edgecolor": colour, "linewidth": 0.8}
        ax.bar(place, rows[y], width, label=NAMES.get(name, name), **look)
        ax.vlines(place, rows["low"], rows["high"], color=colour, linewidth=1)
    return ax


def insertion_panels(
    frame: pd.DataFrame, label: str, height: float = 2.9
) -> np.ndarray:
    """A panel (rows, columns) per "set" and "items": "value" by "share" and "order"."""
    shape = frame["items"].nunique(), frame["set"].nunique()
    axes = panels(*shape, height, sharex=True, sharey=True)
    groups = frame.groupby(["set", "items"], sort=False)
    for ax, ((name, items), rows) in zip(axes.flat, groups, strict=True):
        lines(ax, rows, "share", "value", "order")
        ax.set(xlabel="share of nodes inserted", ylabel=label)
        ax.set(title=f"{NAMES[name]}, {items}", xlim=(0, 1), ylim=(0, 1.02))
        percent(ax, "x")
        ax.label_outer()
    return axes


# ------------------------------------------------------------------ page 03
def human_curve(ax: Axes, prediction) -> Axes:
    """R2 of a `helpers.prediction.Prediction` with its band, and random orders."""
    p = prediction
    lines(ax, p.curve, "share", "r2", label="lowest PoZ first, 95 % over images")
    lines(ax, p.orders.assign(order="random"), "share", "r2", "order", linewidth=1)
    mark_value(ax, p.full, "y", "all nodes")
    best = p.best["share"], p.best["r2"]
    ax.plot(*best, "o", color=COLOURS["highest"], label="largest", zorder=4)
    ax.set(xlabel="share of nodes inserted", ylabel="R² with judgments", title=p.name)
    ax.set(xlim=(0, 1.01), ylim=(0, None))
    percent(ax, "x")
    return ax


def difference_curve(ax: Axes, prediction) -> Axes:
    """Difference from the R2 of all nodes, with pointwise and simultaneous bands.

    The axis is cut off where few nodes lose much, so that small gains are visible.
    """
    curve = prediction.curve
    for of, strength in {"all": 0.2, "difference": 0.5}.items():
        ends = {end: curve[f"{of}_{end}"] for end in ("low", "high")}
        lines(ax, curve.assign(**ends), "share", "difference", strength=strength)
    mark_value(ax, 0, "y")
    ax.set(xlabel="share of nodes inserted", ylabel="R² minus R² of all")
    ax.set(title=prediction.name, xlim=(0, 1.01), ylim=(-0.06, 0.05))
    percent(ax, "x")
    return ax


# ------------------------------------------------------------------ page 04
def rows_of_images(rows: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Rows of equally many images (height, width, 3), with their names on the left."""
    n = len(next(iter(rows.values())))
    ax = panels(1, height=(WIDTH - 1.2) / n * len(rows) + 0.1)[0, 0]
    for top, images in enumerate(rows.values()):
        for left, image in enumerate(images):
            ax.imshow(image, extent=(left + 0.03, left + 0.97, top + 0.97, top + 0.03))
    ax.set(xlim=(0, n), ylim=(len(rows), 0), aspect="equal")
    ax.set(xticks=[], yticks=np.arange(len(rows)) + 0.5, yticklabels=list(rows))
    ax.tick_params(length=0)
    sns.despine(ax=ax, left=True, bottom=True)


# ------------------------------------------------------------------ page 05
_NAMES = ("holds", "open", "undetermined", "fails", "not severe")
VERDICTS = dict(zip(_NAMES, [PALETTE[k] for k in (0, 1, 2, 3, 7)], strict=True))
"""The colour of a row's verdict."""


def claim_rows(ax: Axes, rows: pd.DataFrame, limits: tuple[float, float]) -> Axes:
    """Rows of claims (`helpers.claims.rows`): bounds, the paper's value and ours.

    Bounds that are open end at ``limits``, the range of the axis.
    """
    y = np.arange(len(rows))
    low, high = rows["at_least"].fillna(limits[0]), rows["at_most"].fillna(limits[1])
    ax.barh(y, high - low, left=low, color="0.88", label="what the claim asks")
    paper = pd.to_numeric(rows["paper"], errors="coerce")
    ax.plot(paper, y, "D", color="0.35", markersize=5, label="the paper")
    shown = rows.assign(row=rows["claim"] + "  " + rows["short"])
    looks = {"colours": VERDICTS, "markers": dict(zip(VERDICTS, "osvX.", strict=True))}
    intervals(ax, shown, "value", "row", "verdict", spread=0, **looks)
    for position in y[rows["verdict"] == "undefined"]:
        ax.text(limits[0], position, "  undefined", va="center", fontsize="x-small")
    ax.set(xlim=limits)
    return ax
