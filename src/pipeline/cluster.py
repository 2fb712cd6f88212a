"""Work on more than one core or machine, through Dask: units of work, a store of what is finished, one way to run them.

A *unit* is a named function and its arguments, and nothing else: it draws its own random numbers from its arguments
(`generator`), so its result depends neither on the number of workers nor on their order. A finished unit lies in the
*store* under the hash of function, code and arguments, written in one atomic step and verified on reading. A run first
looks there, so what was finished before a worker, the scheduler, the disk or this process gave up is not computed
again. Where the workers are is one argument, ``scheduler``: this machine, a running scheduler, or a cluster's queue.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import parallel, datasets, provenance

Result = dict[str, np.ndarray]
QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster"}
ONE_THREAD = dict.fromkeys(("HELPERS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment of a worker: one thread each, so that a machine holds as many workers as it has cores."""


class Unfinished(RuntimeError):
    """A run stopped early; what it had finished is in the store, and the same call goes on from there."""


# ---------------------------------------------------------------------------------------------------------------- units
@dataclass(frozen=True)
class Unit:
    """One piece of work: ``function(**arguments)`` gives named arrays.

    ``function`` is importable on the workers (not a lambda, nothing typed into a notebook); ``arguments`` are numbers,
    text, None, tuples of those, and arrays.
    """

    function: Callable[..., Result]
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        """sha256 of the function's name, of `_code` and of the arguments; text that names a file is its content here.

        So a unit may read the shipped data and files that its arguments name, and no others.
        """
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        described = {key: _described(key, value) for key, value in self.arguments.items()}
        text = json.dumps([name, _code(self.function.__code__.co_filename), described], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def units(function: Callable[..., Result], *arguments: Mapping[str, Any], **shared: Any) -> list[Unit]:
    """One unit for each of ``arguments``, with ``shared`` arguments added to every one."""
    return [Unit(function, shared | dict(own)) for own in arguments]


def generator(seed: int, *where: int | str) -> np.random.Generator:
    """A random generator that depends on ``seed`` and on which unit asks (``where``), and on nothing else."""
    digest = hashlib.sha256(json.dumps(where).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(np.frombuffer(digest, np.uint32))))


# ---------------------------------------------------------------------------------------------------------------- store
@dataclass(frozen=True)
class Store:
    """Finished units as files of ``folder``, each named after its unit's key."""

    folder: Path

    def path(self, key: str) -> Path:
        """Where the result of a unit is, or will be."""
        return Path(self.folder) / key[:2] / f"{key}.npz"

    def read(self, key: str) -> Result | None:
        """The result, or None where there is none or its file is damaged (its sha256 comes first in the file)."""
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        with np.load(io.BytesIO(content[32:]), allow_pickle=False) as arrays:
            return dict(arrays)

    def write(self, key: str, result: Result) -> None:
        """Put a result in place in one step; a failure leaves no trace.

        Raises
        ------
        OSError : no space, no permission.
        """
        buffer = io.BytesIO()
        np.savez(buffer, **result)
        content = buffer.getvalue()
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        datasets._write_atomically(
            self.path(key), lambda target: target.write_bytes(hashlib.sha256(content).digest() + content)
        )


# -------------------------------------------------------------------------------------------------------------- running
@dataclass(frozen=True)
class Run:
    """``results`` in the order of the units; how many were ``computed`` now and ``reused`` from the store."""

    results: list[Result]
    computed: int
    reused: int


def run(work: Sequence[Unit], store: Store, client=None, watch: Callable[[Any, int], object] | None = None) -> Run:
    """Results of all units: from the store, or computed by the workers of ``client`` and stored as they come in.

    Parameters
    ----------
    work : units; the same unit may occur twice and is computed once.
    client : of `connect`; None computes here, one unit after the other.
    watch : called with the client and the number of units computed so far, after each.

    Raises
    ------
    Unfinished : a result could not be written, a unit failed, or workers died on it again and again.
    """
    keys = [unit.key for unit in work]
    found = {key: result for key in set(keys) if (result := store.read(key)) is not None}
    missing = {key: unit for key, unit in zip(keys, work, strict=True) if key not in found}
    reused = len(found)
    try:
        with closing(_here(missing) if client is None else _on_workers(client, missing)) as finished:
            for n_done, (key, result) in enumerate(finished, 1):
                store.write(key, result)
                found[key] = result
                if watch:
                    watch(client, n_done)
    except Exception as error:
        raise Unfinished(
            f"{len(found) - reused} of {len(missing)} units were computed and stored, {reused} had been before; then: "
            f"{type(error).__name__}: {error}. Mend that and start the same run again: it goes on from there."
        ) from error
    return Run([found[key] for key in keys], len(missing), reused)


