"""What pruning changes in the prediction of people, under every combination of choices
that page 07 shows.

``specifications PETERSON IMAGES``: the sets of Peterson, Abbott & Griffiths (2018), as
`pipeline.judgments` lays them out, in VGG-19's last pooling layer. IMAGES are those of
ImageNet, as `pipeline.ghosts` lays them out: "other images", where PoZ can be counted.

Crossed are: the network's similarity (`SIMILARITIES`); how much is removed (thresholds
of PoZ, shares that are kept); the images behind an order; the order that a share is
taken from; and the comparator with people. R2 and Spearman are crossed with everything.
Kendall's tau-a and the whitened cosine are crossed with orders by PoZ only, and linear
CKA, whose similarity is the inner product by definition, likewise.

Intervals of R2 and Spearman are percentiles of one paired bootstrap over images; the
others, which resampled copies of an image or their cost rule out, have jackknife
intervals. Network, orders and raters are held fixed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, rsa, sparsity
from pipeline import comparators, manifest

SEED = 0
WEIGHTS = "vgg19_conv_bgr.safetensors"
ABOUT = {
    "source": "computed here from judgments of Peterson, Abbott & Griffiths (2018) and "
    "1300 ImageNet validation images (Russakovsky et al. 2015), not included, with "
    "VGG-19 (VGG team's weights)",
    "licence": "CC BY 4.0",
    "layout": "frame/column, for the frames changes and levels of "
    "pipeline.specifications.analyse; texts as positions in frame/column/texts",
    "rounding": "to single precision",
}
"""What the manifest says of the file."""
CENTRED = "cosine, mean image subtracted"
INNER = "inner product"
SIMILARITIES = (
    "pearson",
    "pearson_squared",
    "spearman",
    "cosine",
    CENTRED,
    "euclidean",
)
CORRELATIONS = SIMILARITIES[:3]
"""Similarities that a silent node changes."""
THRESHOLDS = (0.7, 0.8, 0.9, 0.95, 0.99)
GHOSTS = "drop ghosts"
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
ORDERS = ("PoZ", "mean activation", "standard deviation", "entropy")
"""A share keeps the lowest PoZ or the highest of the others."""
SAME, OTHER = "same images", "other images"
N_RANDOM = 5
"""Random orders, whose mean is scored."""
CKA = "linear CKA"
RESAMPLED = {
    "R²": inference.weighted_r2,
    "Spearman's rho": comparators.weighted_spearman,
}
"""Comparators whose intervals come from the bootstrap."""
WHOLE = {
    "Kendall's tau-a": comparators.matrix_tau_a,
    "whitened cosine": comparators.linear_cka,
}
"""Comparators whose intervals come from the jackknife."""
CHOICES = ["similarity", "pruning", "PoZ from", "order", "comparator", "nodes"]
Kept = list[tuple[dict[str, str], np.ndarray]]


@dataclass(frozen=True, eq=False)
class Judged:
    """Embeddings and judgments of the same images."""

    embeddings: np.ndarray  # (n_images, n_features), post-ReLU
    human: np.ndarray  # (n_images, n_images) similarities, all equal on the diagonal

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Images i < j of each pair."""
        return np.triu_indices(len(self.human), 1)


# ---------------------------------------------------------------------------- choices
def thresholds(x: np.ndarray, source: str) -> Kept:
    """Features (n_features,) bool that each threshold of the PoZ over ``x`` keeps."""
    poz = sparsity.percentage_of_zeros(x)
    kept = {f"drop PoZ > {t:.0%}": poz <= t for t in THRESHOLDS} | {GHOSTS: poz < 1}
    about = {"PoZ from": source, "order": "PoZ"}
    return [({"pruning": name} | about, mask) for name, mask in kept.items()]


def shares(x: np.ndarray, source: str) -> Kept:
    """Features that each share keeps in each of `ORDERS` over ``x``."""
    kept = []
    for name, value in statistics(x).items():
        order = np.argsort(value if name == "PoZ" else -value, kind="stable")
        about = {"PoZ from": source, "order": name}
        kept += [({"pruning": p} | about, mask) for p, mask in in_order(order)]
    return kept


def random_shares(n_features: int, rng: np.random.Generator) -> Kept:
    """Features that each share keeps in each of `N_RANDOM` random orders."""
    about = {"PoZ from": SAME, "order": "random order"}
    orders = [rng.permutation(n_features) for _ in range(N_RANDOM)]
    return [({"pruning": p} | about, m) for order in orders for p, m in in_order(order)]


