"""Execute the notebooks and build the HTML book; every warning is an error.

    python scripts/build.py [--params FILE.yaml] [--committed]

FILE.yaml sets parameters by notebook, for example ``02_representational_geometry:
{n_models: 10}``; that book goes to ``_build/params-*/_build/html``. ``--committed``
executes nothing and builds from the committed outputs, as `jupyter-book build .` does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from notebooks import COLOUR, ROOT, about, check_names, digest, execute, sources

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
STRICT = ("-W", "-n", "--keep-going")
PROBLEM = re.compile(r"WARNING: |ERROR: |CRITICAL: |^\w+Error\b")
PROGRESS = re.compile(r"(reading|writing) \w+\.\.\. *(\[ *\d+%\]) (\S+)")
STATIC = ("_config.yml", "_toc.yml", "book/*.md", "book/*.bib", "book/_static/**/*")


def main() -> int:
    """Execute, stage, build, and say where the book is."""
    parser = argparse.ArgumentParser(description="Build the HTML book.")
    parser.add_argument("--params", type=Path, help="YAML: parameters by notebook")
    parser.add_argument("--committed", action="store_true", help="execute nothing")
    options = parser.parse_args()
    start = time.monotonic()
    params = (
        checked(yaml.safe_load(options.params.read_text())) if options.params else {}
    )
    suffix = digest(json.dumps(params, sort_keys=True))
    folder = ROOT / "_build" / (f"params-{suffix}" if params else "")
    out, source, fresh = (folder if params else ROOT), ROOT, True
    if not options.committed:
        execute(params=params, folder=folder / "executed")
        source = folder / "book"
        fresh = stage(folder / "executed", source)
    if status := build(source, out / "_build", fresh):
        print("\nThe book was not built; see the messages above.")
        return status
    page = os.path.relpath(out / "_build" / "html" / "index.html")
    print(f"\nThe book is ready: open {page} ({time.monotonic() - start:.0f} s)")
    return 0


def checked(params: dict | None) -> dict:
    """Exit at a notebook or parameter that does not exist, before anything runs."""
    known = {path.stem: path for path in sources()}
    for name, values in (params or {}).items():
        if name not in known:
            sys.exit(f"There is no notebook {name!r}. There are: {', '.join(known)}.")
        if not isinstance(values, dict):
            sys.exit(
                f"The parameters of {name} must be a mapping, as in {{n_models: 10}}; "
                f"got {values!r}."
            )
        check_names(known[name], values)
    return params or {}


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
        env=os.environ | {"PYTHONPATH": str(ROOT / "book" / "_ext")},
    )
    lines = []
    for line in process.stdout:
        lines.append(COLOUR.sub("", line))
        if found := PROGRESS.search(lines[-1]):
            print(f"  {' '.join(found.groups())}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "build.log").write_text("".join(lines))
    if process.wait():
        problems = [line for line in lines[:-40] if PROBLEM.search(line)]
        print(*problems, *lines[-40:], sep="")
        print(f"The full log is in {os.path.relpath(out / 'build.log')}")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
