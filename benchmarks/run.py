"""Our methods and their peers, side by side: ``make bench`` or ``python -m
benchmarks.run [NAME ...]``, about ten minutes for all, on an otherwise idle machine.

Each benchmark checks that all contenders give the same result, and writes
``benchmarks/results/NAME.json``. Where there is a GPU, training is timed on it too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from benchmarks.harness import Contender, best, compare, growth, machine, seconds, write
from helpers import data, rsa, significance, sparsity
from helpers.inference import prepare, random_order_null, spaced_sizes
from pipeline import cluster

N_IMAGES, N_FEATURES = 120, 4096
N_PAIRS = N_IMAGES * (N_IMAGES - 1) // 2


def example(n_images: int, n_features: int, seed: int = 0) -> tuple:
    """Post-ReLU-like embeddings, each node with its own threshold; their PoZ order."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_images, n_features)) - rng.uniform(-0.3, 2, n_features)
    x = np.maximum(x, 0)
    return x, sparsity.poz_order(sparsity.percentage_of_zeros(x))


def always_defined(n_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings as wide as LeNet-5's, their order, sizes with all images defined."""
    x, order = example(n_images, 84)
    x[:, order[0]] += 0.01
    return x, order, np.arange(3, 85)


# ----------------------------------------------------------------------------- peers
def corrcoef_curve(x, order, reference, sizes) -> np.ndarray:
    """The plain way: numpy.corrcoef of the first features, and with the reference."""
    pairs, r2 = np.triu_indices(len(x), 1), []
    for size in sizes:
        partial = np.corrcoef(x[:, order[:size]])[pairs]
        r2.append(np.corrcoef(partial, reference)[0, 1] ** 2)
    return np.array(r2)


def scipy_curve(x, order, reference, sizes) -> np.ndarray:
    """Likewise with scipy's pairwise distances."""
    from scipy.spatial.distance import pdist

    partial = (pdist(x[:, order[:size]], "correlation") for size in sizes)
    return np.array([np.corrcoef(one, reference)[0, 1] ** 2 for one in partial])


def rsatoolbox_curve(x, order, reference, sizes) -> np.ndarray:
    """Likewise with rsatoolbox: RDMs by correlation distance, then compared."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import RDMs, calc_rdm, compare

    people, r2 = RDMs(1 - reference[None]), []
    for size in sizes:
        rdm = calc_rdm(Dataset(x[:, order[:size]]), method="correlation")
        r2.append(compare(rdm, people, "corr")[0, 0] ** 2)
    return np.array(r2)


def arithmetic_limit(about: dict, n_images: int, n_sizes: float) -> float:
    """Seconds on all cores of four fused multiply-adds per pair and size.

    At the rate of matrix products.
    """
    return n_images * (n_images - 1) / 2 * n_sizes * 4 / (about["gflops"] / 2 * 1e9)


# ---------------------------------------------------------------------------- curves
def curve(about: dict) -> dict:
    """Insertion curve at every size, 120 images."""
    x, order = example(N_IMAGES, N_FEATURES)
    y = rsa.upper_triangle(rsa.similarity_matrix(x))
    sizes = np.arange(3, N_FEATURES + 1)
    sizes = sizes[np.isfinite(rsa.insertion_curve(x, order, y, sizes).r2)]
    step = len(sizes) // 40
    few, share = sizes[::step], len(sizes[::step]) / len(sizes)

    def ours(engine):
        return lambda: rsa.insertion_curve(x, order, y, sizes, engine=engine).r2

    def peer(name, function):
        def call():
            return function(x, order, y, few)

        return Contender(f"{name} at each size", call, share, 2, part=np.s_[::step])

    def of_features(engine):
        return lambda n: timed_curve(N_IMAGES, n, engine)

    def of_images(engine):
        return lambda n: timed_curve(n, 1024, engine)

    def plain():
        return corrcoef_curve(x, order, y, sizes)

    rows = compare(
        [
            Contender("ours, compiled", ours("compiled"), rounds=15),
            Contender("ours, plain numpy", ours("numpy")),
            Contender("numpy.corrcoef at each size", plain, rounds=1),
            peer("scipy pdist", scipy_curve),
            peer("rsatoolbox", rsatoolbox_curve),
        ]
    )
    features, images = [512, 1024, 2048, 4096, 8192, 25088], [30, 60, 120, 240, 480]
    return {
        "n_images": N_IMAGES,
        "n_features": N_FEATURES,
        "n_sizes": len(sizes),
        "rows": rows,
        "limit_seconds": arithmetic_limit(about, N_IMAGES, len(sizes)),
        "seconds_25088_features": best(timed_curve(N_IMAGES, 25088, "compiled")),
        "growth": [
            growth("features, compiled", features, of_features("compiled")),
            growth("features, plain numpy", features[:4], of_features("numpy"), 1),
            growth("images, compiled", images, of_images("compiled")),
            growth("images, plain numpy", images[:4], of_images("numpy"), 1),
        ],
    }


def timed_curve(n_images: int, n_features: int, engine: str):
    """A call that computes the curve of an example at every size."""
    x, order = example(n_images, n_features, 1)
    y = rsa.upper_triangle(rsa.similarity_matrix(x))
    return lambda: rsa.insertion_curve(x, order, y, engine=engine)


def image_level(about: dict) -> dict:
    """Insertion curve at every size, 10,000 images of 84 features (LeNet-5)."""
    x, order, sizes = always_defined(10_000)
    y, few = rsa.upper_triangle(rsa.similarity_matrix(x)), sizes[::60]

    def ours(engine):
        return lambda: rsa.insertion_curve(x, order, y, sizes, engine=engine).r2

    def plain():
        return corrcoef_curve(x, order, y, few)

    share, part, megabytes = len(few) / len(sizes), np.s_[::60], y.nbytes / 1e6
    rows = compare(
        [
            Contender("ours, compiled", ours("compiled"), rounds=3),
            Contender("ours, plain numpy", ours("numpy"), rounds=1),
            Contender("numpy.corrcoef at each size", plain, share, 1, part=part),
        ]
    )
    once = megabytes / 1e3 / about["gigabytes_per_second"]
    return {
        "n_images": len(x),
        "n_features": x.shape[1],
        "n_sizes": len(sizes),
        "rows": rows,
        "reference_megabytes": megabytes,
        "limit_seconds": arithmetic_limit(about, len(x), len(sizes)),
        "memory_seconds_once": once,  # the reference is read once
        "memory_seconds_each_size": once * 2 * len(sizes),  # or g is moved at each size
    }


def streaming(about: dict) -> dict:
    """Up to 50,000 images, every size of 84 features; the reference is never held."""
    x, order, sizes = always_defined(50_000)

    def streamed(n):
        return lambda: (
            rsa.streamed_curve(x[:n], order, x[:n], sizes, engine="compiled").r2
        )

    def in_memory():
        y = rsa.similarity_matrix(x[:5000])
        return rsa.insertion_curve(x[:5000], order, y, sizes, engine="compiled").r2

    rows = compare(
        [
            Contender("ours, streamed, 5,000 images", streamed(5000), rounds=3),
            Contender("ours, matrix in memory", in_memory, rounds=3, tolerance=1e-11),
        ]
    )
    line = growth("images, streamed", [6250, 12500, 25000, len(x)], streamed, rounds=1)
    n_pairs = len(x) * (len(x) - 1) // 2
    return {
        "n_features": 84,
        "n_sizes": len(sizes),
        "rows": rows,
        "growth": [line],
        "n_largest": len(x),
        "largest_seconds": line["seconds"][-1],
        "largest_pairs": n_pairs,
        "matrix_gigabytes": n_pairs * 8 / 1e9,
        "embedding_megabytes": x.nbytes / 1e6,
        "limit_seconds": arithmetic_limit(about, len(x), len(sizes) + 84 / 4),
    }


# ------------------------------------------------------------------------- inference
def bootstrap(about: dict) -> dict:
    """Paired stimulus bootstrap: 10,000 resamples at 200 sizes, 120 images."""
    from rsatoolbox.inference import eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    x, order = example(N_IMAGES, N_FEATURES)
    n_resamples, n_few, few = 10_000, 50, np.arange(0, 200, 50)
    human, pairs = (
        np.random.default_rng(1).random(N_PAIRS),
        np.triu_indices(N_IMAGES, 1),
    )
    similarities = rsa.partial_similarities(x, order, spaced_sizes(N_FEATURES, 200))
    models = [ModelFixed(str(k), RDMs(1 - similarities[[k]])) for k in few]
    state = np.random.RandomState(8)  # as rsatoolbox will draw
    drawn = [state.randint(0, N_IMAGES, N_IMAGES) for _ in range(n_few)]
    counts = np.stack([np.bincount(one, minlength=N_IMAGES) for one in drawn])
    rng, others = np.random.default_rng(2), n_resamples - n_few
    others = significance.bootstrap_counts(N_IMAGES, others, rng)
    counts = np.concatenate([counts, others])

    def ours():
        return significance.weighted_r2(similarities, human, counts, *pairs)

    def peer():
        np.random.seed(8)  # noqa: NPY002 - rsatoolbox draws from the global generator
        people, settings = RDMs(1 - human[None]), {"N": n_few, "boot_noise_ceil": False}
        result = eval_bootstrap_pattern(models, people, method="corr", **settings)
        return result.evaluations.reshape(n_few, len(few)) ** 2

    n, name = 200 * n_resamples, "rsatoolbox eval_bootstrap_pattern"
    share, part = len(few) * n_few / n, np.s_[:n_few, few]
    rows = compare(
        [
            Contender("ours, one matrix product", ours, rounds=3),
            Contender(name, peer, share, 3, part=part),
        ]
    )
    return {
        "n_images": N_IMAGES,
        "n_sizes": 200,
        "n_resamples": n_resamples,
        "rows": rows,
        "limit_seconds": 2 * 3 * N_PAIRS * n / (about["gflops"] * 1e9),
        "microseconds_each": rows[0]["seconds"] / n * 1e6,
        "peer_microseconds_each": rows[1]["seconds"] / n * 1e6,
    }


def random_orders(about: dict) -> dict:
    """Random-order null: 1,000 orders at 100 sizes, 120 images of 4096 features."""
    x, order = example(N_IMAGES, N_FEATURES)
    human, sizes = np.random.default_rng(1).random(N_PAIRS), spaced_sizes(4096, 100)

    def ours(n_orders, engine):
        def call():
            rng = np.random.default_rng(5)
            given = prepare(x, order, human, sizes)
            return random_order_null(given, n_orders, rng=rng, engine=engine)[1]

        return call

    def plain():
        rng = np.random.default_rng(5)
        orders = [rng.permutation(N_FEATURES) for _ in range(3)]
        return np.stack([corrcoef_curve(x, one, human, sizes) for one in orders])

    n, numpy, name = 1000, ours(50, "numpy"), "numpy.corrcoef at each size"
    rows = compare(
        [
            Contender("ours, compiled", ours(n, "compiled"), rounds=3),
            Contender("ours, plain numpy", numpy, 50 / n, 3, 1e-9, np.s_[:50]),
            Contender(name, plain, 3 / n, 2, 1e-9, np.s_[:3]),
        ]
    )
    return {
        "n_images": N_IMAGES,
        "n_features": N_FEATURES,
        "n_sizes": 100,
        "n_orders": n,
        "rows": rows,
        "limit_seconds": n * N_PAIRS * N_FEATURES / (about["gflops"] / 2 * 1e9),
    }


# -------------------------------------------------------------------------- networks
def training(about: dict) -> dict:
    """Training LeNet-5 on CIFAR-10's sample: a process per core against one by one."""
    import torch

    from pipeline import training as train

    images, n_models = data.load_sample("cifar10"), 4 * about["cores"]
    given, recipe = ("cifar10", images.x_train, images.y_train), train.Recipe(12)

    def one_by_one():
        models = [train.train_model(*given, seed, recipe) for seed in range(n_models)]
        states = [train.rounded(model.state_dict()) for model in models]
        return np.stack([state["0.weight"].float().numpy() for state in states])

    def workers():
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder), recipe, "shipped", about["cores"]
            paths = train.train_ensemble("cifar10", range(n_models), *settings)
            return train.stack("cifar10", paths).parameters["0.weight"].float().numpy()

    rows = compare(
        [
            Contender("ours, one process per core", workers, rounds=2, tolerance=0),
            Contender("one by one, one thread", one_by_one, rounds=2, tolerance=0),
        ],
        memory=False,
    )
    together, alone = (row["seconds"] for row in rows)
    n_images = n_models * recipe.epochs * len(images.x_train)
    content = {
        "n_models": n_models,
        "epochs": recipe.epochs,
        "n_images": len(images.x_train),
        "rows": rows,
        "scaling": alone / together / about["cores"],
        "images_per_second": n_images / alone,
        "gpu": "none",
    }
    return content | (on_gpu(train, given) if torch.cuda.is_available() else {})


