"""What page 04 needs from networks that it does not run and from images that cannot be
redistributed. Each command writes one file; its frames are read by
`helpers.ghosts.load`.

``ghosts-cifar10 LPIPS_WEIGHTS``: the shipped CIFAR-10 test images in VGG-16 (pool5),
their activations on the ghosts of four kinds of the 92 objects.

``ghosts-fruits PETERSON``: the same images in VGG-19 (pool5), their activations on the
ghosts of fruits and vegetables, sets of Peterson, Abbott & Griffiths (2018).

``ghosts-imagenet PETERSON IMAGES WORDNET``: the ghosts of all of these sets, probed
with labelled ImageNet images; numbers and names of labels only.

PETERSON is laid out as `pipeline.judgments` says. IMAGES holds ``dataset.txt``, a line
"name, label" (0..999) per image; the images, in ``images/``; and ``synset_words.txt``,
a line "n01440764 tench, Tinca tinca" per label. WORDNET is ``data.noun``, see
`pipeline.wordnet`. The paper's layer is another model and node: "vgg19",
"classifier.4". VGG-19's convolutions are computed as on a processor without AVX-512,
so that they round in the same way on most machines.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import data, ghosts, retrieval, sparsity
from pipeline import (
    descriptions,
    extraction,
    ghost_controls,
    judgments,
    manifest,
    objects92,
)
from pipeline.ghost_controls import N_COMPONENTS, N_TOP
from pipeline.wordnet import CATEGORIES, group_of, read_synsets

SEED = 0
PER_CLASS = 100
"""CIFAR-10 images of each class whose activations are shipped."""
N_SPLITS, N_RANDOM, N_DRAWS, N_DRAWS_CIFAR10 = 50, 1000, 100, 40
VGG19 = extraction.POOL5["vgg19"]
CROPPED = extraction.Preprocessing(
    None, 224, mean=extraction.VGG_TEAM.mean, sd=extraction.VGG_TEAM.sd
)
"""For images that have been scaled already: only crop."""
ENLARGED = extraction.Preprocessing(
    224, None, mean=extraction.VGG_TEAM.mean, sd=extraction.VGG_TEAM.sd
)
LAYOUT = (
    "nonzero: bits of x.T != 0 (numpy.packbits) and values: x.T where not zero, of x "
    "(images, features): images: positions in the shipped test images; features: "
    "positions in the layer; ghosts: bits of (sets, features), which are ghosts of "
    "each of sets; frame/level/name (of the index) and frame/column/name, for the "
    "frames: draws (by set, features and draw): of pipeline.ghost_controls.compare"
)


def pin() -> None:
    """The same bits every time, on most machines."""
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    torch.set_num_threads(1)


# --------------------------------------------------------------------------- CIFAR-10
def record_cifar10(lpips_weights: Path, command: str) -> None:
    """Write ``data/ghosts_cifar10.npz``."""
    torch.set_num_threads(1)  # the same bits every time
    model, sample = objects92.read_vgg16(lpips_weights), data.load_sample("cifar10")
    node, preprocessing = extraction.POOL5["vgg16"], objects92.PREPROCESSING
    corpus = extraction.embed(model, node, sample.x_test, preprocessing=preprocessing)
    objects, rng = data.load_objects92(), np.random.default_rng(SEED)
    kinds = ghosts.kinds92(objects)
    sets = {kind: objects.embeddings[member] for kind, member in kinds.items()}
    scores = [retrieval.query_scores(x, corpus, rng) for x in sets.values()]
    scores = [[s[name] for name in retrieval.RANKINGS[:-1]] for s in scores]
    classes = np.array(sample.classes)[sample.y_test]
    shown = data.stratified(sample.y_test, PER_CLASS, rng)
    own = {kind: np.isin(classes, ghosts.CIFAR10_OWN.get(kind, ())) for kind in sets}
    frames = defaultdict(dict)
    for kind in ghosts.CIFAR10_OWN:
        poz, member = sparsity.percentage_of_zeros(sets[kind]), own[kind]
        frames["graded"][kind] = ghost_controls.graded(poz, corpus, member)
        frames["areas"][kind] = ghost_controls.query_areas(
            corpus, np.sum(poz == 1), ~member, N_DRAWS, np.random.default_rng(SEED)
        )
    own = {kind: member[shown] for kind, member in own.items()}
    arrays = {
        "fires": np.packbits((corpus != 0).any(axis=0)),
        "rankings": np.array(retrieval.RANKINGS[:-1]),
        "scores": np.array(scores, dtype=np.float32),
    }
    arrays |= as_arrays({k: pd.concat(v, names=["set"]) for k, v in frames.items()})
    more = (
        "; graded and areas (by set): of pipeline.ghost_controls; fires: bits, which "
        "of all features fire for any of the 2000 images; scores (sets, rankings, "
        "2000) of helpers.retrieval.query_scores"
    )
    about = {"layout": LAYOUT + more}
    ship("ghosts_cifar10.npz", command, sets, corpus, shown, own, arrays, about)


def record_fruits(peterson: Path, command: str) -> None:
    """Write ``data/ghosts_fruits_cifar10.npz``."""
    pin()
    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    sample, shown = data.load_sample("cifar10"), np.arange(2000)
    corpus = extraction.embed(model, VGG19, sample.x_test, preprocessing=ENLARGED)
    sets = embed_sets(model, peterson)
    sets = {name: sets[name] for name in ("fruits", "vegetables")}
    own = dict.fromkeys(sets, np.zeros(len(shown), bool))  # none of them in CIFAR-10
    about = {
        "layout": LAYOUT,
        "preprocessing": "torchvision Resize(224), bilinear with antialiasing, no crop",
        "source": "computed here from cifar10_sample_test.webp (Krizhevsky 2009) and "
        "images of Peterson, Abbott & Griffiths (2018), not included, with VGG-19 (VGG "
        "team's weights), node features.36 (pool5)",
        "licence": "CC BY 4.0; CIFAR-10 with attribution",
    }
    ship("ghosts_fruits_cifar10.npz", command, sets, corpus, shown, own, {}, about)


def ship(
    name: str,
    command: str,
    sets: Mapping[str, np.ndarray],
    corpus: np.ndarray,
    shown: np.ndarray,
    own: Mapping[str, np.ndarray],
    more: Mapping[str, np.ndarray],
    about: Mapping[str, str],
) -> None:
    """Write activations of ``corpus``, of the ``shown`` images, on ghosts of ``sets``,
    and draws of other features; ``own`` (n_shown,) are the images of each category, and
    ``about`` are texts for the manifest.
    """
    sample, rng = data.load_sample("cifar10"), np.random.default_rng(SEED)
    classes = np.array(sample.classes)[sample.y_test[shown]]
    poz = {kind: sparsity.percentage_of_zeros(x) for kind, x in sets.items()}
    draws = {
        kind: ghost_controls.compare(
            poz[kind], corpus[shown], classes, own[kind], rng, N_DRAWS_CIFAR10
        )
        for kind in sets
    }
    silent = np.array([x == 1 for x in poz.values()])
    features = np.flatnonzero(silent.any(axis=0))
    exact = corpus[np.ix_(shown, features)]
    bits, values = manifest.pack_sparse(rounded(exact))
    large = exact > 1e-3
    change = np.abs(rounded(exact)[large] / exact[large] - 1).max()
    np.savez_compressed(
        target := data.data_folder() / name,
        features=features.astype(np.uint16),
        images=shown.astype(np.uint16),
        nonzero=bits,
        values=values,
        sets=np.array(list(sets)),
        ghosts=np.packbits(silent[:, features], axis=1),
        **as_arrays({"draws": pd.concat(draws, names=["set"])}),
        **more,
    )
    hashes = {"corpus": corpus} | dict(sets)
    hashes = "; ".join(f"{k} {data.sha256(x)[:12]}" for k, x in hashes.items())
    texts = {
        "selection": f"ghosts of at least one set, {len(features)} features, for "
        f"{len(shown)} of the shipped images",
        "rounding": "non-zero values to 5 significant bits, relative change at most "
        f"{change:.1e} above 1e-3; the pattern of zeros is exact",
    }
    inputs = f"sha256 of activations: {hashes}"
    manifest.register(target, command, seed=str(SEED), inputs=inputs, **texts, **about)


def rounded(x: np.ndarray) -> np.ndarray:
    """Post-ReLU activations to five significant bits; none becomes zero."""
    fraction, exponent = np.frexp(x)
    values = np.ldexp(np.round(fraction * 32) / 32, exponent)
    return np.where(x > 0, np.maximum(values, 2.0**-12), 0).astype(np.float32)


# --------------------------------------------------------------------------- ImageNet
def record_imagenet(peterson: Path, images: Path, wordnet: Path, command: str) -> None:
    """Write ``data/ghosts_imagenet.npz``."""
    pin()
    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    files, labels = read_labels(images)
    corpus = extraction.embed(model, VGG19, files, preprocessing=CROPPED)
    sets = embed_sets(model, peterson)
    names, above = read_synsets(images / "synset_words.txt", wordnet)
    frames = record(sets, corpus, labels, names, above, descriptions.describe(files))
    target = data.data_folder() / "ghosts_imagenet.npz"
    np.savez_compressed(target, **as_arrays(frames))
    inputs = (sets | {"corpus": corpus}).items()
    hashes = "; ".join(f"{name} {data.sha256(x)[:12]}" for name, x in inputs)
    manifest.register(
        target,
        command,
        seed=str(SEED),
        inputs=f"sha256 of activations: {hashes}",
        layout="frame/level/name (of the index) and frame/column/name, for the frames "
        "of pipeline.ghosts.record",
    )


def embed_sets(model: torch.nn.Module, peterson: Path) -> dict[str, np.ndarray]:
    """VGG-19's last pooling layer for every set in the folder."""
    return {
        name: extraction.embed(
            model, VGG19, judged.files, preprocessing=extraction.VGG_TEAM
        )
        for name, judged in judgments.load_peterson(peterson).items()
    }


