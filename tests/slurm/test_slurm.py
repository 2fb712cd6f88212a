"""The sweep of page 06 on a real SLURM: the same bits, also when a job is cancelled."""

import asyncio
import os
import re
import time
from pathlib import Path

import pytest

pytest.importorskip("dask_jobqueue")
pytest.importorskip("torch")

import numpy as np

import notebooks
from helpers.notebook import records
from pipeline import cluster, sweep
from slurm_node import answer, wait_for

pytestmark = pytest.mark.slow
POINTS = [
    {"dataset": dataset, "layer": layer, "seed": seed}
    for dataset in ("mnist", "cifar10")
    for layer in sweep.LAYERS
    for seed in range(2)
]
SHARED = {"n_images": 100, "proportions": (0.2, 0.5, 0.8)}


def noted(journal, **arguments):
    """`sweep.point`, noted; from the fifth that begins on, it waits for a file "go"."""
    folder = Path(journal)
    note = "-".join(str(arguments[k]) for k in ("dataset", "layer", "seed"))
    (folder / f"{note}={os.environ['SLURM_JOB_ID']}={time.time_ns()}").touch()
    if len(list(folder.glob("*=*"))) > 4:
        wait_for((folder / "go").exists, "the test")
    return sweep.point(**arguments)


def notes(journal):
    """Unit, job and time of everything that began, in this order."""
    found = [path.name.split("=") for path in journal.glob("*=*")]
    return sorted(((n, job, int(t)) for n, job, t in found), key=lambda note: note[2])


def jobs(state="R"):
    """The numbers of jobs that are running."""
    return answer("squeue", "-h", "-t", state, "-o", "%i").split()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The sweep without workers."""
    store = cluster.Store(tmp_path_factory.mktemp("serial"))
    return cluster.run(cluster.units(sweep.point, *POINTS, **SHARED), store).results


def test_the_sweep_page_runs_in_jobs_with_the_same_bits(slurm, serial, tmp_path):
    work = cluster.units(sweep.point, *POINTS, **SHARED)
    with cluster.connect("slurm", 2) as client:
        swept = cluster.run(work, cluster.Store(tmp_path), client)
        assert jobs()
    assert swept.computed == len(work)
    np.testing.assert_equal(swept.results, serial)
    wait_for(lambda: not answer("squeue", "-h"), "the end of all jobs")


def test_a_cancelled_job_loses_nothing_and_nothing_is_computed_twice(
    slurm, serial, tmp_path
):
    (journal := tmp_path / "journal").mkdir()
    work = cluster.units(noted, *POINTS, **SHARED, journal=str(journal))
    store, finished, cancelled = cluster.Store(tmp_path / "store"), [], []

    def watch(client, n_computed):
        if n_computed != 4:
            return
        # both jobs are in the middle of a unit, and wait
        wait_for(lambda: len({job for _, job, _ in notes(journal)[4:]}) == 2, "jobs")
        cancelled.append(notes(journal)[-1][1])
        finished.extend(unit.key for unit in work if store.path(unit.key).exists())
        answer("scancel", cancelled[0])
        wait_for(lambda: cancelled[0] not in jobs(), "the end of a job")
        (journal / "go").touch()

    with cluster.connect("slurm", 2) as client:
        client.wait_for_workers(2, timeout=60)
        swept = cluster.run(work, store, client, watch=watch)
    began = [name for name, _, _ in notes(journal)]
    (lost,) = (n for n, job, _ in notes(journal)[4:] if job == cancelled[0])
    assert swept.computed == len(work) == len(set(began)) and len(finished) == 4
    assert {name for name in began if began.count(name) > 1} == {lost}
    np.testing.assert_equal(swept.results, serial)


def test_a_run_whose_jobs_are_all_cancelled_says_so_and_continues(
    slurm, serial, tmp_path, monkeypatch
):
    work, store = cluster.units(sweep.point, *POINTS, **SHARED), cluster.Store(tmp_path)
    monkeypatch.setattr(cluster, "PATIENCE", 20)

    def watch(client, n_computed):
        if n_computed == 1:
            answer("scancel", *jobs())

    lost = pytest.raises(cluster.Unfinished, match="no worker was left for 20 s")
    with lost, cluster.connect("slurm", 1) as client:
        cluster.run(work, store, client, watch=watch)
    later = cluster.run(work, store)
    assert later.reused > 0 and later.computed + later.reused == len(work)
    np.testing.assert_equal(later.results, serial)


def test_a_partition_that_does_not_exist_is_reported_in_the_words_of_sbatch(slurm):
    begin = time.monotonic()
    words = "no worker of 'slurm'.*sbatch: error: invalid partition.*: nowhere"
    with (
        pytest.raises(ConnectionError, match=words) as caught,
        cluster.connect("slurm", 2, queue="nowhere"),
    ):
        pass
    assert time.monotonic() - begin < 30 and not re.search("\n", str(caught.value))


def test_the_sweep_page_itself_runs_on_slurm(slurm, tmp_path):
    (text,) = (notebooks.ROOT / "notebooks").glob("06*.md")
    values = {"scheduler": "slurm", "n_models": 1, "n_images": 50}
    notebook = notebooks.read(text, values)
    job = notebooks.Job(text, tmp_path / "06.ipynb", notebook, "")
    assert asyncio.run(notebooks.run(job)) == ""
    glued = records(notebook)
    shown = [glued[name]["text/plain"] for name in ("n_units", "n_again")]
    assert shown == ["6", "0"]
    assert "one by one: the same bits" in str(notebook.cells)
