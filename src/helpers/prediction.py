"""Section 2's questions, asked of one set of images with judgments: the same for what is live and what is recorded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from helpers import inference, rsa, significance, sparsity


@dataclass(frozen=True, eq=False)
class Prediction:
    """How well a network's similarities predict people's as features are inserted from low to high PoZ.

    ``curve`` (n_features,) R2 at every size; ``poz`` (n_features,). At ``sizes`` (n_sizes,): ``band`` (2, n_sizes) of
    R2; ``difference`` from all features with pointwise ``difference_band``, ``simultaneous_band`` and ``adjusted_p``
    (max statistic); ``ties`` (2, n_sizes) range over random orders within ties; ``null`` (2, n_sizes), where 95 % of
    random orders lie, and ``percentile`` of the PoZ order among them, at ``null_sizes``. Of the pruning ``rules``:
    ``rule_sizes``, ``rule_difference``, ``rule_band`` (2, n_rules) and p by bootstrap, by calibrated bootstrap and by
    Steiger on pairs, ``rule_p`` (3, n_rules). ``held_out`` chosen minus full R2 on held-out images: value, low, high,
    p; ``held_out_r2`` of chosen and full; ``chosen`` sizes. Bands are 95 %, NaN where any of their draws is
    undefined. ``n_missing`` judgments; ``reliability`` of the judgments, the R2 a perfect model would reach (NaN
    where single raters are not known). ``n_undefined`` (3,): resamples, random orders (most at a size) and splits
    without a defined value, which are left out.
    """

    name: str
    n_images: int
    poz: np.ndarray
    curve: np.ndarray
    sizes: np.ndarray
    band: np.ndarray
    difference: np.ndarray
    difference_band: np.ndarray
    simultaneous_band: np.ndarray
    adjusted_p: np.ndarray
    ties: np.ndarray
    null_sizes: np.ndarray
    null: np.ndarray
    percentile: np.ndarray
    rules: np.ndarray
    rule_sizes: np.ndarray
    rule_difference: np.ndarray
    rule_band: np.ndarray
    rule_p: np.ndarray
    held_out: np.ndarray
    held_out_r2: np.ndarray
    chosen: np.ndarray
    n_missing: int
    reliability: float
    n_undefined: np.ndarray

    @property
    def n_features(self) -> int:
        """Number of features of the full embedding."""
        return len(self.poz)

    @property
    def best_size(self) -> int:
        """Size of the largest R2, picked on the data it is scored on: optimistic."""
        return int(np.nanargmax(self.curve)) + 1

    @property
    def enough(self) -> float:
        """Share of the features from which on R2 stays at 95 % of the full embedding's or above."""
        whole = np.arange(1, self.n_features + 1)
        curve = rsa.InsertionCurve(whole, self.curve, np.zeros_like(whole))
        return inference.enough(curve) / self.n_features


