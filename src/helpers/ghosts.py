"""Ghost features of a category, and what other images do on them.

A ghost feature of a set of images is zero for every one of them (`helpers.sparsity.ghost_features`). Truong, Bavaresco
& Hasson (2023) pass other images, a corpus, through the network, keep their activations on the ghosts, and look at the
images that score highest on each principal component (their Fig. 2). The negative query is in `helpers.retrieval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import linalg, optimize, sparse, stats

from helpers import checks, retrieval, significance, sparsity


@dataclass(frozen=True, eq=False)
class GhostCounts:
    """How many ghosts sets of images have, how much they overlap, and what random sets of the same sizes have.

    Of S sets: ``count`` (S,); ``expected`` (S,) exact mean over random sets of that size; ``random`` (n_random, S)
    counts of random sets, drawn with the sets' own sizes and shared images; ``p`` (S,) share of random sets with as
    many ghosts or more (the set itself counted as one of them). ``overlap`` (S, S) Jaccard, ghosts in both over ghosts
    in either, NaN where neither set has any; ``random_overlap`` (n_random, S, S).
    """

    count: np.ndarray
    expected: np.ndarray
    random: np.ndarray
    p: np.ndarray
    overlap: np.ndarray
    random_overlap: np.ndarray


@dataclass(frozen=True, eq=False)
class GhostScores:
    """Principal components of a corpus on ghost features, the largest first.

    ``scores`` (n_images, n_components), columns of mean 0; ``loadings`` (n_components, n_ghosts) of length 1;
    ``explained`` (n_components,) shares of the total variance; ``n_defined`` components exist, the others are NaN.
    """

    scores: np.ndarray
    loadings: np.ndarray
    explained: np.ndarray
    n_defined: int


@dataclass(frozen=True, eq=False)
class Enrichment:
    """Labels of each component's top images against their share of the corpus.

    Of L ``labels`` and k components: ``count`` (k, L) among the ``n_top`` top images, ``expected`` (L,) by chance,
    exact one-sided ``p`` (k, L) of that many or more, and ``adjusted_p`` (k, L), Holm over all. NaN where a component
    is undefined.
    """

    labels: np.ndarray
    count: np.ndarray
    expected: np.ndarray
    p: np.ndarray
    adjusted_p: np.ndarray
    n_top: int

    @property
    def fold(self) -> np.ndarray:
        """Count over expected count, (k, L)."""
        return self.count / self.expected

    @property
    def n_meaningful(self) -> int:
        """Components with a label that is over-represented among the top images (Holm, 5 %)."""
        return int((self.adjusted_p < 0.05).any(axis=1).sum())


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of components between two random halves of the corpus, (n_splits, n_components) each, all in 0..1.

    ``cosine``: absolute cosine of the loadings of matched components, in the order of the whole corpus's components;
    ``shuffled`` the same after shuffling each feature over images, which leaves no joint structure; ``angles``: cosines
    of the principal angles between the two subspaces, the closest directions first. NaN where undefined.
    """

    cosine: np.ndarray
    shuffled: np.ndarray
    angles: np.ndarray


CIFAR10_OWN = {
    "animals": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "artificial things": ("airplane", "automobile", "ship", "truck"),
}
"""The classes of CIFAR-10 that belong to kinds of the 92 objects; none belongs to the other kinds (`kinds92`)."""


# -------------------------------------------------------------------------------------------------- counting of ghosts
def kinds92(objects) -> dict[str, np.ndarray]:
    """The 92 objects (`pipeline.judgments.Objects92`) as four kinds without overlap; (92,) bool each."""
    person, animal = objects.human, objects.animal & ~objects.human
    rest = ~person & ~animal
    return {
        "people": person, "animals": animal, "natural things": rest & objects.natural,
        "artificial things": rest & ~objects.natural,
    }  # fmt: skip


