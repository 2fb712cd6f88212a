"""One question put to every model of an ensemble; the unit of inference is the model.

Results are tidy frames with ``value``, a mean over models, and an interval from ``low``
to ``high``. Rows of R2 are named as in the claims: "low80_mnist_images" is that of the
80 % of the nodes with the lowest PoZ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from helpers import checks, rsa, sparsity
from helpers.data import Lenets

ITEMS = ("images", "class means")
SOURCES = ("all test images", "the items themselves")
"""The images that the PoZ is computed from."""
NOTABLE_R2 = 0.4
"""What some models exceed with their highest-PoZ nodes alone, says the paper (C4)."""
_SHORT = {"lowest": "low", "highest": "high", "class means": "classes"}


# ------------------------------------------------------------------ a row per model
def per_model(models: Mapping[str, Lenets]) -> pd.DataFrame:
    """A row per model: "set" (its key), "seed" and "accuracy" on the full test set.

    "rare" is the share of nodes with a PoZ above 80 %, "ghost_share" that with a PoZ of
    100 %, and "ghosts" their number.
    """
    frames = {}
    for name, model in models.items():
        is_ghost, rare = model.poz == 1, (model.poz > 0.8).mean(axis=1)
        columns = {"seed": model.seeds, "accuracy": model.accuracy, "rare": rare}
        columns |= {
            "ghosts": is_ghost.sum(axis=1),
            "ghost_share": is_ghost.mean(axis=1),
        }
        frames[name] = pd.DataFrame(columns)
    return pd.concat(frames, names=["set"]).reset_index("set")


def poz_orders(
    pozs: np.ndarray, first: str, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """An order of insertion for each model, from its PoZ: ``pozs`` (n_models, n_nodes).

    ``first`` is "lowest" or "highest" (PoZ) or "random"; or, of the nodes that fire,
    "rarest" (highest PoZ) or "live" (at random), ghosts last. ``rng`` draws at random.
    """
    checks.choice("first", first, ("lowest", "highest", "random", "live", "rarest"))
    if first in ("random", "live"):
        orders = [rng.permutation(len(poz)) for poz in pozs]
    else:
        orders = [sparsity.poz_order(poz, first != "lowest") for poz in pozs]
    if first in ("live", "rarest"):
        pairs = zip(pozs, orders, strict=True)
        orders = [o[np.argsort(poz[o] == 1, kind="stable")] for poz, o in pairs]
    return orders


def live_sizes(pozs: np.ndarray, shares: Iterable[float]) -> np.ndarray:
    """`size_of_share` of the nodes with a PoZ below 1, (n_models, n_shares)."""
    return np.array([[size_of_share(s, n) for s in shares] for n in (pozs < 1).sum(1)])


def insertion_curves(
    embeddings: Sequence[np.ndarray],
    orders: Sequence[np.ndarray],
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
) -> rsa.InsertionCurve:
    """Insertion curve of each model against its own full similarity matrix.

    Items without a similarity are left out at that size; R2 is NaN where they are more
    than half. ``embeddings`` is (n_models, n_items, n_nodes); ``r2`` and
    ``n_undefined`` of the result are (n_models, n_sizes), as ``sizes`` may be.
    """
    n_items, n_nodes = embeddings[0].shape
    sizes = np.arange(1, n_nodes + 1) if sizes is None else sizes
    of_each = np.broadcast_to(sizes, (len(embeddings), sizes.shape[-1]))
    r2, n_undefined = np.empty(of_each.shape), np.empty(of_each.shape, int)
    for i, (x, order) in enumerate(zip(embeddings, orders, strict=True)):
        own, at = np.unique(of_each[i], return_inverse=True)
        full = rsa.similarity_matrix(x, similarity)
        curve = rsa.insertion_curve(x, order, full, own, similarity, "drop")
        r2[i], n_undefined[i] = curve.r2[at], curve.n_undefined[at]
    r2[2 * n_undefined > n_items] = np.nan
    return rsa.InsertionCurve(sizes, r2, n_undefined)


def left_out_r2(x: np.ndarray, nodes: np.ndarray, similarity: str = "pearson"):
    """R2 of `insertion_curves` of some nodes of one model, (n_items, n_nodes).

    (n_items + 1,): that of all items and, after that, without each of them.
    """
    x, y = (rsa.similarity_matrix(z, similarity) for z in (x[:, nodes], x))
    pairs = np.isfinite(x) & ~np.eye(len(x), dtype=bool)
    if 2 * np.isnan(np.diag(x)).sum() > len(x):
        return np.full(len(x) + 1, np.nan)
    x, y = (np.where(pairs, s - s[pairs].mean(), 0) for s in (x, y))
    sums = np.stack([t.sum(axis=1) for t in (pairs, x, y, x * x, y * y, x * y)])
    n, x, y, xx, yy, xy = sums.sum(axis=1)[:, None] / 2 - np.insert(sums, 0, 0, axis=1)
    return (n * xy - x * y) ** 2 / ((n * xx - x * x) * (n * yy - y * y))


def tie_range(
    models: Lenets, share: float, n_images: int, n_ties: int, rng: np.random.Generator
) -> np.ndarray:
    """Range of R2, (n_models,), over ``n_ties`` random orders within ties of the PoZ
    over the images that are drawn."""
    x = models.embeddings[:, models.draw(n_images, rng)]
    size = np.array([size_of_share(share, x.shape[2])])
    pozs, r2 = [sparsity.percentage_of_zeros(each) for each in x], []
    for _ in range(n_ties):
        orders = [sparsity.poz_order(poz, rng=rng) for poz in pozs]
        r2.append(insertion_curves(x, orders, size).r2[:, 0])
    return np.ptp(r2, axis=0)


# ------------------------------------------------------------- summaries over models
def size_of_share(share: float, n_nodes: int) -> int:
    """The number of nodes nearest to a ``share`` of them, at least 1."""
    return max(1, round(share * n_nodes))


def mean_over_models(
    values: np.ndarray, left_out: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Mean of ``values`` (n_models,) and the ends of its 95 % t-interval.

    Models without a value (NaN) are left out. With fewer than half of the models left
    the mean is NaN, because they are a biased sample; one model has no finite interval.
    With the values ``left_out`` without each item, (n_models, n_items), the interval is
    over items as well (`two_way_variance`).
    """
    defined = np.isfinite(values)
    n, values = defined.sum(), values[defined]
    if n == 0 or 2 * n < len(defined):
        return np.nan, -np.inf, np.inf
    mean, half = values.mean(), np.inf
    if n > 1 and left_out is None:
        half = stats.t.ppf(0.975, n - 1) * stats.sem(values)
    elif n > 1:
        error = np.sqrt(two_way_variance(values, left_out[defined]))
        half = stats.t.ppf(0.975, min(n, left_out.shape[1]) - 1) * error
    return float(mean), float(mean - half), float(mean + half)


