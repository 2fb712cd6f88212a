"""Ghost features of a category, and how other images activate them.

A ghost of a set of images is zero for every one of them (`sparsity.ghost_features`).
Truong, Bavaresco & Hasson (2023, Fig. 2) look at those images of another corpus that
score highest on principal components of its activations on the ghosts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import linalg, optimize, sparse, stats

from helpers import checks, significance

CIFAR10_OWN = {
    "animals": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "artificial things": ("airplane", "automobile", "ship", "truck"),
}
"""The classes of CIFAR-10 that belong to kinds of the 92 objects."""


def kinds92(objects) -> dict[str, np.ndarray]:
    """Four disjoint kinds of the 92 objects (`data.Objects92`), (92,) bool each."""
    thing = ~objects.human & ~objects.animal
    return {
        "people": objects.human,
        "animals": objects.animal & ~objects.human,
        "natural things": thing & objects.natural,
        "artificial things": thing & ~objects.natural,
    }


# ------------------------------------------------------------------ counting of ghosts
@dataclass(frozen=True, eq=False)
class GhostCounts:
    """Ghosts of sets of images, and of random sets of the same sizes."""

    # by set: images, ghosts, expected (exact mean over random sets), low and high (95 %
    # of random sets), p (share of sets with as many, this one included)
    table: pd.DataFrame
    # by (set, other): overlap (Jaccard; NaN where neither has any), chance (its mean)
    overlap: pd.DataFrame
    random: pd.DataFrame  # ghosts of random sets, a row per draw, a column per set


def ghost_counts(
    embeddings: np.ndarray,
    sets: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    n_random: int = 200,
) -> GhostCounts:
    """Ghosts of several sets of images, and of random sets from among all images.

    ``embeddings`` is (n_images, n_features) post-ReLU, ``sets`` has masks (n_images,)
    bool by name; random sets have the same sizes and overlaps. Means need no draws: a
    feature that is zero for z of N images is a ghost of n random ones with probability
    C(z, n) / C(N, n). Raises ValueError for bad embeddings, masks, or empty sets.
    """
    x = checks.embeddings(embeddings, post_relu=True)
    members = np.array(list(sets.values()))
    masks = members.dtype == bool and members.shape[1:] == x.shape[:1]
    if not masks or not members.any(axis=1).all():
        got = f"{members.dtype}, shape {members.shape}"
        raise ValueError(f"sets must be ({len(x)},) bool each, none empty; got {got}.")
    fires = sparse.csr_array((x != 0).T.astype(float))
    count, overlap = _count(fires, members)
    orders = [rng.permutation(len(x)) for _ in range(n_random)]
    draws = [_count(fires, members[:, order]) for order in orders]
    random, chance = map(np.array, zip(*draws, strict=True))
    images, silent = members.sum(axis=1), (x == 0).sum(axis=0)
    chances = [stats.hypergeom.pmf(n, len(x), silent, n).sum() for n in images]
    columns = {"images": images, "ghosts": count, "expected": chances}
    table = pd.DataFrame(columns, pd.Index(list(sets), name="set"))
    table["low"], table["high"] = np.quantile(random, [0.025, 0.975], axis=0)
    table["p"] = (1 + (random >= count).sum(axis=0)) / (1 + n_random)
    pairs = pd.MultiIndex.from_product([tuple(sets)] * 2, names=["set", "other"])
    overlap = {"overlap": overlap.ravel(), "chance": chance.mean(axis=0).ravel()}
    random = pd.DataFrame(random, columns=list(sets)).rename_axis("draw")
    return GhostCounts(table, pd.DataFrame(overlap, pairs), random)


def _count(fires: sparse.csr_array, members: np.ndarray) -> tuple[np.ndarray, ...]:
    """Number of ghosts of each set, (S,), and their Jaccard overlap, (S, S)."""
    ghost = (fires @ members.T.astype(float) == 0).astype(float)
    both = ghost.T @ ghost
    count = np.diag(both)
    either = count[:, None] + count - both
    return count.astype(int), both / np.where(either > 0, either, np.nan)


# ----------------------------------------------------- principal components of a corpus
@dataclass(frozen=True, eq=False)
class GhostScores:
    """Principal components of a corpus on ghosts, the largest first; NaN: undefined."""

    scores: np.ndarray  # (n_images, n_components), columns of mean 0
    loadings: np.ndarray  # (n_components, n_ghosts), rows of length 1
    explained: np.ndarray  # (n_components,) shares of the total variance


def ghost_scores(corpus_ghosts: np.ndarray, n_components: int = 10) -> GhostScores:
    """Principal component scores of a corpus on ghosts, centred, not scaled.

    ``corpus_ghosts`` is (n_images, n_ghosts) post-ReLU. Signs of components are free:
    here the long tail of its scores is positive (third moment above 0); a symmetric one
    has its largest loading positive. Raises ValueError for no ghosts, fewer than two
    images, n_components below 1, or activations that are negative or not finite.
    """
    x = _corpus(corpus_ghosts, n_components)
    left, singular, loadings = _decompose(x, n_components)
    scores, variance = left * singular, x.var(axis=0).sum() * len(x)
    sign, missing = _signs(scores, loadings), n_components - len(singular)
    return GhostScores(
        np.pad(scores * sign, ((0, 0), (0, missing)), constant_values=np.nan),
        np.pad(
            loadings * sign[:, None], ((0, missing), (0, 0)), constant_values=np.nan
        ),
        np.pad(singular**2 / variance, (0, missing), constant_values=np.nan),
    )


def component_stability(
    corpus_ghosts: np.ndarray,
    rng: np.random.Generator,
    n_components: int = 10,
    n_splits: int = 20,
) -> pd.DataFrame:
    """Do two random halves of the corpus have the same components?

    Components of each half are matched one to one with those of the whole corpus
    (largest sum of absolute cosines). Arguments and errors as `ghost_scores`; at least
    four images. By measure and component (from 1), mean ± SD over splits: value, low,
    high. Measures: "variance explained" in the whole corpus; "agreement of halves",
    absolute cosine of loadings; "features shuffled", the same after shuffling features
    over images; "common subspace", squared cosine of principal angles.
    """
    x = _corpus(corpus_ghosts, n_components, min_images=4)
    shuffled = rng.permuted(x, axis=0)
    splits = [np.array_split(rng.permutation(len(x)), 2) for _ in range(n_splits)]
    cosine, angles = _agreement(x, splits, n_components)
    measures = {
        "variance explained": ghost_scores(x, n_components).explained[None],
        "agreement of halves": cosine,
        "features shuffled": _agreement(shuffled, splits, n_components)[0],
        "common subspace": angles**2,
    }
    parts = {
        name: pd.DataFrame(x).agg(["mean", "std"]).T for name, x in measures.items()
    }
    parts = pd.concat(parts, names=["measure", "component"])
    parts = parts.rename(lambda number: number + 1, level="component")
    mean, sd = parts["mean"], parts["std"]
    return pd.DataFrame({"value": mean, "low": mean - sd, "high": mean + sd})


def _agreement(x: np.ndarray, splits: list, n_components: int) -> np.ndarray:
    """Cosines of matched components and of angles, (2, n_splits, n_components)."""
    whole = _decompose(x, n_components)[2]
    result = np.full((2, len(splits), n_components), np.nan)
    for cosine, angles, halves in zip(*result, splits, strict=True):
        first, second = (_decompose(x[half], n_components)[2] for half in halves)
        product = _matched(whole, first) * _matched(whole, second)
        cosine[: len(whole)] = np.minimum(np.abs(product.sum(axis=1)), 1)
        closest = np.linalg.svd(first @ second.T, compute_uv=False)
        angles[: len(closest)] = np.clip(closest, 0, 1)
    return result


def _matched(whole: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Loadings of a half, each in the place of its match in the whole, NaN if none."""
    rows, columns = optimize.linear_sum_assignment(-np.abs(whole @ half.T))
    matched = np.full_like(whole, np.nan)
    matched[rows] = half[columns]
    return matched


