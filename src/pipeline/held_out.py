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
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, rsa
from pipeline import held_out_methods as methods
from pipeline import manifest, reweighting, specifications
from pipeline.held_out_methods import ALL, METHODS, RIDGE, Split

SEED = 0
SIMILARITIES = ("pearson", "cosine")
CONTRASTS = [(method, ALL) for method in METHODS[1:]]
CONTRASTS += [(methods.SIZE, methods.FIFTH), (methods.SUPERVISED, methods.SIZE)]
CONTRASTS += [(methods.RIDGE_90, RIDGE), (methods.RIDGE_FIFTH, RIDGE)]
ABOUT = {
    "source": "computed here from judgments of Peterson, Abbott & Griffiths (2018),"
    " not included, with VGG-19 (VGG team's weights), and from the shipped 92 objects",
    "licence": "CC BY 4.0",
    "layout": "frame/column, for the frames of pipeline.held_out.analyse; texts as "
    "positions in frame/column/texts",
    "rounding": "to single precision",
}
"""What the manifest says of the file."""


# ---------------------------------------------------------------------------- analysis
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
    dealt = methods.splits(judged, similarity, rng)
    rows, resampled, curves = [], [], []
    for number, split in enumerate(dealt):
        found = methods.predictions(split, kernel)
        values = np.stack([prediction for prediction, _ in found.values()])
        settings = [setting for _, setting in found.values()]
        resampled.append(held_out_r2(split, values, counts))
        rows.append(scores(split, values, resampled[-1][0], settings, number))
        by_size = methods.pruned(split, methods.by_poz(split, split.train))
        curves.append(both_r2(split, by_size))
    frame = pd.concat(rows, ignore_index=True)
    sizes = size_curves(dealt[0], np.mean(curves, axis=0))
    frames = {"splits": frame, "contrasts": contrasts(np.stack(resampled))}
    return frames | {"sizes": sizes}


def size_curves(split: Split, means: np.ndarray) -> pd.DataFrame:
    """The frame ``sizes``, with means over splits of `both_r2` by each share."""
    images = np.arange(len(split.judged.human))
    rows = methods.prefixes(split, methods.by_poz(split, images), images)
    human = split.judged.human[tuple(methods.within(images))]
    columns = {"all_images": reweighting.correlations(rows, human) ** 2}
    columns |= dict(zip(("train", "held_out"), means, strict=True))
    return pd.DataFrame({"share": methods.SHARES} | columns)


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
        mean, *t = inference.corrected_t(change[:, 0], 1 / (methods.N_FOLDS - 1))[:3]
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
    s, rows = rsa.similarity_matrix(judged.embeddings)[i, j], []
    for judgments in ("as given", "shuffled images"):
        order = np.arange(n) if judgments == "as given" else rng.permutation(n)
        y = judged.human[np.ix_(order, order)][i, j]
        outer = {"images": image_folds(n, rng), "pairs": pair_folds(len(y), rng)}
        for over, dealt in outer.items():
            r2 = np.mean([ridge_beside(s, kernel, y, *fold) for fold in dealt], axis=0)
            rows += [(judgments, over, ALL, r2[0]), (judgments, over, RIDGE, r2[1])]
    return pd.DataFrame(rows, columns=["judgments", "folds", "method", "r2"])


def ridge_beside(s, kernel, y, train, test, inner) -> np.ndarray:
    """R2 over the test pairs of similarities s and of ridge on training pairs, (2,)."""
    predicted, _ = reweighting.ridge(kernel, y, train, inner)
    both = np.stack([s[test], predicted[test]])
    return reweighting.correlations(both, y[test]) ** 2


def image_folds(n_images: int, rng: np.random.Generator) -> list[tuple]:
    """Training pairs, test pairs and inner folds of pairs, with folds over images."""
    pairs = np.stack(np.triu_indices(n_images, 1))

    def of(images: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.isin(pairs, images).all(axis=0))

    dealt = methods.folds(np.arange(n_images), methods.N_FOLDS, rng)
    return [
        (
            of(train),
            of(test),
            [(of(a), of(b)) for a, b in methods.folds(train, methods.N_INNER, rng)],
        )
        for train, test in dealt
    ]


def pair_folds(n_pairs: int, rng: np.random.Generator) -> list[tuple]:
    """Likewise with folds over pairs: one fold, as it is slow."""
    train, test = methods.folds(np.arange(n_pairs), methods.N_FOLDS, rng)[0]
    return [(train, test, methods.folds(train, methods.N_INNER, rng))]


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
