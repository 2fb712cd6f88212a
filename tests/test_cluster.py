"""Work on real worker processes: the same bits whatever happens to them, and nothing finished is done again."""

import errno
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")

from pipeline import cluster
from helpers import datasets, inference
from pipeline.cluster import Store, Unfinished, Unit, connect, run, units


def draw(seed, block, journal="", free=0):
    """Random numbers of one block. Notes in ``journal`` that it begins; after the first ``free`` ones wait for "go"."""
    if journal:
        note(journal, "begins", block)
        if len(noted(journal, "begins")) > free:
            note(journal, "waits", block)
            wait_for((Path(journal) / "go").exists)
    return {"x": cluster.generator(seed, "draw", block).normal(size=5)}


def note(journal, what, block):
    (Path(journal) / f"{what}-{block}-{os.getpid()}-{time.time_ns()}").touch()


def noted(journal, what):
    """Block, process and time of every note of ``what``."""
    return [tuple(int(part) for part in path.name.split("-")[1:]) for path in Path(journal).glob(f"{what}-*")]


def wait_for(condition, seconds=60):
    """Return once ``condition`` holds; fail when it does not for long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)


def die_once(block, folder):
    """End the own process, without warning, the first time."""
    if block == 3 and not (Path(folder) / "died").exists():
        (Path(folder) / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"block": np.array(block)}


def die_always(block):
    """End the own process, every time."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(block):
    """Raise for one block."""
    if block == 2:
        raise ValueError("no such block")
    return {"block": np.array(block)}


def blocks(function, n=6, **shared):
    return units(function, *({"block": block} for block in range(n)), **shared)


def same(a, b):
    return all(
        x.keys() == y.keys() and all(np.array_equal(x[k], y[k], equal_nan=True) for k in x)
        for x, y in zip(a.results, b.results, strict=True)
    )


# --------------------------------------------------------------------------------------------------------- units, store
def test_key_depends_on_function_and_arguments_and_on_nothing_else():
    unit = Unit(draw, {"seed": 1, "block": 2})
    assert unit.key == Unit(draw, {"block": 2, "seed": 1}).key
    others = [
        Unit(draw, {"seed": 2, "block": 1}), Unit(fail, {"seed": 1, "block": 2}), Unit(draw, {"seed": 1, "block": "2"}),
        Unit(draw, {"seed": 1, "block": 2.0}), Unit(draw, {"seed": 1, "block": (2,)}),
        Unit(draw, {"seed": 1, "block": np.array([2])}), Unit(draw, {"seed": 1, "block": np.array([2], np.int8)}),
    ]  # fmt: skip
    assert len({other.key for other in [unit, *others]}) == len(others) + 1


def test_key_depends_on_the_code(monkeypatch):
    unit = Unit(draw, {"seed": 1, "block": 2})
    before = unit.key
    monkeypatch.setattr(cluster, "_code", lambda file: "changed")
    assert unit.key != before


def test_key_depends_on_the_shipped_data_and_on_files_that_arguments_name(tmp_path, monkeypatch):
    named = tmp_path / "weights.pth"
    named.write_bytes(b"one")
    keys = [Unit(draw, {"weights": str(named)}).key]
    named.write_bytes(b"two")
    keys.append(Unit(draw, {"weights": str(named)}).key)
    monkeypatch.setattr(datasets, "data_folder", lambda: tmp_path)
    cluster._code.cache_clear()
    (tmp_path / "manifest.json").write_text("[]")
    keys.append(Unit(draw, {"weights": str(named)}).key)
    cluster._code.cache_clear()
    assert len(set(keys)) == 3


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ValueError, match="argument block must be a number.*list"):
        _ = Unit(draw, {"block": [1]}).key


def test_generators_of_units_are_reproducible_and_differ():
    first, again, other, elsewhere = (
        cluster.generator(*where).normal(size=4) for where in ((1, "a", 0), (1, "a", 0), (1, "a", 1), (2, "a", 0))
    )
    assert np.array_equal(first, again)
    assert not np.isin(first, np.concatenate([other, elsewhere])).any()


