"""Compute and record what the book cannot compute from what it ships.

``python scripts/record_human.py sets PETERSON``: section 2's analysis of the sets of Peterson, Abbott & Griffiths
(2018) that the folder holds (its layout: pipeline.judgments), with VGG-19 pool5, into ``data/human_vgg19_pool5.npz``.
``python scripts/record_human.py simulation``: false alarms of each test under no effect, into
``data/type_one_error.npz``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from helpers import ceilings, datasets, prediction, provenance, significance
from pipeline import extraction, judgments

SEED = 0
NOISES = ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0))
"""Standard deviations of image and pair noise that the simulation is run with."""


def record_sets(folder: Path, target: Path) -> dict[str, str]:
    """Analyse every set in ``folder``; returns what to note in the manifest."""
    model = extraction.vgg19_conv(folder / "vgg19_conv_bgr.safetensors")
    found, hashes = {}, []
    for name, judged in judgments.load_peterson(folder).items():
        embeddings = extraction.embed(model, "features.36", judged.files, preprocessing=extraction.VGG_TEAM)
        reliability = np.nan
        if len(judged.raters) == 2:
            reliability = ceilings.spearman_brown(np.corrcoef(judged.raters)[0, 1])
        rng = np.random.default_rng(SEED)
        found[name] = prediction.predict(name, embeddings, judged.matrix, rng, reliability=reliability)
        hashes.append(f"{name} {provenance.sha256(embeddings)[:12]} {provenance.sha256(judged.matrix)[:12]}")
        print(f"{name}: R2 {found[name].curve[-1]:.3f}, best {np.nanmax(found[name].curve):.3f}", flush=True)
    prediction.save(found, target)
    return {"inputs": f"sha256 of embeddings and judgments: {'; '.join(hashes)}", "seed": str(SEED)}


def record_simulation(n_simulations: int, target: Path) -> dict[str, str]:
    """False alarms at each noise; returns what to note in the manifest."""
    runs = [
        significance.type_one_error(
            n_simulations, 60, 80, rng=np.random.default_rng(SEED), image_noise=image, pair_noise=pair
        )
        for image, pair in NOISES
    ]
    np.savez_compressed(
        target, tests=np.array(runs[0].tests), noises=np.array(NOISES), n_simulations=n_simulations,
        rate=np.stack([run.rate for run in runs]), interval=np.stack([run.interval for run in runs]),
    )  # fmt: skip
    return {"inputs": "none: simulated", "seed": str(SEED)}


def main() -> None:
    """Record and enter into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("sets").add_argument("folder", type=Path, help="folder with a folder per set")
    kinds.add_parser("simulation").add_argument("--simulations", type=int, default=1000)
    options = parser.parse_args()
    if options.kind == "sets":
        target = datasets.data_folder() / "human_vgg19_pool5.npz"
        notes, command = record_sets(options.folder, target), "make human PETERSON=folder"
        source = "computed here from judgments of Peterson, Abbott & Griffiths (2018) and VGG-19 (VGG team's weights)"
    else:
        target = datasets.data_folder() / "type_one_error.npz"
        notes = record_simulation(options.simulations, target)
        command = f"python scripts/record_human.py simulation --simulations {options.simulations}"
        source = "simulated here"
    versions = ", ".join(f"{name} {version}" for name, version in provenance.core_versions().items())
    datasets.register(target, source, "CC BY 4.0", command, versions=versions, machine=provenance.machine(), **notes)


if __name__ == "__main__":
    main()
