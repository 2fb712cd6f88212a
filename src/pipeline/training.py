"""Train ensembles of LeNet-5: one seed per model, resumable.

On a CPU every model is a process with one thread, and the models do not depend on the
number of processes; on a GPU the models of an ensemble train as one batch
(`torch.func.vmap` over stacked parameters).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from helpers import checks, data
from pipeline import datasets, manifest, networks

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: Adam, learning rate falling linearly to zero."""

    epochs: int
    batch_size: int = 50
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        checks.at_least("epochs", self.epochs, 1)
        checks.at_least("batch_size", self.batch_size, 1)
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(
                f"learning_rate must be above 0; got {self.learning_rate}."
            )


RECIPES = {"mnist": Recipe(epochs=4), "cifar10": Recipe(epochs=10)}


@dataclass(frozen=True)
class Ensemble:
    """Trained models of one data set."""

    dataset: str
    seeds: np.ndarray  # (n_models,)
    accuracy: np.ndarray  # (n_models,) on the full test set
    parameters: State  # stacked, (n_models, ...) each
    origin: dict  # recipe, command, versions, machine, hash of the training images

    def __len__(self) -> int:
        return len(self.seeds)

    def model(self, i: int) -> torch.nn.Sequential:
        """One of the networks."""
        state = {name: value[i] for name, value in self.parameters.items()}
        return model_from(self.dataset, state)


# ------------------------------------------------------------------------ training
def _batches(
    n_images: int, seed: int, recipe: Recipe
) -> Iterator[tuple[torch.Tensor, float]]:
    """Indices and learning rate of every step, from ``seed`` and ``recipe`` alone."""
    order = torch.Generator().manual_seed(seed)
    per_epoch = n_images // recipe.batch_size
    n_steps = recipe.epochs * per_epoch
    for step in range(n_steps):
        if step % per_epoch == 0:
            shuffled = torch.randperm(n_images, generator=order)
        start = step % per_epoch * recipe.batch_size
        rate = recipe.learning_rate * (1 - step / n_steps)
        yield shuffled[start : start + recipe.batch_size], rate


def train_model(
    dataset: str,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    recipe: Recipe,
    activation: str = "ReLU",
) -> torch.nn.Sequential:
    """One LeNet-5, trained on one CPU thread; reproducible on one type of machine."""
    torch.set_num_threads(1)
    inputs = networks.as_input(images, dataset)
    targets = torch.from_numpy(labels).long()
    model = networks.lenet5(dataset, seed, activation)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for batch, rate in _batches(len(inputs), seed, recipe):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
    return model.to(memory_format=torch.contiguous_format)


