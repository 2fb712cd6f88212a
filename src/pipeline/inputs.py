"""What page 09 and ``make report`` are given: files, or the shipped example."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import data
from pipeline import interop, readers
from pipeline.formats import Refused

EXAMPLE = "92 objects, VGG-16 pool5, 16 raters"


@dataclass(frozen=True, eq=False)
class Inputs:
    """Activations, judgments and names of the same images."""

    name: str
    values: np.ndarray  # (n_images, n_nodes), perhaps mapped from a file
    raters: np.ndarray | None  # (n_raters, n_pairs) similarities
    labels: tuple[str, ...]  # (n_images,)
    files: dict[str, str]  # what was read, and its sha256


def load(
    activations: str | Path = "",
    reference: str | Path = "",
    labels: str | Path = "",
    reference_kind: str = "",
    array: str = "",
    reference_array: str = "",
) -> Inputs:
    """Read the files; without activations, the shipped 92 objects and their 16 raters.

    Parameters
    ----------
    activations, reference, labels : paths, as `readers.read`, `interop.as_reference`
        and `readers.read_labels`; only activations are needed.
    reference_kind : "similarity" or "dissimilarity".
    array, reference_array : names of the arrays, where files hold several.

    Raises
    ------
    Refused : files that cannot be read, or that do not fit together.
    """
    if not str(activations):
        if str(reference) or str(labels):
            raise Refused("judgments or labels without activations: give their file.")
        return example()
    read = readers.read(activations, array)
    values = interop.as_activations(read.values)
    files = {"activations": f"{read.source} {short_hash(activations)}"}
    raters = None
    if str(reference):
        judged = (reference, len(values), reference_kind, reference_array)
        raters = interop.as_reference(*judged)
        files["judgments"] = f"{Path(reference).name} {short_hash(reference)}"
        files["judgments"] += f", read as {reference_kind}"
    names = read.labels or tuple(f"image {i}" for i in range(len(values)))
    if str(labels):
        names = readers.read_labels(labels, len(values))
        files["labels"] = f"{Path(labels).name} {short_hash(labels)}"
    return Inputs(read.source, values, raters, names, files)


def example() -> Inputs:
    """The shipped 92 objects (Kriegeskorte et al. 2008; Mur et al. 2013)."""
    objects = data.load_objects92()
    names = tuple(f"{c} {i}" for i, c in enumerate(objects.category, 1))
    files = ("objects92.npz", "objects92_vgg16_pool5.npz")
    used = {e["file"]: e["sha256"][:12] for e in data.manifest() if e["file"] in files}
    return Inputs(EXAMPLE, objects.embeddings, objects.raters, names, used)


def short_hash(path: str | Path) -> str:
    """The start of the sha256 of a file, or of names and files of a folder."""
    path = Path(path)
    if path.is_file():
        return f"sha256 {data.file_sha256(path)[:12]}"
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path)}\0{data.file_sha256(file)}".encode())
    return f"sha256 {digest.hexdigest()[:12]}"