def test_store_gives_back_what_it_was_given_and_notices_damage(tmp_path):
    store, result = Store(tmp_path), {"a": np.arange(6.0).reshape(2, 3), "b": np.array(np.nan)}
    assert store.read("ab" * 32) is None
    store.write("ab" * 32, result)
    found = store.read("ab" * 32)
    assert all(np.array_equal(found[k], result[k], equal_nan=True) for k in result)
    path = store.path("ab" * 32)
    content = path.read_bytes()
    for damaged in (content[:-20], content[:100] + b"\0\1" + content[102:], b""):
        path.write_bytes(damaged)
        assert store.read("ab" * 32) is None


def test_damaged_result_is_computed_again(tmp_path):
    work, store = blocks(draw, 2, seed=1), Store(tmp_path)
    first = run(work, store)
    store.path(work[1].key).write_bytes(b"x")
    second = run(work, store)
    assert (second.computed, second.reused) == (1, 1) and same(first, second)


def test_a_unit_that_occurs_twice_is_computed_once(tmp_path):
    result = run([*blocks(draw, 2, seed=1)] * 2, Store(tmp_path))
    assert result.computed == 2 and np.array_equal(result.results[0]["x"], result.results[2]["x"])


# ------------------------------------------------------------------------------------------------------ disk and errors
def test_full_disk_leaves_no_half_written_result_and_the_run_goes_on_later(tmp_path, monkeypatch):
    work, store = blocks(draw, seed=1), Store(tmp_path)
    replace, written = os.replace, []

    def full_after_two(source, target):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(datasets.os, "replace", full_after_two)
        with pytest.raises(Unfinished, match=r"2 of 6 units were computed.*No space left.*start the same run again"):
            run(work, store)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(map(Path, written))
    later = run(work, store)
    assert (later.computed, later.reused) == (4, 2)
    assert same(later, run(work, Store(tmp_path / "other")))


def test_a_failing_unit_is_reported_and_the_finished_ones_stay(tmp_path):
    with pytest.raises(Unfinished, match="2 of 4 units.*ValueError: no such block"):
        run(blocks(fail, 4), Store(tmp_path))
    assert run(blocks(fail, 2), Store(tmp_path)).reused == 2


# --------------------------------------------------------------------------------------------------------- real workers
@pytest.mark.slow
def test_one_worker_two_workers_and_none_give_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    x, human = np.maximum(rng.normal(size=(14, 30)), 0), rng.random(91)
    shared = {"embeddings": x, "order": np.arange(30), "human": human, "sizes": np.array([6, 12, 30]), "seed": 5}
    work = [
        *blocks(draw, seed=1), *blocks(cluster.bootstrap_unit, 3, n_resamples=20, **shared),
        *blocks(cluster.orders_unit, 3, n_orders=20, **shared),
        *units(cluster.sweep_unit, {"seed": 0}, {"seed": 1}, dataset="mnist", layer="fc2", n_images=60, shares=(0.5,)),
    ]  # fmt: skip
    serial = run(work, Store(tmp_path / "serial"))
    for n_workers in (1, 2):
        with connect(n_workers=n_workers) as client:
            assert same(run(work, Store(tmp_path / str(n_workers)), client), serial)
            assert len(client.scheduler_info()["workers"]) == n_workers


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path):
    journal = tmp_path / "journal"
    journal.mkdir()
    work, store = blocks(draw, 10, seed=1, journal=str(journal), free=4), Store(tmp_path / "store")
    stored, killed = [], []

    def kill_after_three(client, n_done):
        if n_done == 3:
            stored.extend(block for block, unit in enumerate(work) if store.path(unit.key).exists())
            wait_for(lambda: len(noted(journal, "waits")) == 2)  # both workers are in the middle of a unit
            killed.extend([cluster.kill_a_worker(client), time.time_ns()])
            (journal / "go").touch()

    with connect(n_workers=2) as client:
        result = run(work, store, client, watch=kill_after_three)
    after = [(block, process) for block, process, when in noted(journal, "begins") if when > killed[1]]
    (lost,) = [block for block, process, _ in noted(journal, "waits") if process == killed[0]]
    assert lost in [block for block, _ in after], "another worker does what the killed one was at"
    assert killed[0] not in [process for _, process in after]
    assert len(stored) == 3 and not set(stored) & {block for block, _ in after}
    serial = run(blocks(draw, 10, seed=1), Store(tmp_path / "serial"))
    assert result.computed == 10 and same(result, serial)


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_the_worker_at_work_is_the_one_that_is_killed(which, tmp_path):
    with connect(n_workers=2) as client:
        address, process = sorted(client.run(os.getpid).items())[which]
        unit = client.submit(draw, seed=1, block=0, journal=str(tmp_path), workers=[address], pure=False)
        wait_for(lambda: noted(tmp_path, "waits"))
        ended = cluster.kill_a_worker(client)
        (tmp_path / "go").touch()  # or a unit that goes on would keep this test from ending
        assert ended == process and not unit.done()


