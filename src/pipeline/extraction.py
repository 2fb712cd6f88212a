"""Features of images at any node of any torchvision model, for similarity and PoZ.

The node itself is read, by torchvision's own feature extraction, in evaluation mode. A
hook on the linear layer before a ReLU is no substitute: torchvision's VGG rectifies in
place, so what such a hook shows depends on whether it copies the values. A node with a
negative activation is refused.
"""

from __future__ import annotations

import difflib
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import joblib
import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.numpy import load_file
from torch import nn
from tqdm import tqdm

from helpers import checks, data
from pipeline import datasets, manifest
from pipeline.torchvision_cpu import feature_extraction, torchvision

FC7 = {"vgg16": "classifier.4", "vgg19": "classifier.4"}
"""The 4096 nodes after the ReLU of the second fully connected layer."""
POOL5 = {"vgg16": "features.30", "vgg19": "features.36"}
"""The last max-pool, of post-ReLU values: 25,088 nodes for 224 x 224 pixels."""
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Of image files; Pillow knows others, some of which run programs of their own."""
PIXEL_MODES = "1 L LA P PA RGB RGBA CMYK YCbCr LAB HSV"
"""Pillow's modes of 8 bits a channel."""
TRANSFORMED = {"transform_input": True, "init_weights": False}
OPTIONS = {"googlenet": TRANSFORMED, "inception_v3": TRANSFORMED}
"""For models whose published weights do not expect the default inputs."""

models = torchvision.models
Picture = str | Path | Image.Image | np.ndarray


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes an input; default: torchvision's ImageNet networks."""

    resize: int | None = 256  # pixels of the shorter side; None: as it is
    crop: int | None = 224  # side of the central square in pixels; None: no crop
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in 0..1
    sd: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):
            if (pixels := getattr(self, name)) is not None:
                checks.at_least(name, pixels, 1)
        for name in ("mean", "sd"):
            values = checks.real(name, getattr(self, name))
            defined = np.isfinite(values) & ((values > 0) | (name == "mean"))
            if values.shape != (3,) or not defined.all():
                raise ValueError(f"{name} must be 3 numbers, sd above 0; got {values}.")


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
    """A torchvision classification model, such as "vgg19", in evaluation mode.

    ``weights``: "DEFAULT" or another name of torchvision's pretrained weights
    (downloaded once); a .pth or .safetensors file with the model's state; or None for
    random weights, which depend on ``seed`` alone. Raises ValueError for an unknown
    name (with similar ones) or weights that do not fit, and
    `pipeline.datasets.DataUnavailable` where the weights cannot be downloaded.
    """
    _require_known("name", name, models.list_models(module=models))
    options = {} if weights is None else OPTIONS.get(name, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None, **options)
    if weights is None:
        return model.eval()
    if Path(weights).suffix == ".safetensors":
        arrays = load_file(weights)
        state = {key: torch.from_numpy(value) for key, value in arrays.items()}
    elif Path(weights).suffix == ".pth":
        state = torch.load(weights, map_location="cpu", weights_only=True)
    else:
        state = _published(name, weights)
    return _with_state(model, state, name)


def _published(name: str, weights: str) -> dict[str, torch.Tensor]:
    """torchvision's pretrained weights, never unpickled; ValueError if altered.

    Published files are named after the start of their sha256.
    """
    known = models.get_model_weights(name)
    _require_known(f"weights of {name}", weights, ["DEFAULT", *known.__members__])
    path = Path(torch.hub.get_dir(), "checkpoints", Path(known[weights].url).name)
    start = path.stem.rpartition("-")[2]
    if path.exists() and not data.file_sha256(path).startswith(start):
        raise ValueError(f"{path} is damaged: its sha256 is not {start}... Remove it.")
    options = {"check_hash": True, "weights_only": True, "map_location": "cpu"}
    try:
        return known[weights].get_state_dict(**options)
    except (OSError, RuntimeError, UnpicklingError) as error:  # offline, or damaged
        raise datasets.DataUnavailable(
            f"{known[weights].url} cannot be downloaded or read "
            f"({datasets.one_line(error)}): connect to the network, put it into "
            f"{torch.hub.get_dir()}/checkpoints, or use weights=None."
        ) from error


def vgg_convolutions(
    name: str, kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray]
) -> nn.Module:
    """The convolutional part of "vgg16" or "vgg19" with given weights.

    ``kernels``, each (out, in, 3, 3), and ``biases``, each (out,), from the first layer
    to the last; nodes have torchvision's names. Raises ValueError for another name,
    number or shape of weights.
    """
    checks.choice("name", name, POOL5)
    with torch.device("meta"):  # allocates nothing: the given weights take its place
        features = models.get_model(name, weights=None, init_weights=False).features
    model = nn.Sequential(OrderedDict(features=features))
    pairs = zip(kernels, biases, strict=True)
    arrays = [torch.tensor(np.array(x, np.float32)) for pair in pairs for x in pair]
    if len(arrays) != (n := len(model.state_dict())):
        raise ValueError(f"{name} has {n // 2} convolutions; got {len(kernels)}.")
    state = dict(zip(model.state_dict(), arrays, strict=True))
    return _with_state(model, state, name)


