"""A Sphinx extension: the cells of a page run in the reader's browser.

The sections get their cells as JSON, with the script that runs them. The folder
``live/`` of the book gets Python for the browser (`live_fetch`), `helpers`, and the
files that helpers read. Where Python cannot be obtained, the pages say so.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import tomllib
import zipfile
from collections.abc import Collection
from importlib import metadata
from itertools import compress
from pathlib import Path

import nbformat
from sphinx.util import logging

import live_bytecode
import live_fetch
from helpers import data
from page import ROOT, notebook_of
from pipeline import datasets, lenets

HERE = Path(__file__).parent
QUICK = tomllib.loads((HERE / "live_quick.toml").read_text("utf-8"))
PACKED = ("jinja2", "markupsafe")
"""Packages for styled tables, taken from this environment without compiled parts."""
DRAWN = re.compile(r"""\bdrawn\(\s*\w+,\s*["']([\w-]+)["']""")
NEED_TORCH = {"torch", "torchvision", "pipeline"}
IN_BROWSER = {*live_fetch.WANTED, "helpers"}
RUNNERS = ("live_runner.py", "own_runner.py")
"""What answers pages in their worker."""
HIDDEN = {"remove-cell", "remove-input", "remove_cell", "remove_input"}
NOT_OBTAINED = (
    "Cells cannot be run in this copy of the book: Python for the browser could not be "
    "obtained when it was built. Build it again with a network connection (make book)."
)
SCRIPTS = ("live_parameters.js", "live_notebook.js", "live.js")
log = logging.getLogger(__name__)


def setup(app) -> dict:
    # when this value changes, every page is rendered again
    app.setup_extension("live_pages")
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
    cache = datasets.cache_folder()
    return live_bytecode.compiled(live_fetch.fetch(live_fetch.pinned(), cache), cache)


# ----------------------------------------------------------------------- the pages
def add_cells(app, pagename, templatename, context, doctree) -> None:
    """Add the cells of a section and what runs them."""
    name = pagename.removeprefix("notebooks/")
    if doctree is None or "needs" in QUICK.get(name, {"needs": ""}):
        return
    cells = cells_of(notebook_of(app.env, pagename))
    record = app.config.live_about | page_record(name, cells)
    body = json.dumps(record).replace("</", "<\\/")
    app.add_js_file(None, body=body, type="application/json", id="live-cells")
    for script in SCRIPTS:
        app.add_js_file(script, defer="defer")
    app.add_css_file("live.css")


def page_record(name: str, cells: list[dict]) -> dict:
    """What `live.js` needs to know of a page."""
    about = {"cells": cells, "setup": n_setup(cells), "quick": quick(name, cells)}
    about["warm"] = modules(cells)
    absent = QUICK.get(name, {}).get("absent", ())
    about["parameters"] = [p for p in parameters(cells) if p["name"] not in absent]
    return about


def cells_of(notebook: nbformat.NotebookNode) -> list[dict]:
    """All code cells in order: source, and whether the page shows it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    hidden = [HIDDEN & set(cell.metadata.get("tags", ())) for cell in code]
    return [
        {"source": cell.source, "shown": not tags, "needs": needs(cell.source)}
        for cell, tags in zip(code, hidden, strict=True)
    ]


def needs(source: str) -> str:
    """What a cell needs that no browser has, or ""."""
    found = {name.split(".")[0] for name in imported(source)}
    return "torch" if found & NEED_TORCH else ""


def modules(cells: list[dict]) -> list[str]:
    """What the cells import, of what a browser has, in order."""
    found = dict.fromkeys(name for cell in cells for name in imported(cell["source"]))
    return [name for name in found if name.split(".")[0] in IN_BROWSER]


def imported(source: str) -> list[str]:
    """The modules that a cell imports; those of helpers one by one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "helpers":
            found += [f"helpers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return found


def parameters(cells: list[dict]) -> list[dict]:
    """A control for each parameter of a page, from the rules that check it."""
    if "check_parameters(" not in (check := cells[n_setup(cells) - 1]["source"]):
        return []
    exec(cells[0]["source"], values := {})  # the book's own cells
    calls = [node for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Call)]
    (call,) = [c for c in calls if ast.unparse(c.func) == "check_parameters"]
    known = values | {"re": re, "check_parameters": lambda _, **rules: rules}
    made = []
    for name, rule in eval(ast.unparse(call), known).items():
        comment = re.search(rf"(?m)^{name} = .*?#\s*(.*)$", cells[0]["source"])
        about = {"name": name, "about": comment[1] if comment else ""}
        made.append(about | as_control(rule) | {"value": values[name]})
    return [control for control in made if control["kind"] != "text"]


def as_control(rule) -> dict:
    """How a reader sets what obeys a rule of `helpers.notebook.check_parameters`."""
    if rule is bool:
        return {"kind": "switch"}
    if isinstance(rule, list):
        return {"kind": "choice", "choices": rule}
    if isinstance(rule, re.Pattern):
        return {"kind": "text"}
    low, high = rule
    whole = isinstance(low, int) and isinstance(high, int)
    return {"kind": "number", "low": low, "high": high, "whole": whole}


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
    names = [name for name in app.env.found_docs if "notebooks/" in name]
    found = {name: notebook_of(app.env, name) for name in names}
    code = "".join(cell.source for book in found.values() for cell in book.cells)
    drawn = {f"{name}.csv" for name in DRAWN.findall(code)}
    for docname, notebook in found.items():
        nbformat.write(without_shown(notebook, drawn), folder / f"{docname}.ipynb")


def without_shown(
    notebook: nbformat.NotebookNode, drawn: Collection[str] = ()
) -> nbformat.NotebookNode:
    """A notebook with nothing but what it hands on to others (its records).

    ``drawn`` are the CSV files that other pages draw from.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs = [o for o in cell.outputs if "scrapbook" in o.get("metadata", {})]
        names = [output.metadata.scrapbook.name for output in cell.outputs]
        kept = [".csv" not in name or name in drawn for name in names]
        cell.outputs = list(compress(cell.outputs, kept))
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