def _corpus(values: np.ndarray, n_components: int, min_images: int = 2) -> np.ndarray:
    checks.at_least("n_components", n_components, 1)
    if np.ndim(values) == 2 and np.shape(values)[1] == 0:
        raise ValueError("corpus_ghosts has no column: the category has no ghosts.")
    return checks.embeddings(values, True, min_images, "corpus_ghosts")


def _decompose(x: np.ndarray, n_components: int) -> tuple[np.ndarray, ...]:
    """Left vectors (n, k), singular values (k,) and loadings (k, n_ghosts), centred.

    From the smaller Gram matrix, as only the largest components are needed. The
    browser has no scikit-learn, whose PCA would do this (and takes seconds to import),
    and numpy has no BLAS there: hence scipy's product, an upper triangle.
    """
    centred = x - x.mean(axis=0)
    negligible = 1e-7 * np.abs(x).max() * np.sqrt(x.size)
    flat = centred.shape[0] <= centred.shape[1]
    gram = linalg.blas.dsyrk(1.0, centred.T, trans=flat)
    largest = (max(len(gram) - n_components, 0), len(gram) - 1)
    values, vectors = linalg.eigh(gram, lower=False, subset_by_index=largest)
    singular = np.sqrt(np.maximum(values[::-1], 0))
    k = int((singular > negligible).sum())
    singular, vectors = singular[:k], vectors[:, ::-1][:, :k]
    other = (centred.T if flat else centred) @ vectors / singular
    return (vectors, singular, other.T) if flat else (other, singular, vectors.T)


