"""A second form of every plot, for a phone: its panels below one another.

As an IPython extension (``--ext phone``, loaded by ``scripts/notebooks.py``) it adds
the phone form to each figure that a cell shows, under a MIME type of its own. The
executor moves it into the output's metadata, where nothing but the book's pages looks
for it. Photographs, and panels with a scale of colours, have no phone form.
"""

from __future__ import annotations

import base64
import io
import pickle
from textwrap import fill

import matplotlib.pyplot as plt
from IPython.core.formatters import BaseFormatter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, FixedLocator
from traitlets import Unicode

MIME = "application/vnd.book.phone"
WIDTH = 3.7  # inches; shown on some 350 pixels
DPI = 190
LABEL, TITLE = 17, 36  # characters in a line of a row's name and of a title
LINE = 0.17  # inches of a line of a row's name


class PhoneFormatter(BaseFormatter):
    """The phone form of a figure; nothing for other objects.

    Not registered by type: matplotlib's inline backend removes such formatters.
    """

    format_type = Unicode(MIME)

    def __call__(self, shown: object) -> str | None:
        return encoded(shown) if isinstance(shown, Figure) else None


def load_ipython_extension(shell) -> None:
    """Add the phone form to what a cell's figures are shown as."""
    formatter = PhoneFormatter(parent=shell.display_formatter)
    shell.display_formatter.formatters[MIME] = formatter


def encoded(figure: Figure) -> str | None:
    """The phone form of a figure as a PNG in base64; None without a phone form."""
    panels = [ax for ax in figure.axes if ax.get_subplotspec()]
    has_scale = len(panels) < len(figure.axes)  # of colours, beside a panel
    if not panels or has_scale or any(ax.images for ax in panels):
        return None
    copy = pickle.loads(pickle.dumps(figure))
    stack(copy)
    picture = io.BytesIO()
    copy.savefig(picture, dpi=DPI, format="png")
    plt.close(copy)
    return base64.b64encode(picture.getvalue()).decode()


def stack(figure: Figure) -> None:
    """Place the panels of a figure below one another."""
    panels = in_reading_order([ax for ax in figure.axes if ax.get_subplotspec()])
    heights = [figure.get_figheight() * ax.get_position().height for ax in panels]
    for ax in panels:
        name_axes(ax, panels)
    lines = [wrap(ax) for ax in panels]
    heights = [max(h, LINE * n) for h, n in zip(heights, lines, strict=True)]
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights)
    for ax, place in zip(panels, grid, strict=True):
        ax.set_subplotspec(place)
    entries = raise_legends(figure, panels)
    height = sum(heights) + 0.7 * len(panels) + LINE * entries  # with labels, legend
    figure.set_size_inches(WIDTH, height)


def in_reading_order(panels: list[Axes]) -> list[Axes]:
    """By row; by column where rows differ in height, since these belong together."""
    places = {ax: ax.get_subplotspec() for ax in panels}
    heights = {round(ax.get_position().height, 2) for ax in panels}
    by_row = sorted(panels, key=lambda ax: places[ax].num1)
    if max(heights) < 1.2 * min(heights):
        return by_row
    return sorted(by_row, key=lambda ax: places[ax].colspan.start)


def name_axes(ax: Axes, panels: list[Axes]) -> None:
    """Give a panel the labels that it shares with others in its row or column."""
    place = ax.get_subplotspec()
    for other in panels:
        spec = other.get_subplotspec()
        has_same_scale = ax.get_shared_y_axes().joined(ax, other)
        if spec.rowspan == place.rowspan and has_same_scale and not ax.get_ylabel():
            ax.set_ylabel(other.get_ylabel())
        if spec.colspan == place.colspan and not ax.get_xlabel():
            ax.set_xlabel(other.get_xlabel())
    if ax.axison:
        ax.tick_params(labelbottom=True, labelleft=True)


def wrap(ax: Axes) -> int:
    """Break long texts into lines; returns how many lines the names of rows need."""
    for side in ("left", "center", "right"):
        ax.set_title(fill(ax.get_title(side), TITLE), loc=side)
    ax.set_xlabel(fill(ax.get_xlabel(), TITLE - 8))
    if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
        ax.locator_params("x", nbins=4)
    if not isinstance(ax.yaxis.get_major_locator(), FixedLocator):
        return 0
    labels = ax.get_yticklabels()
    names = [fill(text.get_text(), LABEL) for text in labels]
    ax.set_yticks(ax.get_yticks(), names, size=labels[0].get_size() if labels else None)
    return len(names) * max((name.count("\n") + 1 for name in names), default=0)


def raise_legends(figure: Figure, panels: list[Axes]) -> int:
    """One narrow legend above all panels, if all legends of the figure are the same;
    returns its number of lines.
    """
    legends = [*figure.legends, *filter(None, (ax.get_legend() for ax in panels))]
    names = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    if not legends or any(other != names[0] for other in names):
        return 0
    handles, title = legends[0].legend_handles, legends[0].get_title().get_text()
    for legend in legends:
        legend.remove()
    columns = 2 if max(map(len, names[0])) <= LABEL else 1
    place = {"loc": "outside upper center", "ncols": columns}
    figure.legend(handles, names[0], title=title or None, **place)
    return -(-len(handles) // columns)
