"""What the explorer shows: a similarity matrix, a map of its images and an insertion curve, at every size of an order.

A *map* places the images in two dimensions so that distances follow one minus similarity: multidimensional scaling by
majorisation of the stress (SMACOF; de Leeuw 1977), from the classical solution (Torgerson 1952, Psychometrika 17,
401-419). The map of each size starts at the map of the next larger one and is laid over it by a rotation or reflection
and a shift, which leave every distance as it is, so that images glide as the size changes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist, squareform

from helpers import checks, datasets, ensembles, lenets, rsa, sparsity
from pipeline import judgments

SHARES = np.array([0.01, *(np.arange(1, 41) / 40)])
"""Shares of the nodes at which everything is shown."""
ORDERS = ("lowest", "highest", "random")
SCENES = ("objects92", "cifar10-images", "cifar10-classes", "mnist-images", "mnist-classes")
PER_CLASS = 10
"""Images of each class in the scenes of single images."""
MIN_DEFINED = 0.5
"""R2 is undefined where a smaller share of the items than this has a defined similarity, as in section 2."""
_STEPS, _TOLERANCE = 300, 1e-7  # of the majorisation


@dataclass(frozen=True, eq=False)
class Scene:
    """Items to look at, and what they are compared by.

    ``thumbnails`` (n_items, height, width, 3) uint8; ``labels`` (n_items,) texts; ``groups`` (n_items,) texts, the
    items of a group one after the other; ``embeddings`` (n_items, n_features); ``poz`` (n_features,); ``reference``
    (n_pairs,) similarities that each partial matrix is compared with, named in ``compared_with``.
    """

    title: str
    compared_with: str
    thumbnails: np.ndarray
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    embeddings: np.ndarray
    poz: np.ndarray
    reference: np.ndarray


@dataclass(frozen=True, eq=False)
class Walk:
    """A scene as nodes are inserted in one order; NaN wherever an item's similarity is undefined.

    ``sizes`` (n_sizes,); ``matrices`` (n_sizes, n_pairs) similarities; ``r2`` and ``n_undefined`` (n_sizes,) as
    `rsa.InsertionCurve`; ``maps`` (n_sizes, n_items, 2); ``fit`` (n_sizes,) squared correlation of the map's distances
    with the similarities.
    """

    sizes: np.ndarray
    matrices: np.ndarray
    r2: np.ndarray
    n_undefined: np.ndarray
    maps: np.ndarray
    fit: np.ndarray


# -------------------------------------------------------------------------------------------------------- what is shown
def load(name: str) -> Scene:
    """The scene of that name, one of `SCENES`. Raises ValueError for another name."""
    checks.choice("name", name, SCENES)
    if name == "objects92":
        return _objects()
    dataset, items = name.split("-")
    return _lenet_images(dataset) if items == "images" else _lenet_classes(dataset)


def walk(scene: Scene, first: str, rng: np.random.Generator, shares: np.ndarray = SHARES) -> Walk:
    """Insert the nodes of a scene in the order ``first`` ("lowest" or "highest" PoZ, or "random"; ``rng`` draws it).

    Raises ValueError where ``shares`` are so close that two give the same number of nodes.
    """
    x = scene.embeddings
    order = ensembles.poz_orders(scene.poz[None], first, rng)[0]
    sizes = np.array([ensembles.size_of_share(share, x.shape[1]) for share in shares])
    curve = rsa.insertion_curve(x, order, scene.reference, sizes, undefined="drop")
    too_few = curve.n_undefined > (1 - MIN_DEFINED) * len(x)
    matrices = rsa.partial_similarities(x, order, sizes)
    points = maps(matrices)
    fit = np.array([map_fit(one, similarity) for one, similarity in zip(points, matrices, strict=True)])
    return Walk(sizes, matrices, np.where(too_few, np.nan, curve.r2), curve.n_undefined, points, fit)


# ----------------------------------------------------------------------------------------------------------------- maps
def maps(matrices: np.ndarray) -> np.ndarray:
    """Maps (n_sizes, n_items, 2) of similarities (n_sizes, n_pairs), each laid over the next; undefined items are NaN.

    An item that is undefined at one size is undefined at every smaller one, as it is when nodes are inserted.
    """
    dissimilarities = [_square(1 - row) for row in matrices]
    points = np.full((len(matrices), len(dissimilarities[0]), 2), np.nan)
    before = None
    for k in range(len(matrices) - 1, -1, -1):
        kept = defined(dissimilarities[k])
        if len(kept) < 3:
            continue
        d = dissimilarities[k][np.ix_(kept, kept)]
        start = classical_map(d) if before is None else before[kept]
        here = stress_map(d, start)
        points[k, kept] = here - here.mean(axis=0) if before is None else aligned(here, before[kept])
        before = points[k]
    return points


def defined(square: np.ndarray) -> np.ndarray:
    """Positions of the items of a square matrix (n, n) that are defined with some other item."""
    return np.flatnonzero((~np.isnan(square)).sum(axis=1) > 1)


def classical_map(dissimilarities: np.ndarray) -> np.ndarray:
    """Torgerson's map (n, 2) of dissimilarities (n, n): the two leading principal coordinates."""
    squared = dissimilarities**2
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    return vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))