def predict(
    name: str,
    embeddings: np.ndarray,
    human: np.ndarray,
    rng: np.random.Generator,
    similarity: str = "pearson",
    n_resamples: int = 1000,
    n_orders: int = 1000,
    n_ties: int = 20,
    n_repeats: int = 20,
    reliability: float = np.nan,
) -> Prediction:
    """Analyse one set.

    Parameters
    ----------
    embeddings : (n_images, n_features), post-ReLU.
    human : (n_images, n_images) or (n_pairs,) similarities; NaN pairs are dropped and counted.
    similarity : as ``method`` of `helpers.rsa.similarity_matrix`.
    n_resamples, n_orders, n_ties, n_repeats : bootstrap resamples, random orders, random tie-breaks, repeats of the
        cross-validation.
    reliability : of the judgments (`helpers.ceilings.split_half_reliability`), carried along.

    Raises
    ------
    ValueError : as the functions of `helpers.inference`.
    """
    poz = sparsity.percentage_of_zeros(embeddings)
    order, n = sparsity.poz_order(poz), embeddings.shape[1]
    rules = inference.rules(poz)
    sizes = np.union1d(inference.spaced_sizes(n), [size for size in rules.values() if size])
    null_sizes = inference.spaced_sizes(n, 50)
    boot = inference.bootstrap_curve(embeddings, order, human, sizes, similarity, n_resamples, rng=rng)
    null = inference.random_order_null(embeddings, human, order, null_sizes, n_orders, similarity, rng=rng)
    nested = inference.nested_choice(
        embeddings, order, human, sizes, n_repeats=n_repeats, similarity=similarity, rng=rng
    )
    orders = [sparsity.poz_order(poz, rng=rng) for _ in range(n_ties)]
    ties = np.stack([human_curve(embeddings, one, human, sizes, similarity) for one in orders])
    kept = np.array(list(rules.values()))
    at = np.searchsorted(sizes, np.maximum(kept, sizes[0]))

    def of_rules(values):
        """Values at the rules' sizes, NaN where a rule keeps no feature."""
        return np.where(kept > 0, values[..., at], np.nan)

    steiger = np.where(kept > 0, _steiger(embeddings, order, human, sizes[at], similarity), np.nan)
    both = np.isfinite(nested.held_out - nested.held_out_full)
    return Prediction(
        name, len(embeddings), poz, human_curve(embeddings, order, human, None, similarity), sizes, boot.band,
        boot.difference, boot.difference_band, boot.simultaneous_band, boot.adjusted_p,
        np.stack([ties.min(axis=0), ties.max(axis=0)]), null_sizes, np.quantile(null.null, [0.025, 0.975], axis=0),
        null.percentile, np.array(list(rules)), kept, of_rules(boot.difference), of_rules(boot.difference_band),
        np.stack([of_rules(boot.p), of_rules(boot.calibrated_p), steiger]),
        np.array([nested.difference, *nested.interval, nested.p]),
        np.array([nested.held_out[both].mean(), nested.held_out_full[both].mean()]), nested.chosen.ravel(),
        boot.n_missing_pairs, reliability,
        np.array([boot.n_undefined_resamples, null.n_undefined.max(), nested.n_undefined_splits]),
    )  # fmt: skip


def human_curve(
    embeddings: np.ndarray, order: np.ndarray, human: np.ndarray, sizes: np.ndarray | None, similarity: str
) -> np.ndarray:
    """R2 with human similarities at each size (default every one), (n_sizes,); NaN pairs are dropped.

    Sizes at which an image's similarity is undefined are NaN. Raises ValueError for bad embeddings, order, human or
    sizes.
    """
    y, i, j = inference._human_pairs(human, len(embeddings))
    sizes = np.arange(1, embeddings.shape[1] + 1) if sizes is None else sizes
    n_blocks = 1 if len(y) == inference._n_pairs(len(embeddings)) else max(1, len(sizes) // 100)  # for memory
    blocks = np.array_split(sizes, n_blocks)
    return np.concatenate(
        [inference._order_scorer(embeddings, block, similarity, y, i, j, n_orders=1)(order) for block in blocks]
    )


def _steiger(embeddings, order, human, sizes, similarity) -> np.ndarray:
    """p of Steiger's test on pairs, pruned against full, at ``sizes``: the liberal contrast."""
    human = np.asarray(human, dtype=np.float64)
    y = rsa.upper_triangle(human) if human.ndim == 2 else human
    distinct, back = np.unique(np.append(sizes, embeddings.shape[1]), return_inverse=True)
    similarities = rsa.partial_similarities(embeddings, order, distinct, similarity)[:, np.isfinite(y)]
    y = y[np.isfinite(y)]
    r = np.corrcoef(np.vstack([y, similarities[back]]))
    return significance.dependent_correlations(r[0, 1:-1], r[0, -1], r[-1, 1:-1], len(y)).steiger_p


# -------------------------------------------------------------------------------------------------------------- records
def save(predictions: dict[str, Prediction], path: Path) -> None:
    """Record predictions as one compressed .npz file; curves in single precision, all else as it is."""
    arrays = {}
    for key, prediction in predictions.items():
        for field, value in asdict(prediction).items():
            arrays[f"{key}/{field}"] = np.asarray(value, dtype=np.float32 if field == "curve" else None)
    np.savez_compressed(path, **arrays)


def load(arrays: dict[str, np.ndarray]) -> dict[str, Prediction]:
    """Predictions from the arrays of a file that `save` wrote (`helpers.datasets.read_shipped`), by set."""
    keys = list(dict.fromkeys(name.split("/")[0] for name in arrays))
    plain = {name: value[()] if value.ndim == 0 else value for name, value in arrays.items()}
    return {
        key: Prediction(**{n.split("/")[1]: v for n, v in plain.items() if n.startswith(f"{key}/")}) for key in keys
    }