def vgg19_conv(path: str | Path) -> nn.Module:
    """VGG-19's convolutional part with the VGG team's weights: use `VGG_TEAM`.

    ``path``: a .safetensors file with ``block<b>_conv<c>_w`` (out, in, 3, 3; BGR, which
    is flipped to RGB) and ``_b`` (out,). Raises ValueError where they do not fit.
    """
    stored = load_file(path)
    names = sorted(stored)  # block1_conv1_b, block1_conv1_w, block1_conv2_b, ...
    kernels, biases = ([stored[key] for key in names[i::2]] for i in (1, 0))
    kernels[0] = kernels[0][:, ::-1]
    return vgg_convolutions("vgg19", kernels, biases)


def _with_state(model: nn.Module, state: dict, name: str) -> nn.Module:
    """The model with the given state, in evaluation mode and frozen."""
    try:
        model.load_state_dict(state, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = datasets.one_line(error)
        raise ValueError(f"weights do not fit {name}: {reason}") from error
    return model.eval().requires_grad_(False)


def node_names(model: nn.Module) -> list[str]:
    """Names of all nodes of a model in evaluation mode, from input to output."""
    mode, options = model.training, {"suppress_diff_warning": True}
    names = feature_extraction.get_graph_node_names(model, **options)[1]
    model.train(mode)
    return names


def _require_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        similar = difflib.get_close_matches(str(value), known, n=6, cutoff=0.4)
        names = ", ".join(similar or known)
        raise ValueError(f"{name} {value!r} does not exist; choose one of {names}.")


# ------------------------------------------------------------------------- images
def preprocess(
    images: Iterable[Picture], preprocessing: Preprocessing = IMAGENET
) -> torch.Tensor:
    """Images as a network's input, (n_images, 3, height, width) float32.

    ``images``: file paths, PIL images, or uint8 arrays (height, width[, 3]); grey ones
    become RGB, transparency is dropped. Raises ValueError for other types of pixels or
    images smaller than the crop, the errors of Pillow for files that cannot be read,
    and RuntimeError for different sizes after preprocessing.
    """
    p, transforms = preprocessing, torchvision.transforms
    steps = [transforms.ToTensor(), transforms.Normalize(p.mean, p.sd)]
    if p.crop:
        steps.insert(0, transforms.CenterCrop(p.crop))
    if p.resize:
        steps.insert(0, transforms.Resize(p.resize))
    run, inputs = transforms.Compose(steps), []
    for i, image in enumerate(map(open_image, images)):
        shorter = p.resize or min(image.size)
        if p.crop and shorter < p.crop:  # would be padded
            raise ValueError(
                f"crop must be at most the shorter side; image {i} has {shorter} "
                f"pixels, crop is {p.crop}. Set resize."
            )
        inputs.append(run(image))
    return torch.stack(inputs)


def open_image(image: Picture) -> Image.Image:
    """One image in RGB, upright (EXIF); errors as `preprocess`."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(np.ascontiguousarray(image))
    elif not isinstance(image, Image.Image):
        path = image
        try:
            with Image.open(path, formats=FORMATS) as image:
                image.load()
        except Exception as error:
            error.add_note(f"The image file is {path}.")
            raise
    if image.mode not in PIXEL_MODES.split():
        raise ValueError(f"images must have 8 bits a channel; got mode {image.mode}.")
    return ImageOps.exif_transpose(image).convert("RGB")


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

    Raises ValueError for an unknown node (similar ones are given), for bad or no images
    (see `preprocess`) and for an activation that is negative or undefined.
    """
    _require_known("node", node, node_names(model))
    checks.at_least("batch_size", batch_size, 1)
    extractor = feature_extraction.create_feature_extractor(
        model, {node: "features"}, suppress_diff_warning=True
    ).eval()
    batches = _batches(extractor, node, images, batch_size, preprocessing)
    if not cache:
        return np.concatenate(list(batches))
    pixels = [np.asarray(open_image(image)) for image in images]
    state = {key: value.cpu().numpy() for key, value in extractor.state_dict().items()}
    key = joblib.hash((node, preprocessing, str(extractor), state, pixels))
    path = datasets.cache_folder() / "features" / f"{key}.npz"
    if stored := manifest.read_cached(path):
        return stored["features"]
    features = np.concatenate(list(batches))
    try:
        manifest.write_cached(path, {"features": features})
    except OSError as error:
        warnings.warn(f"features are not kept in {path.parent}: {error}", stacklevel=2)
    return features


@torch.no_grad()
def _batches(
    extractor: nn.Module,
    node: str,
    images: Sequence[Picture],
    batch_size: int,
    preprocessing: Preprocessing,
) -> Iterator[np.ndarray]:
    device = next((p.device for p in extractor.parameters()), torch.device("cpu"))
    for start in tqdm(range(0, len(images), batch_size), desc=node, unit="batch"):
        inputs = preprocess(images[start : start + batch_size], preprocessing)
        features = extractor(inputs.to(device))["features"].flatten(1).cpu().numpy()
        if not (features >= 0).all():
            row, column = np.argwhere(~(features >= 0))[0]
            raise ValueError(
                f"node {node!r} is not post-ReLU: image {start + row}, feature {column}"
                f" is {features[row, column]:g}. Take the output of the ReLU after it."
            )
        yield features
