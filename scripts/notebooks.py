"""The book's notebooks: their text (MyST .md), parameters, and the one way to execute.

`execute` runs what is out of date, two notebooks at a time, into one folder. A notebook
is out of date when its code cells, its parameters, a notebook that it reads or the
state of the project have changed; a change of prose alone executes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from filelock import FileLock, Timeout
from jupytext.compare import NotebookDifference, compare_notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from papermill.translators import papermill_translators

from pipeline import manifest

ROOT = Path(__file__).resolve().parents[1]
EXECUTED = ROOT / "_build" / "executed"
PROCESSES = 2
TIMEOUT = 600
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Limited to one thread in every notebook: two run side by side, with the same bits."""
READS = {
    "05_discussion": (
        "01_introduction",
        "02_representational_geometry",
        "03_human_similarity",
        "04_ghost_features",
    )
}
"""The notebooks whose findings a notebook reads."""
ALSO_READ = (
    "book/_ext/explorer.py",
    "book/claims.toml",
    "benchmarks/*.py",
    "benchmarks/results/*.json",
    "requirements.lock",
)
"""What pages depend on besides `pipeline.manifest.state`."""
PHONE = "application/vnd.book.phone"
"""MIME type of the form of a figure for a phone (book/_ext/phone.py)."""
COLOUR = re.compile(r"\x1b\[[\d;]*m")
PYTHON = papermill_translators.find_translator("python3", "python")


@dataclass(frozen=True, eq=False)
class Job:
    """A notebook on its way from text to outputs."""

    text: Path  # the MyST source
    result: Path  # the executed .ipynb
    notebook: NotebookNode  # of the text, with parameters set
    key: str  # what the outputs depend on

    @property
    def name(self) -> str:
        return self.text.stem

    @property
    def is_current(self) -> bool:
        return about(self.result).get("key") == self.key


# ---------------------------------------------------------------------------- text
def sources() -> list[Path]:
    """The text of every page that has code cells."""
    pages = [*ROOT.glob("notebooks/*.md"), *ROOT.glob("book/*.md")]
    return sorted(path for path in pages if "{code-cell}" in path.read_text("utf-8"))


def read(path: Path, values: Mapping | None = None) -> NotebookNode:
    """The notebook of a text file, without outputs, with parameters set to ``values``.

    As with papermill, they are set in a cell after that of the defaults. Cells have ids
    that stay the same from run to run.
    """
    config = jupytext.config.load_jupytext_config(str(path))
    notebook = jupytext.read(path, config=config)
    if values:
        source = PYTHON.codify(values, "Parameters")
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = ["injected-parameters"]
        notebook.cells.insert(parameters_at(notebook) + 1, cell)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    return notebook


def parameters_of(path: Path) -> dict[str, dict]:
    """Type, default and comment of each parameter of a text notebook."""
    notebook = read(path)
    if (position := parameters_at(notebook)) < 0:
        return {}
    found = PYTHON.inspect(notebook.cells[position])
    return {parameter.name: parameter._asdict() for parameter in found}


def parameters_at(notebook: NotebookNode) -> int:
    """The position of the cell tagged ``parameters``, or -1."""
    tagged = ["parameters" in c.metadata.get("tags", ()) for c in notebook.cells]
    return tagged.index(True) if any(tagged) else -1


def difference(text: Path) -> str:
    """Why the .ipynb beside ``text`` is not its executed pair, or ""."""
    pair = text.with_suffix(".ipynb")
    if not pair.exists():
        return "there is no .ipynb"
    stored = nbformat.read(pair, as_version=4)
    try:
        compare_notebooks(
            stored,
            read(text),
            fmt="md:myst",
            allow_expected_differences=True,
            raise_on_first_difference=True,
        )
    except NotebookDifference as first:
        return f"text and .ipynb differ: {str(first).splitlines()[0]}"
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        return "the .ipynb was not executed from top to bottom"
    return ""


def find(name: str, choices: Iterable[Path]) -> Path:
    """The one of ``choices`` whose name begins with ``name``; exits without one."""
    choices = list(choices)
    found = [path for path in choices if name and path.stem.startswith(name)]
    if len(found) != 1:
        known = ", ".join(path.stem for path in choices)
        sys.exit(f"{name!r} matches {len(found)} notebooks; choose one of: {known}.")
    return found[0]


