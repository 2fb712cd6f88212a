"""What the explorer shows at every size of an order: a similarity matrix, a map of the
images and an insertion curve.

A *map* places the images in two dimensions so that distances follow one minus
similarity: multidimensional scaling that minimises the stress (SMACOF, de Leeuw 1977),
from the classical solution (Torgerson 1952). The map of each size starts at the map of
the next larger one and is laid over it by a rotation or reflection and a shift, so that
images glide as the size changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import ClassicalMDS, smacof

from helpers import checks, data, ensembles, rsa, sparsity
from helpers.figures import NAMES, WIDTH
from pipeline import lenets

SHARES = np.array([0.01, *(np.arange(1, 41) / 40)])
"""Shares of the nodes at which everything is shown."""
ORDERS = ("lowest", "highest", "random")
SCENES = (
    "objects92",
    "cifar10-images",
    "cifar10-classes",
    "mnist-images",
    "mnist-classes",
)
PER_CLASS = 10
"""Images of each class in the scenes of single images."""
OBJECT_NAMES = Path(__file__).with_name("objects92_names.txt")
"""A short name for each of the 92 objects, written for this book."""
MIN_DEFINED = 0.5
"""R2 is undefined where a smaller share of the items has a defined similarity."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Items to look at, and what they are compared by."""

    title: str
    compared_with: str  # what the reference is
    thumbnails: np.ndarray  # (n_items, height, width, 3) uint8
    labels: tuple[str, ...]  # of the items
    groups: tuple[str, ...]  # of the items; those of a group follow each other
    embeddings: np.ndarray  # (n_items, n_features)
    poz: np.ndarray  # (n_features,)
    reference: np.ndarray  # (n_pairs,) similarities


@dataclass(frozen=True, eq=False)
class Walk:
    """A scene as nodes are inserted in one order; NaN where undefined."""

    sizes: np.ndarray  # (n_sizes,) numbers of nodes
    matrices: np.ndarray  # (n_sizes, n_pairs) similarities
    r2: np.ndarray  # (n_sizes,) with the reference
    n_undefined: np.ndarray  # (n_sizes,) items without a similarity
    maps: np.ndarray  # (n_sizes, n_items, 2)
    fit: np.ndarray  # (n_sizes,) squared correlation of distances and similarities

    def at(self, share: float) -> int:
        """The position of the size that is nearest to a share of the nodes."""
        return int(np.argmin(np.abs(self.sizes / self.sizes[-1] - share)))


def walk(
    scene: Scene, first: str, rng: np.random.Generator, shares: np.ndarray = SHARES
) -> Walk:
    """Insert the nodes of a scene in one of `ORDERS`; ``rng`` draws the random one.

    Raises ValueError if two of ``shares`` give the same number of nodes.
    """
    x = scene.embeddings
    order = ensembles.poz_orders(scene.poz[None], first, rng)[0]
    sizes = np.array([ensembles.size_of_share(share, x.shape[1]) for share in shares])
    curve = rsa.insertion_curve(x, order, scene.reference, sizes, undefined="drop")
    too_few = curve.n_undefined > (1 - MIN_DEFINED) * len(x)
    r2 = np.where(too_few, np.nan, curve.r2)
    matrices = rsa.partial_similarities(x, order, sizes)
    points = maps(matrices)
    fit = np.array([map_fit(*pair) for pair in zip(points, matrices, strict=True)])
    return Walk(sizes, matrices, r2, curve.n_undefined, points, fit)


# ---------------------------------------------------------------------------- maps
def maps(matrices: np.ndarray) -> np.ndarray:
    """Maps (n_sizes, n_items, 2) of similarities (n_sizes, n_pairs).

    Each is laid over the next. Undefined items are NaN; an item that is undefined at
    one size is undefined at every smaller one, as it is when nodes are inserted.
    """
    squares = [squareform(1 - pairs, checks=False) for pairs in matrices]
    points = np.full((len(matrices), len(squares[0]), 2), np.nan)
    larger = None
    for k in range(len(matrices) - 1, -1, -1):
        # an undefined item has a distance only from itself
        kept = np.flatnonzero((~np.isnan(squares[k])).sum(axis=1) > 1)
        if len(kept) < 3:
            continue
        distances = squares[k][np.ix_(kept, kept)]
        start = classical_map(distances) if larger is None else larger[kept]
        points[k, kept] = aligned(stress_map(distances, start), start)
        larger = points[k]
    return points


def classical_map(distances: np.ndarray) -> np.ndarray:
    """Torgerson's map (n, 2) of distances (n, n)."""
    scaling = ClassicalMDS(n_components=2, metric="precomputed")
    return scaling.fit_transform(distances)


def stress_map(distances: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The map (n, 2), reached from ``start``, that follows ``distances`` best."""
    points, _ = smacof(
        distances, init=start, n_init=1, eps=1e-7, normalized_stress=False
    )
    return points


def aligned(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``points`` (n, 2) laid over ``target`` (n, 2); distances stay as they are."""
    centre, goal = points.mean(axis=0), target.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points - centre, target - goal)
    return (points - centre) @ rotation + goal


def map_fit(points: np.ndarray, similarities: np.ndarray) -> float:
    """Squared correlation of distances on a map (n, 2) with similarities (n_pairs,).

    Over the defined pairs; NaN where there are fewer than three, or either is constant.
    """
    distances = pdist(points)
    pairs = np.isfinite(distances) & np.isfinite(similarities)
    x, y = distances[pairs], similarities[pairs]
    if pairs.sum() < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1] ** 2)