def record(
    sets: Mapping[str, np.ndarray],
    corpus: np.ndarray,
    labels: np.ndarray,
    names: np.ndarray,
    above: list[set[str]],
    looks: pd.DataFrame,
) -> dict[str, pd.DataFrame]:
    """Everything about ``sets`` of embeddings, probed with a labelled corpus.

    Frames, by set: counts, overlap and random (`ghosts.GhostCounts`; counts also of
    dead ghosts, images of the corpus and of those in the category), components
    (`ghosts.component_stability`), labels (`ghosts.label_enrichment`), top (the label
    of each top image by component and rank), draws, graded and areas
    (`ghost_controls`), looks (`descriptions.compare`), measures
    (`retrieval.negative_query`) and curves (hit rate by ranking and false alarm rate).
    """
    owner = np.repeat(list(sets), [len(x) for x in sets.values()])
    pool = np.concatenate(list(sets.values()))
    masks = {name: owner == name for name in sets}
    counts = ghosts.ghost_counts(pool, masks, np.random.default_rng(SEED), N_RANDOM)
    groups = np.array([group_of(synsets) for synsets in above])[labels]
    more, frames = defaultdict(dict), defaultdict(dict)
    for name, x in sets.items():
        rng, poz = np.random.default_rng(SEED), sparsity.percentage_of_zeros(x)
        probe = corpus[:, poz == 1]
        frames["components"][name] = ghosts.component_stability(
            probe, rng, N_COMPONENTS, N_SPLITS
        )
        member = [CATEGORIES[name] in above[label] for label in labels]
        member = np.array(member)
        scores = ghosts.ghost_scores(probe, N_COMPONENTS).scores
        frames["labels"][name] = ghosts.label_enrichment(scores, groups, N_TOP)
        frames["looks"][name] = descriptions.compare(scores, looks, N_TOP)
        top = pd.DataFrame(names[labels[ghosts.top_images(scores, N_TOP)]])
        top = top.rename(lambda i: i + 1).rename(columns=lambda i: i + 1)
        top = top.rename_axis(index="component", columns="rank")
        frames["top"][name] = top.stack().to_frame("label")
        frames["draws"][name] = ghost_controls.compare(
            poz, corpus, groups, member, rng, N_DRAWS, looks
        )
        frames["graded"][name] = ghost_controls.graded(poz, corpus, member)
        frames["areas"][name] = ghost_controls.query_areas(
            corpus, probe.shape[1], ~member, N_DRAWS, rng
        )
        rankings = retrieval.query_scores(x, corpus, rng)
        frames["measures"][name] = retrieval.negative_query(rankings, ~member)
        frames["curves"][name] = curves(rankings, ~member)
        fires = corpus.any(axis=0) | pool[owner != name].any(axis=0)
        more["dead"][name] = int((~fires[poz == 1]).sum())
        more["in_category"][name] = int(member.sum())
    table = counts.table.assign(corpus=len(corpus), **pd.DataFrame(more))
    single = {"counts": table, "overlap": counts.overlap, "random": counts.random}
    return single | {k: pd.concat(v, names=["set"]) for k, v in frames.items()}


