"""Train ensembles of LeNet-5: one seed, one model; resumable; the same models whatever the number of workers.

On a CPU the shape is one process per model with one thread each; on a GPU the models of an ensemble train as one batch
(`torch.func.vmap` over stacked parameters). Command line: ``python -m pipeline.training --help``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from helpers import datasets, provenance
from pipeline import networks


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: Adam, learning rate falling linearly to zero, no augmentation."""

    epochs: int
    batch_size: int = 50
    learning_rate: float = 2e-3


RECIPES = {"mnist": Recipe(epochs=4), "cifar10": Recipe(epochs=10)}


@dataclass(frozen=True)
class Ensemble:
    """Trained models: ``parameters[name]`` is (n_models, ...), ``accuracy`` (n_models,) on the full test set."""

    dataset: str
    seeds: np.ndarray
    accuracy: np.ndarray
    parameters: dict[str, torch.Tensor]
    origin: dict

    def __len__(self) -> int:
        return len(self.seeds)


# --------------------------------------------------------------------------------------------------------------- train
def _batches(n_images: int, seed: int, recipe: Recipe):
    """Yield (indices, learning rate) of every step; depends on ``seed`` and ``recipe`` only."""
    order = torch.Generator().manual_seed(seed)
    per_epoch = n_images // recipe.batch_size
    n_steps = recipe.epochs * per_epoch
    for step in range(n_steps):
        if step % per_epoch == 0:
            shuffled = torch.randperm(n_images, generator=order)
        start = step % per_epoch * recipe.batch_size
        yield shuffled[start : start + recipe.batch_size], recipe.learning_rate * (1 - step / n_steps)


def train_model(dataset: str, images: np.ndarray, labels: np.ndarray, seed: int, recipe: Recipe) -> torch.nn.Sequential:
    """Train one LeNet-5 on a CPU thread; bit-reproducible from ``seed`` on one type of machine."""
    torch.set_num_threads(1)
    inputs, targets = networks.as_input(images, dataset), torch.from_numpy(labels).long()
    model = networks.lenet5(dataset, seed).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    for batch, rate in _batches(len(inputs), seed, recipe):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
        optimiser.step()
    return model.to(memory_format=torch.contiguous_format)


@lru_cache
def _gradients(dataset: str, compiled: bool) -> Callable:
    """A function of stacked parameters, inputs and targets (n_models, batch, ...): the gradients, stacked likewise."""
    model = networks.lenet5(dataset)  # its own parameters are not used

    def loss(weights, x, y):
        return F.cross_entropy(torch.func.functional_call(model, weights, (x,)), y)

    gradients = torch.func.grad(lambda weights, x, y: torch.func.vmap(loss)(weights, x, y).sum())
    # "reduce-overhead" captures the kernels as a CUDA graph, as launching them takes longer than these small layers
    return torch.compile(gradients, mode="reduce-overhead", fullgraph=True) if compiled else gradients


