"""The same question asked of every model of an ensemble: the unit of inference is the model (its seed)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from helpers import checks, rsa, sparsity
from helpers.claims import Finding, exact


def class_means(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean embedding of each class, (n_classes, n_features), classes in ascending order of their label.

    Raises
    ------
    ValueError : labels is not (n_images,).
    """
    x, labels = checks.embeddings(embeddings), np.asarray(labels)
    if labels.shape != (len(x),):
        raise ValueError(f"labels must be ({len(x)},), one per image; got shape {labels.shape}.")
    return np.stack([x[labels == label].mean(axis=0) for label in np.unique(labels)])


def poz_orders(pozs: np.ndarray, first: str, rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """An order of insertion per model: the "lowest" PoZ first, the "highest" first, or "random" (``rng`` draws it).

    ``pozs`` is (n_models, n_features).
    """
    checks.choice("first", first, ("lowest", "highest", "random"))
    if first == "random":
        return [rng.permutation(len(poz)) for poz in pozs]
    return [sparsity.poz_order(poz, highest_first=first == "highest") for poz in pozs]


def insertion_curves(
    embeddings: np.ndarray,
    orders: list[np.ndarray],
    sizes: np.ndarray | None = None,
    similarity: str = "pearson",
    undefined: str = "drop",
    min_defined: float = 0.5,
) -> rsa.InsertionCurve:
    """Insertion curve of each model against its own full similarity matrix.

    Parameters
    ----------
    embeddings : (n_models, n_items, n_features).
    orders : a permutation of the features per model.
    sizes, similarity, undefined : as `rsa.insertion_curve`.
    min_defined : R2 is NaN where a smaller share of the items than this has a defined similarity.

    Returns
    -------
    InsertionCurve with ``sizes`` (n_sizes,), ``r2`` and ``n_undefined`` (n_models, n_sizes).
    """
    curves = [
        rsa.insertion_curve(x, order, rsa.similarity_matrix(x, similarity), sizes, similarity, undefined)
        for x, order in zip(embeddings, orders, strict=True)
    ]
    r2, n_undefined = (np.stack([getattr(curve, name) for curve in curves]) for name in ("r2", "n_undefined"))
    too_few = n_undefined > (1 - min_defined) * embeddings.shape[1]
    return rsa.InsertionCurve(curves[0].sizes, np.where(too_few, np.nan, r2), n_undefined)


def size_of_share(share: float, n_features: int) -> int:
    """Number of features that is ``share`` of all, rounded to the nearest whole number, at least 1."""
    return max(1, round(share * n_features))


def mean_over_models(values: np.ndarray, level: float = 0.95) -> Finding:
    """Mean over models with its t-interval; models where the value is undefined (NaN) are left out.

    ``values`` is (n_models,). NaN where fewer than half of the models are defined, for they would be a selected
    remainder; the interval of a single model is as wide as can be.
    """
    defined = values[~np.isnan(values)]
    if not defined.size or 2 * defined.size < values.size:
        return Finding(np.nan, -np.inf, np.inf)
    if defined.size == 1:
        return Finding(float(defined[0]), -np.inf, np.inf)
    mean = defined.mean()
    half = stats.t.ppf((1 + level) / 2, defined.size - 1) * defined.std(ddof=1) / np.sqrt(defined.size)
    return Finding(float(mean), float(mean - half), float(mean + half))


def models_above(values: np.ndarray, above: float) -> Finding:
    """How many models' values, (n_models,), exceed ``above``: exact; NaN where fewer than half of them are defined."""
    defined = values[~np.isnan(values)]
    return exact((defined > above).sum() if defined.size and 2 * defined.size >= values.size else np.nan)
