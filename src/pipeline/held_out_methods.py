"""What `pipeline.held_out` sets against each other: splits of the images, and methods
that predict judgments of pairs from the training images of a split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers import rsa, sparsity
from pipeline import reweighting, specifications

N_FOLDS, N_INNER, N_REPEATS = 3, 3, 3
SHARES = (0.02, 0.05, *np.arange(0.1, 1.01, 0.05).round(2))
"""Candidates for the size."""
THRESHOLDS = (*specifications.THRESHOLDS, 1 - 1e-9, 1)
"""Candidates for the rule: PoZ up to a threshold, no ghosts, all nodes."""
ALL, FIFTH, BELOW_90, NO_GHOSTS = "all nodes", "keep 20%", "drop PoZ > 90%", "no ghosts"
SIZE, RULE, RANDOM = "size chosen", "rule chosen", "size chosen, random order"
SUPERVISED, RIDGE = "supervised pruning", "ridge"
RIDGE_90, RIDGE_FIFTH = f"ridge, {BELOW_90}", f"ridge, {FIFTH}"
METHODS = (ALL, FIFTH, BELOW_90, NO_GHOSTS, SIZE, RULE, RANDOM, SUPERVISED)
METHODS += (RIDGE, RIDGE_90, RIDGE_FIFTH)
Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Split:
    """Images for training and for testing, and what methods may look at."""

    judged: specifications.Judged
    similarity: str
    train: np.ndarray  # images
    test: np.ndarray
    inner: Folds  # of the training images
    random: np.ndarray  # (n_features,) an order of the features

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Images i < j of each pair: training pairs, then test pairs."""
        return tuple(np.hstack([within(self.train), within(self.test)]))

    @property
    def n_train(self) -> int:
        """Number of training pairs, the first of `pairs`."""
        return len(self.train) * (len(self.train) - 1) // 2

    @property
    def y(self) -> np.ndarray:
        """Judgments of the pairs."""
        return self.judged.human[self.pairs]

    def positions(self, images: np.ndarray) -> np.ndarray:
        """Training pairs of which both images are among ``images``."""
        return np.flatnonzero(np.isin(self.pairs, images).all(axis=0)[: self.n_train])


def within(images: np.ndarray) -> np.ndarray:
    """Pairs of the images, (2, n_pairs), the smaller first."""
    return np.sort(images)[np.stack(np.triu_indices(len(images), 1))]


def folds(items: np.ndarray, n_folds: int, rng: np.random.Generator) -> Folds:
    """The items without each fold, and the fold."""
    fold = rng.permutation(np.arange(len(items)) % n_folds)
    return [(items[fold != k], items[fold == k]) for k in range(n_folds)]


def splits(
    judged: specifications.Judged, similarity: str, rng: np.random.Generator
) -> list[Split]:
    """`N_FOLDS` by `N_REPEATS` splits, with their inner folds."""
    n, n_features = judged.embeddings.shape
    return [
        Split(
            *(judged, similarity, train, test),
            inner=folds(train, N_INNER, rng),
            random=rng.permutation(n_features),
        )
        for _ in range(N_REPEATS)
        for train, test in folds(np.arange(n), N_FOLDS, rng)
    ]


# ----------------------------------------------------------------------------- pruning
Ordered = tuple[np.ndarray, np.ndarray]
"""An order of the features, first kept first, and candidate sizes."""


def shares_of(n_features: int) -> np.ndarray:
    """Sizes of `SHARES`, rounded up."""
    return np.ceil(np.round(np.array(SHARES) * n_features, 6)).astype(int)


def by_poz(split: Split, images: np.ndarray) -> Ordered:
    """Lowest PoZ over the images first."""
    poz = sparsity.percentage_of_zeros(split.judged.embeddings[images])
    return sparsity.poz_order(poz), shares_of(len(poz))


def by_rules(split: Split, images: np.ndarray) -> Ordered:
    """Likewise, with the sizes that `THRESHOLDS` keep."""
    poz = sparsity.percentage_of_zeros(split.judged.embeddings[images])
    return sparsity.poz_order(poz), np.array([(poz <= t).sum() for t in THRESHOLDS])


def by_chance(split: Split, images: np.ndarray) -> Ordered:
    """A random order."""
    return split.random, shares_of(len(split.random))


def by_judgments(split: Split, images: np.ndarray) -> Ordered:
    """First the features without which r over the images falls most."""
    x, human = split.judged.embeddings[images], split.judged.human
    without = r_without(x, human[np.ix_(images, images)], split.similarity)
    return np.argsort(without, kind="stable"), shares_of(len(without))