def _signs(scores: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """Signs that make third moments positive; without skew, the largest loadings."""
    skew = stats.skew(scores, axis=0)
    largest = np.abs(loadings).argmax(axis=1)[:, None]
    largest = np.take_along_axis(loadings, largest, axis=1)[:, 0]
    return np.where(np.where(np.abs(skew) > 1e-9, skew, largest) < 0, -1.0, 1.0)


# ------------------------------------------------------------- what the top images show
def top_images(scores: np.ndarray, n: int) -> np.ndarray:
    """The ``n`` images that score highest on each defined component, (n_defined, n).

    ``scores`` is (n_images, n_components), NaN for undefined components; ties keep the
    order of the images. Raises ValueError where ``n`` is not in 1..n_images.
    """
    scores = checks.real("scores", scores)
    if scores.ndim != 2 or not 1 <= n <= len(scores):
        got = f"shape {scores.shape}, n {n}"
        raise ValueError(f"scores must be 2-D and n in 1..n_images; got {got}.")
    defined = scores[:, ~np.isnan(scores).any(axis=0)]
    return np.argsort(-defined, axis=0, kind="stable")[:n].T


def label_enrichment(
    scores: np.ndarray, labels: np.ndarray, n_top: int
) -> pd.DataFrame:
    """Which labels are over-represented among the ``n_top`` top images of components?

    ``scores`` is (n_images, n_components), NaN for undefined components; ``labels``
    (n_images,) of any type, else ValueError. By component (from 1) and label: count,
    expected (by chance), p of the exact one-sided hypergeometric test (Fisher's) and
    adjusted_p (Holm, over all components and labels).
    """
    scores, labels = checks.real("scores", scores), np.asarray(labels)
    if labels.shape != scores.shape[:1]:
        raise ValueError(f"labels must be ({len(scores)},); got shape {labels.shape}.")
    names, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    count = np.full((scores.shape[1], len(names)), np.nan)
    defined = np.flatnonzero(~np.isnan(scores).any(axis=0))
    for component, images in zip(defined, top_images(scores, n_top), strict=True):
        count[component] = np.bincount(codes[images], minlength=len(names))
    p = stats.hypergeom.sf(count - 1, len(scores), sizes, n_top)
    rows = [range(1, len(count) + 1), names]
    rows = pd.MultiIndex.from_product(rows, names=["component", "label"])
    table = pd.DataFrame({"count": count.ravel(), "p": p.ravel()}, rows)
    table.insert(1, "expected", np.tile(n_top * sizes / len(scores), len(count)))
    return table.assign(adjusted_p=significance.holm(p).ravel())


# ------------------------------------------------------------------- record and tables
def load(arrays: Mapping[str, np.ndarray]) -> SimpleNamespace:
    """The frames in a file, as `pipeline.ghosts` wrote them: an attribute each.

    Arrays that belong to no frame are left out.
    """
    tables, levels = defaultdict(dict), defaultdict(list)
    for name, values in arrays.items():
        if "/" in name:
            frame, kind, column = name.split("/")
            tables[frame][column] = values
            levels[frame] += [column] if kind == "level" else []
    frames = {k: pd.DataFrame(t).set_index(levels[k]) for k, t in tables.items()}
    return SimpleNamespace(**frames)


def overlap_square(overlap: pd.DataFrame) -> pd.DataFrame:
    """Overlaps by (set, other) as a square: sets below the diagonal, chance above."""
    sets, chance = (overlap[name].unstack(sort=False) for name in ("overlap", "chance"))
    below, above = np.tri(len(sets), k=-1, dtype=bool), ~np.tri(len(sets), dtype=bool)
    return sets.where(below, chance.where(above))


def label_table(record: SimpleNamespace, n_components: int = 6) -> pd.DataFrame:
    """Over-represented labels of components (count, expected); first top images.

    ``record`` has the frames "labels" (`label_enrichment`) and "top", a "label" by set,
    component and rank.
    """
    over = record.labels[record.labels["adjusted_p"] < 0.05].sort_values("adjusted_p")
    shown = "{0.label} ({0.count:.0f}, {0.expected:.1f})".format
    over["text"] = [shown(row) for row in over.reset_index("label").itertuples()]
    over = over.groupby(["set", "component"])["text"].agg(", ".join)
    top = record.top.query("component <= @n_components").groupby(["set", "component"])
    table = top["label"].unique().str[:5].str.join(", ").to_frame("highest images")
    table.insert(0, "over-represented", over.reindex(table.index, fill_value="none"))
    return table.rename_axis(["set", "PC"])
