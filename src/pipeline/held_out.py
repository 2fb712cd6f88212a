"""Do pruning and reweighting predict people on images that they have not seen?

``held-out PETERSON``: the sets of Peterson, Abbott & Griffiths (2018), as
`pipeline.judgments` lays them out, in VGG-19's last pooling layer, and the shipped 92
objects in VGG-16's, under Pearson's correlation and the cosine.

Images are dealt into `N_FOLDS` folds, `N_REPEATS` times. In each split a method sees
the *training* images, their activations and their judgments; it is scored by R2 (and r)
over the pairs of which *both* images are held out. Whatever a method counts or chooses,
PoZ included, it counts or chooses on training images, settings by inner folds over
these. `METHODS` are: all nodes; three fixed rules by PoZ; a size or a rule by PoZ, or
a size in random order, with the highest mean r in inner folds; supervised pruning
(nodes in the order of how much r falls on training images without them, Tarigopula et
al. 2023, as many as inner folds choose); and ridge regression of judgments on products
of activations (`pipeline.reweighting`), alone and after two of the rules.

Questions, written down before any result was seen, with what would count as an answer:

1. Does a fixed rule by PoZ predict held-out images better than all nodes? Does a chosen
   size or rule? *Better* is a change in R2 whose interval lies above zero, *worse* one
   below; over the sets, a conclusion needs three of the four under both similarities.
2. Does the choice of a size pay, against the fixed fifth? It pays where better.
3. Do judgments help more: is supervised pruning better than the chosen size, and is
   ridge better than all nodes?
4. Does pruning by PoZ help ridge: is ridge after pruning better than ridge alone?
5. How much does the leak pretend? Ridge with folds over *pairs*, whose held-out pairs
   are of images that training pairs show: its gain over all nodes beside that with
   folds over images; and both for judgments whose images were shuffled, where nothing
   can be learnt.
6. How conservative is the choice of a size? Its held-out gain, beside the gain of the
   chosen size on training images, the largest gain of any size on all images, and the
   held-out gain of the single size that is best in hindsight.

Intervals (95 %) are the outer ends of two, as neither alone is honest. The bootstrap
over images scores each split's predictions on resampled images, and averages: it knows
which images were drawn for testing, but takes the fitted models as given. The corrected
resampled t (Nadeau & Bengio 2003) varies training images as well, but from splits of
one sample. Network and raters are held fixed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, rsa, sparsity
from pipeline import manifest, reweighting, specifications

SEED = 0
N_FOLDS, N_INNER, N_REPEATS = 3, 3, 3
SIMILARITIES = ("pearson", "cosine")
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
CONTRASTS = [(method, ALL) for method in METHODS[1:]]
CONTRASTS += [(SIZE, FIFTH), (SUPERVISED, SIZE)]
CONTRASTS += [(RIDGE_90, RIDGE), (RIDGE_FIFTH, RIDGE)]
ABOUT = {
    "source": "computed here from judgments of Peterson, Abbott & Griffiths (2018),"
    " not included, with VGG-19 (VGG team's weights), and from the shipped 92 objects",
    "licence": "CC BY 4.0",
    "layout": "frame/column, for the frames of pipeline.held_out.analyse; texts as "
    "positions in frame/column/texts",
    "rounding": "to single precision",
}
"""What the manifest says of the file."""
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


# ---------------------------------------------------------------------------- analysis
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


def held_out_r2(split: Split, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """R2 of predictions over test pairs, in the sample and in each resample of images:
    (n_resamples + 1, n_rows)."""
    weights = np.concatenate([np.ones((1, len(counts[0])), int), counts])
    at = slice(split.n_train, None)
    i, j = (images[at] for images in split.pairs)
    return inference.weighted_r2(rows[:, at], split.y[at], weights, i, j)


def analyse(
    judged: specifications.Judged,
    similarity: str,
    kernel: np.ndarray,
    n_resamples: int = 1000,
) -> dict[str, pd.DataFrame]:
    """Frames of one set under one similarity; ``kernel`` is that of all its pairs.

    ``splits``: a row per split and method: r2 and r of held-out pairs, train_r2 of
    training pairs, and what was ``chosen``: a share of nodes or a penalty, else NaN.
    ``contrasts``: a row per pair of methods: the mean ``change`` in held-out R2, with
    low and high, ends of the wider of both intervals, which follow; n_undefined splits.
    ``sizes``: R2 of the lowest-PoZ share on all images, and its means over splits on
    training images (train) and held-out images.
    """
    rng = np.random.default_rng(SEED)
    counts = inference.bootstrap_counts(len(judged.human), n_resamples, rng)
    dealt = splits(judged, similarity, rng)
    rows, resampled, curves = [], [], []
    for number, split in enumerate(dealt):
        found = predictions(split, kernel)
        values = np.stack([prediction for prediction, _ in found.values()])
        settings = [setting for _, setting in found.values()]
        resampled.append(held_out_r2(split, values, counts))
        rows.append(scores(split, values, resampled[-1][0], settings, number))
        curves.append(both_r2(split, pruned(split, by_poz(split, split.train))))
    frame = pd.concat(rows, ignore_index=True)
    sizes = size_curves(dealt[0], np.mean(curves, axis=0))
    frames = {"splits": frame, "contrasts": contrasts(np.stack(resampled))}
    return frames | {"sizes": sizes}


def size_curves(split: Split, means: np.ndarray) -> pd.DataFrame:
    """The frame ``sizes``, with means over splits of `both_r2` by each share."""
    images = np.arange(len(split.judged.human))
    rows = prefixes(split, by_poz(split, images), images)
    human = split.judged.human[tuple(within(images))]
    columns = {"all_images": reweighting.correlations(rows, human) ** 2}
    columns |= dict(zip(("train", "held_out"), means, strict=True))
    return pd.DataFrame({"share": SHARES} | columns)


def both_r2(split: Split, rows: np.ndarray) -> np.ndarray:
    """R2 of rows over training pairs and over test pairs, (2, n_rows)."""
    y, n = split.y, split.n_train
    parts = (rows[:, :n], y[:n]), (rows[:, n:], y[n:])
    return np.stack([reweighting.correlations(*part) ** 2 for part in parts])


def scores(split, values, r2, settings, number) -> pd.DataFrame:
    """Rows of one split of the frame ``splits``."""
    n = split.n_train
    r = reweighting.correlations(values[:, n:], split.y[n:])
    train = reweighting.correlations(values[:, :n], split.y[:n]) ** 2
    about = {"split": number, "method": METHODS, "chosen": settings}
    return pd.DataFrame(about | {"r2": r2, "r": r, "train_r2": train})


def contrasts(resampled: np.ndarray) -> pd.DataFrame:
    """The frame, from `held_out_r2` of all splits (n_splits, n_resamples + 1, n).

    Splits in which a method has no R2 are left out and counted.
    """
    rows = []
    for method, minus in CONTRASTS:
        columns = METHODS.index(method), METHODS.index(minus)
        change = resampled[..., columns[0]] - resampled[..., columns[1]]
        change = change[np.isfinite(change[:, 0])]
        boot = np.nanquantile(np.nanmean(change[:, 1:], axis=0), [0.025, 0.975])
        mean, *t = inference.corrected_t(change[:, 0], 1 / (N_FOLDS - 1))[:3]
        ends = min(boot[0], t[0]), max(boot[1], t[1])
        lost = len(resampled) - len(change)
        rows.append((method, minus, mean, *ends, *boot, *t, lost))
    names = ["method", "minus", "change", "low", "high", "boot_low", "boot_high"]
    return pd.DataFrame(rows, columns=[*names, "t_low", "t_high", "n_undefined"])


def leak(judged: specifications.Judged, kernel: np.ndarray) -> pd.DataFrame:
    """Ridge with folds over images and over pairs, once, under Pearson's correlation.

    A row per judgments ("as given", or with "shuffled images"), what ``folds`` are of,
    and method: held-out r2, the mean over folds of images; of pairs, one fold.
    """
    rng, n = np.random.default_rng(SEED), len(judged.human)
    i, j = judged.pairs
    s = rsa.similarity_matrix(judged.embeddings)[i, j]
    rows = []
    for judgments, order in ("as given", np.arange(n)), ("shuffled images", None):
        order = rng.permutation(n) if order is None else order
        y = judged.human[np.ix_(order, order)][i, j]
        for over, outer in (
            ("images", image_folds(n, rng)),
            ("pairs", pair_folds(y, rng)),
        ):
            r2 = []
            for train, test, inner in outer:
                predicted, _ = reweighting.ridge(kernel, y, train, inner)
                both = np.stack([s[test], predicted[test]])
                r2.append(reweighting.correlations(both, y[test]) ** 2)
            methods = zip((ALL, RIDGE), np.mean(r2, axis=0), strict=True)
            rows += [(judgments, over, *one) for one in methods]
    return pd.DataFrame(rows, columns=["judgments", "folds", "method", "r2"])


def image_folds(n_images: int, rng: np.random.Generator) -> list[tuple]:
    """Training pairs, test pairs and inner folds of pairs, with folds over images."""
    pairs = np.stack(np.triu_indices(n_images, 1))

    def of(images: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.isin(pairs, images).all(axis=0))

    dealt = folds(np.arange(n_images), N_FOLDS, rng)
    return [
        (of(train), of(test), [(of(a), of(b)) for a, b in folds(train, N_INNER, rng)])
        for train, test in dealt
    ]


def pair_folds(y: np.ndarray, rng: np.random.Generator) -> list[tuple]:
    """Likewise with folds over pairs: one fold, as it is slow."""
    train, test = folds(np.arange(len(y)), N_FOLDS, rng)[0]
    return [(train, test, folds(train, N_INNER, rng))]


# ------------------------------------------------------------------------------ record
def record(peterson: Path, command: str) -> None:
    """Write ``data/held_out.npz``.

    Embeddings are kept in `pipeline.datasets.cache_folder`.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as `pipeline.human`
    from pipeline import extraction, judgments

    path = peterson / specifications.WEIGHTS
    model, node = extraction.vgg19_conv(path), extraction.POOL5["vgg19"]
    sets, objects = {}, data.load_objects92()
    for name, judged in judgments.load_peterson(peterson).items():
        settings = {"preprocessing": extraction.VGG_TEAM}
        x = extraction.embed(model, node, judged.files, **settings)
        sets[name] = specifications.Judged(
            x, np.where(np.eye(len(x)), 1, judged.matrix)
        )
    sets["92 objects"] = specifications.Judged(objects.embeddings, objects.mean)
    frames: dict[str, list] = {}
    for name, judged in sets.items():
        for key, part in of_set(judged).items():
            frames.setdefault(key, []).append(part.assign(set=name))
        print(name, flush=True)
    target = data.data_folder() / "held_out.npz"
    together = {key: pd.concat(parts) for key, parts in frames.items()}
    specifications.save(together, target)
    inputs = [
        f"{name} {data.sha256(judged.embeddings)[:12]} {data.sha256(judged.human)[:12]}"
        for name, judged in sets.items()
    ]
    hashes = f"sha256 of embeddings and judgments: {'; '.join(inputs)}"
    manifest.register(target, command, seed=str(SEED), inputs=hashes, **ABOUT)


def of_set(judged: specifications.Judged) -> dict[str, pd.DataFrame]:
    """Frames of `analyse` under every similarity, and of `leak`.

    Raises ValueError where a pair was not judged.
    """
    if np.isnan(judged.human).any():
        raise ValueError("every pair must be judged.")
    frames: dict[str, list] = {"leak": []}
    for similarity in SIMILARITIES:
        z = reweighting.factors(judged.embeddings, similarity)
        kernel = reweighting.pair_kernel(z, *judged.pairs)
        for key, part in analyse(judged, similarity, kernel).items():
            frames.setdefault(key, []).append(part.assign(similarity=similarity))
        if similarity == "pearson":
            frames["leak"].append(leak(judged, kernel))
    return {key: pd.concat(parts) for key, parts in frames.items()}
