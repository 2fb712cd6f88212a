"""Features of images at any node of any torchvision model, for similarity and PoZ.

The node itself is read, by torchvision's own feature extraction, in evaluation mode. A
hook on the linear layer before a ReLU is no substitute: torchvision's VGG rectifies in
place, so what such a hook shows depends on whether it copies the values. A node with a
negative activation is refused.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import load_file
from torch import nn

from helpers import checks, data
from pipeline import datasets, manifest
from pipeline.torchvision_cpu import import_torchvision

FC7 = {"vgg16": "classifier.4", "vgg19": "classifier.4"}
"""The 4096 nodes after the ReLU of the second fully connected layer."""
POOL5 = {"vgg16": "features.30", "vgg19": "features.36"}
"""The last max-pool, of post-ReLU values: 25,088 nodes for 224 x 224 pixels."""
PIXEL_MODES = "1 L LA P PA RGB RGBA CMYK YCbCr LAB HSV"
"""Pillow's modes of 8 bits a channel."""
OTHER_INPUTS = {
    name: {"transform_input": True, "init_weights": False}
    for name in ("googlenet", "inception_v3")
}
"""Options of models whose published weights expect other inputs than the default."""

Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input; default: torchvision's ImageNet networks."""

    resize: int | None = 256  # pixels of the shorter side; None: as it is
    crop: int | None = 224  # side of the central square in pixels; None: no crop
    interpolation: str = "bilinear"  # or "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in 0..1
    sd: tuple[float, float, float] = (0.229, 0.224, 0.225)


IMAGENET = Preprocessing()
VGG_TEAM = Preprocessing(
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), sd=(1 / 255, 1 / 255, 1 / 255)
)
"""For weights of the VGG team: values in 0..255 minus the mean colour, not divided
(Simonyan & Zisserman 2015)."""


# ------------------------------------------------------------------------- models
def load_model(
    name: str, weights: str | Path | None = "DEFAULT", seed: int = 0
) -> nn.Module:
    """A torchvision classification model in evaluation mode.

    Parameters
    ----------
    name : as torchvision names it, such as "vgg19".
    weights : "DEFAULT" or another name of torchvision's pretrained weights (downloaded
        once, sha256 checked each time); a .pth or .safetensors file with the model's
        state; or None for random weights.
    seed : for random weights.

    Raises
    ------
    ValueError : no such model or weights (similar ones are named), a file that does not
        fit the model, altered weights.
    pipeline.datasets.DataUnavailable : the weights are not cached and cannot be
        downloaded; says what to do.
    """
    models = import_torchvision().models
    _require_known("name", name, models.list_models(module=models))
    if weights is None:
        return _untrained(name, seed).eval()
    is_file = Path(weights).suffix in (".pth", ".pt", ".safetensors")
    state = _read_state(Path(weights)) if is_file else _published_state(name, weights)
    model = _untrained(name, seed, **OTHER_INPUTS.get(name, {}))
    return _with_state(model, state, name)


def vgg_convolutions(
    name: str,
    kernels: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    bgr: bool = False,
) -> nn.Module:
    """The convolutional part of "vgg16" or "vgg19" with given weights.

    ``kernels``, each (out, in, 3, 3), and ``biases``, each (out,), from the first layer
    to the last. ``bgr``: the kernels expect blue, green, red; the first is flipped, so
    that the model takes RGB. Nodes have torchvision's names. Raises ValueError for
    another name, number or shape of weights.
    """
    checks.choice("name", name, POOL5)
    with torch.device("meta"):  # allocates nothing: the given weights take its place
        models = import_torchvision().models
        features = models.get_model(name, weights=None, init_weights=False).features
    children = features.named_children()
    layers = [key for key, layer in children if isinstance(layer, nn.Conv2d)]
    if not len(kernels) == len(biases) == len(layers):
        raise ValueError(
            f"{name} has {len(layers)} convolutions; got {len(kernels)} kernels and "
            f"{len(biases)} biases."
        )
    kernels = [kernels[0][:, ::-1] if bgr else kernels[0], *kernels[1:]]
    state = {}
    for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
        state[f"features.{layer}.weight"] = torch.tensor(np.array(kernel, np.float32))
        state[f"features.{layer}.bias"] = torch.tensor(np.array(bias, np.float32))
    return _with_state(nn.Sequential(OrderedDict(features=features)), state, name)


