"""Draw the book's logo and icon (SVG), and its card for social media (PNG).

python scripts/make_pictures.py [--card]    # the card takes half a minute
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
FIRES, QUIET = "#d55e00", {"light": "#9aa5b1", "dark": "#6b7682"}
ICON = np.array([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
"""Rows are images, columns are nodes; 1 where the node fires."""
LOGO = np.array(
    [
        [1, 1, 1, 1, 0, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 1, 0, 0, 1, 0],
    ]
)
"""The same with the nodes from lowest to highest PoZ; the last is a ghost."""
CARD = (1200, 630)
TITLE = "Rarely-firing nodes"
SUBTITLE = (
    "What do they do to a network's representational geometry? An executable paper."
)


def dots(fires: np.ndarray, quiet: str, step: int = 16) -> str:
    """A dot for each entry of ``fires`` (n_images, n_nodes), as SVG."""
    n_rows, n_columns = fires.shape
    circles = [
        f'<circle cx="{step * (j + 0.5):g}" cy="{step * (i + 0.5):g}" r="5.5" '
        f'fill="{FIRES if fire else quiet}"/>'
        for (i, j), fire in np.ndenumerate(fires)
    ]
    box = f"0 0 {step * n_columns} {step * n_rows}"
    content = "".join(circles)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{content}</svg>\n'


def draw_card(path: Path) -> None:
    """The insertion curves of fifty networks, with the title of the book."""
    import matplotlib.pyplot as plt

    from helpers import figures

    figures.use_style()
    size = [pixels / 100 for pixels in CARD]
    figure = plt.figure(figsize=size, facecolor="white", layout="none")
    figure.text(0.05, 0.83, TITLE, fontsize=40, weight="bold")
    figure.text(0.05, 0.74, SUBTITLE, fontsize=19)
    large = {"axes.labelsize": 17, "xtick.labelsize": 15, "ytick.labelsize": 15}
    with plt.rc_context(large):
        ax = figure.add_axes((0.09, 0.14, 0.86, 0.52))
        figures.lines(ax, insertion_curves(), "share", "value", "order")
        ax.set(xlabel="share of nodes inserted", ylabel="R² with the full matrix")
        ax.set(xlim=(0, 1), ylim=(0, 1.02))
        figures.percent(ax, "x")
        legend = {"title": "fifty LeNet-5, CIFAR-10", "title_fontsize": 15}
        ax.legend(loc="lower right", fontsize=17, **legend)
    figure.savefig(path, dpi=100, facecolor="white", pil_kwargs={"optimize": True})


def insertion_curves():
    """Mean and spread over networks at every share of the nodes, for three orders."""
    from helpers import data, ensembles

    rng = np.random.default_rng(0)
    models = data.load_lenets("cifar10", 50)
    x = models.embeddings[:, models.draw(300, rng)]
    curves = {}
    for first in ("lowest", "random", "highest"):
        orders = ensembles.poz_orders(models.poz, first, rng)
        curve = ensembles.insertion_curves(x, orders)
        curves[(first,)] = curve.r2
    share = curve.sizes / curve.sizes[-1]
    return ensembles.mean_curves(curves, share, ("order", "share"))


if __name__ == "__main__":
    (STATIC / "favicon.svg").write_text(dots(ICON, QUIET["light"]))
    for name, look in (("logo", "light"), ("logo-dark", "dark")):
        (STATIC / f"{name}.svg").write_text(dots(LOGO, QUIET[look]))
    if "--card" in sys.argv:
        draw_card(STATIC / "card.png")