def two_way_variance(values: np.ndarray, left_out: np.ndarray) -> float:
    """Variance of the mean of ``values`` (n_models,) over models and items.

    From pseudo-values of what is ``left_out`` (n_models, n_items): that of models plus
    that of items, minus the interaction, which is in both; never below either. It is
    2 (V_models + V_items) - V_both (Schuett et al. 2023, eLife 12:e82566) by jackknife.
    """
    n_models, n = left_out.shape
    pseudo = n * values[:, None] - (n - 1) * left_out
    rest = pseudo - pseudo.mean(axis=0) - pseudo.mean(axis=1, keepdims=True)
    of_models = values.var(ddof=1) / n_models
    of_items = pseudo.mean(axis=0).var(ddof=1) / n
    interaction = rest.var() / ((n_models - 1) * (n - 1))
    return max(of_models, of_items, of_models + of_items - interaction)


def mean_curves(
    curves: Mapping[tuple, np.ndarray], x: np.ndarray, columns: Sequence[str]
) -> pd.DataFrame:
    """Mean over models at every ``x``, with ``low`` and ``high`` one SD from it.

    ``curves`` are (n_models, n_points) in [0, 1]; their keys, and x, fill the
    ``columns``. NaN where fewer than half of the models have a value.
    """
    frames = []
    for key, curve in curves.items():
        values = pd.DataFrame(curve)
        mean, sd = values.mean().where(values.notna().mean() >= 0.5), values.std()
        low, high = (mean - sd).clip(0, 1), (mean + sd).clip(0, 1)
        summary = {"value": mean, "low": low, "high": high}
        named = dict(zip(columns, (*key, x), strict=True))
        frames.append(pd.DataFrame(named | summary))
    return pd.concat(frames, ignore_index=True)


def poz_distribution(
    pozs: Mapping[str, np.ndarray], cumulative: bool = False
) -> pd.DataFrame:
    """Share of nodes by "set" and "PoZ", in bins of 5 % (middle) or up to each percent.

    `mean_curves` of ``pozs`` (n_models, n_nodes).
    """
    edges = np.linspace(0, 1, 101 if cumulative else 21)
    curves = {}
    for name, models in pozs.items():
        counts = np.stack([np.histogram(poz, edges)[0] for poz in models])
        counts = counts.cumsum(axis=1) if cumulative else counts
        curves[name,] = counts / models.shape[1]
    x = edges[1:] if cumulative else (edges[1:] + edges[:-1]) / 2
    return mean_curves(curves, x, ("set", "PoZ"))


# ------------------------------------------------------------------------ tables of R2
def at_shares(
    curves: Mapping[tuple[str, str, str], rsa.InsertionCurve],
    shares: Iterable[float],
    n_nodes: int,
) -> pd.DataFrame:
    """R2 at shares of the nodes: `mean_over_models` in a row for each curve and share.

    ``curves``, by data set, items and order; one that lacks a size raises ValueError.
    "n_defined" models have a value, which exceeds `NOTABLE_R2` in "n_above" of them
    (NaN where the mean is); "n_undefined" items, on average, have no similarity.
    """
    rows = []
    for ((name, items, first), curve), share in product(curves.items(), shares):
        [at] = np.flatnonzero(curve.sizes == size_of_share(share, n_nodes))
        r2, n_undefined = curve.r2[:, at], curve.n_undefined[:, at].mean()
        mean = mean_over_models(r2)
        n_above = np.nan if np.isnan(mean[0]) else (r2 > NOTABLE_R2).sum()
        counts = np.isfinite(r2).sum(), n_above, n_undefined
        key = _key(first, share, name, items)
        rows.append((key, name, items, first, share, *mean, *counts))
    columns = ["key", "set", "items", "order", "share", "value", "low", "high"]
    columns += ["n_defined", "n_above", "n_undefined"]
    return pd.DataFrame(rows, columns=columns).set_index("key")


