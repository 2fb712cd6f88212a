"""A Sphinx extension: the cells of a page run in the reader's browser.

The sections get their cells as JSON, with the script that runs them. The folder
``live/`` of the book gets Python for the browser (`live_fetch`), `helpers`, and the
files that helpers read. Where Python cannot be obtained, the pages say so.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
from sphinx.util import logging

import live_fetch
from helpers import data
from page import ROOT, notebook_of
from pipeline import datasets, lenets

HERE = Path(__file__).parent
QUICK = tomllib.loads((HERE / "live_quick.toml").read_text("utf-8"))
PACKED = ("jinja2", "markupsafe")
"""Packages for styled tables, taken from this environment without compiled parts."""
RUNNERS = ("live_runner.py", "own_runner.py")
"""What answers pages in their worker."""
HIDDEN = {"remove-cell", "remove-input", "remove_cell", "remove_input"}
NOT_OBTAINED = (
    "Cells cannot be run in this copy of the book: Python for the browser could not be "
    "obtained when it was built. Build it again with a network connection (make book)."
)
NEEDS_MORE = (
    "Cells on this page need {}, which a browser does not have. Run the notebook "
    "instead: make run, in a clone of the repository."
)
log = logging.getLogger(__name__)


def setup(app) -> dict:
    # when this value changes, every page is rendered again
    app.add_config_value("live_about", {}, "html", types=(dict,))
    app.connect("config-inited", obtain)
    app.connect("html-page-context", add_cells)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def obtain(app, config) -> None:
    """Get Python for the browser, or the reason for the pages to give without it."""
    try:
        files = runtime().iterdir()
        about = {"reason": "", "bytes": sum(path.stat().st_size for path in files)}
    except live_fetch.Unavailable as error:
        log.info("Cells cannot be run in the pages: %s", error)
        about = {"reason": NOT_OBTAINED, "bytes": 0}
    config.live_about = about


def runtime() -> Path:
    """The folder with Python for the browser. Raises `live_fetch.Unavailable`."""
    return live_fetch.fetch(live_fetch.pinned(), datasets.cache_folder())


# ----------------------------------------------------------------------- the pages
def add_cells(app, pagename, templatename, context, doctree) -> None:
    """Add the cells of a section and what runs them."""
    name = pagename.removeprefix("notebooks/")
    if doctree is None or name not in QUICK:
        return
    cells = cells_of(notebook_of(app.env, pagename))
    record = app.config.live_about | page_record(name, cells)
    body = json.dumps(record).replace("</", "<\\/")
    app.add_js_file(None, body=body, type="application/json", id="live-cells")
    app.add_js_file("live.js", defer="defer")
    app.add_css_file("live.css")


def page_record(name: str, cells: list[dict]) -> dict:
    """What `live.js` needs to know of a page."""
    about = {"cells": cells, "setup": n_setup(cells), "quick": quick(name, cells)}
    if needs := QUICK.get(name, {}).get("needs"):
        about["reason"] = NEEDS_MORE.format(needs)
    return about


def cells_of(notebook: nbformat.NotebookNode) -> list[dict]:
    """All code cells in order: source, and whether the page shows it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    hidden = [HIDDEN & set(cell.metadata.get("tags", ())) for cell in code]
    return [
        {"source": cell.source, "shown": not tags}
        for cell, tags in zip(code, hidden, strict=True)
    ]


def n_setup(cells: list[dict]) -> int:
    """How many cells at the top set and check the parameters; they run together."""
    checks = [n for n, c in enumerate(cells, 1) if "check_parameters(" in c["source"]]
    return checks[0] if checks else 1


def quick(name: str, cells: list[dict]) -> dict | None:
    """The cell of the parameters with the quick settings of the page."""
    if "settings" not in QUICK.get(name, {}):
        return None
    source = cells[0]["source"]
    for parameter, value in QUICK[name]["settings"].items():
        pattern = rf"(?m)^{parameter} = [^#\n]*?(?=\s*(#|$))"
        source, n = re.subn(pattern, f"{parameter} = {value!r}", source)
        if n != 1:
            raise ValueError(f"live_quick.toml: {name} has no parameter {parameter!r}.")
    return {"source": source}


