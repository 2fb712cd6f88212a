"""Record page 03's analysis of the sets of Peterson, Abbott & Griffiths (2018), which
cannot be redistributed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, prediction, significance, sparsity
from pipeline import judgments, manifest

SEED = 0
N_ORDERS, N_REPEATS, N_NULL = 300, 200, 100
"""Random orders of the curve; repeats of the cross-validation, as with 20 the verdict
on a gain may depend on how the folds are drawn; random orders in which the claims are
tried as well (with 20 repeats)."""


def record_sets(peterson: Path, command: str) -> None:
    """Analyse every set in the folder, laid out as `pipeline.judgments` says, with
    VGG-19's last pooling layer, into ``data/human_vgg19_pool5.npz``.

    Embeddings are kept in `pipeline.datasets.cache_folder`. Convolutions are computed
    as on a processor without AVX-512, so that they round alike on most machines.
    """
    from pipeline import extraction  # needs torch, and nothing else here does

    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    predictions, inputs = {}, []
    for name, judged in judgments.load_peterson(peterson).items():
        settings = {"preprocessing": extraction.VGG_TEAM}
        embeddings = extraction.embed(model, "features.36", judged.files, **settings)
        analysis = prediction.predict(
            name,
            embeddings,
            judged.matrix,
            np.random.default_rng(SEED),
            n_orders=N_ORDERS,
            n_repeats=N_REPEATS,
            reliability=reliability_of(judged.halves),
        )
        rng = np.random.default_rng(SEED)
        null = in_random_orders(embeddings, judged.matrix, rng, N_NULL)
        predictions[name] = replace(analysis, null=null)
        hashes = (data.sha256(array)[:12] for array in (embeddings, judged.matrix))
        inputs.append(" ".join([name, *hashes]))
        print(predictions[name].rules.T.to_string(), flush=True)
    target = data.data_folder() / "human_vgg19_pool5.npz"
    save(predictions, target)
    hashes = f"sha256 of embeddings and judgments: {'; '.join(inputs)}"
    manifest.register(target, command, seed=str(SEED), inputs=hashes)


def in_random_orders(
    embeddings: np.ndarray,
    human: np.ndarray,
    rng: np.random.Generator,
    n_orders: int,
    n_resamples: int = 1000,
    n_repeats: int = 20,
) -> pd.DataFrame:
    """What the claims ask, for as many features in random orders: for each.

    Arguments as `helpers.prediction.predict`. A row for each order and rule, as
    `bootstrap_curve` gives them, with the gain of the chosen size.
    """
    poz = sparsity.percentage_of_zeros(embeddings)
    kept = np.array(list(sparsity.rules(poz).values()))
    given = inference.prepare(embeddings, np.arange(embeddings.shape[1]), human)
    rows = []
    for _ in range(n_orders):
        order = rng.permutation(embeddings.shape[1])
        drawn = replace(given, order=order, sizes=np.unique(kept[kept > 0]))
        curve = inference.bootstrap_curve(drawn, n_resamples=n_resamples, rng=rng)
        drawn = replace(given, order=order)
        gain = inference.nested_choice(drawn, n_repeats=n_repeats, rng=rng)[1]
        gain = dict(zip(prediction.GAIN, gain, strict=True))
        rows.append(curve.reindex(kept).reset_index(drop=True).assign(**gain))
    return pd.concat(dict(enumerate(rows)), names=["order", "rule"]).reset_index("rule")


def reliability_of(halves: np.ndarray) -> float:
    """Reliability of the mean of two halves of the judgments, (2, n_pairs).

    NaN where they are not known: (0, n_pairs).
    """
    if len(halves) != 2:
        return np.nan
    return float(significance.spearman_brown(np.corrcoef(halves)[0, 1]))


def save(predictions: Mapping[str, prediction.Prediction], path: Path) -> None:
    """Write what `helpers.prediction.load` reads."""
    arrays = {}
    for key, analysis in predictions.items():
        for name in (field.name for field in fields(analysis)):
            value = getattr(analysis, name)
            if isinstance(value, pd.DataFrame):  # an empty one leaves no array
                for column, values in value.reset_index().items() if len(value) else ():
                    arrays[f"{key}/{name}/{column}"] = np.array(values.tolist())
            else:
                arrays[f"{key}/{name}"] = np.asarray(value)
    np.savez_compressed(path, **arrays)