def _key(first: str, share: float, name: str, items: str) -> str:
    first, items = _SHORT.get(first, first), _SHORT.get(items, items)
    return f"{first}{100 * share:.0f}_{name}_{items}"


def subset_r2(
    embeddings: Mapping[tuple[str, str], np.ndarray],
    pozs: Mapping[str, np.ndarray],
    first: str,
    shares: Iterable[float],
    similarity: str = "pearson",
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """`at_shares` of curves at these sizes only, with a column "similarity".

    ``embeddings`` (n_models, n_items, n_nodes) are by data set and items, ``pozs``
    (n_models, n_nodes) by data set; ``first`` is an order of `poz_orders`.
    """
    n_nodes = next(iter(pozs.values())).shape[1]
    sizes = np.unique([size_of_share(share, n_nodes) for share in shares])
    curves = {}
    for (name, items), x in embeddings.items():
        orders = poz_orders(pozs[name], first, rng)
        curves[name, items, first] = insertion_curves(x, orders, sizes, similarity)
    return at_shares(curves, shares, n_nodes).assign(similarity=similarity)


def low_poz_r2(
    models: Lenets, share: float, n_images: int, rng: np.random.Generator
) -> pd.DataFrame:
    """R2 of the lowest-PoZ nodes under every combination of choices.

    `subset_r2` for each similarity, each of `ITEMS` and, in the column "PoZ from", each
    of `SOURCES`. The image-level matrices are those of ``n_images`` images.
    """
    drawn = models.embeddings[:, models.draw(n_images, rng)]
    embeddings = dict(zip(ITEMS, (drawn, models.class_means), strict=True))
    tables = []
    for (items, x), source in product(embeddings.items(), SOURCES):
        of_items = np.stack([sparsity.percentage_of_zeros(each) for each in x])
        pozs = {models.dataset: models.poz if source == SOURCES[0] else of_items}
        for similarity in rsa.SIMILARITIES:
            of = {(models.dataset, items): x}, pozs, "lowest", [share], similarity
            tables.append(subset_r2(*of).assign(**{"PoZ from": source}))
    return pd.concat(tables, ignore_index=True)


# ------------------------------------------------------------------------- by chance
def in_random_orders(
    embeddings: Mapping[tuple[str, str], np.ndarray],
    shares: Mapping[str, Iterable[float]],
    rng: np.random.Generator,
    similarity: str = "pearson",
    n_orders: int = 5,
    n_draws: int = 200,
    pozs: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """What `at_shares` would give if the nodes came in a random order.

    ``embeddings`` as for `subset_r2`, ``shares`` by order; with ``pozs`` like the
    embeddings, of the nodes that fire. Every model has ``n_orders`` random orders, of
    which a draw takes one. By the keys of `at_shares`, (n_draws, 3) means over models
    with their interval; and, with "_above" added, the number of models above
    `NOTABLE_R2`, (n_draws,).
    """
    draws = {}
    named = [(first, share) for first, some in shares.items() for share in some]
    for (name, items), x in embeddings.items():
        n_models = len(x)
        poz = np.zeros((n_models, x.shape[2])) if pozs is None else pozs[name, items]
        poz = np.tile(poz, (n_orders, 1))
        sizes = live_sizes(poz, [share for _, share in named])
        orders = poz_orders(poz, "live", rng)
        r2 = insertion_curves([*x] * n_orders, orders, sizes, similarity).r2
        r2 = r2.reshape(n_orders, n_models, -1)
        taken = rng.integers(n_orders, size=(n_draws, n_models))
        for at, (first, share) in enumerate(named):
            drawn = r2[taken, np.arange(n_models), at]
            key = _key(first, share, name, items)
            draws[key] = np.array([mean_over_models(values) for values in drawn])
            above = (drawn > NOTABLE_R2).sum(axis=1)
            draws[f"{key}_above"] = np.where(np.isnan(draws[key][:, 0]), np.nan, above)
    return draws


def rare_by_chance(
    pozs: np.ndarray, n_images: int, rng: np.random.Generator, n_draws: int = 200
) -> np.ndarray:
    """Share of nodes with a PoZ above 80 % if each model's zeros fell on any node.

    ``pozs`` is (n_models, n_nodes) over ``n_images``; (n_draws, 3) means over models
    with their interval.
    """
    mean = pozs.mean(axis=1, keepdims=True)
    zeros = rng.binomial(n_images, mean, (n_draws, *pozs.shape))
    rare = (zeros > 0.8 * n_images).mean(axis=2)
    return np.array([mean_over_models(values) for values in rare])