def ghost_counts(
    embeddings: np.ndarray, members: np.ndarray, rng: np.random.Generator, n_random: int = 200
) -> GhostCounts:
    """Ghosts of several sets of the same images, and of random sets of the same sizes from among these images.

    Parameters
    ----------
    embeddings : (n_images, n_features) post-ReLU.
    members : (n_sets, n_images) bool, which images each set has.
    rng : draws the random sets. Their mean number of ghosts needs no draws: a feature that is zero for z of N images is
        a ghost of n random ones with probability C(z, n) / C(N, n).

    Raises
    ------
    ValueError : bad embeddings; members of another shape or type, or an empty set.
    """
    x = checks.embeddings(embeddings, post_relu=True)
    members = np.asarray(members)
    if members.ndim != 2 or members.shape[1] != len(x) or members.dtype != bool or not members.any(axis=1).all():
        raise ValueError(
            f"members must be (n_sets, {len(x)}) bool, each set with an image or more; got {members.dtype}, "
            f"shape {members.shape}, sizes {members.sum(axis=-1).tolist()}."
        )
    fires = sparse.csr_array((x != 0).T.astype(np.float32))
    found = [_counts(fires, members)]
    found += [_counts(fires, members[:, rng.permutation(len(x))]) for _ in range(n_random)]
    (count, *counts), (overlap, *overlaps) = zip(*found, strict=True)
    random = np.array(counts).reshape(n_random, len(members))
    n_zero = (x == 0).sum(axis=0)
    expected = [stats.hypergeom.pmf(n, len(x), n_zero, n).sum() for n in members.sum(axis=1)]
    return GhostCounts(
        count=count, expected=np.array(expected), random=random, p=(1 + (random >= count).sum(axis=0)) / (1 + n_random),
        overlap=overlap, random_overlap=np.array(overlaps).reshape(n_random, *overlap.shape),
    )  # fmt: skip