def train_batch(
    dataset: str, images: np.ndarray, labels: np.ndarray, seeds: list[int], recipe: Recipe, device: str = "cpu",
    compiled: bool | None = None,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Train one LeNet-5 per seed as a single batched program; returns stacked parameters (n_models, ...).

    ``compiled`` by torch's compiler, with captured graphs on a GPU; default: there only, as compiling takes a minute.
    Initial weights and data order of each seed are those of `train_model`; sums run in another order, so the results
    agree to rounding at first and drift apart as training goes on.
    """
    inputs, targets = networks.as_input(images, dataset).to(device), torch.from_numpy(labels).long().to(device)
    parameters, _ = torch.func.stack_module_state([networks.lenet5(dataset, seed).to(device) for seed in seeds])
    parameters = {name: value.detach() for name, value in parameters.items()}
    optimiser = torch.optim.Adam(parameters.values(), fused=True)
    gradients = _gradients(dataset, device != "cpu" if compiled is None else compiled)
    for steps in tqdm(
        zip(*(_batches(len(inputs), seed, recipe) for seed in seeds), strict=True),
        total=recipe.epochs * (len(inputs) // recipe.batch_size), desc=f"{len(seeds)} models, {dataset}", unit="step",
    ):  # fmt: skip
        batch = torch.stack([indices for indices, _ in steps]).to(device)
        optimiser.param_groups[0]["lr"] = steps[0][1]
        for name, gradient in gradients(parameters, inputs[batch], targets[batch]).items():
            parameters[name].grad = gradient.contiguous()  # the fused step takes the layout for granted
        optimiser.step()
    return {name: value.cpu() for name, value in parameters.items()}


# ------------------------------------------------------------------------------------------------- evaluate and store
def accuracy(model: torch.nn.Sequential, dataset: str, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of ``images`` that ``model`` gives its label, in 0..1."""
    with torch.no_grad():
        answers = model[-1](networks.penultimate(model, networks.as_input(images, dataset))).argmax(1)
    return float((answers.numpy() == labels).mean())


def rounded(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The parameters in half precision: what is stored, evaluated and used from then on."""
    return {name: value.half().contiguous() for name, value in state.items()}


def model_from(dataset: str, state: dict[str, torch.Tensor]) -> torch.nn.Sequential:
    """LeNet-5 with the given (half-precision) parameters, computing in float32."""
    model = networks.lenet5(dataset)
    model.load_state_dict({name: value.float() for name, value in state.items()})
    return model.eval()


def _save(path: Path, tensors: dict[str, torch.Tensor], about: dict) -> None:
    """Write a safetensors file in one atomic step, with ``about`` as JSON in its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        save_file(tensors, Path(folder) / path.name, metadata={"about": json.dumps(about, sort_keys=True)})
        os.replace(Path(folder) / path.name, path)


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["about"])  # noqa: SIM118


def _images(dataset: str, data: str) -> datasets.ImageSet:
    return datasets.load(dataset) if data == "full" else datasets.load_sample(dataset)


def _evaluate_and_save(
    dataset: str, images: datasets.ImageSet, state: dict[str, torch.Tensor], seed: int, path: Path
) -> None:
    state = rounded(state)
    score = accuracy(model_from(dataset, state), dataset, images.x_test, images.y_test)
    _save(path, state, {"seed": seed, "accuracy": score})


def _train_and_save(dataset: str, images: datasets.ImageSet, seed: int, recipe: Recipe, path: Path) -> None:
    model = train_model(dataset, images.x_train, images.y_train, seed, recipe)
    _evaluate_and_save(dataset, images, model.state_dict(), seed, path)


def train_ensemble(
    dataset: str,
    seeds: Sequence[int],
    folder: Path,
    recipe: Recipe | None = None,
    data: str = "full",
    n_workers: int = 2,
    device: str = "cpu",
) -> list[Path]:
    """Train the models that ``folder`` does not hold yet; returns every model's file, in the order of ``seeds``.

    ``data`` is "full" (fetched if need be) or "shipped" (the small training sample). On "cpu" every model is a process
    of its own, and what was finished when a run is stopped stays; on "cuda" the missing models train as one batch.
    """
    recipe = recipe or RECIPES[dataset]
    images = _images(dataset, data)  # read once: the workers share them in memory, each free to write to its own copy
    made_by = f"{device.split(':')[0]}-torch{torch.__version__}"  # processors and versions round differently
    settings = f"e{recipe.epochs}-b{recipe.batch_size}-lr{recipe.learning_rate:g}"
    folder = Path(folder) / f"{dataset}-{data}-{settings}-{made_by}"
    paths = {seed: folder / f"seed{seed:03d}.safetensors" for seed in seeds}
    missing = [seed for seed in seeds if not paths[seed].exists()]
    if device != "cpu":
        stacked = train_batch(dataset, images.x_train, images.y_train, missing, recipe, device) if missing else {}
        for i, seed in enumerate(missing):
            _evaluate_and_save(dataset, images, {k: v[i] for k, v in stacked.items()}, seed, paths[seed])
        return list(paths.values())
    jobs = (joblib.delayed(_train_and_save)(dataset, images, seed, recipe, paths[seed]) for seed in missing)
    done = joblib.Parallel(n_jobs=n_workers, return_as="generator_unordered", mmap_mode="c")(jobs)
    for _ in tqdm(done, total=len(seeds), initial=len(seeds) - len(missing), desc=f"LeNet-5, {dataset}", unit="model"):
        pass
    return list(paths.values())


def stack(dataset: str, paths: Sequence[Path], origin: dict | None = None) -> Ensemble:
    """The single models of ``paths`` as one ensemble."""
    states, abouts = zip(*map(_load, paths), strict=True)
    parameters = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    seeds, scores = (np.array([about[key] for about in abouts]) for key in ("seed", "accuracy"))
    return Ensemble(dataset, seeds, scores, parameters, origin or {})


def save_ensemble(ensemble: Ensemble, target: Path) -> None:
    """Write an ensemble as one safetensors file, with seeds, accuracies and origin in its header."""
    about = {"dataset": ensemble.dataset, "seeds": ensemble.seeds.tolist(), "accuracy": ensemble.accuracy.tolist()}
    _save(target, ensemble.parameters, about | ensemble.origin)


def load_ensemble(path: Path, n_models: int | None = None) -> Ensemble:
    """Read the first ``n_models`` (default: all) models that `save_ensemble` wrote; ValueError where it has fewer."""
    parameters, about = _load(path)
    seeds, scores = np.array(about.pop("seeds")), np.array(about.pop("accuracy"))
    if n_models is not None and not 1 <= n_models <= len(seeds):
        raise ValueError(f"n_models must lie in 1..{len(seeds)}, the models of {path.name}; got {n_models}.")
    keep = slice(n_models)
    return Ensemble(about.pop("dataset"), seeds[keep], scores[keep], {k: v[keep] for k, v in parameters.items()}, about)


def ensemble(
    dataset: str, n_models: int, train: bool = False, epochs: int = 0, data: str = "shipped", device: str = "cpu"
) -> Ensemble:
    """The first ``n_models`` shipped models of ``dataset``; or, with ``train``, models trained now on ``data``.

    ``epochs`` 0 is the shipped models' number. Trained models are kept in the cache folder, and reused.
    """
    if not train:
        return load_ensemble(datasets.shipped(f"lenet5_{dataset}.safetensors"), n_models)
    recipe = replace(RECIPES[dataset], epochs=epochs) if epochs else RECIPES[dataset]
    folder, workers = datasets.cache_folder() / "models", os.cpu_count() or 1
    return stack(dataset, train_ensemble(dataset, range(n_models), folder, recipe, data, workers, device))


def ensemble_embeddings(ensemble: Ensemble, images: np.ndarray, n_threads: int = 2) -> np.ndarray:
    """Post-ReLU penultimate activations of every model, (n_models, n_images, 84) float32; a thread per model."""
    inputs = networks.as_input(images, ensemble.dataset)

    def embed(i: int) -> np.ndarray:
        model = model_from(ensemble.dataset, {name: value[i] for name, value in ensemble.parameters.items()})
        return networks.penultimate(model, inputs).numpy()

    torch.set_num_threads(1)
    jobs = (joblib.delayed(embed)(i) for i in range(len(ensemble)))
    return np.stack(joblib.Parallel(n_threads, prefer="threads")(jobs))


# -------------------------------------------------------------------------------------------------------- command line
def main(argv: list[str] | None = None) -> None:
    """Train, pack and register an ensemble; see ``python -m pipeline.training --help``."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m pipeline.training", description="Train an ensemble of LeNet-5.")
    parser.add_argument("dataset", choices=sorted(RECIPES))
    parser.add_argument("--models", type=int, default=50, help="number of models, seeds 0, 1, ... (default 50)")
    parser.add_argument("--epochs", type=int, help="default: that of the recipe")
    parser.add_argument("--learning-rate", type=float, help="default: that of the recipe")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one per core)")
    parser.add_argument("--device", default="cpu", help="cpu: a process per model; cuda: all models as one batch")
    parser.add_argument("--data", default="full", choices=("full", "shipped"), help="training images (default full)")
    parser.add_argument("--folder", type=Path, help="where single models are kept (default: the cache folder)")
    parser.add_argument("--target", type=Path, help="packed file (default: the shipped one)")
    options = parser.parse_args(argv)
    name = options.dataset
    changes = {key: getattr(options, key) for key in ("epochs", "learning_rate") if getattr(options, key)}
    recipe = replace(RECIPES[name], **changes)
    folder = options.folder or datasets.cache_folder() / "models"
    paths = train_ensemble(name, range(options.models), folder, recipe, options.data, options.workers, options.device)
    command = "python -m pipeline.training " + " ".join(argv)
    origin = {
        "recipe": asdict(recipe), "command": command, "versions": provenance.versions("torch", "numpy"),
        "machine": provenance.machine(), "training_images": provenance.sha256(_images(name, options.data).x_train),
    }  # fmt: skip
    target = options.target or datasets.data_folder() / f"lenet5_{name}.safetensors"
    save_ensemble(trained := stack(name, paths, origin), target)
    if target.parent.resolve() == datasets.data_folder().resolve():
        datasets.register(target, f"trained here on {name}", "MIT", command, rounding="parameters in half precision")
    print(f"{target.name}: {len(trained)} models, mean accuracy {trained.accuracy.mean():.4f}")


if __name__ == "__main__":
    main()
