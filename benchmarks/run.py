"""Ours and its peers, side by side: ``python benchmarks/run.py [NAME ...]`` (``make bench``); some ten minutes for all.

Each benchmark checks that all contenders give the same result, and writes ``benchmarks/results/NAME.json``. Run it on
an otherwise idle machine. Where there is a GPU, training is timed on it too; else the record says that there was none.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from harness import Contender, best, compare, growth, machine, seconds, write

from pipeline import cluster
from helpers import data, inference, rsa, sparsity

N_IMAGES, N_FEATURES = 120, 4096


def example(n_images: int, n_features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Post-ReLU-like embeddings, each node with a threshold of its own, and their PoZ order."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(n_images, n_features)) - rng.uniform(-0.3, 2, n_features), 0)
    return x, sparsity.poz_order(sparsity.percentage_of_zeros(x))


def corrcoef_curve(x: np.ndarray, order: np.ndarray, reference: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The plain way: numpy.corrcoef of the first features, and of its upper triangle with the reference."""
    pairs, r2 = np.triu_indices(len(x), 1), []
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore")
        for size in sizes:
            r2.append(np.corrcoef(np.corrcoef(x[:, order[:size]])[pairs], reference)[0, 1] ** 2)
    return np.array(r2)


def scipy_curve(x: np.ndarray, order: np.ndarray, reference: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Likewise with scipy's pairwise distances."""
    from scipy.spatial.distance import pdist

    return np.array([np.corrcoef(pdist(x[:, order[:k]], "correlation"), reference)[0, 1] ** 2 for k in sizes])


def rsatoolbox_curve(x: np.ndarray, order: np.ndarray, reference: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Likewise with rsatoolbox: an RDM by correlation distance, compared by correlation."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import RDMs, calc_rdm, compare

    people = RDMs(1 - reference[None])
    rdms = [calc_rdm(Dataset(x[:, order[:k]]), method="correlation") for k in sizes]
    return np.array([compare(rdm, people, "corr")[0, 0] ** 2 for rdm in rdms])


def arithmetic_limit(about: dict, n_images: int, n_sizes: int) -> float:
    """Seconds on all cores: four fused multiply-adds for each pair at each size, at the rate of matrix products."""
    return n_images * (n_images - 1) / 2 * n_sizes * 4 / (about["gflops"] / 2 * 1e9)


# --------------------------------------------------------------------------------------------------------------- curves
def curve(about: dict) -> dict:
    """Insertion curve at every size, 120 images."""
    x, order = example(N_IMAGES, N_FEATURES)
    reference = rsa.upper_triangle(rsa.similarity_matrix(x))
    first = int(np.flatnonzero(np.isfinite(rsa.insertion_curve(x, order, reference).r2))[0]) + 1
    sizes = np.arange(max(first, 3), N_FEATURES + 1)
    some = sizes[:: len(sizes) // 40]

    def ours(engine):
        return lambda: rsa.insertion_curve(x, order, reference, sizes, engine=engine).r2

    def part(result):
        return result[np.searchsorted(sizes, some)]

    share = len(some) / len(sizes)
    rows = compare(
        [
            Contender("ours, compiled", ours("compiled"), rounds=15), Contender("ours, plain numpy", ours("numpy")),
            Contender("numpy.corrcoef at each size", lambda: corrcoef_curve(x, order, reference, sizes), rounds=1),
            Contender("scipy pdist at each size", lambda: scipy_curve(x, order, reference, some), share, 2, 1e-10,
                      part),
            Contender("rsatoolbox at each size", lambda: rsatoolbox_curve(x, order, reference, some), share, 2, 1e-10,
                      part),
        ]
    )  # fmt: skip

    def grow(n_images, n_features, engine):
        table, its_order = example(n_images, n_features, 1)
        target = rsa.upper_triangle(rsa.similarity_matrix(table))
        return lambda: rsa.insertion_curve(table, its_order, target, engine=engine)

    features, images = (512, 1024, 2048, 4096, 8192, 25088), (30, 60, 120, 240, 480)
    return {
        "n_images": N_IMAGES, "n_features": N_FEATURES, "n_sizes": len(sizes), "rows": rows,
        "limit_seconds": arithmetic_limit(about, N_IMAGES, len(sizes)),
        "seconds_25088_features": best(grow(N_IMAGES, 25088, "compiled")),
        "limit_seconds_25088_features": arithmetic_limit(about, N_IMAGES, 25088),
        "growth": [
            growth("features, compiled", features, lambda f: grow(N_IMAGES, f, "compiled")),
            growth("features, plain numpy", features[:4], lambda f: grow(N_IMAGES, f, "numpy"), 1),
            growth("images, compiled", images, lambda n: grow(n, 1024, "compiled")),
            growth("images, plain numpy", images[:4], lambda n: grow(n, 1024, "numpy"), 1),
        ],
    }  # fmt: skip


def image_level(about: dict) -> dict:
    """Insertion curve at every size, 10,000 images of 84 features (LeNet-5's penultimate layer)."""
    n, f = 10_000, 84
    x, order = example(n, f)
    x[:, order[0]] += 0.01  # every image is defined from the second size on
    sizes, reference = np.arange(3, f + 1), rsa.upper_triangle(rsa.similarity_matrix(x))
    some = sizes[::60]

    def ours(engine):
        return lambda: rsa.insertion_curve(x, order, reference, sizes, engine=engine).r2

    rows = compare(
        [
            Contender("ours, compiled", ours("compiled"), rounds=3),
            Contender("ours, plain numpy", ours("numpy"), rounds=1),
            Contender("numpy.corrcoef at each size", lambda: corrcoef_curve(x, order, reference, some),
                      len(some) / len(sizes), 1, 1e-10, lambda result: result[::60]),
        ]
    )  # fmt: skip
    megabytes = reference.nbytes / 1e6
    return {
        "n_images": n, "n_features": f, "n_sizes": len(sizes), "rows": rows, "reference_megabytes": megabytes,
        "limit_seconds": arithmetic_limit(about, n, len(sizes)),
        # the reference read once; and products that are read and written in memory again at each size
        "memory_seconds_once": megabytes / 1e3 / about["gigabytes_per_second"],
        "memory_seconds_each_size": megabytes / 1e3 * 2 * len(sizes) / about["gigabytes_per_second"],
    }  # fmt: skip


def streaming(about: dict) -> dict:
    """Image-level curve against a reference that is never held: up to 50,000 images, every size of 84 features."""
    whole, order = example(50_000, 84)
    whole[:, order[0]] += 0.01
    sizes = np.arange(3, 85)

    def streamed(n):
        return lambda: rsa.streamed_curve(whole[:n], order, whole[:n], sizes, engine="compiled").r2

    def in_memory():
        part = whole[:5000]
        return rsa.insertion_curve(part, order, rsa.similarity_matrix(part), sizes, engine="compiled").r2

    rows = compare([Contender("streamed, 5,000 images", streamed(5000), rounds=3),
                    Contender("matrix in memory, 5,000 images", in_memory, rounds=3, tolerance=1e-11)])  # fmt: skip
    scale = growth("images, streamed", (6250, 12500, 25000, 50000), streamed, rounds=1)
    n = 50_000
    return {
        "n_features": 84, "n_sizes": len(sizes), "rows": rows, "growth": [scale], "n_largest": n,
        "largest_seconds": scale["seconds"][-1], "largest_pairs": n * (n - 1) // 2,
        "matrix_gigabytes": n * (n - 1) / 2 * 8 / 1e9, "embedding_megabytes": whole.nbytes / 1e6,
        "limit_seconds": arithmetic_limit(about, n, len(sizes) + 84 / 4),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ inference
def bootstrap(about: dict) -> dict:
    """Paired stimulus bootstrap: 10,000 resamples at 200 sizes, 120 images."""
    from rsatoolbox.inference import eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    x, order = example(N_IMAGES, N_FEATURES)
    human, sizes = np.random.default_rng(1).random(N_IMAGES * (N_IMAGES - 1) // 2), inference.spaced_sizes(4096, 200)
    y, (i, j) = human, np.triu_indices(N_IMAGES, 1)
    similarities = rsa.partial_similarities(x, order, sizes)
    some, n_few, n_resamples = np.arange(0, 200, 50), 50, 10_000
    state = np.random.RandomState(8)
    counts = np.stack([np.bincount(state.randint(0, N_IMAGES, N_IMAGES), minlength=N_IMAGES) for _ in range(n_few)])
    rest = inference.bootstrap_counts(N_IMAGES, n_resamples - n_few, np.random.default_rng(2))
    counts = np.concatenate([counts, rest])
    models = [ModelFixed(str(k), RDMs(1 - similarities[k : k + 1])) for k in some]

    def ours():
        return inference._weighted_r2(similarities, y, counts, i, j)

    def peer():
        np.random.seed(8)  # noqa: NPY002 - rsatoolbox draws from numpy's global generator
        found = eval_bootstrap_pattern(models, RDMs(1 - human[None]), method="corr", N=n_few, boot_noise_ceil=False)
        return found.evaluations.reshape(n_few, len(some)) ** 2

    rows = compare(
        [
            Contender("ours, one matrix product", ours, rounds=3),
            Contender("rsatoolbox eval_bootstrap_pattern", peer, len(some) * n_few / (200 * n_resamples), 3, 1e-10,
                      lambda result: result[:n_few, some]),
        ]
    )  # fmt: skip
    operations = 2 * 3 * len(y) * 200 * n_resamples
    return {
        "n_images": N_IMAGES, "n_sizes": 200, "n_resamples": n_resamples, "rows": rows,
        "limit_seconds": operations / (about["gflops"] * 1e9),
        "microseconds_each": rows[0]["seconds"] / (200 * n_resamples) * 1e6,
        "peer_microseconds_each": rows[1]["seconds"] / (200 * n_resamples) * 1e6,
    }  # fmt: skip


def random_orders(about: dict) -> dict:
    """Random-order null: 1,000 orders at 100 sizes, 120 images of 4096 features."""
    x, order = example(N_IMAGES, N_FEATURES)
    human, sizes = np.random.default_rng(1).random(N_IMAGES * (N_IMAGES - 1) // 2), inference.spaced_sizes(4096, 100)
    n_orders, n_few = 1000, 3

    def ours():
        return inference.random_order_null(x, human, order, sizes, n_orders, rng=np.random.default_rng(5)).null

    def numpy_only():
        threshold, rsa._WORTHWHILE = rsa._WORTHWHILE, np.inf
        try:
            return inference.random_order_null(x, human, order, sizes, 50, rng=np.random.default_rng(5)).null
        finally:
            rsa._WORTHWHILE = threshold

    def naive():
        rng = np.random.default_rng(5)
        return np.stack([corrcoef_curve(x, rng.permutation(4096), human, sizes) for _ in range(n_few)])

    rows = compare(
        [
            Contender("ours, compiled", ours, rounds=3, tolerance=1e-9),
            Contender("ours, plain numpy", numpy_only, 50 / n_orders, 3, 1e-9, lambda result: result[:50]),
            Contender("numpy.corrcoef at each size", naive, n_few / n_orders, 2, 1e-9, lambda result: result[:n_few]),
        ]
    )  # fmt: skip
    return {"n_images": N_IMAGES, "n_features": N_FEATURES, "n_sizes": 100, "n_orders": n_orders, "rows": rows,
            "limit_seconds": n_orders * 7140 * 4096 / (about["gflops"] / 2 * 1e9)}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- networks
def training(about: dict) -> dict:
    """Training LeNet-5 on CIFAR-10's shipped sample: workers against one single-thread process; a GPU if present."""
    import torch

    from pipeline import training as train

    images, recipe, n_models = data.load_sample("cifar10"), train.Recipe(epochs=12), 4 * about["cores"]

    def one_by_one():
        models = [train.train_model("cifar10", images.x_train, images.y_train, s, recipe) for s in range(n_models)]
        return _weights([train.rounded(model.state_dict()) for model in models])

    def workers():
        with tempfile.TemporaryDirectory() as folder:
            paths = train.train_ensemble("cifar10", range(n_models), Path(folder), recipe, "shipped", about["cores"])
            return train.stack("cifar10", paths).parameters["0.weight"].float().flatten(1).numpy()

    rows = compare([Contender("ours, one process per core", workers, rounds=2, tolerance=0),
                    Contender("one by one, one thread", one_by_one, rounds=2, tolerance=0)], memory=False)  # fmt: skip
    per_epoch = rows[1]["seconds"] / n_models / recipe.epochs / len(images.x_train)
    content = {
        "n_models": n_models, "epochs": recipe.epochs, "n_images": len(images.x_train), "rows": rows,
        "scaling": rows[1]["seconds"] / rows[0]["seconds"] / about["cores"], "images_per_second": 1 / per_epoch,
        "gpu": "none",
    }  # fmt: skip
    if torch.cuda.is_available():
        content |= _gpu(train, images)
    return content


def _weights(states: list[dict]) -> np.ndarray:
    return np.stack([state["0.weight"].float().numpy().ravel() for state in states])


def _gpu(train, images) -> dict:
    """All models as one batched program against one after the other on the same GPU."""
    import torch

    recipe, n_models = train.Recipe(epochs=2), 50

    def batch(seeds):
        def call():
            train.train_batch("cifar10", images.x_train, images.y_train, seeds, recipe, "cuda")
            torch.cuda.synchronize()

        return call

    batch([0])()
    together, alone = best(batch(list(range(n_models))), 3), best(batch([0]), 3)
    steps = recipe.epochs * (len(images.x_train) // recipe.batch_size)
    return {
        "gpu": torch.cuda.get_device_name(), "gpu_batch_seconds": together, "gpu_one_by_one_seconds": alone * n_models,
        "gpu_ratio": alone * n_models / together,
        "gpu_ensemble_minutes": together / steps * train.RECIPES["cifar10"].epochs * 1000 / 60,
    }  # fmt: skip


def extraction(about: dict) -> dict:
    """Features of ResNet-18's last node (random weights): batches against a plain loop, image by image."""
    import torch

    from pipeline import extraction as extract

    torch.set_num_threads(about["cores"])
    model = extract.load_model("resnet18", weights=None)
    images = data.load_sample("cifar10").x_test[:24]

    def ours():
        return extract.embed(model, "flatten", images, batch_size=8, cache=False)

    def loop():
        rows = []
        with torch.no_grad():
            body = torch.nn.Sequential(*list(model.children())[:-1]).eval()
            for image in images:
                rows.append(body(extract.preprocess([image])).flatten().numpy())
        return np.stack(rows)

    rows = compare([Contender("ours, batches", ours, rounds=2, tolerance=1e-4),
                    Contender("plain loop", loop, rounds=2, tolerance=1e-4)], memory=False)  # fmt: skip
    vgg = extract.load_model("vgg19", weights=None)
    per_image = seconds(lambda: extract.embed(vgg, extract.FC7["vgg19"], images[:4], batch_size=4, cache=False))[0] / 4
    return {"n_images": len(images), "rows": rows, "images_per_second": [len(images) / row["seconds"] for row in rows],
            "vgg19_seconds_per_image": per_image}  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- cluster
def nothing(block: int, n_bytes: int) -> cluster.Result:
    """A unit that only sends ``n_bytes``."""
    return {"x": np.zeros(n_bytes, np.uint8) + block % 7}


def units_of_work(about: dict) -> dict:
    """What Dask and the store add to a unit, and how fast results come back."""
    with tempfile.TemporaryDirectory() as folder, cluster.connect(n_workers=about["cores"]) as client:

        def timed(name, n, n_bytes):
            work = cluster.units(nothing, *({"block": block} for block in range(n)), n_bytes=n_bytes)
            return seconds(lambda: cluster.run(work, cluster.Store(Path(folder) / name), client))[0]

        timed("warm", 4, 10)
        small, large = timed("small", 300, 10), timed("large", 20, 20_000_000)
    return {"seconds_per_unit": small / 300, "megabytes_per_second": 20 * 20 / large}  # fmt: skip


BENCHMARKS = {
    "curve": curve, "image_level": image_level, "streaming": streaming, "bootstrap": bootstrap,
    "random_orders": random_orders, "training": training, "extraction": extraction, "units_of_work": units_of_work,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}.")
    os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars between the rows
    about = machine()
    print({key: value for key, value in about.items() if key != "versions"}, flush=True)
    for name in names or BENCHMARKS:
        print(name, flush=True)
        write(name, BENCHMARKS[name](about), about)


if __name__ == "__main__":
    main(sys.argv[1:])