def train_batch(
    dataset: str,
    images: np.ndarray,
    labels: np.ndarray,
    seeds: Sequence[int],
    recipe: Recipe,
    device: str = "cpu",
) -> State:
    """One LeNet-5 per seed as a single batched program; stacked parameters.

    Initial weights and data order of each seed are those of `train_model`; sums run in
    another order, so results agree to rounding at first and then drift apart.
    """
    inputs = networks.as_input(images, dataset).to(device)
    targets = torch.from_numpy(labels).long().to(device)
    models = [networks.lenet5(dataset, seed).to(device) for seed in seeds]
    parameters, _ = torch.func.stack_module_state(models)
    optimizer = torch.optim.Adam(parameters.values(), fused=True)

    def loss(weights: State, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        output = torch.func.functional_call(models[0], weights, (x,))
        return F.cross_entropy(output, y)

    steps = zip(*(_batches(len(inputs), s, recipe) for s in seeds), strict=True)
    for step in tqdm(steps, desc=f"{len(seeds)} models", unit="step", disable=None):
        batch = torch.stack([indices for indices, _ in step]).to(device)
        optimizer.param_groups[0]["lr"] = step[0][1]
        optimizer.zero_grad()
        losses = torch.func.vmap(loss)(parameters, inputs[batch], targets[batch])
        losses.sum().backward()
        optimizer.step()
    return {name: value.detach().cpu() for name, value in parameters.items()}


def accuracy(
    model: torch.nn.Sequential, dataset: str, images: np.ndarray, labels: np.ndarray
) -> float:
    """Proportion of ``images`` that ``model`` gives its label, 0..1."""
    with torch.no_grad():
        features = networks.penultimate(model, networks.as_input(images, dataset))
        answers = model[-1](features).argmax(1)
    return float((answers.numpy() == labels).mean())


# --------------------------------------------------------------------------- files
def rounded(state: State) -> State:
    """Parameters in half precision: what is stored, evaluated and used from then on."""
    return {name: value.half().contiguous() for name, value in state.items()}


def model_from(dataset: str, state: State) -> torch.nn.Sequential:
    """LeNet-5 with the given parameters, computing in float32."""
    model = networks.lenet5(dataset)
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval()


def _save_model(images: data.ImageSet, state: State, seed: int, path: Path) -> None:
    """Keep a finished model, so that damage to its file is noticed when it is read."""
    state = rounded(state)
    model = model_from(images.name, state)
    score = accuracy(model, images.name, images.x_test, images.y_test)
    arrays = {name: value.numpy() for name, value in state.items()}
    about = {"seed": np.array(seed), "accuracy": np.array(score)}
    manifest.write_cached(path, arrays | about)


def _train_and_save(
    images: data.ImageSet, seed: int, recipe: Recipe, path: Path
) -> None:
    model = train_model(images.name, images.x_train, images.y_train, seed, recipe)
    _save_model(images, model.state_dict(), seed, path)


def train_ensemble(
    dataset: str,
    seeds: Sequence[int],
    folder: Path,
    recipe: Recipe,
    source: str = "full",
    n_workers: int = 2,
    device: str = "cpu",
) -> list[Path]:
    """Train the models that ``folder`` lacks; returns the files of all models.

    ``source`` is "full" (downloaded if necessary) or "shipped" (the small sample). On
    "cpu" every model is a process, and models that were finished when a run is stopped
    are kept; on "cuda" the missing models train as one batch. A kept model whose file
    is damaged is trained again, with a warning. ValueError without a GPU.
    """
    checks.at_least("n_workers", n_workers, 1)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device {device!r} needs an NVIDIA GPU and a CUDA build of torch; torch "
            f'{torch.__version__} finds none here. Use device "cpu".'
        )
    images = datasets.load_images(dataset, source)
    made_by = f"{device.split(':')[0]}-torch{torch.__version__}"  # rounds differently
    settings = f"e{recipe.epochs}-b{recipe.batch_size}-lr{recipe.learning_rate:g}"
    folder = folder / f"{dataset}-{source}-{settings}-{made_by}"
    paths = {seed: folder / f"seed{seed:03d}.npz" for seed in seeds}
    missing = [s for s in seeds if manifest.read_cached(paths[s]) is None]
    if device == "cpu":
        jobs = [
            joblib.delayed(_train_and_save)(images, seed, recipe, paths[seed])
            for seed in missing
        ]
        parallel = joblib.Parallel(
            n_workers, return_as="generator_unordered", mmap_mode="c"
        )
        bar = {"desc": dataset, "unit": "model", "disable": None}  # in a terminal
        list(tqdm(parallel(jobs), total=len(jobs), **bar))
    elif missing:
        x, y = images.x_train, images.y_train
        stacked = train_batch(dataset, x, y, missing, recipe, device)
        for i, seed in enumerate(missing):
            state = {name: value[i] for name, value in stacked.items()}
            _save_model(images, state, seed, paths[seed])
    return list(paths.values())


def stack(dataset: str, paths: Sequence[Path], origin: dict | None = None) -> Ensemble:
    """The single models of ``paths`` as one ensemble."""
    models = [data.read_arrays(path) for path in paths]
    seeds, scores = (np.array([m.pop(k) for m in models]) for k in ("seed", "accuracy"))
    stacked = {name: np.stack([model[name] for model in models]) for name in models[0]}
    parameters = {name: torch.from_numpy(values) for name, values in stacked.items()}
    return Ensemble(dataset, seeds, scores, parameters, origin or {})