def test_only_a_worker_of_this_machine_is_killed():
    class Elsewhere:
        cluster = "a scheduler's address"

        def run(self, function):
            raise AssertionError("nobody is asked")

    with pytest.raises(ValueError, match="client must be of scheduler 'local'"):
        cluster.kill_a_worker(Elsewhere())


def test_a_worker_with_other_code_or_data_computes_nothing(monkeypatch):
    unit = Unit(draw, {"seed": 1, "block": 2})
    key = unit.key
    assert cluster._call_as(key, unit).keys() == {"x"}
    monkeypatch.setattr(cluster, "_code", lambda file: "another version")
    with pytest.raises(RuntimeError, match="other versions of code"):
        cluster._call_as(key, unit)


def test_work_is_called_off_when_a_run_stops(tmp_path, monkeypatch):
    ended = []

    def workers(client, missing):
        try:
            yield next(iter(missing)), {"x": np.zeros(1)}
            raise ValueError("no such block")
        finally:
            ended.append(True)

    def watch(client, n_done):
        raise OSError("full")

    monkeypatch.setattr(cluster, "_on_workers", workers)
    with pytest.raises(Unfinished) as kept:
        run(blocks(draw, 2, seed=1), Store(tmp_path), client="any", watch=watch)
    assert ended and kept


@pytest.mark.slow
def test_a_worker_that_dies_of_a_unit_once_is_replaced_and_one_that_always_does_is_reported(tmp_path):
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), connect(n_workers=1) as client:
        result = run(blocks(die_once, 5, folder=str(tmp_path)), Store(tmp_path), client)
        assert (tmp_path / "died").exists() and [int(r["block"]) for r in result.results] == list(range(5))
        with pytest.raises(Unfinished, match="KilledWorker"):
            run([Unit(die_always, {"block": 0})], Store(tmp_path), client)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_on_another_scheduler(tmp_path):
    work, store = blocks(draw, 6, seed=3), Store(tmp_path)

    def stop_after_two(client, n_done):
        if n_done == 2:
            raise KeyboardInterrupt

    with connect(n_workers=1) as client, pytest.raises(KeyboardInterrupt):
        run(work, store, client, watch=stop_after_two)
    with connect(n_workers=1) as first, connect(first.scheduler.address) as client:  # by its address
        later = run(work, store, client)
    assert (later.computed, later.reused) == (4, 2) and same(later, run(work, Store(tmp_path / "serial")))


