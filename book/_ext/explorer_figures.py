"""Still pictures of the explorer (`helpers.explorer`); each function draws what it is given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.spatial.distance import squareform

from explorer import Scene, Walk
from helpers.figures import PALETTE, WIDTH

MARKERS = "osD^vPX*<>"


def stills(scene: Scene, walk: Walk, shown: list[int]) -> np.ndarray:
    """Similarity matrix (top) and map (bottom) at the positions ``shown`` of a walk's sizes; axes (2, n_shown)."""
    figure, axes = plt.subplots(2, len(shown), figsize=(WIDTH, WIDTH * 0.75), squeeze=False)
    limits = np.nanquantile(walk.matrices[shown], [0.02, 0.98])
    reach = np.nanmax(np.abs(walk.maps[shown])) * 1.05
    for (top, bottom), k in zip(axes.T, shown, strict=True):
        image = similarity(top, walk.matrices[k], limits)
        top.set_title(f"{walk.sizes[k] / walk.sizes[-1]:.0%} of the nodes\nR² = {walk.r2[k]:.2f}", fontsize="small")
        map_of_groups(bottom, walk.maps[k], scene.groups)
        bottom.set(xlim=(-reach, reach), ylim=(-reach, reach))
    figure.colorbar(image, ax=axes[0], shrink=0.7, label="similarity (r)", extend="both")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    return axes


def similarity(ax: Axes, pairs: np.ndarray, limits: np.ndarray):
    """A similarity matrix from its pairs (n_pairs,), blank on the diagonal and where undefined; returns the image.

    Its colours (seaborn's) go from light to dark, so that dark mode can turn them over.
    """
    square = squareform(pairs, checks=False)
    np.fill_diagonal(square, np.nan)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(square, vmin=limits[0], vmax=limits[1], cmap="mako_r", interpolation="nearest")


def map_of_groups(ax: Axes, points: np.ndarray, groups: tuple[str, ...]) -> Axes:
    """The items of a map (n_items, 2), a colour and a marker to each group."""
    for i, group in enumerate(dict.fromkeys(groups)):
        own = np.array(groups) == group
        ax.scatter(*points[own].T, s=14, color=PALETTE[i % len(PALETTE)], marker=MARKERS[i], label=group, linewidth=0)
    ax.set(xticks=[], yticks=[], aspect="equal")
    for spine in ax.spines.values():
        spine.set_visible(True)
    return ax