def on_gpu(train, given: tuple) -> dict:
    """All models as one batched program against one after the other on a GPU."""
    import torch

    def batch(seeds):
        def call():
            train.train_batch(*given, seeds, train.Recipe(2), "cuda")
            torch.cuda.synchronize()

        return call

    batch([0])()
    together, alone = best(batch(list(range(50))), 3), best(batch([0]), 3)
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu_batch_seconds": together,
        "gpu_one_by_one_seconds": alone * 50,
    }


def extraction(about: dict) -> dict:
    """Features of ResNet-18's last node (random weights): batches against a loop."""
    import torch

    from pipeline import extraction as extract

    torch.set_num_threads(about["cores"])
    model, vgg = (extract.load_model(n, weights=None) for n in ("resnet18", "vgg19"))
    body = torch.nn.Sequential(*list(model.children())[:-1]).eval()
    images = data.load_sample("cifar10").x_test[:24]

    def ours():
        return extract.embed(model, "flatten", images, batch_size=8, cache=False)

    def loop():
        with torch.no_grad():
            rows = [body(extract.preprocess([image])).flatten() for image in images]
        return torch.stack(rows).numpy()

    def deepest():
        node = extract.FC7["vgg19"]
        return extract.embed(vgg, node, images[:4], batch_size=4, cache=False)

    rows = compare(
        [
            Contender("ours, batches", ours, rounds=2, tolerance=1e-4),
            Contender("plain loop", loop, rounds=2, tolerance=1e-4),
        ],
        memory=False,
    )
    return {
        "n_images": len(images),
        "rows": rows,
        "images_per_second": [len(images) / row["seconds"] for row in rows],
        "vgg19_seconds_per_image": seconds(deepest)[0] / 4,
    }


