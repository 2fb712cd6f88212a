"""Work on several cores or machines, through Dask.

A *unit* is a named function and its arguments, so its result depends neither on the
number of workers nor on their order. A finished unit is kept in the *store* under a
hash of function, code, data and arguments. A run looks there first, so whatever was
finished before a worker, the scheduler or this process died is not computed again. One
argument, ``scheduler``, says where the workers are.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from helpers import checks, data
from pipeline import manifest

Result = dict[str, np.ndarray]
QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster"}
SCHEDULERS = ("local", *QUEUES, "kubernetes", "tcp://host:port")
THREADS = ("HELPERS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOOPBACK = "127.0.0.1:0"
"""Where a dashboard is served: on this machine only, at a free port."""
ONE_THREAD = dict.fromkeys((*THREADS, "MKL_NUM_THREADS"), "1")
"""Environment of a worker: a machine has as many workers as cores, one thread each."""
PATIENCE = 120
"""Seconds without any worker after which a run fails, whatever the scheduler."""


class Unfinished(RuntimeError):
    """A run stopped early; what it had finished is in the store."""


# --------------------------------------------------------------------------- units
@dataclass(frozen=True)
class Unit:
    """One piece of work: ``function(**arguments)`` gives named arrays."""

    function: Callable[..., Result]  # importable on the workers, not from a notebook
    arguments: Mapping[str, Any]  # numbers, text, None, tuples of these, arrays

    @property
    def key(self) -> str:
        """Hash of the function, the state of the project and the arguments.

        So a unit may read shipped data, and no other files.
        """
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        state = state_of(self.function.__code__.co_filename)
        return joblib.hash((name, state, dict(self.arguments)))

    def compute(self, key: str) -> Result:
        """The result, with one thread: with more, libraries may add in another order.

        Raises RuntimeError where this process would make another ``key``.
        """
        if self.key != key:
            raise RuntimeError(
                "a worker has different code, libraries or data; install the same there"
            )
        with threadpool_limits(1):
            result = self.function(**self.arguments)
        return {name: np.asarray(value) for name, value in result.items()}


@functools.cache
def state_of(file: str) -> str:
    """The state of the project and of the file that a unit's function is in."""
    return manifest.state() + data.file_sha256(Path(file))


def units(
    function: Callable[..., Result], *arguments: Mapping[str, Any], **shared: Any
) -> list[Unit]:
    """One unit for each of ``arguments``, with ``shared`` arguments added."""
    return [Unit(function, shared | dict(different)) for different in arguments]


# --------------------------------------------------------------------------- store
@dataclass(frozen=True)
class Store:
    """Finished units as files of ``folder``, each named after its unit's key."""

    folder: Path

    def path(self, key: str) -> Path:
        """Where the result of a unit is, or will be."""
        return self.folder / key[:2] / f"{key}.npz"

    def read(self, key: str) -> Result | None:
        """The result, or None where there is none or its file is damaged."""
        return manifest.read_cached(self.path(key))

    def write(self, key: str, result: Result) -> None:
        """Put a result in place in one step; OSError without space or permission."""
        manifest.write_cached(self.path(key), result)


# ------------------------------------------------------------------------- running
@dataclass(frozen=True)
class Run:
    """The outcome of a run."""

    results: list[Result]  # in the order of the units
    computed: int  # units computed now
    reused: int  # units taken from the store


def run(
    work: Sequence[Unit],
    store: Store,
    client=None,
    watch: Callable[[Any, int], object] | None = None,
) -> Run:
    """Results of all units: from the store, or computed and stored as they come in.

    A unit that occurs twice is computed once. ``client`` is that of `connect`; None
    computes here, one unit after another. ``watch`` is called after each unit,
    with the client and the number of units computed so far. Raises Unfinished where a
    unit failed, its result could not be written, it killed its workers, or no worker
    was left for `PATIENCE` seconds.
    """
    keys = [unit.key for unit in work]
    stored = {key: store.read(key) for key in dict.fromkeys(keys)}
    results = {key: result for key, result in stored.items() if result is not None}
    missing = {k: unit for k, unit in zip(keys, work, strict=True) if k not in results}
    compute = _serially if client is None else functools.partial(_on_workers, client)
    reused, n_computed = len(results), 0
    try:
        with closing(compute(missing)) as finished:
            for key, result in finished:
                store.write(key, result)
                results[key] = result
                n_computed += 1
                if watch:
                    watch(client, n_computed)
    except Exception as error:
        raise Unfinished(
            f"{n_computed} of {len(missing)} units computed, {reused} reused; then "
            f"{type(error).__name__}: {error}. Fix the cause and rerun; finished units "
            "are reused."
        ) from error
    return Run([results[key] for key in keys], n_computed, reused)


def _serially(missing: Mapping[str, Unit]) -> Iterator[tuple[str, Result]]:
    for key, unit in missing.items():
        yield key, unit.compute(key)


def _on_workers(client, missing: Mapping[str, Unit]) -> Iterator[tuple[str, Result]]:
    from distributed import as_completed

    futures = {
        client.submit(unit.compute, key, key=key): key for key, unit in missing.items()
    }
    try:
        completed = as_completed(list(futures), loop=client.loop, with_results=True)
        for future, result in _arriving(client, completed):
            if future.cancelled():
                raise ConnectionError("the scheduler ended, or cannot be reached")
            key = futures.pop(future)
            future.release()  # otherwise it is computed again when its worker dies
            yield key, result
    finally:
        client.cancel(list(futures))