@contextmanager
def connect(scheduler: str = "local", n_workers: int = 2, dashboard: bool = False, **options: Any) -> Iterator[Any]:
    """A Dask client whose workers have one thread each; what was started for it is closed with it.

    Parameters
    ----------
    scheduler : "local", processes of this machine; "tcp://host:port" (or "tls://") of a running scheduler; "slurm" or
        "pbs", jobs of a queue (dask-jobqueue); "kubernetes" (dask-kubernetes).
    n_workers : number of workers to start; not used with an address.
    dashboard : let the local scheduler show what it does (`Client.dashboard_link`).
    options : for the cluster, over what Dask's own configuration files say: for a queue ``queue``, ``account``,
        ``memory`` of a worker, ``walltime``, ...

    Raises
    ------
    ValueError : another scheduler, or n_workers below 1.
    ModuleNotFoundError : the package for it is not installed.
    """
    if scheduler not in ("local", *QUEUES, "kubernetes") and "://" not in scheduler:
        raise ValueError(
            f"scheduler must be 'local', an address such as 'tcp://host:8786', 'slurm', 'pbs' or 'kubernetes'; "
            f"got {scheduler!r}."
        )
    if n_workers < 1:
        raise ValueError(f"n_workers must be at least 1; got {n_workers}.")
    _needs("distributed", "cluster")
    from distributed import Client

    if "://" in scheduler:
        with Client(scheduler, set_as_default=False) as client:
            yield client
        return
    with _cluster(scheduler, n_workers, dashboard, options) as cluster, Client(cluster, set_as_default=False) as client:
        if scheduler != "local":
            cluster.scale(n_workers)
        yield client


def queue_cluster(scheduler: str, **options: Any):
    """dask-jobqueue's cluster for "slurm" or "pbs": a job is one worker with one thread, of 4 GB unless said."""
    _needs("dask_jobqueue", "cluster")
    import dask
    import dask_jobqueue

    exports = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    before = [*exports, *(options.pop("job_script_prologue", None) or [])]
    settings = {"memory": dask.config.get(f"jobqueue.{scheduler}.memory", None) or "4GB"} | options
    return getattr(dask_jobqueue, QUEUES[scheduler])(cores=1, processes=1, job_script_prologue=before, **settings)


def kill_a_worker(client) -> int:
    """End a worker process of a local cluster as a crash would, without warning (SIGKILL), and return its number.

    Where any worker is in the middle of a unit, it is such a one. Raises ValueError where the workers may be elsewhere.
    """
    _needs("distributed", "cluster")
    from distributed import LocalCluster

    if not isinstance(client.cluster, LocalCluster):
        raise ValueError(f"client must be of scheduler 'local', whose processes are here; got {client.cluster}.")
    _, pid = max(client.run(_at_work).values())
    os.kill(pid, signal.SIGKILL)
    return pid


# ------------------------------------------------------------------------------------------------------- work of a book
def train_unit(dataset: str, seed: int, epochs: int, data: str = "shipped") -> Result:
    """Train one LeNet-5: its parameters in half precision, and its ``accuracy`` on the test images."""
    from pipeline import training

    images = training._images(dataset, data)
    recipe = training.Recipe(epochs=epochs)
    state = training.rounded(training.train_model(dataset, images.x_train, images.y_train, seed, recipe).state_dict())
    score = training.accuracy(training.model_from(dataset, state), dataset, images.x_test, images.y_test)
    return {name: value.numpy() for name, value in state.items()} | {"accuracy": np.array(score)}


def extract_unit(
    model: str, weights: str | None, node: str, dataset: str, start: int, stop: int, resize: int = 256, crop: int = 224
) -> Result:
    """``features`` of a shard, test images ``start`` to ``stop`` of a shipped sample, at a node of a torchvision model.

    ``weights`` as `pipeline.extraction.load_model`.
    """
    from pipeline import extraction

    network = extraction.load_model(model, weights)
    images = datasets.load_sample(dataset).x_test[start:stop]
    preprocessing = extraction.Preprocessing(resize=resize, crop=crop)
    return {"features": extraction.embed(network, node, images, cache=False, preprocessing=preprocessing)}


def bootstrap_unit(
    embeddings: np.ndarray, order: np.ndarray, human: np.ndarray, sizes: np.ndarray, seed: int, block: int,
    n_resamples: int, similarity: str = "pearson",
) -> Result:  # fmt: skip
    """One block of bootstrap resamples: ``resampled`` (n_resamples, n_sizes) and ``resampled_full`` (n_resamples,)."""
    from helpers import inference

    rng = generator(seed, "bootstrap", block)
    curve = inference.bootstrap_curve(embeddings, order, human, sizes, similarity, n_resamples, rng=rng)
    return {"resampled": curve.resampled, "resampled_full": curve.resampled_full}


def orders_unit(
    embeddings: np.ndarray, order: np.ndarray, human: np.ndarray, sizes: np.ndarray, seed: int, block: int,
    n_orders: int, similarity: str = "pearson",
) -> Result:  # fmt: skip
    """One block of random orders: ``null`` (n_orders, n_sizes)."""
    from helpers import inference

    rng = generator(seed, "orders", block)
    return {"null": inference.random_order_null(embeddings, human, order, sizes, n_orders, similarity, rng=rng).null}


