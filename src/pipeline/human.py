"""Record what page 03 shows and cannot compute from what is shipped.

`record_sets`: the analysis of the sets of Peterson, Abbott & Griffiths (2018) that a
folder holds (laid out as `pipeline.judgments` says), with VGG-19 pool5.
`record_simulation`: false alarms of each test where there is no effect.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import data, inference, prediction
from pipeline import extraction, judgments, manifest

SEED = 0
LICENCE = "CC BY 4.0"
NOISES = ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0))
"""Standard deviations of image and pair noise that are simulated."""


def record_sets(peterson: Path, command: str) -> None:
    """Analyse every set in the folder into ``data/human_vgg19_pool5.npz``.

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
            reliability=reliability_of(judged.halves),
        )
        hashes = (data.sha256(array)[:12] for array in (embeddings, judged.matrix))
        inputs.append(" ".join([name, *hashes]))
        r2 = predictions[name].r2
        print(f"{name}: R2 {r2[-1]:.3f}, largest {np.nanmax(r2):.3f}", flush=True)
    target = data.data_folder() / "human_vgg19_pool5.npz"
    prediction.save(predictions, target)
    source = (
        "computed here from judgments of Peterson, Abbott & Griffiths (2018) and "
        "VGG-19 (VGG team's weights)"
    )
    hashes = f"sha256 of embeddings and judgments: {'; '.join(inputs)}"
    register(target, source, command, inputs=hashes)


def reliability_of(halves: np.ndarray) -> float:
    """Reliability of the mean of two halves of the judgments, (2, n_pairs).

    NaN where they are not known: (0, n_pairs).
    """
    if len(halves) != 2:
        return np.nan
    return float(inference.spearman_brown(np.corrcoef(halves)[0, 1]))


def record_simulation(simulations: int, command: str) -> None:
    """Simulate studies at each noise, into ``data/type_one_error.npz``."""
    conditions = []
    for image, pair in NOISES:
        rng = np.random.default_rng(SEED)
        noise = {"image_noise": image, "pair_noise": pair}
        rates = prediction.type_one_error(simulations, 60, 80, rng=rng, **noise)
        conditions.append(rates.assign(**noise, n_simulations=simulations))
    frame = pd.concat(conditions, ignore_index=True)
    target = data.data_folder() / "type_one_error.npz"
    np.savez_compressed(target, **{k: np.array(v.tolist()) for k, v in frame.items()})
    register(target, "simulated here", command, inputs="none: simulated")


def register(target: Path, source: str, command: str, **notes: str) -> None:
    """Enter a recorded file into the manifest, with what it was recorded by."""
    versions = ", ".join(f"{name} {v}" for name, v in data.versions().items())
    notes |= {"versions": versions, "machine": data.machine(), "seed": str(SEED)}
    manifest.register(target, command, source=source, licence=LICENCE, **notes)
    print(f"wrote {target.name}")