def stress_map(dissimilarities: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The map (n, 2), from ``start`` (n, 2) on, whose distances follow ``dissimilarities`` (n, n) best."""
    points, last = start, np.inf
    for _ in range(_STEPS):
        distances = squareform(pdist(points))
        stress = ((distances - dissimilarities) ** 2).sum()
        if last - stress <= _TOLERANCE * stress:
            break
        last = stress
        ratio = np.divide(dissimilarities, distances, out=np.zeros_like(distances), where=distances > 0)
        points = (ratio.sum(axis=1)[:, None] * points - ratio @ points) / len(points)
    return points


def aligned(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``points`` (n, 2) laid over ``target`` (n, 2) by a rotation or reflection and a shift; distances stay."""
    centre, goal = points.mean(axis=0), target.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points - centre, target - goal)
    return (points - centre) @ rotation + goal


def map_fit(points: np.ndarray, similarities: np.ndarray) -> float:
    """Squared correlation of the distances on a map (n, 2) with similarities (n_pairs,), over the defined pairs."""
    distances = pdist(points)
    pairs = np.isfinite(distances) & np.isfinite(similarities)
    if pairs.sum() < 3:
        return np.nan
    x, y = distances[pairs], similarities[pairs]
    return float(np.corrcoef(x, y)[0, 1] ** 2) if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


# ------------------------------------------------------------------------------------------------------ for the browser
UNDEFINED = np.iinfo(np.int16).min
"""The code of NaN."""
UNIT = 10_000
"""Codes per 1: four decimals are kept, of which the page shows two."""


def quantised(values: np.ndarray) -> np.ndarray:
    """``values`` as little-endian int16, `UNIT` to 1; NaN becomes `UNDEFINED`. Raises ValueError beyond -3..3."""
    values = np.asarray(values, dtype=np.float64)
    if (largest := np.nanmax(np.abs(values), initial=0)) > 3:
        raise ValueError(f"values must lie in -3..3; the largest is {largest:g}. Scale them first.")
    return np.where(np.isnan(values), UNDEFINED, np.rint(np.nan_to_num(values) * UNIT)).astype("<i2")


def restored(codes: np.ndarray) -> np.ndarray:
    """Invert `quantised`, to half a code."""
    return np.where(codes == UNDEFINED, np.nan, codes / UNIT)


def encoded(values: np.ndarray) -> str:
    """`quantised` values as base64, row by row."""
    return base64.b64encode(quantised(values).tobytes()).decode()