# -------------------------------------------------------------------------- scenes
def load(name: str) -> Scene:
    """The scene called ``name``, one of `SCENES`."""
    checks.choice("name", name, SCENES)
    if name == "objects92":
        return _objects()
    dataset, items = name.split("-")
    return _lenet_images(dataset) if items == "images" else _lenet_classes(dataset)


def _objects() -> Scene:
    objects = data.load_objects92()
    names = OBJECT_NAMES.read_text("utf-8").splitlines()
    return Scene(
        title="92 objects, VGG-16",
        compared_with="human judgments",
        thumbnails=objects.images,
        labels=tuple(names),
        groups=tuple(map(str, objects.category)),
        embeddings=objects.embeddings,
        poz=sparsity.percentage_of_zeros(objects.embeddings),
        reference=rsa.upper_triangle(objects.mean),
    )


def _lenet(dataset: str) -> tuple[data.Lenets, np.ndarray]:
    """One LeNet-5, and the images of its activations, in colour."""
    model, sample = data.load_lenets(dataset, 1), data.load_sample(dataset)
    images = sample.x_test[lenets.kept_images(sample.y_test)]
    in_colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)
    return model, in_colour


def _lenet_images(dataset: str) -> Scene:
    model, images = _lenet(dataset)
    chosen = data.stratified(model.labels, PER_CLASS, np.random.default_rng(0))
    chosen = chosen[np.argsort(model.labels[chosen], kind="stable")]
    groups = tuple(data.CLASSES[dataset][label] for label in model.labels[chosen])
    numbered = enumerate(groups)
    return _compared_with_all_nodes(
        title=f"{NAMES[dataset]}, {len(chosen)} images, one LeNet-5",
        thumbnails=images[chosen],
        labels=tuple(f"{group} ({i % PER_CLASS + 1})" for i, group in numbered),
        groups=groups,
        embeddings=model.embeddings[0, chosen].astype(np.float64),
        poz=model.poz[0],
    )


def _lenet_classes(dataset: str) -> Scene:
    """Class means over all test images; a class is shown as four of its images."""
    model, images = _lenet(dataset)
    names = tuple(data.CLASSES[dataset])
    four = [images[np.flatnonzero(model.labels == k)[:4]] for k in range(len(names))]
    rows = [np.concatenate([np.hstack(t[:2]), np.hstack(t[2:])]) for t in four]
    return _compared_with_all_nodes(
        title=f"{NAMES[dataset]}, means of the classes, one LeNet-5",
        thumbnails=np.stack(rows),
        labels=names,
        groups=names,
        embeddings=model.class_means[0].astype(np.float64),
        poz=model.poz[0],
    )


def _compared_with_all_nodes(**about) -> Scene:
    reference = rsa.upper_triangle(rsa.similarity_matrix(about["embeddings"]))
    return Scene(compared_with="the matrix of all nodes", reference=reference, **about)


# -------------------------------------------------------------------- still pictures
def stills(scene: Scene, walk: Walk, shown: list[int]) -> pd.DataFrame:
    """Draw matrix and map at the positions ``shown`` of a walk's sizes, side by side.

    Returns the places of the items on the maps, as a tidy frame.
    """
    size, places = (WIDTH, WIDTH * 0.75), [_places(scene, walk, k) for k in shown]
    figure, axes = plt.subplots(2, len(shown), figsize=size, squeeze=False)
    limits = np.nanquantile(walk.matrices[shown], [0.02, 0.98])
    reach = np.nanmax(np.abs(walk.maps[shown])) * 1.05
    groups = {"hue": "group", "style": "group", "palette": "colorblind"}
    for (top, bottom), k, items in zip(axes.T, shown, places, strict=True):
        image = draw_matrix(top, walk.matrices[k], limits)
        share = f"{walk.sizes[k] / walk.sizes[-1]:.0%} of the nodes"
        top.set_title(f"{share}\nR² = {walk.r2[k]:.2f}", fontsize="small")
        sns.scatterplot(items, x="x", y="y", ax=bottom, s=20, linewidth=0, **groups)
        bottom.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        bottom.set(xticks=[], yticks=[], xlabel="", ylabel="")
        bottom.get_legend().remove()
    label = "similarity (r)"
    figure.colorbar(image, ax=axes[0], shrink=0.7, label=label, extend="both")
    handles = axes[1, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize="small")
    return pd.concat(places)


def draw_matrix(ax: Axes, pairs: np.ndarray, limits: np.ndarray):
    """A similarity matrix, blank on the diagonal and where undefined.

    Colours go from light to dark, so that dark mode can invert them.
    """
    square = squareform(pairs, checks=False)
    np.fill_diagonal(square, np.nan)
    ax.set(xticks=[], yticks=[])
    low, high = limits
    return ax.imshow(square, vmin=low, vmax=high, cmap="mako_r", interpolation="none")


def _places(scene: Scene, walk: Walk, k: int) -> pd.DataFrame:
    x, y = walk.maps[k].T
    places = {"item": scene.labels, "group": scene.groups, "x": x, "y": y}
    return pd.DataFrame({"n_nodes": walk.sizes[k]} | places)
