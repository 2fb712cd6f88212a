"""Do rarely-firing nodes matter to how LeNet-5 predicts people's confusions? Page 02's
test of the fifty CIFAR-10 networks against CIFAR-10H.

``cifar10h COUNTS``: COUNTS is ``cifar10h-counts.npy`` of Peterson, Battleday, Griffiths
& Russakovsky (2019, ICCV), (10000, 10): how many people gave each CIFAR-10 test image
each label. It is CC BY-NC-SA 4.0 and not included; only results are.

People: `confusions`, of each pair of classes. A network: similarities of the class
means of its penultimate layer over the whole test set, with the nodes of one of
`PRUNINGS`. Both are compared over the 45 pairs by `COMPARATORS`. The logarithm comes
first: as proportions, confusions of a few pairs outweigh all others.

Written down before any result was seen: a pruning *matters* where the 95 % interval of
the mean change over models excludes 0, and is *equivalent* to all nodes where the
interval lies within `MARGIN` of 0, the wider margin of claim C3. It can be both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from helpers import data, ensembles, rsa, sparsity
from pipeline import datasets, manifest

SEED = 0
MARGIN = 0.01
SIMILARITIES = ("pearson", "cosine")
ALL = "all nodes"
PRUNINGS = (
    ALL,
    "dead nodes dropped",
    "as many silent nodes added",
    "rare nodes dropped (PoZ > 80 %)",
    "lowest PoZ, four fifths",
    "random four fifths",
    "random four fifths, dead nodes dropped first",
)
"""What is done to the nodes; PoZ is over the whole test set."""
N_RANDOM = 100
"""Random sets of nodes per network, whose scores are averaged."""
COMPARATORS = ("R², logarithm", "R²", "Spearman's rho")
"""The first is R2 with the logarithm of people's confusions."""
SOURCE = (
    "computed here from the LeNet-5s and CIFAR-10H (Peterson, Battleday, Griffiths & "
    "Russakovsky 2019; CC BY-NC-SA 4.0), not included"
)