def curves(rankings: Mapping[str, np.ndarray], wanted: np.ndarray) -> pd.DataFrame:
    """Hit rate, column value, by ranking and false alarm rate x."""
    rates = {k: retrieval.roc_curve(s, wanted) for k, s in rankings.items()}
    table = pd.DataFrame(rates, pd.Index(retrieval.GRID, name="x"))
    return table.T.rename_axis("ranking").stack().to_frame("value")


def as_arrays(frames: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Frames as arrays for `ghosts.load`, numbers in single precision."""
    arrays = {}
    for name, frame in frames.items():
        for column, values in frame.reset_index().items():
            kind = "level" if column in frame.index.names else "column"
            array = np.array(values.tolist())
            array = array.astype("f4") if array.dtype == float else array
            arrays[f"{name}/{kind}/{column}"] = array
    return arrays


def read_labels(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Images and their labels (n,), in the order of ``dataset.txt``.

    Raises ValueError where an image is missing.
    """
    lines = (folder / "dataset.txt").read_text("utf-8").splitlines()
    table = [line.rsplit(",", 1) for line in lines if line.strip()]
    files = [folder / "images" / Path(name.strip()).name for name, _ in table]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(
            f"IMAGES must hold every image of dataset.txt; {len(missing)} are missing, "
            f"such as {missing[0]}."
        )
    return files, np.array([int(label) for _, label in table])
