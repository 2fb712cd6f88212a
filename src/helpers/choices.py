"""What choices that the paper leaves open do to claims on insertion: similarity, items, images behind the PoZ."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from helpers import ensembles, lenets, rsa, sparsity

ITEMS = ("images", "class means")
SOURCES = ("all test images", "the items themselves")


def low_poz_r2(
    models: lenets.Lenets, share: float, n_images: int, rng: np.random.Generator, similarities=rsa.SIMILARITIES
) -> pd.DataFrame:
    """R2 of the nodes with the lowest PoZ with the full matrix, under every combination of choices.

    Parameters
    ----------
    models : of one data set.
    share : of the nodes that is kept, in (0, 1].
    n_images : images in the image-level matrices.

    Returns
    -------
    DataFrame with "similarity", "items" (`ITEMS`), "PoZ from" (`SOURCES`), "R2" (mean over models; NaN where it is
    defined in fewer than half of them), and the ends "low" and "high" of its 95 % interval over models.
    """
    size = ensembles.size_of_share(share, models.poz.shape[1])
    x = {"images": models.embeddings[:, models.draw(n_images, rng)], "class means": models.class_means}
    lines = []
    for items, source, similarity in product(ITEMS, SOURCES, similarities):
        pozs = models.poz if source == SOURCES[0] else [sparsity.percentage_of_zeros(one) for one in x[items]]
        orders = ensembles.poz_orders(pozs, "lowest")
        r2 = ensembles.insertion_curves(x[items], orders, np.array([size]), similarity).r2[:, 0]
        found = ensembles.mean_over_models(r2)
        lines.append((similarity, items, source, found.value, found.low, found.high))
    return pd.DataFrame(lines, columns=["similarity", "items", "PoZ from", "R2", "low", "high"])


def tie_range(models: lenets.Lenets, share: float, n_images: int, n_ties: int, rng: np.random.Generator) -> np.ndarray:
    """Range of R2 over random orders within ties of PoZ, (n_models,), over images; PoZ from these images."""
    size = np.array([ensembles.size_of_share(share, models.poz.shape[1])])
    x = models.embeddings[:, models.draw(n_images, rng)]
    pozs = [sparsity.percentage_of_zeros(one) for one in x]
    r2 = [
        ensembles.insertion_curves(x, [sparsity.poz_order(poz, rng=rng) for poz in pozs], size).r2[:, 0]
        for _ in range(n_ties)
    ]
    return np.ptp(r2, axis=0)
