"""Where nodes are silent: zeros, and what they are worth, in a layer of any network.

Every layer is treated alike (`profile`). PoZ is counted over the images at hand. Four
orders of the nodes are compared by how well the first of them reproduce the similarity
matrix of all nodes of the same layer: lowest PoZ first, highest PoZ first, random, and
highest standard deviation first. Ties of PoZ are broken at random, many times: where
most nodes never fall silent, lowest PoZ first is little more than a random order.

Layers with more than `N_NODES` nodes are represented by a random sample of that many.
Images whose similarity is undefined, for the nodes inserted so far, are left out and
counted. Nothing here needs torch; `pipeline.layer_records` records what cannot be
computed while a page is made.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy.stats import hypergeom, spearmanr

from helpers import data, inference, rsa, sparsity

SEED = 0
N_NODES = 25_088
"""Nodes of VGG-19's last pooling layer; of larger layers, as many are drawn."""
SHARES = np.arange(1, 11) / 10
FIFTH = 0.2
DROPPED = {"over 80%": 0.8, "over 90%": 0.9}
"""Thresholds of PoZ above which nodes are dropped."""
FEWEST = 92
"""Number of images at which ghosts of all layers are compared."""
EDGES = np.array([0, 0.2, 0.4, 0.6, 0.8, 0.9, 1])
BINS = ["0", "to 20%", "to 40%", "to 60%", "to 80%", "to 90%", "below 100%", "100%"]
"""Classes of PoZ in `distribution`: never silent, in between, ghosts."""

# ------------------------------------------- written down before anything was computed
CARRIED = pd.DataFrame(
    [
        ("C2", "nodes with PoZ > 80 %", "high", 0.55, 0.75),
        ("C3", "R², lowest-PoZ 80 % of nodes", "r2_low_80", 0.99, 1),
        ("C4", "R², highest-PoZ 20 % alone", "r2_high_20", 0.1, 0.5),
        ("C5", "R², lowest-PoZ 30 % of nodes", "r2_low_30", 0.9, 1),
        ("C6", "R², lowest-PoZ 20 % minus random 20 %", "gap_20", 0, 1),
        ("C8", "ghosts", "ghosts", 1, np.inf),
    ],
    columns=["claim", "what", "column", "at_least", "at_most"],
)
"""What should carry over from the paper's networks to VGG-19's fc7, and its bounds.

C2's are from the authors' figures of 2022 for fc7 of VGG-16 (58 to 69 %), the others
from the paper's text on LeNets; C6's only asks for more than random nodes give.
"""
EXPECTED = pd.DataFrame(
    [
        ("zeros in a rectified layer", "zeros", "before", 0.3, 1),
        ("zeros after averaging over places", "zeros", "after", 0, 0.1),
        ("nodes with PoZ > 80 % after averaging", "high", "after", 0, 0.01),
        ("R² without nodes of PoZ > 80 %", "r2_drop_80", "before", 0.95, 1),
        ("lowest-PoZ fifth minus random fifth", "gap_20", "before", 0, 1),
        ("the same after averaging", "gap_20", "after", -0.02, 0.02),
    ],
    columns=["what", "column", "averaged", "at_least", "at_most"],
)
"""What was expected of every layer, before and after averaging over places."""