def r_without(x: np.ndarray, human: np.ndarray, similarity: str) -> np.ndarray:
    """r of similarities and judgments, without each feature (n_features,).

    A similarity is the sum over features of products of `reweighting.factors`, so
    taking one away changes its moments by that feature's. Lengths stay as they are.
    """
    z, n_pairs = reweighting.factors(x, similarity), len(x) * (len(x) - 1) / 2
    of_s, of_y = (m - np.diag(np.diag(m)) for m in (z @ z.T, human))
    mean, square = (((p.sum(0) ** 2 - (p**2).sum(0)) / 2 / n_pairs) for p in (z, z**2))
    with_s, with_y = (((m @ z) * z).sum(0) / 2 / n_pairs for m in (of_s, of_y))
    s, y = (m[np.triu_indices(len(x), 1)] for m in (of_s, of_y))
    covariance = np.cov(s, y, bias=True)
    with_s, with_y = with_s - mean * s.mean(), with_y - mean * y.mean()
    variance = covariance[0, 0] - 2 * with_s + square - mean**2
    return (covariance[0, 1] - with_y) / np.sqrt(variance * covariance[1, 1])


def prefixes(split: Split, ordered: Ordered, images: np.ndarray) -> np.ndarray:
    """Similarities of pairs `within` the images by the first features of an order, a
    row per size; NaN where an image has none."""
    order, sizes = ordered
    sizes, rows = np.unique(np.maximum(sizes, 1), return_inverse=True)
    x = split.judged.embeddings[np.sort(images)]
    return rsa.partial_similarities(x, order, sizes, split.similarity)[rows]


def pruned(split: Split, ordered: Ordered) -> np.ndarray:
    """Similarities of training pairs and test pairs, a row per size."""
    parts = [prefixes(split, ordered, images) for images in (split.train, split.test)]
    return np.concatenate(parts, axis=1)


def chosen(
    split: Split, candidates: Callable[[Split, np.ndarray], Ordered]
) -> tuple[np.ndarray, float]:
    """Predictions of pairs by the candidate with the highest mean r in inner folds, the
    first of equals, and the share of features that it keeps."""
    scores = []
    for fit, at in split.inner:
        rows = prefixes(split, candidates(split, fit), at)
        y = split.judged.human[tuple(within(at))]
        scores.append(reweighting.correlations(rows, y))
    mean = np.mean(scores, axis=0)
    best = np.where(np.isnan(mean), -np.inf, mean).argmax()
    order, sizes = candidates(split, split.train)
    row = pruned(split, (order, sizes[[best]]))[0]
    return row, sizes[best] / len(order)


# ------------------------------------------------------------------------- reweighting
def ridge(split: Split, kernel: np.ndarray) -> tuple[np.ndarray, float]:
    """Predictions of pairs by ridge, and its penalty."""
    inner = [tuple(map(split.positions, fold)) for fold in split.inner]
    return reweighting.ridge(kernel, split.y, np.arange(split.n_train), inner)


def kernel_of(split: Split, features: np.ndarray) -> np.ndarray:
    """Kernel of the split's pairs, by these features only."""
    x = split.judged.embeddings[:, features]
    return reweighting.pair_kernel(
        reweighting.factors(x, split.similarity), *split.pairs
    )


def from_all(kernel: np.ndarray, split: Split) -> np.ndarray:
    """Kernel of the split's pairs, out of that of all pairs of all images."""
    n = len(split.judged.human)
    i, j = split.pairs
    position = np.zeros((n, n), int)
    position[np.triu_indices(n, 1)] = np.arange(n * (n - 1) // 2)
    return kernel[np.ix_(position[i, j], position[i, j])]


# ------------------------------------------------------------------------- all methods
def predictions(split: Split, kernel: np.ndarray) -> dict[str, tuple]:
    """Of each of `METHODS`: predictions of pairs, and what was chosen or NaN."""
    order, sizes = by_rules(split, split.train)
    n = len(order)
    fixed = np.array([n, -(-n // 5), sizes[THRESHOLDS.index(0.9)], sizes[-2]])
    found = dict(
        zip(
            METHODS,
            ((row, np.nan) for row in pruned(split, (order, fixed))),
            strict=False,
        )
    )
    found[SIZE], found[RULE] = chosen(split, by_poz), chosen(split, by_rules)
    found[RANDOM] = chosen(split, by_chance)
    found[SUPERVISED] = chosen(split, by_judgments)
    found[RIDGE] = ridge(split, from_all(kernel, split))
    found[RIDGE_90] = ridge(split, kernel_of(split, order[: fixed[2]]))
    found[RIDGE_FIFTH] = ridge(split, kernel_of(split, order[: fixed[1]]))
    return {method: found[method] for method in METHODS}
