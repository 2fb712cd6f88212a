"""Work on real worker processes: the same bits, and nothing finished is done again."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("distributed")

from helpers import data
from pipeline import cluster, manifest
from pipeline.cluster import Store, Unfinished, Unit, connect, run, units


def draw(seed, block):
    """Random numbers of one block."""
    return {"x": np.random.default_rng([seed, block]).normal(size=5)}


def draw_and_wait(seed, block, journal):
    """`draw`; from the fifth unit that begins on, wait for the file "go"."""
    folder = Path(journal)
    (folder / f"begins-{block}-{os.getpid()}-{time.time_ns()}").touch()
    if len(list(folder.glob("begins-*"))) > 4:
        (folder / f"waits-{block}-{os.getpid()}-{time.time_ns()}").touch()
        wait_for((folder / "go").exists)
    return draw(seed, block)


def notes(journal, what):
    """Block, process and time of every note of ``what``."""
    names = [path.name.split("-")[1:] for path in Path(journal).glob(f"{what}-*")]
    return [tuple(map(int, name)) for name in names]


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def die(block):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(block):
    """Raise for one block."""
    if block == 2:
        raise ValueError("no such block")
    return {"block": np.array(block)}


def draw_and_wait_for_ever(block):
    """`draw` of the first block; no other one ends."""
    if block:
        time.sleep(600)
    return draw(0, block)


def objects():
    return {"x": np.array([{}, None])}


def length(text):
    return {"n": np.array(len(text))}


def blocks(function, n=6, **shared):
    return units(function, *({"block": block} for block in range(n)), **shared)


def same(a, b):
    np.testing.assert_equal(a.results, b.results)
    return True


# --------------------------------------------------------------------- units, store
def test_keys_tell_functions_arguments_and_states_apart(monkeypatch):
    unit = Unit(draw, {"seed": 1, "block": 2})
    assert unit.key == Unit(draw, {"block": 2, "seed": 1}).key
    values = [1, "2", 2.0, (2,), np.array([2]), np.array([2], np.int8)]
    others = [Unit(draw, {"seed": 1, "block": value}) for value in values]
    others += [Unit(fail, {"seed": 1, "block": 2}), Unit(draw, {"seed": 2, "block": 2})]
    keys = {other.key for other in (unit, *others)}
    assert len(keys) == len(others) + 1
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "state_of", lambda file: "another state")
        assert unit.key not in keys


def test_the_state_of_units_is_that_of_the_project_and_their_own_file(monkeypatch):
    state = cluster.state_of.__wrapped__
    before = state(__file__)
    assert before != state(cluster.__file__)
    monkeypatch.setattr(manifest, "state", lambda: "another state")
    assert before != state(__file__)


def test_a_worker_in_another_state_computes_nothing(monkeypatch):
    unit = Unit(draw, {"seed": 1, "block": 2})
    key = unit.key
    assert unit.compute(key).keys() == {"x"}
    monkeypatch.setattr(cluster, "state_of", lambda file: "another state")
    with pytest.raises(RuntimeError, match="a worker has different code"):
        unit.compute(key)


def test_the_store_gives_back_what_it_was_given_and_notices_damage(tmp_path):
    store, key = Store(tmp_path), "ab" * 16
    result = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(np.nan)}
    assert store.read(key) is None
    store.write(key, result)
    np.testing.assert_equal(store.read(key), result)
    content = store.path(key).read_bytes()
    for damaged in (content[:-20], content[:100] + b"\0\1" + content[102:], b""):
        store.path(key).write_bytes(damaged)
        assert store.read(key) is None


def test_only_damaged_or_missing_results_are_computed_and_each_once(tmp_path):
    work, store = blocks(draw, 2, seed=1), Store(tmp_path)
    first = run([*work, *work], store)
    assert (first.computed, first.reused) == (2, 0)
    np.testing.assert_array_equal(first.results[0]["x"], first.results[2]["x"])
    store.path(work[1].key).write_bytes(b"x")
    second = run(work, store)
    assert (second.computed, second.reused) == (1, 1)
    np.testing.assert_equal(second.results, first.results[:2])


# ------------------------------------------------------------------- disk and errors
def test_a_full_disk_leaves_no_half_written_result_and_a_rerun_continues(
    tmp_path, monkeypatch
):
    work, store = blocks(draw, seed=1), Store(tmp_path)
    replace, written = os.replace, []

    def full_after_two(source, target):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(Path(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(manifest.os, "replace", full_after_two)
        with pytest.raises(Unfinished, match=r"2 of 6 units.*No space.*are reused"):
            run(work, store)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(written)
    later = run(work, store)
    assert (later.computed, later.reused) == (4, 2)
    assert same(later, run(work, Store(tmp_path / "other")))


def test_a_failing_unit_is_reported_and_finished_ones_are_kept(tmp_path):
    with pytest.raises(Unfinished, match="2 of 4 units.*ValueError: no such block"):
        run(blocks(fail, 4), Store(tmp_path))
    assert run(blocks(fail, 2), Store(tmp_path)).reused == 2


# ---------------------------------------------------------------------- real workers
@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_workers_change_no_bit(tmp_path):
    journal = tmp_path / "journal"
    journal.mkdir()
    work = blocks(draw_and_wait, 10, seed=1, journal=str(journal))
    store, crash, stored = Store(tmp_path / "store"), cluster.Crash(after=3), []

    def watch(client, n_computed):
        if n_computed == crash.after:  # both workers are in the middle of a unit
            stored.extend(b for b in range(10) if store.path(work[b].key).exists())
            wait_for(lambda: len(notes(journal, "waits")) == 2)
        crash(client, n_computed)
        if crash.ended and not (journal / "go").exists():
            stored.append(time.time_ns())
            (journal / "go").touch()

    with connect(n_workers=2) as client:
        result = run(work, store, client, watch=watch)
        assert result.computed == 10
    *stored, when = stored
    after = [(b, process) for b, process, t in notes(journal, "begins") if t > when]
    (lost,) = (b for b, process, _ in notes(journal, "waits") if process in crash.ended)
    assert lost in dict(after) and not set(crash.ended) & set(dict(after).values())
    assert len(stored) == 3 and not set(stored) & set(dict(after))
    assert same(result, run(blocks(draw, 10, seed=1), Store(tmp_path / "serial")))


@pytest.mark.slow
def test_an_interrupted_run_continues_on_another_scheduler_until_a_unit_kills(tmp_path):
    import dask

    work, store = blocks(draw, 6, seed=3), Store(tmp_path)

    def stop_after_two(client, n_computed):
        if n_computed == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(work, store, watch=stop_after_two)
    patience = {"distributed.scheduler.allowed-failures": 1}
    with dask.config.set(patience), connect(n_workers=1) as first:
        with connect(first.scheduler.address) as client:  # by its address
            later = run(work, store, client)
        assert (later.computed, later.reused) == (4, 2)
        assert same(later, run(work, Store(tmp_path / "serial")))
        with pytest.raises(Unfinished, match="0 of 1 units.*KilledWorker"):
            run([Unit(die, {"block": 0})], store, first)


def test_only_a_worker_of_this_machine_is_killed():
    class Elsewhere:
        cluster = "a scheduler's address"

    with pytest.raises(ValueError, match="a scheduler's address cannot be killed"):
        cluster.Crash(after=1)(Elsewhere(), 1)


# ---------------------------------------------------------------------------- queues
@pytest.mark.parametrize(
    ("scheduler", "requested"),
    [
        ("slurm", "-p gpu; -A lab; --mem=8G; -t 01:30:00; -n 1; --cpus-per-task=1"),
        ("pbs", "-q gpu; -A lab; -l select=1:ncpus=1:mem=7630MB; -l walltime=01:30:00"),
    ],
)
def test_job_scripts_request_what_was_said_with_one_thread(scheduler, requested):
    pytest.importorskip("dask_jobqueue")
    options = {"queue": "gpu", "account": "lab", "memory": "8GB"}
    with cluster.queue_cluster(scheduler, **options, walltime="01:30:00") as jobs:
        script = jobs.job_script()
    assert [line for line in requested.split("; ") if line not in script] == []
    assert "--nthreads 1" in script and "--nworkers" not in script
    for name, value in cluster.ONE_THREAD.items():
        export = f"export {name}={value}"
        assert script.index(export) < script.index("distributed.cli.dask_worker")


def test_a_job_is_small_by_default_and_follows_the_configuration_of_dask():
    pytest.importorskip("dask_jobqueue")
    import dask

    walltime = dask.config.set({"jobqueue.slurm.walltime": "02:00:00"})
    with walltime, cluster.started("slurm", False, {}) as jobs:
        script = jobs.job_script()
    assert "#SBATCH --mem=4G" in script and "#SBATCH -t 02:00:00" in script


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "slrum"}, "must be one of .'local', .*; got 'slrum'"),
        ({"n_workers": 0}, "n_workers must be at least 1; got 0"),
    ],
)
def test_wrong_schedulers_say_what_is_possible(options, message):
    with pytest.raises(ValueError, match=message), connect(**options):
        pass


def script(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sbatch", "patience", "words"),
    [
        ("echo no partition >&2; exit 1", 120, "takes no job: no partition"),
        ("echo submitted", 120, "no job: Could not parse job id"),
        ("echo 7", 2, "TimeoutError: none came within 2 s"),
    ],
)
def test_a_queue_that_starts_no_job_is_reported_soon(
    sbatch, patience, words, tmp_path, monkeypatch
):
    pytest.importorskip("dask_jobqueue")
    script(tmp_path, "sbatch", sbatch)
    script(tmp_path, "scancel", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(cluster, "PATIENCE", patience)
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=words), connect("slurm"):
        pass
    assert time.monotonic() - begin < 60


@pytest.mark.slow
def test_a_scheduler_that_has_or_keeps_no_worker_and_one_that_ends_are_reported(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    work, store = blocks(draw_and_wait_for_ever, 2), Store(tmp_path / "store")
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port=0"]
    command += ["--host=127.0.0.1", "--no-dashboard", f"--scheduler-file={tmp_path}/s"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    options = {"env": environment, "stderr": subprocess.DEVNULL}
    scheduler, worker = subprocess.Popen(command, **options), None
    try:
        wait_for((tmp_path / "s").exists)
        address = json.loads((tmp_path / "s").read_text("utf-8"))["address"]
        with pytest.raises(ConnectionError, match="no worker"), connect(address):
            pass
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
        command += ["--nthreads=1", "--no-nanny"]
        worker = subprocess.Popen(command, **options)
        monkeypatch.setattr(cluster, "PATIENCE", 5)
        lost = pytest.raises(Unfinished, match="1 of 2 units.*no worker was left")
        with lost, connect(address) as client:
            run(work, store, client, watch=lambda *_: worker.kill())
        worker = subprocess.Popen(command, **options)
        monkeypatch.setattr(cluster, "PATIENCE", 60)
        ended = pytest.raises(Unfinished, match="0 of 1 units.*the scheduler ended")
        with ended, connect(address) as client:
            stop = threading.Timer(3, scheduler.kill)
            stop.start()
            run(work, store, client)
    finally:
        for process in filter(None, (scheduler, worker)):
            process.kill()
            process.wait()


def test_objects_are_not_stored_and_long_text_is_an_argument(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(Unfinished, match="x must hold numbers or text, not objects"):
        run([Unit(objects, {})], store)
    (unit,) = units(length, {"text": "x" * 3000})
    assert run([unit], store).results[0]["n"] == 3000
    assert run([unit], store).reused == 1


# ------------------------------------------------------------------------- the sweep
def test_points_of_the_sweep_are_those_of_the_layer_itself(tmp_path):
    pytest.importorskip("torch")
    from helpers import sparsity
    from pipeline import sweep

    points = [{"layer": layer, "seed": 1} for layer in ("conv2", "fc2")]
    shared = {"dataset": "cifar10", "n_images": 2000, "proportions": (0.5, 1.0)}
    work = units(sweep.point, *points, **shared)
    found = sweep.frame(work, run(work, Store(tmp_path)).results)
    assert found["nodes"].tolist() == [400, 84]
    np.testing.assert_allclose(found["r2_100"], 1)
    assert (found["r2_50"] < 1).all()
    x = data.load_lenets("cifar10", 2).embeddings[1]  # the same 2000 images
    poz = sparsity.percentage_of_zeros(x)
    assert found["above_80"][1] == np.mean(poz > 0.8)
    assert found["ghosts"][1] == np.sum(poz == 1)
    means = sweep.means(found)
    assert means.index.tolist() == [("cifar10", "conv2"), ("cifar10", "fc2")]
    np.testing.assert_allclose(means["r2_50"], found["r2_50"])


def listening_at(port=None):
    """Addresses at which this process and its children wait for a connection."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    opened = [c for process in processes for c in process.net_connections("inet")]
    waiting = [c.laddr for c in opened if c.status == psutil.CONN_LISTEN]
    return {laddr.ip for laddr in waiting if port in (None, laddr.port)}


def test_a_local_cluster_and_its_dashboard_listen_on_this_machine_only():
    with connect(n_workers=1, dashboard=True) as client:
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert listening_at() == {"127.0.0.1"}


@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_the_dashboard_of_a_queue_is_served_on_this_machine_only(scheduler):
    pytest.importorskip("dask_jobqueue")
    with cluster.queue_cluster(scheduler, n_workers=0) as started:
        port = started.scheduler.http_server.port
        assert listening_at(port) == {"127.0.0.1"}