def check(path: Path, values: Mapping) -> None:
    """Exit where a notebook refuses parameters, before anything is computed."""
    known = parameters_of(path)
    for name in values:
        if name not in known:
            available = ", ".join(known) or "none"
            sys.exit(f"{path.stem} has no parameter {name!r}. It has: {available}.")
    code = [c.source for c in read(path, values).cells if c.cell_type == "code"]
    checks = [n for n, source in enumerate(code, 1) if "check_parameters(" in source]
    try:
        exec("\n".join(code[: min(checks, default=0)]), {})  # the notebook's own check
    except (NameError, ValueError) as error:
        sys.exit(f"{path.stem}: {error}")


# ----------------------------------------------------------------------- execution
def about(path: Path) -> dict:
    """How an .ipynb was executed (key, seconds, cells); {} if missing or damaged."""
    with suppress(OSError, ValueError, LookupError, AttributeError):
        return json.loads(path.read_text("utf-8"))["metadata"].get("execution", {})
    return {}


@contextmanager
def alone() -> Iterator[None]:
    """Wait until nothing else executes or builds in this clone."""
    (ROOT / "_build").mkdir(exist_ok=True)
    lock = FileLock(ROOT / "_build" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another build is running here; waiting for it to end.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def project_state() -> str:
    """A key to everything outside a notebook that its outputs depend on."""
    files = sorted(path for pattern in ALSO_READ for path in ROOT.glob(pattern))
    contents = [path.name + path.read_text("utf-8") for path in files]
    return digest(manifest.state(), sys.version, *contents)


def digest(*parts: str) -> str:
    """Twelve hexadecimal digits that tell contents apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def plan(params: Mapping[str, Mapping], folder: Path) -> dict[str, Job]:
    """A job for every text, by name; notebooks come before those that read them."""
    state, jobs = project_state(), {}
    for text in sources():
        notebook = read(text, params.get(text.stem))
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        read_keys = [jobs[name].key for name in READS.get(text.stem, ())]
        key = digest(state, *read_keys, json.dumps(code))
        result = folder / text.parent.name / f"{text.stem}.ipynb"
        jobs[text.stem] = Job(text, result, notebook, key)
    return jobs


def execute(
    names: Iterable[str] | None = None,
    params: Mapping[str, Mapping] | None = None,
    folder: Path = EXECUTED,
    force: bool = False,
) -> list[Job]:
    """Bring notebooks (default: all) up to date in ``folder``; exits where one fails.

    ``force`` executes the named ones even if they are current.
    """
    jobs = plan(params or {}, folder)
    names = list(jobs if names is None else names)
    needed = dict.fromkeys([n for name in names for n in (*READS.get(name, ()), name)])
    for job in jobs.values():
        reuse(job, EXECUTED / job.result.relative_to(folder))
    forced = set(names) if force else set()
    stale = [jobs[n] for n in needed if n in forced or not jobs[n].is_current]
    for name in needed:
        if jobs[name] not in stale:
            renew_prose(jobs[name])
    if stale:
        os.environ.update(dict.fromkeys(THREADS, "1"))
        compute_activations()
        failures = asyncio.run(run_all(stale))
        if failures:
            sys.exit("\n\n".join(failures))
    return [jobs[name] for name in names]


def reuse(job: Job, executed: Path) -> None:
    """Take a notebook that was executed elsewhere as the result, if it is current."""
    if not job.is_current and about(executed).get("key") == job.key:
        job.result.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(executed, job.result)


def compute_activations() -> None:
    """Compute what several notebooks need, once, before they run side by side."""
    from pipeline import lenets

    lenets.ensure()


def renew_prose(job: Job) -> None:
    """Give a current result the present text; outputs stay with their cells."""
    stored = nbformat.read(job.result, as_version=4)
    merged = with_outputs(job.notebook, stored)
    if merged != stored:
        nbformat.write(merged, job.result)


def with_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """``notebook`` with the outputs of the same code cells in ``executed``."""
    code = [
        [c for c in nb.cells if c.cell_type == "code"] for nb in (notebook, executed)
    ]
    for cell, done in zip(*code, strict=True):
        cell.update(outputs=done.outputs, execution_count=done.execution_count)
    notebook.metadata.update(executed.metadata)
    return notebook


async def run_all(jobs: list[Job]) -> list[str]:
    """Run jobs, `PROCESSES` at a time, longest first; returns messages of failures.

    What a notebook needs before others can start counts as its own time. After a
    failure no further notebook is started.
    """
    waiting = sorted(jobs, key=lambda job: -urgency(job, jobs))
    running, done, failures = {}, set(), []
    while waiting or running:
        blocked = {job.name for job in jobs} - done
        for job in list(waiting):
            if len(running) < PROCESSES and not blocked & set(READS.get(job.name, ())):
                waiting.remove(job)
                running[asyncio.create_task(run(job))] = job
        finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            done.add(running.pop(task).name)
            failures += [task.result()] if task.result() else []
        waiting = [] if failures else waiting
    return failures


def urgency(job: Job, jobs: Iterable[Job]) -> float:
    """Expected seconds of a job and of the longest that waits for it."""
    after = [seconds(j) for j in jobs if job.name in READS.get(j.name, ())]
    return seconds(job) + max(after, default=0)


def seconds(job: Job) -> float:
    """How long a notebook took when it was last executed, here or by its author."""
    last = about(job.result) or about(job.text.with_suffix(".ipynb"))
    return last.get("seconds", 0)


async def run(job: Job) -> str:
    """Execute one notebook and write it; returns what went wrong, or ""."""
    job.result.parent.mkdir(parents=True, exist_ok=True)
    # findings of other notebooks are read from the folder of the results
    is_page = job.text.parent.name == "book"
    path = str(job.text.parent if is_page else job.result.parent)
    client = NotebookClient(
        job.notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": path}},
        record_timing=False,
        extra_arguments=["--ext=phone"],
    )
    start = time.monotonic()
    try:
        await client.async_execute(
            stderr=subprocess.DEVNULL,  # of the kernel's start
            env=os.environ | {"PYTHONPATH": os.pathsep.join(own_code())},
        )
    except CellExecutionError:
        return f"{job.name}, {failure(job.notebook)}"
    took = time.monotonic() - start
    keep_phone_forms(job.notebook)
    if complaints := stderr_of(job.notebook):
        return f"{job.name} wrote to stderr:\n{complaints}"
    cells = sum(cell.cell_type == "code" for cell in job.notebook.cells)
    record = {"key": job.key, "seconds": round(took, 1), "cells": cells}
    job.notebook.metadata["execution"] = record
    nbformat.write(job.notebook, job.result)
    print(f"  {job.name}: {cells} cells in {took:.0f} s", flush=True)
    return ""


def own_code() -> list[str]:
    """Where this clone's code lies, for processes that import it."""
    return [str(ROOT / "book" / "_ext"), str(ROOT / "src"), str(ROOT)]


def keep_phone_forms(notebook: NotebookNode) -> None:
    """Move the phone form of each figure (book/_ext/phone.py) to its metadata."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    for output in outputs:
        if form := output.get("data", {}).pop(PHONE, None):
            output.metadata["phone"] = form


def failure(notebook: NotebookNode) -> str:
    """Which cell failed, its error, and the lines of cells and project on the way."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number, error = next(
        (number, output)
        for number, cell in enumerate(code, 1)
        for output in cell.outputs
        if output.output_type == "error"
    )
    shown, is_own = [], False
    for line in COLOUR.sub("", "\n".join(error.traceback)).splitlines():
        if line.startswith(("Cell In", "File ")):
            is_own = line.startswith("Cell") or re.search(
                r"src/(helpers|pipeline)", line
            )
            place = line
        elif is_own and re.match(r"-+> \d+", line):
            shown += [place, line]
    head = f"cell {number} failed: {error.ename}: {error.evalue}"
    return "\n  ".join([head, *shown])


def stderr_of(notebook: NotebookNode) -> str:
    """Everything that the cells of a notebook wrote to stderr."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.text for output in outputs if output.get("name") == "stderr")
