"""Execute the notebooks and build the HTML book; a warning or a failing cell is an error.

    python scripts/build_book.py [--params FILE.yaml]

Besides the pages it writes ``values/``: the values of every figure, linked in the captions, and the scoreboard; and
``live/``, with which cells run in the reader's browser (scripts/build_live.py).

Cells are executed once and kept in a cache, whose name tells what they depend on besides their own code: helpers,
data, claims, benchmarks, installed packages and parameters. When one of them changes, everything runs again. FILE.yaml
gives notebooks other parameters, for example ``02_representational_geometry: {n_models: 10}``; the book then goes to
``_build/params-*/_build/html``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

import live as build_live
from notebook_text import injected, parameters_of

ROOT = Path(__file__).resolve().parents[1]
CACHED_ON = (
    "src/helpers/**/*.py", "data/manifest.json", "book/claims.toml", "benchmarks/results/*.json", "requirements.lock",
)  # fmt: skip
VALUES = "values"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
TROUBLE = re.compile(r"WARNING: |ERROR: |CRITICAL: |^\w+Error\b")
CAPTION = re.compile(r'<figure [^>]*\bid="(?P<id>[\w-]+)".*?</figcaption>', flags=re.DOTALL)
PLACE = '<div id="the-paper-in-one-figure"></div>'
SERVICES = {
    "notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}  # fmt: skip
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"


def main() -> int:
    """Check, stage, build, and say where the book is."""
    parser = argparse.ArgumentParser(description="Execute the notebooks and build the HTML book.")
    parser.add_argument("--params", type=Path, help="YAML: other parameters by notebook name")
    options = parser.parse_args()
    start = time.monotonic()
    params = checked(yaml.safe_load(options.params.read_text()) or {}) if options.params else {}
    source = ROOT
    if params:
        source = ROOT / "_build" / f"params-{digest([json.dumps(params, sort_keys=True).encode()])}"
        stage(params, source)
    cache = cache_for(params)
    status = build(source, cache)
    if status:
        print(f"\nThe book was not built: see the messages above. ({time.monotonic() - start:.0f} s)")
        return status
    html = source / "_build" / "html"
    offer_values(html, cache / VALUES)
    show_summary(html / "book" / "index.html", html / "notebooks" / "05_discussion.html")
    if reason := build_live.add(source):
        print(f"Cells cannot be run in the pages: {reason}")
    add_explorer(html, cache)
    page = os.path.relpath(html / "index.html")
    print(f"\nThe book is ready: open {page} ({time.monotonic() - start:.0f} s)")
    return 0


def digest(parts: list[bytes]) -> str:
    """Twelve hexadecimal digits that tell contents apart."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def cache_for(params: dict) -> Path:
    """The folder of executed cells for the present state of the project; others of the same parameters are removed."""
    files = sorted(path for pattern in CACHED_ON for path in ROOT.glob(pattern))
    state = digest([sys.version.encode(), *(part for f in files for part in (f.name.encode(), f.read_bytes()))])
    family = f"executed-{digest([json.dumps(params, sort_keys=True).encode()])}"
    for old in (ROOT / "_build").glob(f"{family}-*"):
        if old.name != f"{family}-{state}":
            shutil.rmtree(old)
    return ROOT / "_build" / f"{family}-{state}"


def checked(params: dict) -> dict:
    """Stop at a notebook or a parameter that does not exist, before anything is built."""
    known = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.md"))}
    for name, values in params.items():
        if name not in known:
            sys.exit(f"There is no notebook {name!r}; there are: {', '.join(known)}.")
        if not isinstance(values, dict):
            sys.exit(f"The parameters of {name} must be a mapping, as in {{n_models: 10}}; got {values!r}.")
        names = parameters_of(known[name])
        for unknown in values.keys() - names:
            sys.exit(f"{name} has no parameter {unknown!r}; it has: {', '.join(names)}.")
    return params