def save_ensemble(ensemble: Ensemble, target: Path) -> None:
    """Write an ensemble as one safetensors file, what it is as JSON in its header."""
    about = {"dataset": ensemble.dataset, "seeds": ensemble.seeds.tolist()}
    about |= {"accuracy": ensemble.accuracy.tolist()} | ensemble.origin
    header = {"about": json.dumps(about, sort_keys=True)}
    with manifest.atomic(target) as path:
        save_file(ensemble.parameters, path, metadata=header)


def load_ensemble(path: Path, n_models: int | None = None) -> Ensemble:
    """The first ``n_models`` (default: all) of a file that `save_ensemble` wrote.

    Raises ValueError where it has fewer.
    """
    with safe_open(path, framework="pt") as file:
        parameters = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["about"])
    seeds, scores = about.pop("seeds"), about.pop("accuracy")
    if n_models is not None and not 1 <= n_models <= len(seeds):
        raise ValueError(f"n_models must lie in 1..{len(seeds)}; got {n_models}.")
    parameters = {name: value[:n_models] for name, value in parameters.items()}
    seeds, scores = np.array(seeds[:n_models]), np.array(scores[:n_models])
    return Ensemble(about.pop("dataset"), seeds, scores, parameters, about)


def load_shipped(name: str, n_models: int | None = None) -> Ensemble:
    """The first shipped models of an ensemble, such as "mnist" or "cifar10_lr0.001"."""
    return load_ensemble(data.shipped(f"lenet5_{name}.safetensors"), n_models)


def ensemble(
    dataset: str,
    n_models: int,
    epochs: int | None = None,
    source: str = "shipped",
    device: str = "cpu",
    learning_rate: float | None = None,
    n_workers: int | None = None,
) -> Ensemble:
    """Models trained now, kept in the cache and reused; None or 0: the recipe's."""
    asked = {"epochs": epochs, "learning_rate": learning_rate}
    recipe = replace(RECIPES[dataset], **{k: v for k, v in asked.items() if v})
    checks.at_least("n_models", n_models, 1)
    paths = train_ensemble(
        dataset,
        range(n_models),
        datasets.cache_folder() / "models",
        recipe,
        source,
        n_workers or os.cpu_count() or 1,
        device,
    )
    return stack(dataset, paths, {"recipe": asdict(recipe)})


def ensemble_embeddings(models: Ensemble, images: np.ndarray) -> np.ndarray:
    """Post-ReLU penultimate activations, (n_models, n_images, 84) float32."""
    inputs = networks.as_input(images, models.dataset)

    def embed(i: int) -> np.ndarray:
        return networks.penultimate(models.model(i), inputs).numpy()

    torch.set_num_threads(1)
    jobs = (joblib.delayed(embed)(i) for i in range(len(models)))
    return np.stack(joblib.Parallel(2, prefer="threads")(jobs))


def record(
    dataset: str,
    models: int,
    epochs: int | None,
    learning_rate: float | None,
    workers: int,
    device: str,
    target: Path | None,
    replace_shipped: bool,
    command: str,
) -> None:
    """Train, pack and, in ``data/``, register an ensemble; None: the recipe's value.

    Raises ValueError, before training, where ``target`` (None: the shipped file) exists
    in ``data/`` and ``replace_shipped`` was not asked for.
    """
    target = target or data.data_folder() / f"lenet5_{dataset}.safetensors"
    is_shipped = target.resolve().parent == data.data_folder().resolve()
    if is_shipped and target.exists() and not replace_shipped:
        raise ValueError(f"{target} ships: give --target or --replace-shipped.")
    trained = ensemble(dataset, models, epochs, "full", device, learning_rate, workers)
    images = datasets.load_images(dataset)
    trained.origin.update(
        command=command,
        versions=data.versions("torch", "numpy"),
        machine=data.machine(),
        training_images=data.sha256(images.x_train),
    )
    save_ensemble(trained, target)
    if is_shipped:
        source, rounding = f"trained here on {dataset}", "parameters in half precision"
        texts = {"source": source, "licence": "MIT", "rounding": rounding}
        manifest.register(target, command, **texts)
    mean = trained.accuracy.mean()
    print(f"{target.name}: {len(trained)} models, mean accuracy {mean:.4f}")