# ------------------------------------------------------------------------- one layer
def profile(
    x: np.ndarray,
    human: np.ndarray | None = None,
    n_orders: int = 5,
    n_resamples: int = 500,
    off: np.ndarray | None = None,
) -> tuple[dict[str, float], pd.DataFrame]:
    """Numbers and insertion curves of one layer.

    Parameters
    ----------
    x : (n_images, n_nodes) activations.
    human : (n_images, n_images) judged similarities, or None.
    n_orders : random orders, and random orders within ties of PoZ.
    off : (n_images, n_nodes) bool, where a node counts as silent; default ``x == 0``.

    Returns
    -------
    The numbers: of `zeros_of`, `fifths`, `dropping` and, with judgments, `people`, and
    ``poz_sd``, the rank correlation of PoZ and standard deviation over nodes; and the
    curves of `curves`.
    """
    x = np.asarray(x, np.float64)
    off = x == 0 if off is None else off
    poz = off.mean(axis=0)
    rng = np.random.default_rng(SEED)
    orders = orders_of(x, poz, n_orders, rng)
    curve = curves(x, poz, orders)
    numbers = zeros_of(off) | fifths(curve) | dropping(curve, poz)
    numbers["poz_sd"] = rank_correlation(poz, x.std(axis=0))
    if human is not None:
        numbers |= people(x, poz, orders, human, n_resamples, rng)
    return numbers, curve


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho; NaN where a side is constant."""
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    return np.nan if constant else float(spearmanr(a, b).statistic)


def zeros_of(off: np.ndarray) -> dict[str, float]:
    """Shares of zeros, of nodes with PoZ > 80 %, and numbers of ghosts.

    ``ghosts_92`` is how many nodes would be silent for 92 of the images, on average
    over draws of them (hypergeometric); NaN for fewer images.
    """
    n, silent = len(off), off.sum(axis=0)
    drawn = hypergeom.pmf(FEWEST, n, silent, FEWEST).sum() if n >= FEWEST else np.nan
    poz = silent / n
    shares = {f"bin_{i}": share for i, share in enumerate(distribution(poz))}
    numbers = {"images": n, "nodes": len(poz), "zeros": off.mean()}
    numbers |= {"high": (poz > 0.8).mean(), "never": (poz == 0).mean()}
    return numbers | {"ghosts": (poz == 1).sum(), "ghosts_92": drawn} | shares


def distribution(poz: np.ndarray) -> np.ndarray:
    """Share of the nodes in each of `BINS`: (8,), adding up to 1."""
    inside = poz[(poz > 0) & (poz < 1)]
    counts = np.bincount(np.digitize(inside, EDGES[1:-1], right=True), minlength=6)
    return np.array([(poz == 0).sum(), *counts, (poz == 1).sum()]) / len(poz)


def orders_of(
    x: np.ndarray, poz: np.ndarray, n_orders: int, rng: np.random.Generator
) -> dict[str, list[np.ndarray]]:
    """Orders of the nodes by name; those that are random, ``n_orders`` times."""
    times = range(n_orders)
    return {
        "lowest": [sparsity.poz_order(poz, rng=rng) for _ in times],
        "highest": [sparsity.poz_order(poz, True, rng) for _ in times],
        "random": [rng.permutation(len(poz)) for _ in times],
        "deviation": [np.argsort(-x.std(axis=0), kind="stable")],
    }


def number_at(share: float, n: int) -> int:
    """How many of ``n`` nodes a share is, rounded up."""
    return -int(-share * n // 1)


def curves(
    x: np.ndarray, poz: np.ndarray, orders: Mapping[str, Iterable[np.ndarray]]
) -> pd.DataFrame:
    """R2 with the similarity matrix (Pearson) of all nodes, in each order.

    A row per order and size, which are `SHARES` of the nodes and what is left without
    the `DROPPED`: ``value`` is the mean over orders of a kind, ``low`` and ``high``
    their range, ``undefined`` the mean share of images left out.
    """
    kept = [(poz <= threshold).sum() for threshold in DROPPED.values()]
    sizes = [number_at(share, len(poz)) for share in SHARES] + [k for k in kept if k]
    sizes, parts = np.unique(sizes), {}
    full = rsa.similarity_matrix(x)
    defined = np.isfinite(np.diag(full))
    full, x = full[np.ix_(defined, defined)], x[defined]
    reference = rsa.upper_triangle(full)
    for name, some in orders.items():
        found = [
            rsa.insertion_curve(x, order, reference, sizes, undefined="drop")
            for order in some
        ]
        r2 = np.array([one.r2 for one in found])
        missing = np.array([one.n_undefined for one in found]) / len(x)
        columns = {"share": sizes / len(poz), "size": sizes, "value": r2.mean(axis=0)}
        columns |= {"low": r2.min(axis=0), "high": r2.max(axis=0)}
        parts[name] = pd.DataFrame(columns).assign(undefined=missing.mean(axis=0))
    return pd.concat(parts, names=["order"]).reset_index("order")


def at(curve: pd.DataFrame, order: str, size: int) -> pd.Series:
    """The row of a curve."""
    return curve[(curve["order"] == order) & (curve["size"] == size)].iloc[0]


def fifths(curve: pd.DataFrame) -> dict[str, float]:
    """R2 in each order at some shares, and the share from which on it stays >= 0.95.

    ``gap_20`` is the lowest-PoZ fifth minus the mean random fifth; ``beats`` is 1, 0 or
    -1, where the mean lies above, within or below the range of the random orders.
    """
    n, numbers = curve["size"].max(), {}
    for order, short in (("lowest", "low"), ("highest", "high"), ("random", "random")):
        for percent in (20, 30, 80):
            row = at(curve, order, number_at(percent / 100, n))
            numbers[f"r2_{short}_{percent}"] = row["value"]
        rows = curve[curve["order"] == order]
        numbers[f"enough_{short}"] = enough(rows["share"], rows["value"])
    size, names = number_at(FIFTH, n), curve["order"].unique()
    fifth = {name: at(curve, name, size) for name in names}
    numbers["r2_sd_20"] = fifth["deviation"]["value"]
    numbers["undefined_20"] = fifth["lowest"]["undefined"]
    numbers["gap_20"] = fifth["lowest"]["value"] - fifth["random"]["value"]
    numbers["random_low"], numbers["random_high"] = fifth["random"][["low", "high"]]
    low, random = fifth["lowest"], fifth["random"]
    beats = (low["value"] > random["high"]) * 1 - (low["value"] < random["low"]) * 1
    return numbers | {"beats": beats}


def enough(share: pd.Series, r2: pd.Series, goal: float = 0.95) -> float:
    """The smallest share from which on R2 stays at ``goal`` or above, else NaN."""
    short = np.flatnonzero(~(r2.to_numpy() >= goal))
    first = short[-1] + 1 if len(short) else 0
    return share.iloc[first] if first < len(share) else np.nan


def dropping(curve: pd.DataFrame, poz: np.ndarray) -> dict[str, float]:
    """R2 without the nodes above each of `DROPPED`, and with random nodes in place."""
    numbers = {}
    for threshold in DROPPED.values():
        percent, size = round(100 * threshold), (poz <= threshold).sum()
        numbers[f"kept_{percent}"] = size / len(poz)
        for order, name in (("lowest", "drop"), ("random", "as_many")):
            value = at(curve, order, size)["value"] if size else np.nan
            numbers[f"r2_{name}_{percent}"] = value
    return numbers


def people(
    x: np.ndarray,
    poz: np.ndarray,
    orders: Mapping[str, list[np.ndarray]],
    human: np.ndarray,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """R2 with judged similarities: all nodes, fifths of them, and without high PoZ.

    Differences have 95 % intervals from the paired bootstrap over images; orders of a
    kind are averaged within each resample.
    """
    fifth = number_at(FIFTH, len(poz))
    masks = {name: [o[:fifth] for o in some] for name, some in orders.items()}
    masks["without"] = [np.flatnonzero(poz <= DROPPED["over 90%"])]
    masks["all"] = [np.arange(len(poz))]
    counts = inference.bootstrap_counts(len(x), n_resamples, rng)
    counts = np.concatenate([np.ones((1, len(x)), int), counts])
    pairs = [similarities(x[:, nodes]) for some in masks.values() for nodes in some]
    i, j = np.triu_indices(len(x), 1)
    scores = inference.weighted_r2(np.stack(pairs), human[i, j], counts, i, j)
    ends = np.cumsum([len(some) for some in masks.values()])[:-1]
    means = [part.mean(axis=1) for part in np.split(scores, ends, axis=1)]
    r2 = dict(zip(masks, means, strict=True))
    numbers = {f"people_{name}": values[0] for name, values in r2.items()}
    for one, other in (("lowest", "all"), ("lowest", "random"), ("without", "all")):
        difference = r2[one] - r2[other]
        low, high = inference.interval(difference[1:, None])[:, 0]
        name = f"people_{one}_minus_{other}"
        numbers |= {name: difference[0], f"{name}_low": low, f"{name}_high": high}
    return numbers


def gain(
    before: np.ndarray, after: np.ndarray, human: np.ndarray, n_resamples: int = 500
) -> dict[str, float]:
    """R2 with judged similarities of one embedding minus that of another, of the same
    images: ``change``, low and high (95 %, paired bootstrap over images)."""
    i, j = np.triu_indices(len(human), 1)
    rng = np.random.default_rng(SEED)
    counts = inference.bootstrap_counts(len(human), n_resamples, rng)
    counts = np.concatenate([np.ones((1, len(human)), int), counts])
    pairs = np.stack([similarities(before), similarities(after)])
    scores = inference.weighted_r2(pairs, human[i, j], counts, i, j)
    change = scores[:, 1] - scores[:, 0]
    low, high = inference.interval(change[1:, None])[:, 0]
    return {"change": change[0], "low": low, "high": high}


def similarities(x: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each pair of images; all NaN without nodes."""
    if not x.shape[1]:
        return np.full(len(x) * (len(x) - 1) // 2, np.nan)
    return rsa.upper_triangle(rsa.similarity_matrix(x))


# ---------------------------------------------------------- layers of convolutions
@functools.cache
def sampled(n_nodes: int) -> np.ndarray:
    """Positions, ascending, of all nodes or of `N_NODES` drawn at random."""
    rng = np.random.default_rng(SEED)
    return np.sort(rng.permutation(n_nodes)[:N_NODES])


def collect(images: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Embeddings from one image's layers after another, each (channels, rows, columns).

    By name of the layer (n_images, n_nodes), `sampled`, and of its averages over places
    as "<layer>, averaged" (n_images, channels).
    """
    rows: dict[str, list] = {}
    for layers in images:
        for name, values in layers.items():
            flat = values.reshape(-1)
            rows.setdefault(name, []).append(flat[sampled(flat.size)])
            averages = values.mean(axis=(1, 2), dtype=np.float64)
            rows.setdefault(f"{name}, averaged", []).append(averages)
    return {name: np.stack(values) for name, values in rows.items()}


# -------------------------------------------------------------------------- thresholds
def thresholds(
    x: np.ndarray, levels: Iterable[float], n_orders: int = 5, by_node: bool = False
) -> pd.DataFrame:
    """`profile` where a node counts as silent at or below a threshold.

    ``levels`` are in units of the mean absolute activation of the layer or, with
    ``by_node``, of each node. At 0 in a rectified layer this is PoZ.
    """
    x = np.asarray(x, np.float64)
    scale = np.abs(x).mean(axis=0) if by_node else np.abs(x).mean()
    rows = []
    for level in levels:
        numbers, _ = profile(x, n_orders=n_orders, off=x <= level * scale)
        rows.append({"threshold": level} | numbers)
    return pd.DataFrame(rows)


# ----------------------------------------------------------------------------- records
def load(arrays: data.Arrays) -> dict[str, pd.DataFrame]:
    """Frames by name from the arrays of ``data/layers.npz``, "frame/column"."""
    frames: dict[str, dict] = {}
    for path, values in arrays.items():
        name, column = path.split("/")
        frames.setdefault(name, {})[column] = values
    return {name: pd.DataFrame(columns) for name, columns in frames.items()}
