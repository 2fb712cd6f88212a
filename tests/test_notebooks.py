"""The executor: what is executed again and what is not, in which order, and what a
reader is told if something is wrong."""

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import nbformat
import psutil
import pytest

import build
import notebooks
import run
import sync
from helpers.notebook import records

REPOSITORY = notebooks.ROOT
HEAD = """---
kernelspec:
  name: python3
  display_name: Python 3
---

# Title

```{code-cell} ipython3
:tags: [parameters]

n = 2  # how many
```

Prose.

"""
FIRST = HEAD + "```{code-cell} ipython3\nprint(n + 1)\n```\n"
SECOND = HEAD + "```{code-cell} ipython3\nprint('second', n)\n```\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two notebooks, of which the second reads the first."""
    for folder in ("notebooks", "book"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notebooks" / "01_a.md").write_text(FIRST)
    (tmp_path / "notebooks" / "02_b.md").write_text(SECOND)
    (tmp_path / "book" / "prose.md").write_text("# No code\n")
    for module in (notebooks, run, build):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(sync, "EXECUTED", tmp_path / "executed")
    monkeypatch.setattr(notebooks, "EXECUTED", tmp_path / "executed")
    monkeypatch.setattr(notebooks, "READS", {"02_b": ("01_a",)})
    monkeypatch.setattr(notebooks, "project_state", lambda: "state")
    monkeypatch.setattr(notebooks, "compute_activations", lambda: None)
    return tmp_path


@pytest.fixture
def executed(project, monkeypatch):
    """The names of notebooks as they are executed, without a kernel."""
    names = []

    async def record(job):
        names.append(job.name)
        await asyncio.sleep(0.01)
        for n, cell in enumerate(job.notebook.cells):
            if cell.cell_type == "code":
                text = f"output {n}"
                cell.outputs = [nbformat.v4.new_output("stream", text=text)]
        job.notebook.metadata["execution"] = {"key": job.key, "seconds": 1, "cells": 2}
        job.result.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(job.notebook, job.result)
        return ""

    monkeypatch.setattr(notebooks, "run", record)
    return names


def execute(project, **options):
    return notebooks.execute(folder=project / "executed", **options)


def edit(project, name, old, new):
    path = project / "notebooks" / f"{name}.md"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_each_notebook_is_executed_once_and_after_those_it_reads(project, executed):
    execute(project)
    assert executed == ["01_a", "02_b"]
    execute(project)
    assert len(executed) == 2


def test_a_change_of_prose_executes_nothing_and_reaches_the_result(project, executed):
    execute(project)
    edit(project, "01_a", "Prose.", "Better prose.")
    (job, _) = execute(project)
    assert len(executed) == 2
    stored = nbformat.read(job.result, as_version=4)
    assert "Better prose." in [cell.source for cell in stored.cells]
    texts = [c.outputs[0].text for c in stored.cells if c.cell_type == "code"]
    assert texts == ["output 1", "output 3"]


def test_a_change_of_code_executes_what_depends_on_it(project, executed):
    execute(project)
    executed.clear()
    edit(project, "02_b", "'second'", "'2'")
    execute(project)
    assert executed == ["02_b"]
    edit(project, "01_a", "n + 1", "n + 2")
    execute(project)
    assert executed == ["02_b", "01_a", "02_b"]


def test_a_change_of_state_or_parameters_executes_again(project, executed, monkeypatch):
    execute(project)
    executed.clear()
    execute(project, params={"02_b": {"n": 3}})
    assert executed == ["02_b"]
    monkeypatch.setattr(notebooks, "project_state", lambda: "another")
    execute(project, params={"02_b": {"n": 3}})
    assert executed == ["02_b", "01_a", "02_b"]


def test_a_book_with_other_parameters_takes_what_does_not_depend_on_them(
    project, executed
):
    execute(project)
    params = {"02_b": {"n": 3}}
    notebooks.execute(params=params, folder=project / "other")
    assert executed == ["01_a", "02_b", "02_b"]
    assert (project / "other" / "notebooks" / "01_a.ipynb").is_file()


def test_forced_notebooks_are_executed_and_what_they_read_only_if_stale(
    project, executed
):
    execute(project, names=["02_b"], force=True)
    execute(project, names=["02_b"], force=True)
    assert executed == ["01_a", "02_b", "02_b"]


def test_the_longest_wait_goes_first(project):
    def job(name, seconds):
        result = project / "executed" / f"{name}.ipynb"
        result.parent.mkdir(exist_ok=True)
        content = {"metadata": {"execution": {"seconds": seconds}}}
        result.write_text(json.dumps(content))
        return notebooks.Job(project / f"{name}.md", result, None, "")

    jobs = [job("01_a", 2), job("03_c", 4), job("02_b", 3)]
    assert [notebooks.urgency(one, jobs) for one in jobs] == [5, 4, 3]


def test_the_state_of_the_project_is_that_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    before = notebooks.project_state()
    assert notebooks.project_state() == before
    (tmp_path / "requirements.lock").write_text("numpy==0")
    assert notebooks.project_state() != before


def test_sync_takes_what_is_current_and_writes_what_differs(project, executed, capsys):
    sync.main([])
    assert (project / "notebooks" / "02_b.ipynb").is_file()
    for job in notebooks.plan({}, project / "executed").values():
        job.result.unlink()
    capsys.readouterr()
    sync.main([])
    assert len(executed) == 2 and capsys.readouterr().out == ""
    edit(project, "02_b", "Prose.", "More prose.")
    sync.main([])
    assert len(executed) == 2
    assert capsys.readouterr().out == "notebooks/02_b.ipynb: written\n"
    sync.main(["01"])
    assert executed[2:] == ["01_a"]


# --------------------------------------------------------------------- with a kernel
@pytest.mark.slow
def test_a_notebook_runs_with_parameters_and_records_its_time(project):
    jobs = execute(project, params={"01_a": {"n": 41}})
    stored = [nbformat.read(job.result, as_version=4) for job in jobs]
    assert [nb.cells[-1].outputs[0].text for nb in stored] == ["42\n", "second 2\n"]
    about = stored[0].metadata.execution
    assert about.cells == 3 and about.seconds > 0 and about.key == jobs[0].key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"01_a, cell 2 failed: ZeroDivisionError: division .*-> 1 1 / 0\Z"),
        ("import sys; print('oh', file=sys.stderr)", "01_a wrote to stderr:\noh"),
    ],
)
def test_a_failure_names_the_notebook_and_starts_no_other(project, code, message):
    edit(project, "01_a", "print(n + 1)", code)
    with pytest.raises(SystemExit, match=f"(?s)^{message}"):
        execute(project)
    assert not list((project / "executed").rglob("*.ipynb"))


