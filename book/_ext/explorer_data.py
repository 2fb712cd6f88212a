"""Write what the explorer shows (book/explorer.md) as files that its page loads when they are needed.

python scripts/explorer_data.py FOLDER

``index.js`` names the scenes and the orders. For each scene: ``<scene>.js`` with texts, sizes and curves,
``<scene>-<order>.js`` with matrices and maps, and ``<scene>.webp``, its images side by side. They are scripts and not
JSON because a page that was opened as a file may load scripts and pictures, and nothing else.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image

import explorer
from helpers.figures import NAMES

TILE, PER_ROW = 72, 10
"""Pixels of a picture's side, twice what the map shows; pictures in a row of the sheet."""
START = 8
"""Position of the size that is shown first."""


def main() -> None:
    write(Path(sys.argv[1]))


def write_once(folder: Path) -> Path:
    """Write everything into ``folder`` unless it is there, whole, already."""
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        write(part)
        part.rename(folder)
    return folder


def write(folder: Path) -> None:
    """Write the files of all scenes into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    titles = []
    for name in explorer.SCENES:
        scene = explorer.load(name)
        titles.append((name, scene.title))
        walks = {first: explorer.walk(scene, first, np.random.default_rng(0)) for first in explorer.ORDERS}
        about = explorer.packed_scene(scene, walks) | {"tile": TILE, "perRow": PER_ROW, "palette": palette()}
        script(folder, name, about)
        for first, walk in walks.items():
            script(folder, f"{name}-{first}", explorer.packed_walk(walk, explorer.extent(walks)))
        sheet(scene.thumbnails).save(folder / f"{name}.webp", quality=82, method=6)
    orders = [(first, NAMES[first]) for first in explorer.ORDERS]
    script(folder, "index", {"scenes": titles, "orders": orders, "start": START})


def script(folder: Path, name: str, content: dict) -> None:
    """A script that hands ``content`` to the explorer under ``name``."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    (folder / f"{name}.js").write_text(f'(window.explorerData ??= {{}})["{name}"]={text};\n', encoding="utf-8")


def read(folder: Path, name: str) -> dict:
    """What `script` wrote, for the tests."""
    return json.loads((folder / f"{name}.js").read_text(encoding="utf-8").partition("]=")[2].removesuffix(";\n"))


def palette() -> list[list[int]]:
    """The colours of the matrices, lowest to highest, as red, green and blue of 0 to 255."""
    return colormaps["viridis"](np.arange(256), bytes=True)[:, :3].tolist()


def sheet(thumbnails: np.ndarray) -> Image.Image:
    """Pictures (n, height, width, 3) as tiles, row by row."""
    out = Image.new("RGB", (PER_ROW * TILE, -(-len(thumbnails) // PER_ROW) * TILE))
    for i, picture in enumerate(thumbnails):
        small = picture.shape[0] < TILE
        tile = Image.fromarray(picture).resize((TILE, TILE), Image.NEAREST if small else Image.LANCZOS)
        out.paste(tile, (i % PER_ROW * TILE, i // PER_ROW * TILE))
    return out


if __name__ == "__main__":
    main()
