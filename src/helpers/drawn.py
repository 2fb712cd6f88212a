"""The values that a figure shows, read off the figure itself, so that table and picture cannot differ."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.ticker import FixedLocator

COLUMNS = ["panel", "series", "mark", "x", "y", "x_to", "y_to", "value", "x_name", "y_name"]


def values(figure: Figure | None = None) -> pd.DataFrame:
    """What ``figure`` (default: the current one) shows, a line per point, with the `COLUMNS` that hold anything.

    ``mark`` is "point" (of a line or a scatter: x, y), "interval" (of an error bar: from x, y to x_to, y_to), "band"
    (at x from y to y_to), "bar" (from x to x_to of height y) or "cell" (of a heat map: value). On axes with named ticks
    ``x_name`` and ``y_name`` are the names nearest to the point.
    """
    lines = [
        {"panel": _panel(ax, number)} | point | _names(ax, point)
        for number, ax in enumerate((figure or plt.gcf()).axes, 1)
        for point in _points(ax)
    ]
    table = pd.DataFrame(lines, columns=COLUMNS)
    twice = [name for name in COLUMNS if name != "series"]  # bars are drawn as filling and outline
    table = table.drop_duplicates(twice, keep="last")
    return table.loc[:, table.notna().any() & (table != "").any()]


def _panel(ax: Axes, number: int) -> str:
    return ax.get_title("left") or ax.get_title() or ax.get_label() or str(number)


def _names(ax: Axes, point: dict) -> dict[str, str]:
    """Names of the ticks nearest to a point, on axes whose ticks have fixed names."""
    found = {}
    for name, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        if isinstance(axis.get_major_locator(), FixedLocator) and len(places := axis.get_majorticklocs()):
            texts = axis.get_major_formatter().format_ticks(places)  # inner panels share ticks, and hide their labels
            found[f"{name}_name"] = texts[np.abs(places - point[name]).argmin()].replace("\n", " ")
    return found


def _points(ax: Axes) -> Iterator[dict]:
    named = {id(c.lines[0]): c.get_label() for c in ax.containers if isinstance(c, ErrorbarContainer)}
    for line in ax.lines:
        if line.get_xdata() is not None and len(line.get_xdata()) and line.get_marker() not in ("|", "_"):
            yield from _marks(named.get(id(line), line.get_label()), "point", x=line.get_xdata(), y=line.get_ydata())
    for collection in ax.collections:
        yield from _collection(collection)
    for patch in ax.patches:
        yield from _patch(patch)


def _marks(series: str, mark: str, **columns: np.ndarray) -> Iterator[dict]:
    series = "" if str(series).startswith("_") else str(series)
    arrays = [np.asarray(column, dtype=float).ravel() for column in columns.values()]
    for point in zip(*arrays, strict=True):
        yield {"series": series, "mark": mark} | dict(zip(columns, map(float, point), strict=True))


def _collection(collection) -> Iterator[dict]:
    label = collection.get_label()
    if isinstance(collection, QuadMesh):
        array = np.ma.filled(collection.get_array().astype(float), np.nan)
        array = array.reshape(np.array(collection.get_coordinates().shape[:2]) - 1)
        y, x = np.indices(array.shape) + 0.5
        yield from _marks(label, "cell", x=x, y=y, value=array)
    elif isinstance(collection, PathCollection):
        yield from _marks(label, "point", x=collection.get_offsets()[:, 0], y=collection.get_offsets()[:, 1])
    elif isinstance(collection, LineCollection):
        for (x, y), *_, (x_to, y_to) in (s for s in collection.get_segments() if len(s)):
            yield from _marks(label, "interval", x=[x], y=[y], x_to=[x_to], y_to=[y_to])
    elif isinstance(collection, PolyCollection):
        for path in collection.get_paths():
            n = (len(path.vertices) - 3) // 2  # there along one edge, and back along the other
            there, back = path.vertices[1 : n + 1], path.vertices[n + 2 : 2 * n + 2][::-1]
            yield from _marks(label, "band", x=there[:, 0], y=there[:, 1], y_to=back[:, 1])


def _patch(patch) -> Iterator[dict]:
    if isinstance(patch, StepPatch):
        heights, edges, _ = patch.get_data()
        yield from _marks(patch.get_label(), "bar", x=edges[:-1], x_to=edges[1:], y=heights)
    elif isinstance(patch, Rectangle):
        x, y = patch.get_xy()
        yield from _marks(patch.get_label(), "bar", x=[x], x_to=[x + patch.get_width()], y=[y + patch.get_height()])