LENET_LAYERS = {"conv2": 7, "fc1": 9, "fc2": 11}
"""Number of LeNet-5's modules up to each layer's post-ReLU output: 400 (pooled), 120 and 84 features."""


def sweep_unit(dataset: str, layer: str, seed: int, n_images: int, shares: tuple[float, ...]) -> Result:
    """One point of a sweep: a shipped LeNet-5, one of its layers, the first test images of the shipped sample.

    Returns ``above_80`` share of nodes with PoZ above 80 %, ``ghosts`` number of ghost features, ``n_features``, and
    ``r2`` (n_shares,) of the lowest-PoZ shares of the nodes with the full similarity matrix of the images.
    """
    import torch

    from helpers import ensembles, rsa, sparsity
    from pipeline import networks, training

    torch.set_num_threads(1)
    ensemble = training.ensemble(dataset, seed + 1)
    model = training.model_from(dataset, {name: value[seed] for name, value in ensemble.parameters.items()})
    inputs = networks.as_input(datasets.load_sample(dataset).x_test[:n_images], dataset)
    with torch.no_grad():
        x = model[: LENET_LAYERS[layer]](inputs).flatten(1).numpy()
    poz = sparsity.percentage_of_zeros(x)
    sizes = np.unique([ensembles.size_of_share(share, x.shape[1]) for share in shares])
    curve = rsa.streamed_curve(x, sparsity.poz_order(poz), x, sizes, undefined="drop", engine="numpy")
    numbers = {"above_80": (poz > 0.8).mean(), "ghosts": (poz == 1).sum(), "n_features": x.shape[1], "r2": curve.r2}
    return {name: np.asarray(value) for name, value in numbers.items()}


# ------------------------------------------------------------------------------------------------------------ internals
@functools.cache
def _code(file: str) -> str:
    """sha256 over `helpers.provenance.code`, ``file``, versions of libraries and the hashes of the shipped data."""
    manifest = datasets.data_folder() / "manifest.json"
    about = [provenance.code(), provenance.core_versions(), datasets.file_sha256(Path(file))]
    about += [datasets.file_sha256(manifest) if manifest.exists() else ""]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _described(name: str, value: Any) -> Any:
    """An argument as JSON that tells it from every other value."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        content = np.ascontiguousarray(value)
        return [str(content.dtype), list(content.shape), hashlib.sha256(content).hexdigest()]
    if isinstance(value, tuple):
        return [_described(name, part) for part in value]
    if isinstance(value, str) and Path(value).is_file():
        return ["file", datasets.file_sha256(Path(value))]
    if value is None or isinstance(value, bool | int | float | str):
        return value if not isinstance(value, float) else ["float", repr(float(value))]
    raise ValueError(f"argument {name} must be a number, text, None, a tuple of those or an array; got {type(value)}.")


def _call_as(key: str, unit: Unit) -> Result:
    if unit.key != key:
        raise RuntimeError("a worker has other versions of code, libraries or data; install there what is here")
    return _call(unit)


def _call(unit: Unit) -> Result:
    # with one thread wherever it runs: libraries may add in another order with more
    with threadpool_limits(1), parallel.one_thread():
        return {name: np.asarray(value) for name, value in unit.function(**unit.arguments).items()}


def _here(missing: Mapping[str, Unit]) -> Iterator[tuple[str, Result]]:
    for key, unit in missing.items():
        yield key, _call(unit)


def _on_workers(client, missing: Mapping[str, Unit]) -> Iterator[tuple[str, Result]]:
    from distributed import as_completed

    futures = {client.submit(_call_as, key, unit, key=key, pure=True): key for key, unit in missing.items()}
    try:
        for future, result in as_completed(list(futures), loop=client.loop, with_results=True):
            key = futures.pop(future)
            future.release()  # or what is stored already would be computed again when its worker dies
            yield key, result
    finally:
        client.cancel(list(futures))


def _at_work(dask_worker) -> tuple[int, int]:
    return len(dask_worker.state.executing), os.getpid()


def _cluster(scheduler: str, n_workers: int, dashboard: bool, options: Mapping[str, Any]):
    if scheduler in QUEUES:
        return queue_cluster(scheduler, **options)
    if scheduler == "kubernetes":
        _needs("dask_kubernetes", "")
        from dask_kubernetes.operator import KubeCluster

        return KubeCluster(n_workers=n_workers, env=ONE_THREAD, **options)
    import dask
    from distributed import LocalCluster

    with dask.config.set({"distributed.scheduler.no-workers-timeout": "120s"}), warnings.catch_warnings():
        # without workers a run would wait for ever; where the usual port is taken another one is used, and told
        warnings.filterwarnings("ignore", "Port .* is already in use")
        return LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0" if dashboard else None,
            env=ONE_THREAD, silence_logs=logging.CRITICAL, **options,
        )  # fmt: skip


def _needs(package: str, extra: str) -> None:
    if find_spec(package) is None:
        what = f"'rarely-firing-nodes[{extra}]'" if extra else package.replace("_", "-")
        raise ModuleNotFoundError(f"{package} is not installed, and this scheduler needs it: pip install {what}")