# ----------------------------------------------------------------------- the files
def write(app, exception) -> None:
    """Write ``live/``; files that are there already are left alone."""
    if exception or app.builder.format != "html":
        return
    live = Path(app.outdir) / "live"
    live.mkdir(exist_ok=True)
    if not app.config.live_about["reason"]:
        write_runtime(live / "runtime", runtime())
    (live / "helpers.zip").write_bytes(helpers_zip())
    write_files(app, live / "files")
    (live / "files.json").write_text(json.dumps(listing(live)))


def write_runtime(folder: Path, source: Path) -> None:
    """Python for the browser, with a lock that lists only what is there."""
    copy(source.iterdir(), folder)
    lock = json.loads((source / live_fetch.LOCK).read_text("utf-8"))
    trimmed = live_fetch.trimmed(lock, live_fetch.pinned()["files"])
    (folder / live_fetch.LOCK).write_text(json.dumps(trimmed))


def write_files(app, folder: Path) -> None:
    """The files that helpers read, where they look for them."""
    shipped = [p for p in data.data_folder().iterdir() if p.suffix != ".safetensors"]
    copy([*shipped, *lenets.ensure()], folder / "data")
    copy([ROOT / "book" / "claims.toml"], folder / "book")
    (folder / "notebooks").mkdir(exist_ok=True)
    for docname in [name for name in app.env.found_docs if "notebooks/" in name]:
        notebook = without_shown(notebook_of(app.env, docname))
        nbformat.write(notebook, folder / f"{docname}.ipynb")


def without_shown(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook with nothing but what it hands on to others (its records)."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        kept = [o for o in cell.outputs if "scrapbook" in o.get("metadata", {})]
        cell.outputs = [o for o in kept if ".csv" not in o.metadata.scrapbook.name]
        cell.source = ""
    notebook.cells = [cell for cell in code if cell.outputs]
    return notebook


def copy(paths, folder: Path) -> None:
    """Make ``folder`` hold ``paths`` and nothing else, without copying anew."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in paths}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, path in wanted.items():
        target, now = folder / name, path.stat()
        if not target.exists() or target.stat().st_mtime_ns != now.st_mtime_ns:
            shutil.copy2(path, target)


def helpers_zip() -> bytes:
    """`helpers` with its version, `pipeline`, `RUNNERS` and `PACKED`, as one archive.

    The bytes depend on the contents alone.
    """
    version = metadata.version("rarely-firing-nodes")
    about = f"Metadata-Version: 2.1\nName: rarely-firing-nodes\nVersion: {version}\n"
    contents = {f"rarely_firing_nodes-{version}.dist-info/METADATA": about.encode()}
    for package in ("helpers", "pipeline"):  # of which own_runner needs a part
        for path in (ROOT / "src" / package).glob("*.py"):
            contents[f"{package}/{path.name}"] = path.read_bytes()
    for name in RUNNERS:
        contents[name] = (HERE / name).read_bytes()
    for package in PACKED:
        for file in metadata.files(package):
            if file.suffix == ".py" and file.parts[0] == package:
                contents[str(file)] = Path(file.locate()).read_bytes()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name)
            archive.writestr(info, contents[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def listing(live: Path) -> dict:
    """What the worker needs to know of the files: places, sizes, hashes."""
    folder = live / "files"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    of_python = [*(live / "runtime").glob("*"), live / "helpers.zip"]
    names = {path.relative_to(live).as_posix(): path for path in of_python}
    return {
        "files": [
            {
                "path": path.relative_to(folder).as_posix(),
                "size": path.stat().st_size,
                "v": data.file_sha256(path)[:12],
            }
            for path in files
        ],
        "sha256": {name: data.file_sha256(path) for name, path in names.items()},
        "packages": list(live_fetch.WANTED),
        "bytes": sum(path.stat().st_size for path in of_python),
    }