def confusions(counts: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often people take one class for the other, (n_classes, n_classes).

    The mean share of labels b given to images of class a, and of a to b, averaged; so
    it is symmetric. ``counts`` (n_images, n_classes) labels, ``labels`` (n_images,).
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    given = [shares[labels == label].mean(axis=0) for label in np.unique(labels)]
    return (np.stack(given) + np.transpose(given)) / 2


def selections(poz: np.ndarray, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """For each of `PRUNINGS`, the nodes that are kept, or several random sets of them.

    ``poz`` is (n_nodes,); indices from n_nodes on are of silent nodes.
    """
    n = len(poz)
    size = ensembles.size_of_share(0.8, n)

    def first(order: str, n_orders: int = 1) -> list[np.ndarray]:
        orders = ensembles.poz_orders([poz] * n_orders, order, rng)
        return [order[:size] for order in orders]

    every, rare = np.arange(n), np.flatnonzero(poz <= 0.8)
    kept = [[every], [np.flatnonzero(poz < 1)], [np.arange(2 * n)], [rare]]
    drawn = [first(order, N_RANDOM) for order in ("random", "live")]
    return [*kept, first("lowest"), *drawn]


def scores(
    similarities: np.ndarray, people: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """`COMPARATORS` of rows of similarities (n_rows, n_pairs) with people's confusions
    (n_pairs,), over ``kept`` pairs: (n_rows, n_comparators)."""
    kept = np.ones(len(people), bool) if kept is None else kept
    x, y = similarities[:, kept], people[kept]
    ranks = rankdata(x, axis=1), rankdata(y)
    logarithm, plain = correlations(x, np.log(y)), correlations(x, y)
    return np.stack([logarithm**2, plain**2, correlations(*ranks)], axis=1)


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each row of ``x`` (n_rows, n) with ``y`` (n,)."""
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean()
    return x @ y / np.sqrt((x * x).sum(axis=1) * (y @ y))


def analyse(
    class_means: np.ndarray,
    pozs: np.ndarray,
    people: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """`scores` of every model, (n_models, n_similarities, n_prunings, n_comparators,
    n_classes + 1): over all classes and, after that, without each.

    ``class_means`` (n_models, n_classes, n_nodes), ``pozs`` (n_models, n_nodes);
    ``people`` are `confusions`.
    """
    n = len(people)
    pairs = np.stack(np.triu_indices(n, 1))
    without = [(pairs != label).all(axis=0) for label in range(-1, n)]
    people, results = rsa.upper_triangle(people), []
    for means, poz in zip(class_means, pozs, strict=True):
        padded = np.hstack([means, np.zeros_like(means)])
        chosen = selections(poz, rng)
        ends = np.cumsum([len(some) for some in chosen])[:-1]
        for method in SIMILARITIES:
            rows = [
                rsa.upper_triangle(rsa.similarity_matrix(padded[:, nodes], method))
                for some in chosen
                for nodes in some
            ]
            by_row = [scores(np.stack(rows), people, kept) for kept in without]
            parts = np.split(np.stack(by_row, axis=-1), ends)
            results.append([part.mean(axis=0) for part in parts])
    shape = len(pozs), len(SIMILARITIES), *np.shape(results)[1:]
    return np.reshape(results, shape)


def half_split(
    counts: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """People's confusions by two halves of the people, (2, n_classes, n_classes).

    The labels of each image are dealt into halves at random.
    """
    half = counts.sum(axis=1) // 2
    pairs = zip(counts, half, strict=True)
    first = np.stack([rng.multivariate_hypergeometric(c, n) for c, n in pairs])
    return np.stack([confusions(part, labels) for part in (first, counts - first)])


def record(counts: Path, command: str) -> None:
    """Write ``data/cifar10h.npz``; needs the whole CIFAR-10 (`pipeline.datasets`)."""
    from pipeline import training

    given = np.load(counts, allow_pickle=False)
    images, models = datasets.load("cifar10"), training.load_shipped("cifar10")
    x = training.ensemble_embeddings(models, images.x_test)
    classes = [images.y_test == label for label in np.unique(images.y_test)]
    means = [[model[k].mean(axis=0, dtype=np.float64) for k in classes] for model in x]
    pozs = np.stack([sparsity.percentage_of_zeros(model) for model in x])
    people, rng = confusions(given, images.y_test), np.random.default_rng(SEED)
    results = analyse(np.array(means), pozs, people, rng)
    halves = half_split(given, images.y_test, rng)
    save(
        {
            "scores": results.astype(np.float32),
            "similarities": np.array(SIMILARITIES),
            "prunings": np.array(PRUNINGS),
            "comparators": np.array(COMPARATORS),
            "n_dead": (pozs == 1).sum(axis=1).astype(np.uint8),
            "n_rare": (pozs > 0.8).sum(axis=1).astype(np.uint8),
            "margin": np.array(MARGIN),
            "reliability": agreement(halves),
        },
        command,
        f"sha256 of counts and test images: {data.sha256(given)[:12]}, "
        f"{data.sha256(images.x_test)[:12]}",
    )


def agreement(halves: np.ndarray) -> np.ndarray:
    """`COMPARATORS` between the two halves of `half_split`: (n_comparators,)."""
    first, second = map(rsa.upper_triangle, halves)
    of_log, plain = scores(np.stack([np.log(first), first]), second)
    return np.array([of_log[0], *plain[1:]])


def save(arrays: Mapping[str, np.ndarray], command: str, inputs: str) -> None:
    """Write the file and enter it into the manifest."""
    target = data.data_folder() / "cifar10h.npz"
    with manifest.atomic(target) as path:
        np.savez_compressed(path, **arrays)
    about = {"source": SOURCE, "licence": "CC BY 4.0", "seed": str(SEED)}
    layout = "scores: models, similarities, prunings, comparators, and classes left out"
    layout += " (first none); reliability: comparators between halves of the people"
    manifest.register(target, command, inputs=inputs, layout=layout, **about)
