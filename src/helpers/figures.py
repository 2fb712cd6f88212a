"""The book's figure style and its figures. Every function draws a tidy frame (or an
array) that it is given; none computes a result.

The frame that a figure draws is also what its caption offers as a file
(`helpers.notebook.download`), so picture and values cannot differ. Plots are dark ink
on a transparent ground; dark mode inverts their lightness (book/_static/book.css).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
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
}
"""Names of data sets, orders and similarities in figures and tables."""
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
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # in the browser there is no inline backend
        return
    set_matplotlib_formats("retina")


def panels(columns: int, rows: int = 1, height: float = 2.9, **options) -> np.ndarray:
    """Axes (rows, columns) of a figure of page width; ``height`` of a row in inches."""
    size = (WIDTH, height * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **options)[1]


def percent(ax: Axes, axes: str) -> None:
    """Show the named axes ("x", "y" or "xy") in percent."""
    for name in axes:
        formatter = PercentFormatter(1, decimals=0)
        getattr(ax, f"{name}axis").set_major_formatter(formatter)


def legend_above(ax: Axes, n_columns: int) -> None:
    """The legend of one panel, above all panels of its figure."""
    handles, labels = ax.get_legend_handles_labels()
    options = {"loc": "outside upper center", "ncols": n_columns}
    ax.figure.legend(handles, labels, **options)


# ---------------------------------------------------------------- drawers of any frame
def lines(
    ax: Axes,
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str | None = None,
    colours: Mapping | None = None,
    styles: Mapping | None = None,
    **line,
) -> Axes:
    """A line per value of ``hue``, labelled with it by `NAMES`.

    A band is drawn between the columns ``low`` and ``high`` where the frame has them;
    NaN leaves a gap. ``colours`` and ``styles`` (of the lines) map values of ``hue``.
    """
    colours, styles = colours or COLOURS, styles or {"random": "--"}
    groups = frame.groupby(hue, sort=False) if hue else [("", frame)]
    for number, (name, rows) in enumerate(groups):
        colour = colours.get(name, PALETTE[number % len(PALETTE)])
        if {"low", "high"} <= set(rows):
            band = {"color": colour, "alpha": 0.2, "linewidth": 0}
            ax.fill_between(rows[x], rows["low"], rows["high"], **band)
        look = {"linewidth": 2, "linestyle": styles.get(name, "-"), "color": colour}
        label = NAMES.get(name, name) or None
        ax.plot(rows[x], rows[y], **({"label": label} | look | line))
    return ax


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
    one another within ``spread`` of a row. NaN leaves its place empty.
    """
    rows = list(dict.fromkeys(frame[y]))
    hues = list(dict.fromkeys(frame[hue])) if hue else [""]
    offsets = spread * ((np.arange(len(hues)) + 0.5) / len(hues) - 0.5)
    for number, (name, offset) in enumerate(zip(hues, offsets, strict=True)):
        part = frame[frame[hue] == name] if hue else frame
        place = np.array([rows.index(row) for row in part[y]]) + offset
        error = np.abs(part[["low", "high"]].to_numpy(float).T - part[x].to_numpy())
        look = {
            "color": (colours or {}).get(name, PALETTE[number % len(PALETTE)]),
            "fmt": (markers or {}).get(name, MARKERS[number % len(MARKERS)]),
            "label": NAMES.get(name, name) or None,
        }
        ax.errorbar(part[x], place, xerr=error, markersize=5, capsize=2, **look)
    ax.set(yticks=range(len(rows)), yticklabels=[NAMES.get(row, row) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    return ax


def heatmap(ax: Axes, table: pd.DataFrame, title: str = "", **options) -> Axes:
    """seaborn's heat map of a frame with named rows and columns, numbers written in."""
    defaults = {"annot": True, "fmt": ".2f", "cbar": False, "linewidths": 0.5}
    sns.heatmap(table, ax=ax, **(defaults | options))
    ax.set(title=title, xlabel="", ylabel="")
    ax.tick_params(length=0)
    plt.setp(ax.get_yticklabels(), rotation=0)
    return ax


def mark_value(ax: Axes, value: float, axis: str = "x", label: str = "") -> None:
    """A dotted line across the panel, at a value of the named axis."""
    draw = ax.axvline if axis == "x" else ax.axhline
    draw(value, color="0.35", linestyle=":", linewidth=1.2, label=label or None)


def thumbnails(images: np.ndarray) -> None:
    """A row of images (n, height, width, 3) across the page."""
    axes = panels(len(images), height=WIDTH / len(images) * 1.1)[0]
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image)
        ax.axis("off")


# ------------------------------------------------------------------ page 01
def silent_nodes(ax: Axes, frame: pd.DataFrame, title: str) -> Axes:
    """Similarity of each pair as silent nodes are added.

    ``frame`` has the columns "silent nodes", "pair" and "similarity".
    """
    styles = dict(zip(frame["pair"].unique(), ("-", "--", ":"), strict=False))
    lines(ax, frame, "silent nodes", "similarity", "pair", styles=styles)
    last = frame["silent nodes"].max()
    ticks = [n for n in (0, 1, 3, 10, 30, 100, 300, 1000) if n <= last]
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlim=(0, last), xticks=ticks, xticklabels=map(str, ticks))
    ax.set(xlabel="silent nodes added", ylabel="similarity", title=title)
    return ax


