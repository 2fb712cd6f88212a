"""A Sphinx extension: the files of the explorer (book/explorer.md, explorer.js).

``index.js`` names the scenes and orders. For each scene there are ``<scene>.js`` with
texts, sizes and curves, ``<scene>-<order>.js`` with matrices and maps, and
``<scene>.webp`` with its images side by side. They are scripts rather than JSON because
a page that was opened as a file may load only scripts and pictures.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

import explorer
import live_fetch
from explorer import Scene, Walk
from helpers import data
from helpers.figures import NAMES
from page import ROOT
from pipeline import manifest

TILE, PER_ROW = 72, 10
"""Pixels of a picture's side, twice what the map shows; pictures in a row."""
START = 8
"""Position of the size that is shown first."""
SUMS = "sha256.json"
"""What each file was when it was written."""
UNDEFINED = np.iinfo(np.int16).min
"""The code of NaN."""
UNIT = 10_000
"""Codes per 1: four decimals are kept, of which the page shows two."""


def setup(app) -> dict:
    app.connect("build-finished", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add(app, exception) -> None:
    """Put the files into the book; they are made once per state of the project."""
    if exception or app.builder.format != "html":
        return
    ours = [Path(explorer.__file__), Path(__file__), explorer.OBJECT_NAMES]
    contents = b"".join(path.read_bytes() for path in ours)
    key = hashlib.sha256(manifest.state().encode() + contents).hexdigest()[:12]
    folder = ROOT / "_build" / f"explorer-{key}"
    write_once(folder)
    target = Path(app.outdir) / "explorer"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(SUMS))


def write_once(folder: Path) -> None:
    """Write everything into ``folder`` unless it is there, whole and unchanged.

    It appears only when complete. Folders of other states of the project are removed.
    """
    if is_whole(folder):
        return
    part = folder.with_name(f"{folder.name}.part")
    for old in (folder, part, *folder.parent.glob("explorer-*")):
        shutil.rmtree(old, ignore_errors=True)
    write(part)
    sums = {path.name: data.file_sha256(path) for path in part.iterdir()}
    (part / SUMS).write_text(json.dumps(sums))
    part.rename(folder)


def is_whole(folder: Path) -> bool:
    """Whether every file of ``folder`` is there and what it was when it was written."""
    sums = folder / SUMS
    if not sums.is_file():
        return False
    return not live_fetch.wrong(folder, json.loads(sums.read_text("utf-8")))


def write(folder: Path) -> None:
    """Write the files of all scenes into ``folder``."""
    folder.mkdir(parents=True)
    titles = []
    for name in explorer.SCENES:
        scene = explorer.load(name)
        titles.append((name, scene.title))
        walks = {
            first: explorer.walk(scene, first, np.random.default_rng(0))
            for first in explorer.ORDERS
        }
        script(folder, name, packed_scene(scene, walks))
        for first, walk in walks.items():
            script(folder, f"{name}-{first}", packed_walk(walk, extent(walks)))
        sheet(scene.thumbnails).save(folder / f"{name}.webp", quality=82, method=6)
    orders = [(first, NAMES[first]) for first in explorer.ORDERS]
    script(folder, "index", {"scenes": titles, "orders": orders, "start": START})


def script(folder: Path, name: str, content: dict) -> None:
    """A script that hands ``content`` to the explorer under ``name``."""
    text = json.dumps(
        content, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    line = f'(window.explorerData ??= {{}})["{name}"]={text};\n'
    (folder / f"{name}.js").write_text(line, encoding="utf-8")


def sheet(thumbnails: np.ndarray) -> Image.Image:
    """Pictures (n, height, width, 3) as tiles, row by row."""
    n_rows = -(-len(thumbnails) // PER_ROW)
    out = Image.new("RGB", (PER_ROW * TILE, n_rows * TILE))
    for i, picture in enumerate(thumbnails):
        is_small = picture.shape[0] < TILE
        method = Image.NEAREST if is_small else Image.LANCZOS
        tile = Image.fromarray(picture).resize((TILE, TILE), method)
        out.paste(tile, (i % PER_ROW * TILE, i // PER_ROW * TILE))
    return out


# ------------------------------------------------------------------------- packing
def packed_scene(scene: Scene, walks: dict[str, Walk]) -> dict:
    """What the page needs to know of a scene before an order is chosen.

    ``walks`` maps orders to walks of the same sizes. The limits of the colours and of
    the reference hold all but 2 % of the values at either end.
    """
    matrices = np.concatenate([walk.matrices.ravel() for walk in walks.values()])
    low, high = limits(scene.reference)
    viridis = colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    orders = {
        first: {
            "r2": numbers(walk.r2),
            "undefined": walk.n_undefined.tolist(),
            "fit": numbers(walk.fit),
        }
        for first, walk in walks.items()
    }
    return {
        "title": scene.title,
        "comparedWith": scene.compared_with,
        "labels": scene.labels,
        "groups": scene.groups,
        "nFeatures": scene.embeddings.shape[1],
        "sizes": next(iter(walks.values())).sizes.tolist(),
        "limits": limits(matrices),
        "reference": encoded(np.clip((scene.reference - low) / (high - low), 0, 1)),
        "orders": orders,
        "tile": TILE,
        "perRow": PER_ROW,
        "palette": viridis.tolist(),
    }


def packed_walk(walk: Walk, extent: float) -> dict:
    """The matrices and maps of one order; ``extent`` of the map becomes 1."""
    return {"matrices": encoded(walk.matrices), "maps": encoded(walk.maps / extent)}


def extent(walks: dict[str, Walk]) -> float:
    """The largest coordinate on any map of a scene."""
    return float(max(np.nanmax(np.abs(walk.maps)) for walk in walks.values()))


def limits(values: np.ndarray) -> list[float]:
    """Limits, to two decimals, of all but 2 % of the defined values at either end."""
    return [round(float(limit), 2) for limit in np.nanquantile(values, [0.02, 0.98])]


def numbers(values: np.ndarray) -> list[float | None]:
    """Five decimals; None where undefined."""
    return [None if np.isnan(value) else round(float(value), 5) for value in values]


def encoded(values: np.ndarray) -> str:
    """Values as little-endian int16, `UNIT` per 1, in base64; NaN is `UNDEFINED`.

    Raises ValueError beyond -3..3.
    """
    if (largest := np.nanmax(np.abs(values), initial=0)) > 3:
        raise ValueError(f"values must lie in -3..3; the largest is {largest:g}.")
    codes = np.rint(np.nan_to_num(values) * UNIT)
    codes = np.where(np.isnan(values), UNDEFINED, codes)
    return base64.b64encode(codes.astype("<i2").tobytes()).decode()