def stage(params: dict, folder: Path) -> None:
    """Copy the sources of the book to ``folder``, with the given parameters set in the notebooks."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "book", folder / "book")
    (folder / "notebooks").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder)
    for path in (ROOT / "notebooks").glob("*.md"):
        (folder / "notebooks" / path.name).write_text(injected(path, params.get(path.stem, {})))


def build(source: Path, cache: Path) -> int:
    """Run Jupyter Book strictly; show what it is at, and everything once something goes wrong. Returns its status."""
    config = settings(yaml.safe_load((source / "_config.yml").read_text()), cache)
    out = source / "_build"
    shutil.rmtree(out / "html", ignore_errors=True)
    out.mkdir(exist_ok=True)
    (out / "config.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), "--config", str(out / "config.yml")]
    command += ["--all", "-W", "-n", "--keep-going"]
    environment = os.environ | {"BOOK_VALUES": str(cache / VALUES)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    lines = []
    for line in process.stdout:
        lines.append(COLOUR.sub("", line))
        if shown := progress(lines[-1]):
            print(f"  {shown}", flush=True)
    (out / "build.log").write_text("".join(lines))
    if process.wait():
        print(*(line for line in lines[:-40] if TROUBLE.search(line)), *lines[-40:], sep="")
        print(f"Everything it said is in {os.path.relpath(out / 'build.log')}")
    return process.returncode


def settings(config: dict, cache: Path) -> dict:
    """The book's settings with the cache of executed cells, our extension and, once the repository has a public address
    from which they take the notebooks, buttons for Binder and Colab.
    """
    config["execute"] |= {"execute_notebooks": "cache", "cache": str(cache)}
    config["sphinx"]["local_extensions"] = {"book_page": str(ROOT / "scripts")}
    if repository := config["repository"]["url"]:
        config["sphinx"]["config"]["html_theme_options"] |= {
            "repository_url": repository, "repository_branch": config["repository"]["branch"],
            "launch_buttons": SERVICES,
        }  # fmt: skip
    return config


def offer_values(html: Path, values: Path) -> None:
    """Put the tables that the notebooks wrote (`helpers.notebook.download`) beside the pages, linked in captions."""
    shutil.copytree(values, html / VALUES)
    for page in (html / "notebooks").glob("*.html"):
        page.write_text(CAPTION.sub(lambda found: with_link(found, html), page.read_text()))


def show_summary(front: Path, discussion: Path) -> None:
    """Show the discussion's summary figure on the front page as well; both pages lie equally deep."""
    figures = {found["id"]: found[0] for found in CAPTION.finditer(discussion.read_text())}
    figure = figures["fig-summary"].replace('id="fig-summary"', 'id="the-paper-in-one-figure"', 1) + "</figure>"
    figure = re.sub(r'<span class="caption-number">.*?</span>|<a class="headerlink".*?</a>', "", figure)
    text = front.read_text()
    if PLACE not in text:
        raise ValueError(f"{front.name} has no {PLACE} to put the summary figure into.")
    front.write_text(text.replace(PLACE, figure))


def with_link(figure: re.Match, html: Path) -> str:
    """A figure's HTML with a link to its values at the end of its caption, where there is a table of that name."""
    name = figure["id"]
    if not (html / VALUES / f"{name}.csv").is_file():
        return figure[0]
    link = f'<a class="values" href="../{VALUES}/{name}.csv" download>values drawn (CSV)</a>'
    return figure[0].removesuffix("</figcaption>") + f"<p>{link}</p></figcaption>"


def add_explorer(html: Path, cache: Path) -> None:
    """Put the explorer's data beside the pages; they are made once for a state of the project."""
    from explorer_data import write_once

    script = (ROOT / "scripts" / "explorer_data.py").read_bytes()
    shutil.copytree(write_once(cache / f"explorer-{digest([script])}"), html / "explorer")


def progress(line: str) -> str:
    """What a reader wants to know of a line that the build prints, or nothing."""
    if found := re.search(r"(reading|writing) \w+\.\.\. *(\[ *\d+%\]) (\S+)", line):
        return " ".join(found.groups())
    if found := re.search(
        r"(\w+/\w+)\.md: (Executing notebook|Executed notebook in [\d.]+ seconds|Using cached)", line
    ):
        return ": ".join(found.groups())
    return ""


if __name__ == "__main__":
    sys.exit(main())