def in_order(order: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
    """Name and mask of the first of `SHARES` of the features, rounded up."""
    for share in SHARES:
        mask = np.zeros(len(order), bool)
        mask[order[: -int(-share * len(order) // 1)]] = True
        yield f"keep {share:.0%}", mask


def statistics(x: np.ndarray) -> dict[str, np.ndarray]:
    """Of each feature (n_features,), for `ORDERS`.

    Entropy is that of its activations, scaled to sum to 1 over images; 0 for a ghost.
    """
    x = np.asarray(x, np.float64)
    p = x / np.where(x.any(axis=0), x.sum(axis=0), 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=0)
    values = sparsity.percentage_of_zeros(x), x.mean(axis=0), x.std(axis=0), entropy
    return dict(zip(ORDERS, values, strict=True))


def similarity(x: np.ndarray, method: str) -> np.ndarray:
    """`helpers.rsa.similarity_matrix`, also of `CENTRED` (cosine after subtracting the
    mean image) and `INNER` (products, likewise)."""
    if method in (CENTRED, INNER):
        x = x - x.mean(axis=0)
    if method == INNER:
        return x @ x.T
    return rsa.similarity_matrix(x, "cosine" if method == CENTRED else method)


# ---------------------------------------------------------------------------- analysis
def analyse(
    judged: Judged, other: np.ndarray | None = None, n_resamples: int = 1000
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Changes by pruning, and the prediction from all features under each measure.

    Parameters
    ----------
    other : (n_other_images, n_features) embeddings of other images, or None.
    n_resamples : of the images, the same for everything.

    Returns
    -------
    ``changes``: a row per combination of `CHOICES`: the prediction from ``all``
    features, and its ``change`` by pruning, with low and high. In the column "nodes",
    "removed" is pruning; "silenced" sets the same features to zero instead. ``levels``:
    a row per similarity and comparator: prediction from all features, ``value``, and
    its ``difference`` from that under Pearson, with intervals. Undefined is NaN.
    """
    x = np.asarray(judged.embeddings, np.float64)
    rng = np.random.default_rng(SEED)
    counts = inference.bootstrap_counts(len(x), n_resamples, rng)
    sources = {SAME: x} | ({} if other is None else {OTHER: other})
    kept = [one for name, z in sources.items() for one in thresholds(z, name)]
    kept += [one for name, z in sources.items() for one in shares(z, name)]
    kept += random_shares(x.shape[1], np.random.default_rng(SEED))
    changes, every = [], {}
    for method in SIMILARITIES:
        every[method] = similarity(x, method)
        changes += by_pruning(judged, x, kept, method, every[method], counts)
    every[INNER] = similarity(x, INNER)
    about, pruned = selected(x, by_poz(kept), INNER)
    functions = {CKA: comparators.linear_cka}
    changes.append(jackknifed(judged, about, [*pruned, every[INNER]], functions))
    return pd.concat(changes, ignore_index=True), levels(judged, every, counts)


def by_pruning(
    judged: Judged, x: np.ndarray, kept: Kept, method: str, every: np.ndarray, counts
) -> list[pd.DataFrame]:
    """Changes under one similarity; ``every`` is the matrix of all features."""
    about, pruned = selected(x, kept, method)
    parts = [bootstrapped(judged, about, [*pruned, every], counts)]
    poz = [i for i, one in enumerate(about) if one["order"] == "PoZ"]
    about, pruned = [about[i] for i in poz], [pruned[i] for i in poz]
    parts.append(jackknifed(judged, about, [*pruned, every], WHOLE))
    if method in CORRELATIONS:
        silenced = [similarity(x * mask, method) for _, mask in by_poz(kept)]
        about = [one | {"nodes": "silenced"} for one in about]
        parts.append(bootstrapped(judged, about, [*silenced, every], counts))
    return parts


def by_poz(kept: Kept) -> Kept:
    """What thresholds and orders of PoZ keep."""
    return [one for one in kept if one[0]["order"] == "PoZ"]


def selected(x: np.ndarray, kept: Kept, method: str) -> tuple[list[dict], list]:
    """Choices and similarity matrix of each selection of features."""
    about = [one | {"similarity": method, "nodes": "removed"} for one, _ in kept]
    return about, [similarity(x[:, mask], method) for _, mask in kept]


def bootstrapped(
    judged: Judged, about: list[dict], matrices: list[np.ndarray], counts: np.ndarray
) -> pd.DataFrame:
    """Changes from the last matrix by `RESAMPLED`; the mean over equal choices."""
    i, j = judged.pairs
    pairs = np.stack([matrix[i, j] for matrix in matrices])
    weights = np.concatenate([np.ones((1, len(judged.human)), int), counts])
    choices, frames = pd.DataFrame(about), []
    same = choices.groupby([*choices], sort=False)
    for name, compare in RESAMPLED.items():
        scores = compare(pairs, judged.human[i, j], weights, i, j)
        change = inference.minus_last(scores)
        change = np.stack([change[:, k].mean(axis=1) for k in same.indices.values()])
        frame = choices.drop_duplicates(ignore_index=True)
        frame = frame.assign(comparator=name, all=scores[0, -1], change=change[:, 0])
        frame[["low", "high"]] = inference.interval(change[:, 1:].T).T
        frames.append(frame)
    return pd.concat(frames)


def jackknifed(
    judged: Judged, about: list[dict], matrices: list[np.ndarray], functions: dict
) -> pd.DataFrame:
    """Changes from the last matrix by ``functions`` of two matrices."""
    frames = []
    for name, compare in functions.items():

        def score(matrix, compare=compare):
            return comparators.left_out(compare, matrix, judged.human)

        scores = np.stack(rsa.map_in_threads(score, matrices), axis=1)
        changes = inference.minus_last(scores)
        change, low, high = comparators.jackknife_interval(changes)
        columns = {"all": scores[0, -1], "change": change, "low": low, "high": high}
        frames.append(pd.DataFrame(about).assign(comparator=name, **columns))
    return pd.concat(frames)


def levels(
    judged: Judged, every: dict[str, np.ndarray], counts: np.ndarray
) -> pd.DataFrame:
    """Prediction from all features under each similarity, beside that under Pearson.

    Linear CKA, of the inner products, is set beside the whitened cosine under Pearson:
    it is that of squared distances.
    """
    i, j = judged.pairs
    pairs = np.stack([every[method][i, j] for method in SIMILARITIES])
    weights = np.concatenate([np.ones((1, len(judged.human)), int), counts])
    frames = []
    for name, compare in RESAMPLED.items():
        scores = compare(pairs, judged.human[i, j], weights, i, j)
        difference = scores - scores[:, :1]
        ends = [[v[0], *inference.interval(v[1:])] for v in (scores, difference)]
        frames.append(level_frame(name, SIMILARITIES, *ends))
    for name, compare in WHOLE.items():
        methods = (*SIMILARITIES, INNER) if name == "whitened cosine" else SIMILARITIES
        matrices = [every[method] for method in methods]
        scores = [comparators.left_out(compare, m, judged.human) for m in matrices]
        scores = np.stack(scores, axis=1)
        values = scores, scores - scores[:, :1]
        ends = map(comparators.jackknife_interval, values)
        frames.append(level_frame(name, methods, *ends))
    frame = pd.concat(frames, ignore_index=True)
    frame.loc[frame["similarity"] == INNER, "comparator"] = CKA
    return frame


def level_frame(comparator: str, similarities, value, difference) -> pd.DataFrame:
    """A row per similarity from (value, low, high) of each, (3, n_similarities)."""
    columns = dict(zip(("value", "low", "high"), value, strict=True))
    ends = ("difference", "difference_low", "difference_high")
    columns |= dict(zip(ends, difference, strict=True))
    return pd.DataFrame(
        {"similarity": similarities, "comparator": comparator} | columns
    )


# ------------------------------------------------------------------------------ record
def record(peterson: Path, images: Path, command: str) -> None:
    """Write ``data/specifications.npz``.

    Embeddings are kept in `pipeline.datasets.cache_folder`.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as `pipeline.human`
    from pipeline import extraction, ghosts, judgments

    model, node = extraction.vgg19_conv(peterson / WEIGHTS), extraction.POOL5["vgg19"]
    files, _ = ghosts.read_labels(images)
    other = extraction.embed(model, node, files, preprocessing=ghosts.CROPPED)
    frames, inputs = {"changes": [], "levels": []}, [f"other {data.sha256(other)[:12]}"]
    for name, judged in judgments.load_peterson(peterson).items():
        settings = {"preprocessing": extraction.VGG_TEAM}
        x = extraction.embed(model, node, judged.files, **settings)
        human = np.where(np.eye(len(x)), 1, judged.matrix)
        analysed = analyse(Judged(x, human), other)
        for parts, part in zip(frames.values(), analysed, strict=True):
            parts.append(part.assign(set=name))
        inputs.append(f"{name} {data.sha256(x)[:12]} {data.sha256(judged.matrix)[:12]}")
        print(name, flush=True)
    target = data.data_folder() / "specifications.npz"
    save({name: pd.concat(parts) for name, parts in frames.items()}, target)
    hashes = f"sha256 of embeddings and judgments: {'; '.join(inputs)}"
    manifest.register(target, command, seed=str(SEED), inputs=hashes, **ABOUT)


def save(frames: dict[str, pd.DataFrame], path: Path) -> None:
    """Write frames for `load`: numbers in single precision, texts as positions."""
    arrays = {}
    for name, frame in frames.items():
        for column, values in frame.items():
            if values.dtype == float:
                arrays[f"{name}/{column}"] = values.to_numpy(np.float32)
            else:
                codes, texts = pd.factorize(values)
                arrays[f"{name}/{column}"] = codes.astype(np.uint8)
                arrays[f"{name}/{column}/texts"] = np.array(texts.tolist())
    np.savez_compressed(path, **arrays)


def load(arrays: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """The frames, by name, from the arrays of a file that `save` wrote."""
    frames: dict[str, dict] = {}
    for path, values in arrays.items():
        name, column, *texts = path.split("/")
        if not texts:
            texts = arrays.get(f"{path}/texts")
            values = values if texts is None else texts[values]
            frames.setdefault(name, {})[column] = values
    return {name: pd.DataFrame(columns) for name, columns in frames.items()}