def _arriving(client, completed) -> Iterator[tuple[Any, Result]]:
    """What ``completed`` gives; ConnectionError once all workers are lost.

    Whoever started the scheduler may let it wait for workers for ever.
    """
    present = time.monotonic()
    while not completed.is_empty():
        with completed.thread_condition:
            completed.has_ready() or completed.thread_condition.wait(1)
        if completed.has_ready() or _has_worker(client):
            present = time.monotonic()
        elif time.monotonic() - present > PATIENCE:
            raise ConnectionError(f"no worker was left for {PATIENCE} s")
        if completed.has_ready():
            yield next(completed)


def _has_worker(client) -> bool:
    with suppress(OSError):  # where the scheduler has ended
        return bool(client.nthreads())
    return False


# ------------------------------------------------------------------------- workers
@contextmanager
def connect(
    scheduler: str = "local",
    n_workers: int = 2,
    dashboard: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """A Dask client whose workers have one thread each; closed with all it started.

    Parameters
    ----------
    scheduler : "local", processes of this machine; "tcp://host:port" (or "tls://") of a
        running scheduler; "slurm" or "pbs", jobs of a queue (dask-jobqueue);
        "kubernetes" (dask-kubernetes).
    n_workers : number of workers to start; not used with an address.
    dashboard : serve the local scheduler's dashboard (`Client.dashboard_link`).
    options : for the cluster, in addition to Dask's own configuration files; for a
        queue ``queue``, ``account``, ``memory`` of a worker, ``walltime``, ...

    Raises ValueError for another scheduler or n_workers below 1, and
    ConnectionError without a scheduler, where the queue refuses all jobs (at once), or
    without a worker after `PATIENCE` seconds.
    """
    from distributed import Client

    checks.at_least("n_workers", n_workers, 1)
    is_address, address = "://" in scheduler, scheduler
    if not is_address:
        checks.choice("scheduler", scheduler, SCHEDULERS)
    with ExitStack() as stack:
        try:
            if not is_address:
                options["n_workers"] = n_workers
                address = stack.enter_context(started(scheduler, dashboard, options))
            client = stack.enter_context(Client(address, set_as_default=False))
            _wait_for_a_worker(client, n_workers)
        except Exception as error:
            raise ConnectionError(
                f"no worker of {scheduler!r}, or no scheduler ("
                f"{type(error).__name__}: {error}). Look at its queue and at what its "
                "jobs have written."
            ) from error
        yield client


def _wait_for_a_worker(client, n_workers: int) -> None:
    """Return once there is one; TimeoutError after `PATIENCE` seconds.

    RuntimeError, with the queue's words, once it has refused all ``n_workers`` jobs.
    """
    refused = getattr(client.cluster, "refused", ())
    until = time.monotonic() + PATIENCE
    while not client.nthreads():
        if len(refused) == n_workers:
            raise RuntimeError(f"the queue takes no job: {refused[-1]}")
        if time.monotonic() > until:
            raise TimeoutError(f"none came within {PATIENCE} s")
        time.sleep(0.1)


def started(scheduler: str, dashboard: bool, options: Mapping[str, Any]):
    """The cluster of `connect`."""
    from distributed import LocalCluster

    with warnings.catch_warnings():
        # where the dashboard's port is taken, Dask takes another one
        warnings.filterwarnings("ignore", "Port .* is already in use")
        if scheduler in QUEUES:
            return queue_cluster(scheduler, **options)
        if scheduler == "kubernetes":
            from dask_kubernetes.operator import KubeCluster

            return KubeCluster(env=ONE_THREAD, **options)
        address = LOOPBACK if dashboard else None
        quiet = {"dashboard_address": address, "silence_logs": logging.CRITICAL}
        one_thread = {"threads_per_worker": 1, "env": ONE_THREAD}
        return LocalCluster(**one_thread, **quiet, **options)


def queue_cluster(scheduler: str, **options: Any):
    """dask-jobqueue's cluster for "slurm" or "pbs".

    A job is one worker with one thread, and 4 GB unless ``options`` or Dask's
    configuration say otherwise. Why jobs were refused is in the list ``refused``.
    """
    import dask
    import dask_jobqueue

    prologue = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    memory = dask.config.get(f"jobqueue.{scheduler}.memory", None) or "4GB"
    settings = {"memory": memory, "cores": 1, "processes": 1} | options
    settings.setdefault("scheduler_options", {"dashboard_address": LOOPBACK})
    cluster, refused = getattr(dask_jobqueue, QUEUES[scheduler]), []
    job = _reporting(cluster.job_cls, refused)
    jobs = cluster(job_script_prologue=prologue, job_cls=job, **settings)
    jobs.refused = refused
    return jobs


def _reporting(job_cls: type, refused: list[str]) -> type:
    """Dask's class of jobs, made to write into ``refused`` what it would only log."""
    from distributed.core import Status

    class Job(job_cls):
        async def start(self) -> None:
            try:
                await super().start()
            except (OSError, RuntimeError, ValueError) as error:
                said = str(error).rpartition("stderr:")[2] or str(error)
                refused.append(" ".join(said.split()))
                self.status = Status.running  # or Dask would submit it again

    return Job


@dataclass
class Crash:
    """Kills a worker of a local cluster after ``after`` units: a `watch` for `run`.

    It prefers a worker that is computing a unit. Raises ValueError where the
    workers may be on another machine.
    """

    after: int  # 0: never
    ended: list[int] = field(default_factory=list)  # process numbers

    def __call__(self, client, n_computed: int) -> None:
        from distributed import LocalCluster

        if n_computed != self.after:
            return
        if not isinstance(client.cluster, LocalCluster):
            raise ValueError(f"a worker of {client.cluster} cannot be killed from here")
        _, pid = max(client.run(_load).values())
        os.kill(pid, signal.SIGKILL)
        self.ended.append(pid)


def _load(dask_worker) -> tuple[int, int]:
    return len(dask_worker.state.executing), os.getpid()