def matrix(ax: Axes, values: np.ndarray, labels: Sequence[str], title: str) -> Axes:
    """A similarity matrix (n, n) from -1 to 1 as a heat map with its numbers."""
    table = pd.DataFrame(values, labels, labels)
    return heatmap(ax, table, title, vmin=-1, vmax=1, cmap="vlag", square=True)


# ------------------------------------------------------------------ page 02
def histogram(ax: Axes, frame: pd.DataFrame, x: str, y: str, hue: str) -> Axes:
    """Steps of equal width around ``x``, a colour per value of ``hue``.

    Whiskers extend from ``low`` to ``high``, columns of the frame.
    """
    for name, rows in frame.groupby(hue, sort=False):
        middles, heights = rows[x].to_numpy(), rows[y].to_numpy()
        width = middles[1] - middles[0]
        edges = np.append(middles - width / 2, middles[-1] + width / 2)
        colour, label = COLOURS.get(name, PALETTE[5]), NAMES.get(name, name)
        ax.stairs(heights, edges, color=colour, fill=True, alpha=0.35)
        ax.stairs(heights, edges, color=colour, linewidth=1.6, label=label)
        ax.vlines(middles, rows["low"], rows["high"], color=colour, linewidth=1)
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
    p, look = prediction, {"alpha": 0.3, "linewidth": 0}
    bounds = p.orders["share"], p.orders["low"], p.orders["high"]
    ax.fill_between(*bounds, color=COLOURS["random"], label="random orders", **look)
    lines(ax, p.curve, "share", "r2", label="lowest PoZ first, 95 % over images")
    mark_value(ax, p.full, "y", "all nodes")
    best = p.best["share"], p.best["r2"]
    ax.plot(*best, "o", color=COLOURS["highest"], label="largest", zorder=4)
    ax.set(xlabel="share of nodes inserted", ylabel="R² with judgments", title=p.name)
    ax.set(xlim=(0, 1.01), ylim=(0, None))
    percent(ax, "x")
    return ax


def difference_curve(ax: Axes, prediction) -> Axes:
    """Difference from the R2 of all nodes, with pointwise and simultaneous bands."""
    curve = prediction.curve
    for band, alpha in (("all", 0.15), ("difference", 0.3)):
        bounds = curve["share"], curve[f"{band}_low"], curve[f"{band}_high"]
        ax.fill_between(*bounds, color=PALETTE[0], alpha=alpha, linewidth=0)
    ax.plot(curve["share"], curve["difference"], color=PALETTE[0], linewidth=1.8)
    mark_value(ax, 0, "y")
    ax.set(xlabel="share of nodes inserted", ylabel="R² minus R² of all")
    ax.set(title=prediction.name, xlim=(0, 1.01), ylim=(-0.15, 0.15))
    percent(ax, "x")
    return ax


