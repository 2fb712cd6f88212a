"""Execute the notebooks and build the HTML book; every warning is an error.

    python scripts/build.py [--params FILE.yaml] [--committed]

FILE.yaml sets parameters by notebook, for example ``02_representational_geometry:
{n_models: 10}``; that book goes to ``_build/params-*/_build/html``. ``--committed``
executes nothing and builds from the committed outputs, as `jupyter-book build .` does.
Numbers that parameters left out are shown as *not run*.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from helpers.notebook import records
from notebooks import (
    COLOUR,
    ROOT,
    about,
    alone,
    check,
    digest,
    execute,
    own_code,
    sources,
)

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
STRICT = ("-W", "-n", "--keep-going")
PROBLEM = re.compile(r"WARNING: |ERROR: |CRITICAL: |^\w+Error\b")
ADDRESS = re.compile(r'\b(?:href|src|data-from)="([^"<]+)"')
GLUED = re.compile(r"\{glue:(?:text)?\}`(?:/([\w/]+)\.\w+::)?(\w+)(?::[^`]*)?`")
"""A number in prose: the page that it is from, if it is another, and its name."""
PROGRESS = re.compile(r"(reading|writing) \w+\.\.\. *(\[ *\d+%\]) (\S+)")
STATIC = ("_config.yml", "_toc.yml", "book/*.md", "book/*.bib", "book/_static/**/*")


def main() -> int:
    """Build, alone; what stops it is said in a sentence."""
    parser = argparse.ArgumentParser(description="Build the HTML book.")
    parser.add_argument("--params", type=Path, help="YAML: parameters by notebook")
    parser.add_argument("--committed", action="store_true", help="execute nothing")
    options = parser.parse_args()
    if options.committed and options.params:
        parser.error("--committed executes nothing, so it takes no --params")
    try:
        params = checked(options.params) if options.params else {}
        with alone():
            return make(params, options.committed)
    except KeyboardInterrupt:
        print("\nInterrupted. Notebooks that were executed are kept.")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"\nThe disk is full: {error.filename or ROOT} could not be written.")
    return 1


def make(params: dict, committed: bool) -> int:
    """Execute, stage, build, and say where the book is."""
    start = time.monotonic()
    suffix = digest(json.dumps(params, sort_keys=True))
    folder = ROOT / "_build" / (f"params-{suffix}" if params else "")
    out, source, fresh = (folder if params else ROOT) / "_build", ROOT, True
    if not committed:
        execute(params=params, folder=folder / "executed")
        source = folder / "book"
        fresh = stage(folder / "executed", source)
        if params:
            mark_not_run(source)
    status = build(source, out, fresh)
    log = (out / "build.log").read_text("utf-8")
    if status and not fresh and "exception" in log.lower():
        print(
            "What is kept of earlier builds may be damaged: building every page again."
        )
        status = build(source, out, fresh=True)
    if absent := missing(out / "html") if status == 0 else ():
        print("Pages name files that were not made:", *absent, sep="\n  ")
    if status or absent:
        print("\nThe book was not built; see the messages above.")
        return status or 1
    page = os.path.relpath(out / "html" / "index.html")
    print(f"\nThe book is ready: open {page} ({time.monotonic() - start:.0f} s)")
    return 0


def checked(path: Path) -> dict:
    """The parameters in a file; exits where one cannot be used."""
    try:
        params = yaml.safe_load(path.read_text("utf-8")) or {}
    except OSError as error:
        sys.exit(f"{path} cannot be read: {error.strerror}.")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        sys.exit(f"{path} is not YAML: {' '.join(str(error).split())}")
    known = {text.stem: text for text in sources()}
    if not isinstance(params, dict):
        sys.exit(f"{path} must map notebooks to their parameters; got {params!r}.")
    for name, values in params.items():
        if name not in known:
            sys.exit(f"There is no notebook {name!r}. There are: {', '.join(known)}.")
        if not isinstance(values, dict):
            sys.exit(
                f"The parameters of {name} must be a mapping, as in {{n_models: 10}}; "
                f"got {values!r}."
            )
        check(known[name], values)
    return params


def stage(executed: Path, folder: Path) -> bool:
    """Collect the book's sources in ``folder``; what is unchanged keeps its time.

    Pages with code are the executed notebooks. Returns whether outputs have changed, so
    that every page has to be rendered: pages show numbers of other pages.
    """
    texts = sources()
    files = {p: p.relative_to(ROOT) for pattern in STATIC for p in ROOT.glob(pattern)}
    files = {p: name for p, name in files.items() if p.is_file() and p not in texts}
    for text in texts:
        name = text.relative_to(ROOT).with_suffix(".ipynb")
        files[executed / name] = name
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        if path.relative_to(folder) not in files.values():
            path.unlink()
    changed = False
    for path, name in files.items():
        target = folder / name
        if not target.is_file() or target.read_bytes() != path.read_bytes():
            changed |= name.suffix == ".ipynb" and about(target) != about(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return changed


def mark_not_run(folder: Path) -> None:
    """Say so in staged pages where parameters left out a number, or it is undefined."""
    pages = [*folder.rglob("*.ipynb"), *folder.rglob("*.md")]
    names = {
        path: path.relative_to(folder).with_suffix("").as_posix() for path in pages
    }
    known = {
        name: records(json.loads(path.read_text("utf-8")))
        for path, name in names.items()
        if path.suffix == ".ipynb"
    }

    def shown(role: re.Match, own: str) -> str:
        record = known.get(role[1] or own, {}).get(role[2])
        if record is None:
            return "*not run*"
        return "*no value*" if record.get("text/plain") == "nan" else role[0]

    for path, name in names.items():
        text = path.read_text("utf-8")
        path.write_text(GLUED.sub(partial(shown, own=name), text), "utf-8")


def missing(html: Path) -> list[str]:
    """Files that the pages of a built book name and that are not there."""
    absent = set()
    skipped = {"_static", "_modules"}
    pages = [p for p in html.rglob("*.html") if not skipped & {*p.parts}]
    for page in pages:  # not those with code, whose texts look like addresses
        for address in set(ADDRESS.findall(page.read_text("utf-8"))):
            parts = urlsplit(unescape(address))
            target = page.parent / unquote(parts.path)
            if not (parts.scheme or parts.netloc or target.exists()):
                absent.add(f"{page.relative_to(html)}: {address}")
    return sorted(absent)


def build(source: Path, out: Path, fresh: bool) -> int:
    """Run Jupyter Book strictly, into ``out``; returns its exit status.

    Shows its progress, and the end of its output if something went wrong.
    """
    if fresh:
        for name in ("html", ".doctrees"):
            shutil.rmtree(out / name, ignore_errors=True)
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), *STRICT]
    process = subprocess.Popen(
        [*command, "--path-output", str(out.parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(own_code())},
    )
    lines = []
    try:
        for line in process.stdout:
            lines.append(COLOUR.sub("", line))
            if found := PROGRESS.search(lines[-1]):
                print(f"  {' '.join(found.groups())}", flush=True)
    except BaseException:
        process.kill()
        raise
    out.mkdir(parents=True, exist_ok=True)
    (out / "build.log").write_text("".join(lines))
    if process.wait():
        problems = [line for line in lines[:-40] if PROBLEM.search(line)]
        print(*problems, *lines[-40:], sep="")
        print(f"The full log is in {os.path.relpath(out / 'build.log')}")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