@pytest.mark.slow
def test_run_takes_values_of_every_type(project, capsys):
    run.main("01", "n=3")
    result = project / "_build" / "runs" / "01_a_n=3.ipynb"
    cells = nbformat.read(result, as_version=4).cells
    assert cells[-1].outputs[0].text == "4\n" and result.name in capsys.readouterr().out


# ------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("0",), "'0' matches 2 notebooks; choose one of: 01_a, 02_b"),
        (("",), "'' matches 0 notebooks"),
        (("01", "m=3"), "01_a has no parameter 'm'. It has: n."),
        (("01", "n"), "P takes name=value"),
    ],
)
def test_run_refuses_unknown_names(arguments, message, project):
    with pytest.raises(SystemExit, match=message):
        run.main(*arguments)


CHECK = """
```{code-cell} ipython3
from helpers.notebook import check_parameters
check_parameters(globals(), n=(1, 50))
```

```{code-cell} ipython3
raise KeyError("computed")
```
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("03_c: {}", "no notebook '03_c'. There are: 01_a, 02_b"),
        ("01_a: {m: 1}", "01_a has no parameter 'm'. It has: n."),
        ("01_a: {_n: 1}", "01_a has no parameter '_n'"),
        ("01_a: {open: 1}", "01_a has no parameter 'open'"),
        ("01_a: 5", "must be a mapping"),
        ("[01_a]", r"must map notebooks to their parameters; got \['01_a'\]"),
        ("01_a: {n: [}", "is not YAML: while parsing"),
        ("01_a: {n: 99}", "01_a: parameter n must be a whole number from 1 to 50"),
        ("01_a: {n: ten}", "got 'ten'"),
    ],
)
def test_bad_parameters_are_refused_in_a_sentence(text, message, project):
    edit(project, "01_a", "Prose.", CHECK)
    (file := project / "my params.yaml").write_text(text)
    with pytest.raises(SystemExit, match=message):
        build.checked(file)
    with pytest.raises(SystemExit, match=r"none\.yaml cannot be read: No such file"):
        build.checked(project / "none.yaml")
    file.write_text("01_a: {n: 3}")
    assert build.checked(file) == {"01_a": {"n": 3}}


def test_a_path_with_a_space_reaches_the_builder():
    command = ["make", "--dry-run", "book", "PARAMS=my params.yaml"]
    shown = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert '--params "my params.yaml"' in shown.stdout


def test_a_damaged_result_is_executed_again(project, executed):
    (job, _) = execute(project)
    job.result.write_bytes(job.result.read_bytes()[:100])
    execute(project)
    assert executed == ["01_a", "02_b", "01_a"]


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["*.doctree", "environment.pickle"])
def test_a_damaged_cache_of_pages_is_thrown_away(broken, tmp_path, monkeypatch):
    source = tmp_path / "_build" / "book"
    (source / "book").mkdir(parents=True)
    (source / "_config.yml").write_text("execute: {execute_notebooks: 'off'}\n")
    (source / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    page = source / "book" / "index.md"
    page.write_text("# Title\n\nFirst.\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "execute", lambda **_: [])
    monkeypatch.setattr(build, "stage", lambda *_: False)
    assert build.make({}, committed=False) == 0
    for path in (tmp_path / "_build" / ".doctrees").rglob(broken):
        path.write_bytes(b"\x80\x04damaged")
    html = tmp_path / "_build" / "html" / "book" / "index.html"
    html.unlink()
    assert build.make({}, committed=False) == 0
    assert "First." in html.read_text("utf-8")


def test_two_builds_do_not_run_at_once(project, capsys):
    order = []

    def second():
        with notebooks.alone():
            order.append("second")

    with notebooks.alone():
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "Another build is running" in capsys.readouterr().out


def test_a_full_disk_is_named(project, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "_build/executed/x")

    monkeypatch.setattr(build, "make", full)
    monkeypatch.setattr(sys, "argv", ["build.py"])
    assert build.main() == 1
    assert "The disk is full: _build/executed/x" in capsys.readouterr().out


def test_numbers_that_parameters_left_out_are_shown_as_not_run(tmp_path):
    outputs = [
        nbformat.v4.new_output(
            "display_data",
            {"application/papermill.record/text/plain": text},
            metadata={"scrapbook": {"name": name}},
        )
        for name, text in (("r2", "0.5"), ("undefined", "nan"))
    ]
    prose = "{glue:text}`r2:.2f` {glue:text}`gone:.0%` {glue:}`undefined`"
    code = nbformat.v4.new_code_cell("1", outputs=outputs)
    cells = [code, nbformat.v4.new_markdown_cell(prose)]
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    other = "{glue:text}`/notebooks/01_a.ipynb::r2:.2f`"
    (tmp_path / "x.md").write_text(f"{other} {{glue:}}`/notebooks/01_a.md::gone`")
    build.mark_not_run(tmp_path)
    marked = nbformat.read(path, as_version=4).cells[1].source
    assert marked == "{glue:text}`r2:.2f` *not run* *no value*"
    assert (tmp_path / "x.md").read_text() == f"{other} *not run*"


@pytest.mark.slow
@pytest.mark.parametrize(
    "left_out", [{"dataset": "mnist"}, {"dataset": "cifar10", "items": "images"}]
)
def test_parameters_that_leave_out_rows_run_to_the_scoreboard(left_out, tmp_path):
    (folder := tmp_path / "notebooks").mkdir()
    for pair in (REPOSITORY / "notebooks").glob("0[134]*.ipynb"):
        shutil.copy(pair, folder)
    small = {"n_models": 2, "n_images": 20}
    for start, values in (("02", small | left_out), ("05", small | {"n_ties": 2})):
        (text,) = (REPOSITORY / "notebooks").glob(f"{start}*.md")
        result = folder / f"{text.stem}.ipynb"
        job = notebooks.Job(text, result, notebooks.read(text, values), "")
        assert asyncio.run(notebooks.run(job)) == ""
    glued = records(nbformat.read(result, as_version=4))
    assert glued["verdict_C2"]["text/plain"] == "'run in part'"
    assert "not run" in glued["rows_C3"]["text/plain"]


def test_a_file_that_pages_name_is_missed(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "a b.csv").write_text("1")
    page = '<a href="../a%20b.csv#x"></a><a href="https://x.org/y"><img src="no.png">'
    (tmp_path / "book" / "x.html").write_text(page)
    assert build.missing(tmp_path) == ["book/x.html: no.png"]


@pytest.mark.slow
def test_an_interrupt_ends_the_kernels(project):
    edit(project, "01_a", "print(n + 1)", "import time; time.sleep(300)")
    code = (
        "import sys, notebooks as n\nfrom pathlib import Path\n"
        "n.ROOT = Path(sys.argv[1])\n"
        "n.compute_activations = lambda: None; n.project_state = lambda: 'x'\n"
        "n.execute(names=['01_a'], folder=n.ROOT / 'executed')"
    )
    command = [sys.executable, "-c", code, str(project)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = psutil.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not (children := process.children(recursive=True)):
        time.sleep(0.1)
    time.sleep(3)  # until the cell runs
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_staging_keeps_the_time_of_what_is_unchanged(project, executed):
    execute(project)
    source, folder = project / "executed", project / "staged"
    assert build.stage(source, folder)
    assert not build.stage(source, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    edit(project, "01_a", "Prose.", "Better prose.")
    execute(project)
    (project / "book" / "prose.md").unlink()
    assert not build.stage(source, folder), "prose needs no fresh build"
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    changed = {path.name for path in after if after[path] != times[path]}
    assert changed == {"01_a.ipynb"}
    assert {path.name for path in times.keys() - after.keys()} == {"prose.md"}
    edit(project, "02_b", "'second'", "'2'")
    execute(project)
    assert build.stage(source, folder), "pages show numbers of other pages"