# ------------------------------------------------------------------ page 04
def rows_of_images(rows: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Rows of equally many images (height, width, 3), with their names on the left.

    A gap sets off the first row.
    """
    n = len(next(iter(rows.values())))
    tops = np.arange(len(rows)) + 0.35 * (np.arange(len(rows)) > 0)
    ax = panels(1, height=(WIDTH - 1.2) / n * (tops[-1] + 1) + 0.1)[0, 0]
    for top, images in zip(tops, rows.values(), strict=True):
        for left, image in enumerate(images):
            ax.imshow(image, extent=(left + 0.03, left + 0.97, top + 0.97, top + 0.03))
    ax.set(xlim=(0, n), ylim=(tops[-1] + 1, 0), aspect="equal")
    ax.set(xticks=[], yticks=tops + 0.5, yticklabels=list(rows))
    ax.tick_params(length=0)
    sns.despine(ax=ax, left=True, bottom=True)


def frame_cells(ax: Axes, chosen: pd.DataFrame) -> None:
    """Frame the cells of a heat map where ``chosen``, of its shape, is true."""
    for row, column in np.argwhere(chosen.to_numpy()):
        place = (column + 0.04, row + 0.06)
        look = {"fill": False, "edgecolor": PALETTE[0], "linewidth": 2}
        ax.add_patch(plt.Rectangle(place, 0.92, 0.88, **look))


# ------------------------------------------------------------------ page 05
VERDICTS = {
    "holds": ("o", 0),
    "open": ("s", 1),
    "undetermined": ("v", 2),
    "fails": ("X", 3),
    "not severe": (".", 7),
}
"""Marker of a row's verdict, and the position of its colour in `PALETTE`."""


def claim_rows(ax: Axes, rows: pd.DataFrame, limits: tuple[float, float]) -> Axes:
    """Rows of claims (`helpers.claims.rows`): bounds, the paper's value and ours.

    Bounds that are open end at ``limits``, the range of the axis.
    """
    y = np.arange(len(rows))
    low, high = rows["at_least"].fillna(limits[0]), rows["at_most"].fillna(limits[1])
    ax.barh(y, high - low, left=low, color="0.88", label="what the claim asks")
    paper = pd.to_numeric(rows["paper"], errors="coerce")
    ax.plot(paper, y, "D", color="0.35", markersize=5, label="the paper")
    for verdict, (marker, colour) in VERDICTS.items():
        judged = (rows["verdict"] == verdict).to_numpy()
        value, low, high = rows.loc[judged, ["value", "low", "high"]].to_numpy().T
        look = {"fmt": marker, "color": PALETTE[colour], "label": f"here: {verdict}"}
        ax.errorbar(value, y[judged], xerr=(value - low, high - value), **look)
    for position in y[(rows["verdict"] == "undefined").to_numpy()]:
        ax.text(limits[0], position, "  undefined", va="center", fontsize="x-small")
    ax.set(yticks=y, yticklabels=rows["claim"] + "  " + rows["short"])
    ax.set(xlim=limits, ylim=(len(rows) - 0.4, -0.6))
    return ax


# ------------------------------------------------------------------ page 07
CHANGES = {"clear loss": PALETTE[3], "neither": "0.6", "clear improvement": PALETTE[0]}
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
    places = np.arange(len(names)) + gaps
    for verdict, colour in CHANGES.items():
        rows = ranked[ranked["verdict"] == verdict]
        look = {"color": colour, "linewidth": 0.5, "alpha": 0.3}
        top.vlines(rows.index, rows["low"], rows["high"], **look)
        top.plot(rows.index, rows["change"], ".", color=colour, ms=2, label=verdict)
        for place, (column, value) in zip(places, names, strict=True):
            x = rows.index[rows[column] == value]
            grid.plot(x, [place] * len(x), "|", color=colour, ms=3, mew=0.4)
    mark_value(top, 0, "y")
    labels = [NAMES.get(value, value) for _, value in names]
    grid.set(yticks=places, yticklabels=labels, xticks=[])
    grid.set_ylim(places[-1] + 0.5, -0.5)
    grid.tick_params(labelsize="xx-small", length=0)
