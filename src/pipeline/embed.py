"""Activations and PoZ of every layer of a network for a folder of images.

Each layer goes to ``<layer>/features.npy`` (n_images, n_features), float32, beside a
``file_names.txt``: the layout of thingsvision, which page 09 and ``make report`` read.
``poz.csv`` has the PoZ of every node. Work is done in batches that are always the same,
and finished batches are noted, so an interrupted run goes on where it stopped, with the
same bits. Memory is that of one batch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from helpers import data
from pipeline import census, extraction, manifest
from pipeline.torchvision_cpu import feature_extraction

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
RECTIFIERS = (nn.ReLU, nn.ReLU6)


def record(
    model: str,
    weights: str,
    images: Path,
    target: Path,
    layers: str = "all",
    batch_size: int = 16,
    device: str = "cpu",
    command: str = "",
) -> None:
    """Write activations and PoZ; see the command ``embed``.

    ``model`` and ``weights``: as `extraction.load_model`. ``layers``: "all", every node
    after a ReLU, or names of nodes with commas between them.
    """
    network = extraction.load_model(model, weights)
    files = image_files(images)
    nodes = rectified(network) if layers == "all" else layers.split(",")
    is_file = Path(weights).is_file()
    about = {"model": model, "nodes": nodes}
    about |= {"batch_size": batch_size, "device": device}
    about["weights"] = data.file_sha256(Path(weights)) if is_file else weights
    about["images"] = fingerprint(files)
    embed_all(network.to(device), nodes, files, Path(target), about, images)
    poz_of_all(Path(target), nodes)
    provenance = about | {"command": command, "versions": data.versions()}
    (Path(target) / "provenance.json").write_text(json.dumps(provenance, indent=1))
    print(f"{len(nodes)} layers of {len(files)} images are in {target}")


def image_files(folder: Path) -> list[Path]:
    """Images in a folder and below it, sorted; ValueError where there are none."""
    files = [p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES]
    if not files:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    return sorted(files)


def fingerprint(files: Sequence[Path]) -> str:
    """sha256 over the contents of files, in order."""
    hashes = "".join(data.file_sha256(file) for file in files)
    return hashlib.sha256(hashes.encode()).hexdigest()


def rectified(model: nn.Module) -> list[str]:
    """Nodes whose output is that of a ReLU, from input to output."""
    kinds = dict(model.named_modules())
    return [
        name
        for name in extraction.node_names(model)
        if isinstance(kinds.get(re.sub(r"_\d+$", "", name)), RECTIFIERS)
        or re.search(r"(^|\.)relu6?(_\d+)?$", name)
    ]


@torch.no_grad()
def embed_all(
    model: nn.Module,
    nodes: Sequence[str],
    files: Sequence[Path],
    target: Path,
    about: dict,
    folder: Path,
) -> None:
    """Fill ``<layer>/features.npy`` batch by batch, from where it was left.

    Raises ValueError where ``target`` holds the results of other settings or images.
    """
    target.mkdir(parents=True, exist_ok=True)
    done = finished(target, about)
    names = "".join(f"{file.relative_to(folder).as_posix()}\n" for file in files)
    (target / "file_names.txt").write_text(names, "utf-8")
    extractor = feature_extraction.create_feature_extractor(
        model, {node: node for node in nodes}, suppress_diff_warning=True
    ).eval()
    size, n = about["batch_size"], len(files)
    stores: dict[str, np.ndarray] = {}
    for start in tqdm(range(done, n, size), unit="batch", disable=None):
        inputs = extraction.preprocess(files[start : start + size])
        outputs = extractor(inputs.to(about["device"]))
        for node in nodes:
            values = outputs[node].flatten(1).cpu().numpy()
            if node not in stores:
                stores[node] = opened(target / node, (n, values.shape[1]))
            stores[node][start : start + len(values)] = values
            stores[node].flush()
        note(target, about, min(start + size, n))


def opened(folder: Path, shape: tuple[int, int]) -> np.ndarray:
    """The features of a layer, mapped for writing; made where they are missing."""
    folder.mkdir(exist_ok=True)
    path = folder / "features.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r+", allow_pickle=False)
    return np.lib.format.open_memmap(path, "w+", np.float32, shape)


def finished(target: Path, about: dict) -> int:
    """Images whose batches are complete."""
    path = target / "progress.json"
    if not path.is_file():
        return 0
    noted = json.loads(path.read_text("utf-8"))
    if noted["about"] != about:
        changed = [k for k in about if noted["about"].get(k) != about[k]]
        raise ValueError(
            f"{target} holds results for other {', '.join(changed)}; name another "
            "folder."
        )
    return noted["done"]


def note(target: Path, about: dict, done: int) -> None:
    """Note finished images, in one step."""
    with manifest.atomic(target / "progress.json") as file:
        file.write_text(json.dumps({"about": about, "done": done}), "utf-8")


def poz_of_all(target: Path, nodes: Sequence[str]) -> None:
    """Write ``poz.csv``: layer, node, poz, kind."""
    frames = []
    for layer in nodes:
        values = np.load(target / layer / "features.npy", mmap_mode="r")
        zeros = census.count(values, layer)
        columns = {"node": np.arange(len(zeros.poz)), "poz": zeros.poz}
        frames.append(pd.DataFrame(columns | {"kind": zeros.kinds}).assign(layer=layer))
    table = pd.concat(frames)[["layer", "node", "poz", "kind"]]
    table.to_csv(target / "poz.csv", index=False, float_format="%.6g")
