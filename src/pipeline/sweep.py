"""The sweep of page 06: a unit is a network, a layer and a data set.

For another question, pass another function like `point` to `pipeline.cluster.units`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers import data, ensembles, rsa, sparsity
from pipeline.cluster import Result, Unit

LAYERS = {"conv2": 7, "fc1": 9, "fc2": 11}
"""LeNet-5's modules up to a layer's post-ReLU output: 400 (pooled), 120, 84 nodes."""


def point(
    dataset: str, layer: str, seed: int, n_images: int, proportions: tuple[float, ...]
) -> Result:
    """A layer of a shipped LeNet-5, for the first test images of the shipped sample.

    Returns the proportion of nodes with PoZ ``above_80`` percent, the number of
    ``ghosts`` and of ``nodes``, and ``r2`` (n_proportions,) of the lowest-PoZ
    ``proportions`` of the nodes with the similarity matrix of all nodes.
    """
    import torch

    from pipeline import networks, training

    torch.set_num_threads(1)
    model = training.load_shipped(dataset, seed + 1).model(seed)
    images = data.load_sample(dataset).x_test[:n_images]
    with torch.no_grad():
        inputs = networks.as_input(images, dataset)
        x = model[: LAYERS[layer]](inputs).flatten(1).numpy()
    poz = sparsity.percentage_of_zeros(x)
    sizes = np.unique([ensembles.size_of_share(p, x.shape[1]) for p in proportions])
    order, options = sparsity.poz_order(poz), {"undefined": "drop", "engine": "numpy"}
    return {
        "above_80": np.mean(poz > 0.8),
        "ghosts": np.sum(poz == 1),
        "nodes": np.array(x.shape[1]),
        "r2": rsa.streamed_curve(x, order, x, sizes, **options).r2,
    }


def frame(work: Sequence[Unit], results: Sequence[Result]) -> pd.DataFrame:
    """A row per unit: data set, layer, seed and what `point` gave.

    R2 is in columns such as "r2_20", for the lowest-PoZ 20 % of the nodes.
    """
    rows = []
    for unit, result in zip(work, results, strict=True):
        about = {key: unit.arguments[key] for key in ("dataset", "layer", "seed")}
        about |= {key: result[key].item() for key in ("above_80", "ghosts", "nodes")}
        names = [f"r2_{100 * share:.0f}" for share in unit.arguments["proportions"]]
        rows.append(about | dict(zip(names, result["r2"].tolist(), strict=True)))
    return pd.DataFrame(rows)


def means(points: pd.DataFrame) -> pd.DataFrame:
    """Mean over networks, a row per data set and layer."""
    return points.groupby(["dataset", "layer"], sort=False).mean().drop(columns="seed")