def vgg19_conv(path: str | Path) -> nn.Module:
    """VGG-19's convolutional part with the VGG team's weights: use `VGG_TEAM`.

    ``path``: a .safetensors file with ``block<b>_conv<c>_w`` (out, in, 3, 3; BGR) and
    ``_b`` (out,). Raises ValueError where it holds other arrays.
    """
    stored = load_file(path)
    names = sorted(key.removesuffix("_w") for key in stored if key.endswith("_w"))
    if sorted(stored) != sorted(f"{name}_{kind}" for name in names for kind in "wb"):
        raise ValueError(
            f"{path} must hold block<b>_conv<c>_w and _b for each convolution; it "
            f"holds {sorted(stored)}."
        )
    kernels, biases = ([stored[f"{name}_{kind}"] for name in names] for kind in "wb")
    return vgg_convolutions("vgg19", kernels, biases, bgr=True)


def node_names(model: nn.Module) -> list[str]:
    """Names of all nodes of a model in evaluation mode, from input to output."""
    import_torchvision()
    from torchvision.models.feature_extraction import get_graph_node_names

    mode = model.training
    names = get_graph_node_names(model, suppress_diff_warning=True)[1]
    model.train(mode)
    return names


# ------------------------------------------------------------------------- images
def preprocess(
    images: Iterable[Picture], preprocessing: Preprocessing = IMAGENET
) -> torch.Tensor:
    """Images as a network's input, (n_images, 3, height, width) float32.

    ``images``: file paths, PIL images, or uint8 arrays (height, width[, 3]); grey ones
    become RGB, transparency is dropped. Raises ValueError for a damaged file, other
    arrays, images smaller than the crop, or different sizes; FileNotFoundError for a
    missing file.
    """
    steps, inputs = _steps(preprocessing), []
    for i, image in enumerate(map(open_image, images)):
        shorter, crop = preprocessing.resize or min(image.size), preprocessing.crop
        if crop and shorter < crop:  # would be padded
            raise ValueError(
                f"crop must be at most the shorter side; image {i} has {shorter} "
                f"pixels, crop is {crop}. Set resize."
            )
        inputs.append(steps(image))
    if len(sizes := {tuple(image.shape) for image in inputs}) != 1:
        raise ValueError(
            "images must be one or more and of one size after preprocessing; got "
            f"{sorted(sizes)}. Set crop."
        )
    return torch.stack(inputs)


def open_image(image: Picture) -> Image.Image:
    """One image in RGB, upright (EXIF); errors as `preprocess`."""
    if isinstance(image, np.ndarray):
        is_picture = image.ndim in (2, 3) and image.shape[2:] in ((), (3,))
        if image.dtype != np.uint8 or not is_picture:
            raise ValueError(
                "images given as arrays must be uint8, (height, width, 3) or (height, "
                f"width); got {image.dtype}, {image.shape}."
            )
        return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    name = "an image" if isinstance(image, Image.Image) else f"image file {image}"
    if not isinstance(image, Image.Image):
        try:
            with Image.open(image) as image:
                image.load()
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged file raises errors of many kinds
            raise ValueError(f"{name} cannot be read ({error}). Replace it.") from error
    if image.mode not in PIXEL_MODES.split():
        raise ValueError(
            f"images must have 8 bits a channel; {name} has mode {image.mode}. Convert "
            "it first."
        )
    return ImageOps.exif_transpose(image).convert("RGB")


def _steps(p: Preprocessing):
    import_torchvision()
    from torchvision import transforms

    checks.choice("interpolation", p.interpolation, ("bilinear", "bicubic"))
    mode = transforms.InterpolationMode(p.interpolation)
    resize = [transforms.Resize(p.resize, interpolation=mode)] if p.resize else []
    crop = [transforms.CenterCrop(p.crop)] if p.crop else []
    normalise = transforms.Normalize(p.mean, p.sd)
    return transforms.Compose([*resize, *crop, transforms.ToTensor(), normalise])


