"""Record page 03's analysis of the sets of Peterson, Abbott & Griffiths (2018), which
cannot be redistributed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, prediction
from pipeline import extraction, judgments, manifest

SEED = 0
N_NULL = 100
"""Random orders in which the claims are tried as well."""


def record_sets(peterson: Path, command: str) -> None:
    """Analyse every set in the folder, laid out as `pipeline.judgments` says, with
    VGG-19's last pooling layer, into ``data/human_vgg19_pool5.npz``.

    Convolutions are computed as on a processor without AVX-512, so that they round in
    the same way on most machines.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    predictions, inputs = {}, []
    for name, judged in judgments.load_peterson(peterson).items():
        settings = {"preprocessing": extraction.VGG_TEAM, "cache": False}
        embeddings = extraction.embed(model, "features.36", judged.files, **settings)
        predictions[name] = prediction.predict(
            name,
            embeddings,
            judged.matrix,
            np.random.default_rng(SEED),
            n_null=N_NULL,
            reliability=reliability_of(judged.halves),
        )
        hashes = (data.sha256(array)[:12] for array in (embeddings, judged.matrix))
        inputs.append(" ".join([name, *hashes]))
        r2 = predictions[name].r2
        print(f"{name}: R2 {r2[-1]:.3f}, largest {np.nanmax(r2):.3f}", flush=True)
    target = data.data_folder() / "human_vgg19_pool5.npz"
    save(predictions, target)
    hashes = f"sha256 of embeddings and judgments: {'; '.join(inputs)}"
    manifest.register(target, command, seed=str(SEED), inputs=hashes)


def reliability_of(halves: np.ndarray) -> float:
    """Reliability of the mean of two halves of the judgments, (2, n_pairs).

    NaN where they are not known: (0, n_pairs).
    """
    if len(halves) != 2:
        return np.nan
    return float(inference.spearman_brown(np.corrcoef(halves)[0, 1]))


def save(predictions: Mapping[str, prediction.Prediction], path: Path) -> None:
    """Write what `helpers.prediction.load` reads; R2 at every size in float32."""
    arrays = {}
    for key, analysis in predictions.items():
        for name in (field.name for field in fields(analysis)):
            value = getattr(analysis, name)
            if isinstance(value, pd.DataFrame):  # an empty one leaves no array
                for column, values in value.reset_index().items() if len(value) else ():
                    arrays[f"{key}/{name}/{column}"] = np.array(values.tolist())
            else:
                dtype = np.float32 if name == "r2" else None
                arrays[f"{key}/{name}"] = np.asarray(value, dtype)
    np.savez_compressed(path, **arrays)
