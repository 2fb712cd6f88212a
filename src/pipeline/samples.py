"""Make the shipped image samples and AlexNet activations in ``data/`` and enter them into its manifest.

    python scripts/make_data.py --alexnet FILE

The whole image sets come through `helpers.datasets.load` (cache, else download). FILE holds the AlexNet activations:
the netCDF file of the brainscore_vision 2.3.18 wheel, ``brainscore_vision/benchmarks/rajalingham2018/test_resources/
identifier=alexnet,stimuli_identifier=objectome-240.nc`` (reading it needs h5py), or its arrays ``fc7`` and ``stimulus``
as .npz. Without ``--alexnet`` that part stays as it is. The same versions of numpy, zlib and Pillow (libwebp) give the
same bytes every time; entries of other files in the manifest are kept.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import datasets

SEED = 2023
COMMAND = "python scripts/make_data.py --alexnet FILE"
PER_CLASS = 200
EVERY = 6
"""Every sixth of the 2400 images with AlexNet activations is shipped."""
FC7_SHA256 = "464480380eaa6591900b81e3ab8c108e2a5b5a26b27b6d03568c99fead5d6f2e"

ORIGINS = {
    "mnist": {
        "source": "The MNIST database of handwritten digits, Yann LeCun, Corinna Cortes and Christopher J. C. Burges "
        "(1998), http://yann.lecun.com/exdb/mnist/; a part, pixels unchanged",
        "licence": "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/",
    },
    "cifar10": {
        "source": "CIFAR-10, Alex Krizhevsky, Learning multiple layers of features from tiny images, University of "
        "Toronto (2009), https://www.cs.toronto.edu/~kriz/cifar.html; a part, pixels unchanged",
        "licence": "none stated by the author, who asks to cite the 2009 report; a small sample with attribution",
    },
    "alexnet": {
        "source": "AlexNet activations, layer classifier.5 (fc7, post-ReLU), from the Python package brainscore_vision "
        "2.3.18, benchmarks/rajalingham2018/test_resources/identifier=alexnet,stimuli_identifier=objectome-240.nc; "
        "images of Rajalingham et al. (2018), J. Neurosci. 38, 7255-7269 (images not included)",
        "licence": "MIT, https://github.com/brain-score/vision",
    },
}


def main(argv: list[str] | None = None) -> None:
    """Write the files, say how large they are."""
    parser = argparse.ArgumentParser(description="Make the shipped image samples and AlexNet activations.")
    parser.add_argument(
        "--alexnet", type=Path, help="file of AlexNet activations (.nc or .npz); see the head of this file"
    )
    parser.add_argument("--folder", type=Path, default=Path("data"), help="where to write (default: data)")
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    entries = [*make_mnist(options.folder), *make_cifar10(options.folder)]
    if options.alexnet:
        entries += make_alexnet(options.alexnet, options.folder)
    for entry in entries:
        print(f"{entry['file']}: {entry['bytes'] / 1e6:.2f} MB")


def make_mnist(folder: Path) -> list[dict]:
    """All test images and a stratified training sample, one file."""
    full = datasets.load("mnist")
    train = datasets.stratified(full.y_train, PER_CLASS, np.random.default_rng(SEED))
    arrays = {"x_test": full.x_test, "x_train": full.x_train[train]} | _labels(full, train, full.index_test)
    return [
        _write_npz(
            folder / "mnist_sample.npz",
            arrays,
            "mnist",
            selection=_selection("training images (and all test images)", train),
        )
    ]


def make_cifar10(folder: Path) -> list[dict]:
    """Stratified test and training samples: labels in one file, images as two lossless sheets."""
    full = datasets.load("cifar10")
    rng = np.random.default_rng(SEED)
    train, test = (datasets.stratified(y, PER_CLASS, rng) for y in (full.y_train, full.y_test))
    entries = [
        _write_npz(folder / "cifar10_sample.npz", _labels(full, train, test), "cifar10", content="labels and positions")
    ]
    for part, images in {"train": full.x_train[train], "test": full.x_test[test]}.items():
        path = folder / f"cifar10_sample_{part}.webp"
        sheet = Image.fromarray(datasets.to_sheet(images))
        sheet.save(path, "WEBP", lossless=True, exact=True, quality=100, method=5)
        layout = (
            f"images in the order of index_{part}, row by row, {datasets.TILES_PER_ROW} in a row, 32 x 32 pixels each"
        )
        notes = {"selection": _selection(f"{part} images", images), "layout": layout}
        entries.append(datasets.register(path, **ORIGINS["cifar10"], command=COMMAND, **notes))
    return entries


def make_alexnet(source: Path, folder: Path) -> list[dict]:
    """Every sixth image's activations: where they are not zero, and there in half precision."""
    fc7, names = read_alexnet(source)
    if hashlib.sha256(np.ascontiguousarray(fc7)).hexdigest() != FC7_SHA256:
        raise ValueError(f"--alexnet must hold the activations described in its help; those in {source} are others.")
    index = np.arange(0, len(fc7), EVERY)
    part = fc7[index]
    bits, values = datasets.pack_sparse(part)
    back = datasets.unpack_sparse(bits, values, part.shape)
    assert np.array_equal(back == 0, part == 0), "rounding must leave every PoZ exactly as it is"
    change, normal = np.abs(back - part), part >= np.finfo(np.float16).tiny
    relative = float((change[normal] / part[normal]).max())
    arrays = {
        "nonzero": bits,
        "values": values,
        "ids": np.array([name.removesuffix(".png") for name in names[index]]),
        "index": index,
        "n_zero_all": (fc7 == 0).sum(axis=0).astype(np.uint16),
        "n_all": np.array(len(fc7)),
    }
    notes = {
        "selection": f"every {EVERY}th of the {len(fc7)} images, in the order of the source: {len(index)}",
        "rounding": f"non-zero values to half precision (float16): absolute change at most {change.max():.1e}, "
        f"relative at most {relative:.1e} (values above 6.1e-5); the pattern of zeros, and so PoZ, is exact",
        "layout": "nonzero: bits of fc7.T != 0 (numpy.packbits); values: fc7.T where not zero; n_zero_all: for how "
        "many of all n_all images a node is zero (from the unrounded values)",
    }
    return [_write_npz(folder / "alexnet_fc7.npz", arrays, "alexnet", **notes)]


def read_alexnet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Activations (2400, 4096) float32 and image names (2400,), from .npz or the package's netCDF-4 (HDF5) file."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as stored:
            return stored["fc7"], stored["stimulus"]
    import h5py

    with h5py.File(path) as stored:
        names = [Path(name.decode()).name for name in stored["stimulus_path"][:]]
        return stored["__xarray_dataarray_variable__"][:], np.array(names)


def _labels(full: datasets.ImageSet, train: np.ndarray, test: np.ndarray) -> datasets.Arrays:
    return {"y_train": full.y_train[train], "y_test": full.y_test[test], "index_train": train, "index_test": test}


def _selection(what: str, chosen: np.ndarray) -> str:
    return f"{len(chosen)} {what}, {PER_CLASS} per class drawn at random (numpy default_rng({SEED})), in original order"


def _write_npz(path: Path, arrays: datasets.Arrays, origin: str, **notes: str) -> dict:
    """Write compressed (numpy gives zip members a fixed date) and enter into the manifest."""
    np.savez_compressed(path, **arrays)
    return datasets.register(path, **ORIGINS[origin], command=COMMAND, **notes)


if __name__ == "__main__":
    main()