# ----------------------------------------------------------------------- features
def embed(
    model: nn.Module,
    node: str,
    images: Sequence[Picture] | np.ndarray,
    batch_size: int = 16,
    cache: bool = True,
    preprocessing: Preprocessing = IMAGENET,
) -> np.ndarray:
    """Post-ReLU activations of one node, (n_images, n_features) float32, all >= 0.

    Parameters
    ----------
    model : such as `load_model` gives; runs where its parameters are.
    node : one of `node_names`; its values, flattened (channels, rows, columns).
    images : as `preprocess`, or an array (n_images, height, width, 3).
    batch_size : images run at a time; changes results by rounding only.
    cache : keep results in `pipeline.datasets.cache_folder`, under the hash of pixels,
        network up to the node with its weights, node and preprocessing.

    Raises
    ------
    ValueError : no such node (similar ones are named), bad images, an activation that
        is negative or undefined.
    """
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    _require_known("node", node, node_names(model))
    if not len(images):
        raise ValueError("images must be one or more; got none.")
    options = {"suppress_diff_warning": True}
    extractor = create_feature_extractor(model, {node: "features"}, **options).eval()
    batches = _batches(extractor, node, images, batch_size, preprocessing)
    if not cache:
        return np.concatenate(list(batches))
    pixels = [np.asarray(open_image(image)) for image in images]
    state = {key: value.cpu().numpy() for key, value in extractor.state_dict().items()}
    key = joblib.hash((node, preprocessing, str(extractor), state, pixels))
    path = datasets.cache_folder() / "features" / f"{key}.npz"
    with suppress(Exception):  # a missing file, or a damaged one: computed again
        return data.read_arrays(path)["features"]
    features = np.concatenate(list(batches))
    with manifest.atomic(path) as target:
        np.savez(target, features=features)
    return features


@torch.no_grad()
def _batches(
    extractor: nn.Module,
    node: str,
    images: Sequence[Picture],
    batch_size: int,
    preprocessing: Preprocessing,
) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    device = next((p.device for p in extractor.parameters()), torch.device("cpu"))
    with tqdm(total=len(images), desc=node, unit="image") as bar:
        for start in range(0, len(images), batch_size):
            inputs = preprocess(images[start : start + batch_size], preprocessing)
            features = extractor(inputs.to(device))["features"].flatten(1).cpu().numpy()
            _require_post_relu(features, node, start)
            yield features
            bar.update(len(inputs))


def _require_post_relu(features: np.ndarray, node: str, start: int) -> None:
    if not (valid := features >= 0).all():
        row, column = np.argwhere(~valid)[0]
        raise ValueError(
            f"node {node!r} is not post-ReLU: feature {column} of image {start + row} "
            f"is {features[row, column]:g}. Take the output of the ReLU after it "
            "(pipeline.extraction.node_names lists the nodes)."
        )


# ------------------------------------------------------------------------ weights
def _require_known(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError naming similar ones, unless ``value`` is one of ``allowed``."""
    if value in allowed:
        return
    similar = difflib.get_close_matches(str(value), allowed, n=6, cutoff=0.4)
    hint = f"Similar: {', '.join(similar)}"
    if not similar:
        hint = f"There are {', '.join(allowed[:3])}, ..., {allowed[-1]}"
    raise ValueError(f"{name} {value!r} does not exist. {hint}.")


def _untrained(name: str, seed: int, **options) -> nn.Module:
    """A model whose random weights depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return import_torchvision().models.get_model(name, weights=None, **options)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        return {key: torch.from_numpy(value) for key, value in load_file(path).items()}
    return torch.load(path, map_location="cpu", weights_only=True)


def _published_state(name: str, weights: str) -> dict[str, torch.Tensor]:
    """torchvision's pretrained weights, sha256 checked on disk and on download."""
    known = import_torchvision().models.get_model_weights(name)
    _require_known(f"weights of {name}", weights, ["DEFAULT", *known.__members__])
    url = known[weights].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    start = path.stem.rpartition("-")[2]  # files carry the start of their sha256
    if path.exists() and not data.file_sha256(path).startswith(start):
        raise ValueError(f"{path} is damaged: its sha256 is not {start}.... Remove it.")
    options = {"check_hash": True, "weights_only": True, "map_location": "cpu"}
    try:
        return known[weights].get_state_dict(**options)
    except (OSError, RuntimeError) as error:  # no connection, or another file
        raise datasets.DataUnavailable(
            f"The weights {weights} of {name} are not in {path.parent} and cannot be "
            f"downloaded from {url}: {datasets.one_line(error)}\nConnect to the "
            "network and try again; or download that address on another machine and "
            "put the file into that folder; or name a file, "
            f"weights='path/to/{path.name}'; or use random weights, weights=None."
        ) from error


def _with_state(model: nn.Module, state: dict, name: str) -> nn.Module:
    """The model with the given state, in evaluation mode and frozen."""
    try:
        model.load_state_dict(state, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(f"weights do not fit {name}: {reason}") from error
    return model.eval().requires_grad_(False)
