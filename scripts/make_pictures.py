"""Draw the book's logo and icon (SVG), and its card for social media from a real figure (PNG).

python scripts/make_pictures.py [--card]
"""

from __future__ import annotations

import argparse
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


def dots(fires: np.ndarray, quiet: str, step: int = 16) -> str:
    """A dot to each entry of ``fires`` (n_images, n_nodes), as SVG."""
    n_rows, n_columns = fires.shape
    circles = [
        f'<circle cx="{step * (j + 0.5):g}" cy="{step * (i + 0.5):g}" r="5.5" fill="{FIRES if fire else quiet}"/>'
        for (i, j), fire in np.ndenumerate(fires)
    ]
    box = f"0 0 {step * n_columns} {step * n_rows}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{"".join(circles)}</svg>\n'


def draw_card(path: Path) -> None:
    """Fig. 1 of the book for CIFAR-10, with the title of the book, in the size that social media ask for."""
    import matplotlib.pyplot as plt

    from helpers import ensembles, figures, lenets

    figures.use_style()
    rng = np.random.default_rng(0)
    models = lenets.load("cifar10", 50)
    x = models.embeddings[:, models.draw(300, rng)]
    curves = {
        first: ensembles.insertion_curves(x, ensembles.poz_orders(models.poz, first, rng))
        for first in ("lowest", "random", "highest")
    }
    figure = plt.figure(figsize=(CARD[0] / 100, CARD[1] / 100), facecolor="white", layout="none")
    figure.text(0.05, 0.83, "Rarely-firing nodes", fontsize=40, weight="bold")
    figure.text(
        0.05, 0.74, "What do they do to a network's representational geometry? An executable paper.", fontsize=19
    )
    with plt.rc_context({"font.size": 17, "axes.labelsize": 17, "xtick.labelsize": 15, "ytick.labelsize": 15}):
        ax = figure.add_axes((0.09, 0.14, 0.86, 0.52))
        sizes = next(iter(curves.values())).sizes
        figures.insertion(ax, sizes, {first: curve.r2 for first, curve in curves.items()})
        ax.legend(loc="lower right", fontsize=17, title="fifty LeNet-5, CIFAR-10", title_fontsize=15)
    figure.savefig(path, dpi=100, facecolor="white", pil_kwargs={"optimize": True})


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the logo, the icon and, if asked, the card for social media.")
    parser.add_argument("--card", action="store_true", help="draw the card too (half a minute)")
    (STATIC / "favicon.svg").write_text(dots(ICON, QUIET["light"]))
    (STATIC / "logo.svg").write_text(dots(LOGO, QUIET["light"]))
    (STATIC / "logo-dark.svg").write_text(dots(LOGO, QUIET["dark"]))
    if parser.parse_args().card:
        draw_card(STATIC / "card.png")


if __name__ == "__main__":
    main()
