"""The shipped image samples and AlexNet activations.

``python -m pipeline samples --alexnet ALEXNET``: ALEXNET has the AlexNet activations:
the netCDF file of the brainscore_vision 2.3.18 wheel, ``brainscore_vision/benchmarks/
rajalingham2018/test_resources/identifier=alexnet,stimuli_identifier=objectome-240.nc``
(reading it needs h5py), or its arrays ``fc7`` and ``stimulus`` as .npz. Without it,
that part stays as it is. The whole image sets come from `pipeline.datasets`. The same
versions of numpy, zlib and Pillow (libwebp) give the same bytes every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from helpers import data
from pipeline import datasets, manifest

SEED = 2023
PER_CLASS = 200
EVERY = 6
"""Every sixth of the 2400 images with AlexNet activations is shipped."""
FC7_SHA256 = "464480380eaa6591900b81e3ab8c108e2a5b5a26b27b6d03568c99fead5d6f2e"


def record(alexnet: Path | None, folder: Path, command: str) -> None:
    """Write and register the files."""
    folder.mkdir(parents=True, exist_ok=True)
    make_mnist(folder, command)
    make_cifar10(folder, command)
    if alexnet:
        make_alexnet(alexnet, folder, command)


def make_mnist(folder: Path, command: str) -> None:
    """All test images and a stratified training sample, one file."""
    full = datasets.load("mnist")
    train = data.stratified(full.y_train, PER_CLASS, np.random.default_rng(SEED))
    images = {"x_test": full.x_test, "x_train": full.x_train[train]}
    path = folder / "mnist_sample.npz"
    np.savez_compressed(path, **images, **_labels(full, train, full.index_test))
    manifest.register(path, command)


def make_cifar10(folder: Path, command: str) -> None:
    """Stratified test and training samples: labels, and two lossless sheets."""
    full, rng = datasets.load("cifar10"), np.random.default_rng(SEED)
    train = data.stratified(full.y_train, PER_CLASS, rng)
    test = data.stratified(full.y_test, PER_CLASS, rng)
    path = folder / "cifar10_sample.npz"
    np.savez_compressed(path, **_labels(full, train, test))
    manifest.register(path, command)
    images = {"train": full.x_train[train], "test": full.x_test[test]}
    for part, pixels in images.items():
        path = folder / f"cifar10_sample_{part}.webp"
        sheet = Image.fromarray(manifest.to_sheet(pixels))
        sheet.save(path, "WEBP", lossless=True, exact=True, quality=100, method=5)
        manifest.register(path, command)


def make_alexnet(source: Path, folder: Path, command: str) -> None:
    """Every sixth image's activations: where not zero, there in half precision."""
    fc7, names = read_alexnet(source)
    if data.sha256(fc7) != FC7_SHA256:
        raise ValueError(f"ALEXNET: {source} holds other activations than expected.")
    index = np.arange(0, len(fc7), EVERY)
    exact = fc7[index]
    bits, values = manifest.pack_sparse(exact)
    change = np.abs(data.unpack_sparse(bits, values, exact.shape) - exact)
    normal = exact >= np.finfo(np.float16).tiny
    relative = float((change[normal] / exact[normal]).max())
    rounding = (
        f"non-zero values to half precision (float16): absolute change at most "
        f"{change.max():.1e}, relative at most {relative:.1e} (values above 6.1e-5); "
        "the pattern of zeros, and so PoZ, is exact"
    )
    path = folder / "alexnet_fc7.npz"
    np.savez_compressed(
        path,
        nonzero=bits,
        values=values,
        ids=np.array([name.removesuffix(".png") for name in names[index]]),
        index=index,
        n_zero_all=(fc7 == 0).sum(axis=0).astype(np.uint16),
        n_all=np.array(len(fc7)),
    )
    manifest.register(path, command, rounding=rounding)


def read_alexnet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Activations (2400, 4096) float32 and image names (2400,)."""
    if path.suffix == ".npz":
        stored = data.read_arrays(path)
        return stored["fc7"], stored["stimulus"]
    import h5py

    with h5py.File(path) as stored:
        names = [Path(name.decode()).name for name in stored["stimulus_path"][:]]
        return stored["__xarray_dataarray_variable__"][:], np.array(names)


def _labels(full: data.ImageSet, train: np.ndarray, test: np.ndarray) -> data.Arrays:
    labels = {"y_train": full.y_train[train], "y_test": full.y_test[test]}
    return labels | {"index_train": train, "index_test": test}