@pytest.mark.slow
def test_bootstrap_blocks_are_a_bootstrap(tmp_path):
    rng = np.random.default_rng(0)
    x, human = np.maximum(rng.normal(size=(14, 30)), 0), rng.random(91)
    shared = {"embeddings": x, "order": np.arange(30), "human": human, "sizes": np.array([6, 30]), "seed": 5}
    result = run(blocks(cluster.bootstrap_unit, 2, n_resamples=10, **shared), Store(tmp_path))
    whole = inference.bootstrap_curve(
        x, np.arange(30), human, np.array([6, 30]), n_resamples=10, rng=cluster.generator(5, "bootstrap", 1)
    )
    assert np.array_equal(result.results[1]["resampled"], whole.resampled)
    assert not np.array_equal(result.results[0]["resampled"], result.results[1]["resampled"])


# --------------------------------------------------------------------------------------------------------------- queues
@pytest.mark.parametrize(
    ("scheduler", "asked"),
    [
        ("slurm", ["-p gpu", "-A lab", "--mem=8G", "-t 01:30:00", "-n 1", "--cpus-per-task=1"]),
        ("pbs", ["-q gpu", "-A lab", "-l select=1:ncpus=1:mem=7630MB", "-l walltime=01:30:00"]),
    ],
)  # fmt: skip
def test_job_script_asks_for_what_was_said(scheduler, asked):
    pytest.importorskip("dask_jobqueue")
    options = {"queue": "gpu", "account": "lab", "memory": "8GB", "walltime": "01:30:00"}
    with cluster.queue_cluster(scheduler, **options) as jobs:
        script = jobs.job_script()
    assert [line for line in asked if line not in script] == []
    assert "--nthreads 1" in script and "--nworkers" not in script
    for name, value in cluster.ONE_THREAD.items():
        assert script.index(f"export {name}={value}") < script.index("distributed.cli.dask_worker")


def test_default_job_is_small_and_what_dask_is_configured_for():
    pytest.importorskip("dask_jobqueue")
    import dask

    with dask.config.set({"jobqueue.slurm.walltime": "02:00:00"}), cluster.queue_cluster("slurm") as jobs:
        script = jobs.job_script()
    assert "#SBATCH --mem=4G" in script and "#SBATCH -t 02:00:00" in script


def test_wrong_schedulers_say_what_is_possible(monkeypatch):
    with pytest.raises(ValueError, match="scheduler must be 'local', an address.*got 'slrum'"), connect("slrum"):
        pass
    with pytest.raises(ValueError, match="n_workers must be at least 1; got 0"), connect(n_workers=0):
        pass
    monkeypatch.setattr(cluster, "find_spec", lambda name: None if name == "dask_kubernetes" else True)
    with pytest.raises(ModuleNotFoundError, match="pip install dask-kubernetes"), connect("kubernetes"):
        pass


def test_shards_of_images_are_the_whole(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("HELPERS_DATA", str(tmp_path))
    settings = {
        "model": "squeezenet1_1",
        "weights": None,
        "node": "features.1",
        "dataset": "cifar10",
        "resize": 32,
        "crop": 32,
    }
    shards = units(cluster.extract_unit, {"start": 0, "stop": 3}, {"start": 3, "stop": 5}, **settings)
    parts = [result["features"] for result in run(shards, Store(tmp_path)).results]
    whole = run(units(cluster.extract_unit, {"start": 0, "stop": 5}, **settings), Store(tmp_path)).results[0][
        "features"
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.concatenate(parts) == 0, whole == 0)


@pytest.mark.slow
def test_training_unit_is_the_training(tmp_path):
    pytest.importorskip("torch")
    from pipeline import training

    result = run([Unit(cluster.train_unit, {"dataset": "mnist", "seed": 2, "epochs": 1})], Store(tmp_path)).results[0]
    images = datasets.load_sample("mnist")
    model = training.train_model("mnist", images.x_train, images.y_train, 2, training.Recipe(epochs=1))
    for name, value in training.rounded(model.state_dict()).items():
        assert np.array_equal(result[name], value.numpy())
