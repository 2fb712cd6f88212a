"""Let the cells of the built pages run in the reader's browser.

    python scripts/build_live.py    # `make book` does it

Writes ``live/`` into the built book: Python for the browser (scripts/fetch_live.py), `helpers`, the shipped data, the
LeNets' activations, and what the notebooks found; and puts each page's cells, the script and the style that run them
into the page. Where Python for the browser cannot be had, the pages say so.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

from bs4 import BeautifulSoup

import live_fetch as fetch_live
from helpers import datasets, lenets
from notebook_text import read

ROOT = Path(__file__).resolve().parents[1]
QUICK = tomllib.loads(Path(__file__).with_name("live_quick.toml").read_text())
ENSEMBLES = (("mnist", 50, ""), ("cifar10", 50, ""), ("cifar10", 4, "_lr0.001"), ("cifar10", 4, "_lr0.004"))
COMPUTED_BY = ("lenets", "training", "networks", "ensembles", "sparsity", "datasets")
BESIDE = ("jinja2", "markupsafe")
"""Packages without compiled parts (or able to do without) that go along with helpers, as installed here."""
NOT_SHOWN = {"remove-cell", "remove-input", "remove_cell", "remove_input"}
NOT_OBTAINED = (
    "Cells cannot be run in this copy of the book: Python for the browser could not be obtained when it was built. "
    "Build it again where the network can be reached (make book)."
)
NOT_HERE = (
    "Cells of this page need {}, which a browser does not have. They run in the notebook: make run, in a clone of the "
    "repository."
)
ADDED = re.compile(r"<!-- live -->.*?<!-- /live -->\n?", flags=re.DOTALL)


def add(source: Path, wheel: Path | None = None) -> str:
    """Write the live parts into the book built from ``source``; returns why cells cannot run, or ""."""
    built, reason = source / "_build" / "html", ""
    shutil.rmtree(built / "live", ignore_errors=True)
    (built / "live" / "files").mkdir(parents=True)
    write_files(source, built / "live")
    try:
        write_runtime(built / "live" / "runtime", wheel)
    except fetch_live.Unavailable as error:
        reason = str(error)
    listed = listing(built / "live")
    (built / "live" / "files.json").write_text(json.dumps(listed))
    about = {
        "version": digest(json.dumps(listed).encode()),
        "reason": reason and NOT_OBTAINED,
        "bytes": listed["bytes"],
    }
    for text in sorted([*source.glob("notebooks/*.md"), *source.glob("book/*.md")]):
        page = built / text.parent.name / f"{text.stem}.html"
        if page.is_file() and "{code-cell}" in text.read_text():
            page.write_text(with_cells(page.read_text(), text, about))
    return reason


# ------------------------------------------------------------------------------------------------------------ the pages
def with_cells(page: str, text: Path, about: dict) -> str:
    """The HTML of a page with its cells and what runs them. Raises ValueError where page and text disagree."""
    page = ADDED.sub("", page)
    cells = cells_of(text)
    shown = [cell["source"].strip() for cell in cells if cell["shown"]]
    found = [pre.get_text().strip() for pre in BeautifulSoup(page, "html.parser").select("div.cell div.cell_input pre")]
    if shown != found:
        raise ValueError(f"{text.name}: the cells of the built page are not those of the text: build the book again.")
    if not shown:
        return page
    if needs := QUICK.get(text.stem, {}).get("needs"):
        about = about | {"reason": NOT_HERE.format(needs)}
    record = json.dumps(about | {"cells": cells, "setup": n_setup(cells), "quick": quick(text.stem, cells)})
    record = record.replace("</", "<\\/")
    added = (
        f'<!-- live --><script type="application/json" id="live-cells">{record}</script>\n'
        '<link rel="stylesheet" href="../_static/live.css">\n'
        '<script defer src="../_static/live.js"></script><!-- /live -->\n'
    )
    return page.replace("</body>", f"{added}</body>")


def cells_of(text: Path) -> list[dict]:
    """All code cells of a text notebook in order: source, and whether the page shows it."""
    code = [cell for cell in read(text).cells if cell.cell_type == "code"]
    return [{"source": c.source, "shown": not NOT_SHOWN & set(c.metadata.get("tags", ()))} for c in code]


def n_setup(cells: list[dict]) -> int:
    """How many cells at the top set and check the parameters; they always run together, in an empty namespace."""
    return next((n for n, cell in enumerate(cells, 1) if "parameters.check(" in cell["source"]), 1)


def quick(name: str, cells: list[dict]) -> dict | None:
    """The cell of the parameters with the quick settings."""
    if "settings" not in QUICK.get(name, {}):
        return None
    source = cells[0]["source"]
    for parameter, value in QUICK[name]["settings"].items():
        source, n = re.subn(rf"(?m)^{parameter} = [^#\n]*?(?=\s*(#|$))", f"{parameter} = {value!r}", source)
        if n != 1:
            raise ValueError(f"live_quick.toml: {name} has no parameter {parameter!r} in its first cell.")
    return {"source": source}


# ------------------------------------------------------------------------------------------------------------ the files
def write_runtime(folder: Path, wheel: Path | None = None) -> None:
    """Python for the browser, with a lock that lists what is there. Raises `fetch_live.Unavailable`."""
    pinned = json.loads(fetch_live.PINNED.read_text())
    shutil.copytree(fetch_live.fetch(pinned, datasets.cache_folder(), wheel), folder)
    lock = folder / fetch_live.LOCK
    lock.write_text(json.dumps(fetch_live.trimmed(json.loads(lock.read_text()), pinned["files"])))


def write_files(source: Path, live: Path) -> None:
    """helpers.zip, and under ``files`` what helpers reads, at the places where it looks for it."""
    (live / "helpers.zip").write_bytes(helpers_zip())
    for folder in ("data", "book", "values"):
        (live / "files" / folder).mkdir()
    for path in (ROOT / "data").iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, live / "files" / "data")
    for path in lenets_files():
        shutil.copy(path, live / "files" / "data")
    shutil.copy(source / "book" / "claims.toml", live / "files" / "book")
    for path in (live.parent / "values").glob("0*.json"):
        shutil.copy(path, live / "files" / "values")


def helpers_zip() -> bytes:
    """`helpers` with its version, and `BESIDE`, as one archive; the same bytes for the same sources."""
    version = metadata.version("rarely-firing-nodes")
    about = f"Metadata-Version: 2.1\nName: rarely-firing-nodes\nVersion: {version}\n"
    contents = {f"rarely_firing_nodes-{version}.dist-info/METADATA": about.encode()}
    contents |= {f"helpers/{path.name}": path.read_bytes() for path in (ROOT / "src" / "helpers").glob("*.py")}
    for name in BESIDE:
        files = [file for file in metadata.files(name) if file.suffix == ".py" and file.parts[0] == name]
        contents |= {str(file): Path(file.locate()).read_bytes() for file in files}
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def lenets_files() -> list[Path]:
    """The activations of the LeNets, computed again when what computes them has changed."""
    inputs = [*(ROOT / "src" / "helpers" / f"{name}.py" for name in COMPUTED_BY), ROOT / "data" / "manifest.json"]
    folder = ROOT / "_build" / f"lenets-{digest(*(path.read_bytes() for path in inputs))}"
    if not (folder / "complete").exists():
        for old in (ROOT / "_build").glob("lenets-*"):
            shutil.rmtree(old)
        folder.mkdir(parents=True)
        for name, n_models, variant in ENSEMBLES:
            lenets.export(folder, name, n_models, variant)
        (folder / "complete").touch()
    return sorted(folder.glob("*.npz"))


def listing(live: Path) -> dict:
    """What the worker has to know of the files: sizes, places, digests."""
    files = [path for path in sorted((live / "files").rglob("*")) if path.is_file()]
    runtime = [path for path in (live / "runtime").glob("*") if path.is_file()]
    places = [path.relative_to(live / "files").as_posix() for path in files]
    return {
        "files": [
            {"path": place, "size": path.stat().st_size, "v": digest(path.read_bytes())}
            for place, path in zip(places, files, strict=True)
        ],
        "helpers": digest((live / "helpers.zip").read_bytes()),
        "packages": list(fetch_live.WANTED),
        "bytes": sum(path.stat().st_size for path in [*runtime, live / "helpers.zip"]),
    }


def digest(*parts: bytes) -> str:
    """Twelve hexadecimal digits that tell contents apart."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


if __name__ == "__main__":
    if why := add(ROOT):
        print(f"Cells cannot be run in the pages: {why}", file=sys.stderr)