def _counts(fires: sparse.csr_array, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of ghosts of each set, (S,), and their Jaccard overlap, (S, S)."""
    ghost = (fires @ members.T.astype(np.float32) == 0).astype(np.float64)
    both = ghost.T @ ghost
    either = np.diag(both)[:, None] + np.diag(both) - both
    return np.diag(both).astype(int), np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)


def dead_and_specific(ghosts: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ghosts that are zero for all other images too (dead, as far as these tell), and the rest (specific).

    ``ghosts``: feature indices; ``others``: embeddings (n_images, n_features) of other images, any number of arrays.
    Raises ValueError where there are no other images.
    """
    if not others:
        raise ValueError("others must be the embeddings of one or more other images; got none. Without them no feature "
                         "can be told dead from specific.")  # fmt: skip
    ghosts = np.asarray(ghosts, dtype=int)
    poz = [sparsity.percentage_of_zeros(x)[ghosts] for x in others]
    dead = np.all(np.array(poz) == 1, axis=0)
    return ghosts[dead], ghosts[~dead]


# ----------------------------------------------------------------------------------- principal components of a corpus
def ghost_scores(corpus_ghosts: np.ndarray, n_components: int = 10) -> GhostScores:
    """Principal component scores of a corpus on ghost features, each feature centred over the corpus, not scaled.

    Parameters
    ----------
    corpus_ghosts : (n_images, n_ghosts) post-ReLU activations of the corpus, on the ghosts alone.
    n_components : as many at most; those that do not exist, as ghosts, images or variance are too few, are NaN.

    The sign of a component is free. Here the long tail of its scores is positive (third moment above 0), so that
    "scores highly" means the same for every order of images or features; a symmetric one has its largest loading
    positive.

    Raises
    ------
    ValueError : no ghosts, fewer than two images, n_components below 1, activations not finite or negative.
    """
    x = _corpus(corpus_ghosts, n_components)
    left, singular, loadings = _decompose(x, n_components)
    total = x.var(axis=0).sum() * len(x)
    scores, k = left * singular, len(singular)
    sign = _signs(scores, loadings)
    return GhostScores(
        scores=_padded(scores * sign, n_components, 1), loadings=_padded(loadings * sign[:, None], n_components, 0),
        explained=_padded(singular**2 / total, n_components, 0), n_defined=k,
    )  # fmt: skip


def top_images(scores: np.ndarray, n: int) -> np.ndarray:
    """Indices of the ``n`` images that score highest on each component, (n_components, n), the highest first.

    ``scores`` is (n_images, n_components); equal scores keep the order of the images. Raises ValueError where ``n`` is
    not in 1..n_images, or a component is undefined (NaN): pass only the first ``n_defined`` columns.
    """
    scores = _score_matrix(scores, n)
    if np.isnan(scores).any():
        raise ValueError(
            f"scores must be defined; component {np.isnan(scores).any(axis=0).argmax()} is NaN. Pass the first "
            "n_defined columns."
        )
    return np.argsort(-scores, axis=0, kind="stable")[:n].T


def label_enrichment(scores: np.ndarray, labels: np.ndarray, n_top: int) -> Enrichment:
    """Which labels are over-represented among the images that score highest on each component.

    Exact hypergeometric test of each label in each component (the one-sided test of Fisher), Holm over all of them.
    ``scores`` (n_images, n_components), NaN for undefined components; ``labels`` (n_images,), any kind.
    Raises ValueError where labels have another shape or ``n_top`` is not in 1..n_images.
    """
    scores, labels = _score_matrix(scores, n_top), np.asarray(labels)
    if labels.shape != (len(scores),):
        raise ValueError(f"labels must be ({len(scores)},), one per image; got shape {labels.shape}.")
    names, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    count = np.full((scores.shape[1], len(names)), np.nan)
    defined = ~np.isnan(scores).any(axis=0)
    if defined.any():
        top = codes[top_images(scores[:, defined], n_top)]
        count[defined] = [np.bincount(one, minlength=len(names)) for one in top]
    p = stats.hypergeom.sf(count - 1, len(scores), sizes, n_top)  # NaN stays
    p = np.where(np.isnan(count), np.nan, p)
    return Enrichment(names, count, n_top * sizes / len(scores), p, significance.holm(p), n_top)


def random_feature_reference(
    corpus: np.ndarray, n_features: int, labels: np.ndarray, own: np.ndarray, rng: np.random.Generator,
    n_draws: int = 20, n_components: int = 10, n_top: int = 20,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """What as many random features as there are ghosts would show, (n_draws,) each.

    The number of components with an over-represented label (Holm, 5 %), and the share of a category's kind, ``own``
    (n_images,) bool, among the top images of all components, relative to its share of the corpus (NaN where none is).
    ``corpus`` (n_images, n_all) are the activations on all features, ``labels`` (n_images,).
    """
    meaningful, foreign = [], []
    for _ in range(n_draws):
        drawn = np.sort(rng.choice(corpus.shape[1], n_features, replace=False))
        scores = ghost_scores(corpus[:, drawn], n_components)
        meaningful.append(label_enrichment(scores.scores, labels, n_top).n_meaningful)
        foreign.append(relative_share(top_images(scores.scores[:, : scores.n_defined], n_top), own))
    return np.array(meaningful), np.array(foreign)


def relative_share(top: np.ndarray, own: np.ndarray) -> float:
    """Share of ``own`` (n_images,) bool among the images ``top`` (any shape) over its share of all; NaN for none."""
    own = np.asarray(own, dtype=bool)
    return float(own[top].mean() / own.mean()) if own.any() else float("nan")


def relative_share_interval(relative: float, share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of `relative_share` among ``n`` different images, own ``share`` of all; NaN for none.

    The images are taken as independent draws; those at the top of several components count once.
    """
    if np.isnan(relative):
        return np.nan, np.nan
    count, tail = relative * share * n, (1 - level) / 2
    low = stats.beta.ppf(tail, count, n - count + 1) if count > 0 else 0
    high = stats.beta.isf(tail, count + 1, n - count) if count < n else 1
    return float(low / share), float(high / share)


def component_stability(
    corpus_ghosts: np.ndarray, rng: np.random.Generator, n_components: int = 10, n_splits: int = 20
) -> Stability:
    """Do two random halves of the corpus have the same components?

    Components of each half are matched one to one with those of the whole corpus (largest sum of absolute cosines), and
    then compared with each other. Arguments and errors as `ghost_scores`; at least four images.
    """
    x = _corpus(corpus_ghosts, n_components, min_images=4)
    shuffled = rng.permuted(x, axis=0)
    whole, whole_shuffled = (_decompose(one, n_components)[2] for one in (x, shuffled))
    cosine, reference, angles = (np.full((n_splits, n_components), np.nan) for _ in range(3))
    for split in range(n_splits):
        first, second = np.array_split(rng.permutation(len(x)), 2)
        halves = [_decompose(x[half], n_components)[2] for half in (first, second)]
        values = np.linalg.svd(halves[0] @ halves[1].T, compute_uv=False)
        angles[split, : len(values)] = np.clip(values, 0, 1)
        cosine[split] = _matched_cosine(whole, halves, n_components)
        halves = [_decompose(shuffled[half], n_components)[2] for half in (first, second)]
        reference[split] = _matched_cosine(whole_shuffled, halves, n_components)
    return Stability(cosine, reference, angles)


def _corpus(values: np.ndarray, n_components: int, min_images: int = 2) -> np.ndarray:
    if n_components < 1:
        raise ValueError(f"n_components must be at least 1; got {n_components}.")
    if np.ndim(values) == 2 and np.shape(values)[1] == 0:
        raise ValueError("corpus_ghosts must have a ghost or more; the category has none: nothing to decompose.")
    return checks.embeddings(values, post_relu=True, min_images=min_images)


def _decompose(x: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors (n, k), singular values (k,) and loadings (k, n_ghosts) of the centred ``x``, k as many as exist.

    By the eigenvectors of the smaller Gram matrix, as only the largest components are asked for. Its upper triangle
    comes from scipy's BLAS, which numpy for the browser has not.
    """
    centred, smallest = x - x.mean(axis=0), 1e-7 * np.abs(x).max() * np.sqrt(x.size)
    flat = centred.shape[0] <= centred.shape[1]
    gram = linalg.blas.dsyrk(1.0, centred.T, trans=flat)
    n = len(gram)
    values, vectors = linalg.eigh(gram, lower=False, subset_by_index=(max(n - n_components, 0), n - 1))
    singular, vectors = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
    k = int((singular > smallest).sum())
    singular, vectors = singular[:k], vectors[:, :k]
    other = (centred.T @ vectors if flat else centred @ vectors) / singular
    return (vectors, singular, other.T) if flat else (other, singular, vectors.T)


def _signs(scores: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """The sign that makes each component's third moment positive, or, where there is no skew, its largest loading."""
    spread = np.sqrt((scores**2).mean(axis=0))
    skew = ((scores / np.where(spread > 0, spread, 1)) ** 3).mean(axis=0)
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(np.where(np.abs(skew) > 1e-9, skew, largest) < 0, -1.0, 1.0)


def _matched_cosine(whole: np.ndarray, halves: Sequence[np.ndarray], n_components: int) -> np.ndarray:
    """Absolute cosine between the halves' components that match each one of the whole, NaN where there is none."""
    matched = []
    for half in halves:
        components = np.full((n_components, whole.shape[1]), np.nan)
        rows, columns = optimize.linear_sum_assignment(np.abs(whole @ half.T), maximize=True)
        components[rows] = half[columns]
        matched.append(components)
    return np.minimum(np.abs((matched[0] * matched[1]).sum(axis=1)), 1)


def _padded(values: np.ndarray, n: int, axis: int) -> np.ndarray:
    """``values`` with NaN added along ``axis`` up to length ``n``."""
    widths = [(0, n - values.shape[axis] if i == axis else 0) for i in range(values.ndim)]
    return np.pad(values, widths, constant_values=np.nan)


def _score_matrix(scores: np.ndarray, n: int) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores must be (n_images, n_components); got shape {scores.shape}.")
    if not 1 <= n <= len(scores):
        raise ValueError(f"the number of top images must lie in 1..{len(scores)}; got {n}.")
    return scores


# ------------------------------------------------------------------------------------------------- classes of a network
@dataclass(frozen=True, eq=False)
class ClassGhosts:
    """Ghosts of each of C classes in each of M models, defined on one half of a class's images, probed with the others.

    ``count`` (M, C) ghosts; ``dead`` (M,) features zero for all images; ``expected`` (M, C) mean number of ghosts of as
    many random images; ``response`` (M, C, C): activation on the ghosts of class c (row) by images of class d (column)
    that did not define them, as a share of these images' activity, NaN where a class has no ghosts; ``auc``
    (M, C, R) of the negative query "not class c" among those images, for the rankings ``names``.
    """

    count: np.ndarray
    dead: np.ndarray
    expected: np.ndarray
    response: np.ndarray
    auc: np.ndarray
    names: tuple[str, ...]


def class_ghosts(embeddings: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> ClassGhosts:
    """Ghosts of every class in every model of an ensemble; ``embeddings`` (n_models, n_images, n_features) post-ReLU.

    Each class's images are dealt at random into two halves, the same for all models. Raises ValueError where labels are
    not (n_images,) or a class has fewer than two images.
    """
    embeddings, labels = np.asarray(embeddings), np.asarray(labels)
    if embeddings.ndim != 3 or labels.shape != embeddings.shape[1:2]:
        raise ValueError(f"labels must be one per image of (n_models, n_images, n_features); got {labels.shape} for "
                         f"{embeddings.shape}.")  # fmt: skip
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            f"labels must name two images or more per class; {classes[sizes.argmin()]!r} has {sizes.min()}."
        )
    defining = np.zeros(len(labels), bool)
    for name, size in zip(classes, sizes, strict=True):
        defining[rng.choice(np.flatnonzero(labels == name), size // 2, replace=False)] = True
    found = [_one_model(x, labels, classes, defining, rng) for x in embeddings]
    count, dead, expected, response, auc = (np.array(part) for part in zip(*found, strict=True))
    return ClassGhosts(count, dead, expected, response, auc, retrieval.RANKINGS)


def _one_model(x: np.ndarray, labels: np.ndarray, classes: np.ndarray, defining: np.ndarray, rng: np.random.Generator):
    zeros, n = (x == 0).sum(axis=0), len(x)
    probe, probed = x[~defining], labels[~defining]
    activity = np.array([probe[probed == d].sum() for d in classes])
    count, expected, response, auc = [], [], [], []
    for name in classes:
        own = x[defining & (labels == name)]
        ghosts = sparsity.ghost_features(own)
        count.append(len(ghosts))
        expected.append(stats.hypergeom.pmf(len(own), n, zeros, len(own)).sum())
        sums = np.array([probe[probed == d][:, ghosts].sum() for d in classes])
        shares = np.divide(sums, activity, out=np.full(len(classes), np.nan), where=activity > 0)
        response.append(shares if len(ghosts) else np.full(len(classes), np.nan))
        ranked = retrieval.query_scores(own, probe, rng).values()
        auc.append([retrieval.roc_area(s, probed != name) for s in ranked])
    return count, int((zeros == n).sum()), expected, response, auc


# ------------------------------------------------------------------------------------------------------------- records
@dataclass(frozen=True, eq=False)
class GhostRecord:
    """What is recorded of one category probed with a labelled corpus that cannot be shipped.

    ``n_images`` of the category, ``n_features``, ``n_ghosts``, of which ``n_dead`` are zero for the corpus too;
    ``expected`` ghosts of as many random images, ``random`` (n_random,) counts, ``p``; ``overlap`` (n_sets,) Jaccard
    with each recorded set, ``random_overlap`` (3, n_sets) mean of random sets and where 95 % lie. Of k components:
    ``explained``, ``cosine`` and ``shuffled`` (n_splits, k), ``angles``; ``top`` (k, n_top) corpus images, their
    ``top_labels`` and ``top_groups``; ``foreign``, the share of the category's own kind among them relative to its
    share ``own_share`` of the corpus; ``meaningful`` components, with an over-represented group; both also of random
    features, ``random_foreign`` and ``random_meaningful`` (n_draws,). Of L ``groups``: ``count``, ``adjusted_p`` (k,
    L) and ``group_expected`` (L,). ``query`` a `helpers.retrieval.NegativeQuery`.
    """

    n_images: int
    n_features: int
    n_ghosts: int
    n_dead: int
    expected: float
    random: np.ndarray
    p: float
    overlap: np.ndarray
    random_overlap: np.ndarray
    explained: np.ndarray
    cosine: np.ndarray
    shuffled: np.ndarray
    angles: np.ndarray
    top: np.ndarray
    top_labels: np.ndarray
    top_groups: np.ndarray
    foreign: float
    own_share: float
    meaningful: int
    random_foreign: np.ndarray
    random_meaningful: np.ndarray
    groups: np.ndarray
    count: np.ndarray
    adjusted_p: np.ndarray
    group_expected: np.ndarray
    query: retrieval.NegativeQuery


def save(records: dict[str, GhostRecord], path: Path) -> None:
    """Record as one compressed .npz file; numbers in single precision."""
    arrays = {}
    for key, record in records.items():
        fields = asdict(record)
        query = fields.pop("query")
        for field, value in (fields | {f"query.{name}": value for name, value in query.items()}).items():
            array = np.asarray(value)
            arrays[f"{key}/{field}"] = array.astype(np.float32) if array.dtype == np.float64 else array
    np.savez_compressed(path, **arrays)


def load(arrays: dict[str, np.ndarray]) -> dict[str, GhostRecord]:
    """Records from the arrays of a file that `save` wrote (`helpers.datasets.read_shipped`), by set."""
    records = {}
    for key in dict.fromkeys(name.split("/")[0] for name in arrays):
        own = {name.split("/")[1]: value for name, value in arrays.items() if name.startswith(f"{key}/")}
        own = {name: value[()] if value.ndim == 0 else value for name, value in own.items()}
        query = {name.removeprefix("query."): own.pop(name) for name in list(own) if name.startswith("query.")}
        query["names"] = tuple(map(str, query["names"]))
        records[key] = GhostRecord(**own, query=retrieval.NegativeQuery(**query))
    return records
