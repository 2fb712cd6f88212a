"""Work on several cores or machines, through Dask.

A *unit* is a named function and its arguments, so its result depends neither on the
number of workers nor on their order. A finished unit lies in the *store* under the hash
of function, code, data and arguments; a run first looks there, so nothing that was
finished before a worker, the scheduler or this process gave up is computed again. Where
the workers are is one argument, ``scheduler``.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from helpers import data
from pipeline import manifest

Result = dict[str, np.ndarray]
QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster"}
THREADS = ("HELPERS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ONE_THREAD = dict.fromkeys((*THREADS, "MKL_NUM_THREADS"), "1")
"""Environment of a worker: a machine has as many workers as cores, one thread each."""


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
                "a worker has other versions of code, libraries or data than the "
                "process that asked; install the same on both"
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
        return Path(self.folder) / key[:2] / f"{key}.npz"

    def read(self, key: str) -> Result | None:
        """The result, or None where there is none or its file is damaged.

        The sha256 of the content comes first in the file.
        """
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
            return dict(arrays)

    def write(self, key: str, result: Result) -> None:
        """Put a result in place in one step; OSError for no space or permission."""
        np.savez(buffer := io.BytesIO(), **result)
        content = buffer.getvalue()
        with manifest.atomic(self.path(key)) as target:
            target.write_bytes(hashlib.sha256(content).digest() + content)


# ------------------------------------------------------------------------- running
@dataclass(frozen=True)
class Run:
    """What a run gave."""

    results: list[Result]  # in the order of the units
    computed: int  # units computed now
    reused: int  # units taken from the store


@dataclass
class Crash:
    """Ends a worker once ``after`` units are computed: a `watch` for `run`."""

    after: int  # 0: never
    ended: list[int] = field(default_factory=list)  # process numbers

    def __call__(self, client, n_computed: int) -> None:
        if n_computed == self.after:
            self.ended.append(kill_a_worker(client))


def run(
    work: Sequence[Unit],
    store: Store,
    client=None,
    watch: Callable[[Any, int], object] | None = None,
) -> Run:
    """Results of all units: from the store, or computed and stored as they come in.

    Parameters
    ----------
    work : units; a unit that occurs twice is computed once.
    client : of `connect`; None computes here, one unit after the other.
    watch : called with the client and the number of units computed so far, after each.

    Raises
    ------
    Unfinished : a unit failed, its result could not be written, or workers died of it.
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
            f"{n_computed} of {len(missing)} units were computed and stored, {reused} "
            f"were reused; then {type(error).__name__}: {error}. Fix the cause and "
            "rerun; finished units are reused."
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
        for future, result in completed:
            key = futures.pop(future)
            future.release()  # or it would be computed again when its worker dies
            yield key, result
    finally:
        client.cancel(list(futures))


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

    Raises ValueError for another scheduler or n_workers below 1, ModuleNotFoundError
    where the package for it is not installed.
    """
    if scheduler not in ("local", *QUEUES, "kubernetes") and "://" not in scheduler:
        raise ValueError(
            "scheduler must be 'local', an address such as 'tcp://host:8786', 'slurm', "
            f"'pbs' or 'kubernetes'; got {scheduler!r}."
        )
    if n_workers < 1:
        raise ValueError(f"n_workers must be at least 1; got {n_workers}.")
    _require("distributed")
    from distributed import Client

    if "://" in scheduler:
        with Client(scheduler, set_as_default=False) as client:
            yield client
        return
    with (
        _cluster(scheduler, n_workers, dashboard, options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        if scheduler != "local":
            cluster.scale(n_workers)
        yield client


def _cluster(scheduler: str, n_workers: int, dashboard: bool, options: Mapping):
    if scheduler in QUEUES:
        return queue_cluster(scheduler, **options)
    if scheduler == "kubernetes":
        _require("dask_kubernetes")
        from dask_kubernetes.operator import KubeCluster

        return KubeCluster(n_workers=n_workers, env=ONE_THREAD, **options)
    import dask
    from distributed import LocalCluster

    # without workers a run would wait for ever
    patience = {"distributed.scheduler.no-workers-timeout": "120s"}
    with dask.config.set(patience), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Port .* is already in use")
        return LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=":0" if dashboard else None,
            env=ONE_THREAD,
            silence_logs=logging.CRITICAL,
            **options,
        )


def queue_cluster(scheduler: str, **options: Any):
    """dask-jobqueue's cluster for "slurm" or "pbs".

    A job is one worker with one thread, and 4 GB unless ``options`` or Dask's
    configuration say otherwise.
    """
    _require("dask_jobqueue")
    import dask
    import dask_jobqueue

    exports = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    prologue = [*exports, *(options.pop("job_script_prologue", None) or [])]
    memory = dask.config.get(f"jobqueue.{scheduler}.memory", None) or "4GB"
    settings = {"memory": memory, "cores": 1, "processes": 1} | options
    cluster = getattr(dask_jobqueue, QUEUES[scheduler])
    return cluster(job_script_prologue=prologue, **settings)


def kill_a_worker(client) -> int:
    """End a worker process of a local cluster by SIGKILL; its process number.

    If any worker is computing a unit, it is one of these. Raises ValueError where the
    workers may be on another machine.
    """
    from distributed import LocalCluster

    if not isinstance(client.cluster, LocalCluster):
        raise ValueError(f"client must be of scheduler 'local'; got {client.cluster}.")
    _, pid = max(client.run(_load).values())
    os.kill(pid, signal.SIGKILL)
    return pid


def _load(dask_worker) -> tuple[int, int]:
    return len(dask_worker.state.executing), os.getpid()


def _require(package: str) -> None:
    if find_spec(package) is None:
        kubernetes = package == "dask_kubernetes"
        what = "dask-kubernetes" if kubernetes else "'rarely-firing-nodes[cluster]'"
        raise ModuleNotFoundError(f"{package} is not installed: pip install {what}")
