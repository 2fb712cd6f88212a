"""Draw the card for social media: python scripts/make_card.py (half a minute)."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from helpers import data, ensembles, figures

CARD = (1200, 630)
TITLE = "Rarely-firing nodes"
SUBTITLE = (
    "What do they do to a network's representational geometry? An executable paper."
)


def draw_card(path: Path) -> None:
    """The insertion curves of fifty networks, with the title of the book."""
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
    draw_card(Path(__file__).resolve().parents[1] / "book" / "_static" / "card.png")