# --------------------------------------------------------------------------- cluster
def send(block: int, n_bytes: int) -> cluster.Result:
    """A unit that only sends ``n_bytes``."""
    return {"x": np.full(n_bytes, block % 7, np.uint8)}


def units_of_work(about: dict) -> dict:
    """What Dask and the store add to a unit, and how fast results come back."""
    n = about["cores"]
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster.connect(n_workers=n) as client,
    ):

        def timed(name, n_units, n_bytes):
            blocks = ({"block": block} for block in range(n_units))
            work = cluster.units(send, *blocks, n_bytes=n_bytes)
            store = cluster.Store(Path(folder) / name)
            return seconds(lambda: cluster.run(work, store, client))[0]

        timed("warm", 4, 10)
        small, large = timed("small", 300, 10), timed("large", 20, 20_000_000)
    return {"seconds_per_unit": small / 300, "megabytes_per_second": 20 * 20 / large}


BENCHMARKS = {
    function.__name__: function
    for function in (
        curve,
        image_level,
        streaming,
        bootstrap,
        random_orders,
        training,
        extraction,
        units_of_work,
    )
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(
            f"unknown benchmark {', '.join(sorted(unknown))}; "
            f"known: {', '.join(BENCHMARKS)}."
        )
    os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars between the rows
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # peers divide by zero
    about = machine()
    print({key: about[key] for key in about if key != "versions"}, flush=True)
    for name in names or BENCHMARKS:
        print(name, flush=True)
        write(name, BENCHMARKS[name](about), about)


if __name__ == "__main__":
    main(sys.argv[1:])