def decoded(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """Invert `encoded`: values of ``shape``, NaN where undefined."""
    return restored(np.frombuffer(base64.b64decode(text), "<i2").reshape(shape))


def packed_scene(scene: Scene, walks: dict[str, Walk]) -> dict:
    """What the page needs before any order is chosen, without arrays: texts, sizes, curves and the reference.

    ``walks`` maps each of the orders to its walk; all have the same sizes. ``limits`` of the colours and of the
    reference hold all but 2 % of the values at either end; an undefined number is None.
    """
    every = next(iter(walks.values()))
    return {
        "title": scene.title, "comparedWith": scene.compared_with, "labels": scene.labels, "groups": scene.groups,
        "nFeatures": scene.embeddings.shape[1], "sizes": every.sizes.tolist(),
        "limits": _limits(np.concatenate([w.matrices.ravel() for w in walks.values()])),
        "reference": encoded(_within(scene.reference, _limits(scene.reference))),
        "orders": {first: {"r2": _numbers(w.r2), "undefined": w.n_undefined.tolist(), "fit": _numbers(w.fit)}
                   for first, w in walks.items()},
    }  # fmt: skip


def packed_walk(walk: Walk, extent: float) -> dict:
    """The matrices and maps of one order; ``extent`` of the map becomes 1."""
    return {"matrices": encoded(walk.matrices), "maps": encoded(walk.maps / extent)}


def extent(walks: dict[str, Walk]) -> float:
    """The largest coordinate on any map of a scene."""
    return float(max(np.nanmax(np.abs(walk.maps)) for walk in walks.values()))


# ------------------------------------------------------------------------------------------------------------ internals
def _square(pairs: np.ndarray) -> np.ndarray:
    """(n, n) with a zero diagonal from (n_pairs,) in numpy.triu_indices order."""
    return squareform(pairs, checks=False)


def _limits(values: np.ndarray) -> list[float]:
    """Limits, to two decimals, that hold all but 2 % of the defined values at either end."""
    return [round(float(limit), 2) for limit in np.nanquantile(values, [0.02, 0.98])]


def _within(values: np.ndarray, limits: list[float]) -> np.ndarray:
    """``values`` as shares of the way between two limits, 0 to 1."""
    return np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)


def _numbers(values: np.ndarray) -> list[float | None]:
    """Five decimals; None where undefined."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def _objects() -> Scene:
    objects = judgments.load_objects92()
    return Scene(
        title="92 objects, VGG-16", compared_with="human judgments", thumbnails=objects.images,
        labels=tuple(f"{category} ({i})" for i, category in enumerate(objects.category, 1)),
        groups=tuple(map(str, objects.category)), embeddings=objects.embeddings,
        poz=sparsity.percentage_of_zeros(objects.embeddings),
        reference=rsa.upper_triangle(objects.judgments.matrix),
    )  # fmt: skip


def _lenet(dataset: str):
    """One LeNet-5, and the test images whose activations are kept, in colour."""
    model, sample = lenets.load(dataset, 1), datasets.load_sample(dataset)
    images = sample.x_test[lenets.kept_images(sample.y_test)]
    return model, images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)


def _lenet_images(dataset: str) -> Scene:
    model, images = _lenet(dataset)
    some = datasets.stratified(model.labels, PER_CLASS, np.random.default_rng(0))
    some = some[np.argsort(model.labels[some], kind="stable")]
    groups = tuple(datasets.CLASSES[dataset][label] for label in model.labels[some])
    labels = tuple(f"{group} ({i % PER_CLASS + 1})" for i, group in enumerate(groups))
    return _against_itself(
        f"{_NAMES[dataset]}, {len(some)} images, one LeNet-5", images[some], labels, groups,
        model.embeddings[0, some].astype(np.float64), model.poz[0],
    )  # fmt: skip


def _lenet_classes(dataset: str) -> Scene:
    """Class means over all test images; four images stand for each class."""
    model, images = _lenet(dataset)
    four = np.stack([images[np.flatnonzero(model.labels == label)[:4]] for label in range(len(model.class_means[0]))])
    top, bottom = (np.concatenate([four[:, i], four[:, i + 1]], axis=2) for i in (0, 2))
    names = tuple(datasets.CLASSES[dataset])
    return _against_itself(
        f"{_NAMES[dataset]}, means of the classes, one LeNet-5", np.concatenate([top, bottom], axis=1), names, names,
        model.class_means[0].astype(np.float64), model.poz[0],
    )  # fmt: skip


_NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def _against_itself(title, thumbnails, labels, groups, embeddings, poz) -> Scene:
    reference = rsa.upper_triangle(rsa.similarity_matrix(embeddings))
    return Scene(title, "the matrix of all nodes", thumbnails, labels, groups, embeddings, poz, reference)
