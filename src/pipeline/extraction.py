"""Features of images at any node of any torchvision model, for similarity and PoZ.

The node itself is read, by torchvision's own feature extraction, in evaluation mode. A hook on the linear layer before
a ReLU is no substitute: torchvision's VGG rectifies in place, so whether such a hook shows values before or after the
ReLU depends on whether it copies them. Here the network ends at the node asked for, and a node with a negative
activation is refused.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from helpers import checks, datasets
from pipeline.torchvision_cpu import import_torchvision

FC7 = {"vgg16": "classifier.4", "vgg19": "classifier.4"}
"""The 4096 nodes after the ReLU of the second fully connected layer (``classifier.3`` is that layer)."""
POOL5 = {"vgg16": "features.30", "vgg19": "features.36"}
"""The last max-pool: 512 x 7 x 7 = 25,088 nodes for 224 x 224 pixels, a maximum over post-ReLU values."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input, in this order; the defaults are those of torchvision's ImageNet networks.

    ``resize`` pixels of the shorter side (aspect kept; None: as it is); ``crop`` side of the central square in pixels
    (None: no crop); ``interpolation`` "bilinear" or "bicubic"; ``mean`` and ``sd`` of red, green and blue (0..1).
    """

    resize: int | None = 256
    crop: int | None = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    sd: tuple[float, float, float] = (0.229, 0.224, 0.225)


IMAGENET = Preprocessing()
VGG_TEAM = Preprocessing(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), sd=(1 / 255, 1 / 255, 1 / 255))
"""For weights of the VGG team: values in 0..255 minus the mean colour, not divided (Simonyan & Zisserman 2015)."""

_TRAINED_WITH = {key: {"transform_input": True, "init_weights": False} for key in ("googlenet", "inception_v3")}
"""Options of the models whose published weights expect other inputs than the default model."""

Picture = str | Path | Image.Image | np.ndarray


# -------------------------------------------------------------------------------------------------------------- models
def load_model(name: str, weights: str | Path | None = "DEFAULT", seed: int = 0) -> nn.Module:
    """A torchvision classification model in evaluation mode.

    Parameters
    ----------
    name : as torchvision names it, such as "vgg19".
    weights : "DEFAULT" or another name of torchvision's pretrained weights (downloaded once, sha256 checked each time);
        a .pth or .safetensors file with the model's state; or None for random weights.
    seed : for random weights, which depend on it alone (the global generator is kept).

    Raises
    ------
    ValueError : no such model or weights (the close ones are named), a file that does not fit the model, downloaded
        weights that were altered.
    helpers.datasets.DataUnavailable : the weights are neither on this machine nor to be had; says what to do.
    """
    models = import_torchvision().models
    _known("name", name, models.list_models(module=models))
    if weights is None:
        return _untrained(name, seed).eval()
    state = _read_state(Path(weights)) if _is_file(weights) else _published_state(name, str(weights))
    return _with_state(_untrained(name, seed, **_TRAINED_WITH.get(name, {})), state, name).eval()


def vgg_convolutions(
    name: str, kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray], bgr: bool = False
) -> nn.Module:
    """The convolutional part of torchvision's "vgg16" or "vgg19" with given weights, in evaluation mode.

    Its nodes have torchvision's names: `POOL5` is the last. ``kernels``, each (out, in, 3, 3), and ``biases``, each
    (out,), from the first layer to the last. ``bgr``: the kernels expect blue, green, red; the first is turned over, so
    that the model takes red, green, blue. Raises ValueError for another name, number or shape of weights.
    """
    checks.choice("name", name, POOL5)
    with torch.device("meta"):  # allocates nothing: the weights given take the parameters' place
        features = import_torchvision().models.get_model(name, weights=None, init_weights=False).features
    layers = [key for key, layer in features.named_children() if isinstance(layer, nn.Conv2d)]
    if len(kernels) != len(layers) or len(biases) != len(layers):
        raise ValueError(f"{name} has {len(layers)} convolutions; got {len(kernels)} kernels and {len(biases)} biases.")
    kernels = [kernels[0][:, ::-1] if bgr else kernels[0], *kernels[1:]]
    state = {}
    for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
        state[f"features.{layer}.weight"] = torch.from_numpy(np.array(kernel, np.float32))
        state[f"features.{layer}.bias"] = torch.from_numpy(np.array(bias, np.float32))
    return _with_state(nn.Sequential(OrderedDict(features=features)), state, name).eval()


def vgg19_conv(path: str | Path) -> nn.Module:
    """VGG-19's convolutional part with the VGG team's weights (BGR, converted): use `VGG_TEAM` as preprocessing.

    ``path``: a .safetensors file with ``block<b>_conv<c>_w`` (out, in, 3, 3) and ``_b`` (out,). Raises ValueError where
    the file holds other weights.
    """
    from safetensors.numpy import load_file

    stored = load_file(path)
    names = sorted(key.removesuffix("_w") for key in stored if key.endswith("_w"))
    if sorted(stored) != sorted([f"{key}_w" for key in names] + [f"{key}_b" for key in names]):
        raise ValueError(f"{path} must hold block<b>_conv<c>_w and _b for each convolution; it holds {sorted(stored)}.")
    return vgg_convolutions("vgg19", [stored[f"{k}_w"] for k in names], [stored[f"{k}_b"] for k in names], bgr=True)


def node_names(model: nn.Module) -> list[str]:
    """Names of all nodes of a model in evaluation mode, from input to output."""
    import_torchvision()
    from torchvision.models.feature_extraction import get_graph_node_names

    mode = model.training
    names = get_graph_node_names(model, suppress_diff_warning=True)[1]
    model.train(mode)
    return names


# ------------------------------------------------------------------------------------------------------------ features
def preprocess(images: Iterable[Picture], preprocessing: Preprocessing = IMAGENET) -> torch.Tensor:
    """Images as a network's input, (n_images, 3, height, width) float32.

    ``images``: file paths, PIL images, or uint8 arrays (height, width, 3) or (height, width); grey ones become RGB,
    transparency is dropped. Raises ValueError for a damaged file (named), other arrays, images smaller than the crop,
    or images that end up with different sizes; FileNotFoundError for a missing file.
    """
    steps = _steps(preprocessing)
    inputs = [steps(_enough(open_image(image), i, preprocessing)) for i, image in enumerate(images)]
    if len(sizes := {tuple(one.shape) for one in inputs}) != 1:
        raise ValueError(
            f"images must be one or more and of one size after preprocessing; got {sorted(sizes)}. Set crop."
        )
    return torch.stack(inputs)


def open_image(image: Picture) -> Image.Image:
    """One image in RGB, decoded whole; errors as `preprocess`."""
    if isinstance(image, Image.Image):
        return _upright_rgb(image, "an image")
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
            raise ValueError(
                f"images given as arrays must be uint8, (height, width, 3) or (height, width); got {image.dtype}, "
                f"{image.shape}."
            )
        return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    try:
        with Image.open(image) as opened:
            opened.load()
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file raises errors of many kinds
        raise ValueError(f"Image file {image} cannot be read ({error}). Replace it by an undamaged copy.") from error
    return _upright_rgb(opened, f"image file {image}")


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """In RGB, turned as a camera's note in the file says."""
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"):
        raise ValueError(f"images must have 8 bits a channel; {name} has mode {image.mode}. Convert it first.")
    return ImageOps.exif_transpose(image).convert("RGB")


def embed(
    model: nn.Module,
    node: str,
    images: Sequence[Picture] | np.ndarray,
    batch_size: int = 16,
    cache: bool = True,
    preprocessing: Preprocessing = IMAGENET,
    precision: str = "float32",
) -> np.ndarray:
    """Post-ReLU activations of one node of a model for images, (n_images, n_features) float32, all >= 0.

    Parameters
    ----------
    model : such as `load_model` gives; put into evaluation mode (and left there); runs where its parameters are.
    node : one of `node_names`; the values of the node itself, flattened (channels, rows, columns).
    images : as `preprocess`; an array (n_images, height, width, 3) will do. Opened batch by batch.
    batch_size : images run at a time; changes results by rounding only.
    cache : keep results in, and take them from, ``features`` in `helpers.datasets.cache_folder`, under the hash of the
        images' pixels, the network up to the node with its weights, the node and the preprocessing.
    precision : "float32"; or "mixed", where products run in 16 bits: faster on a GPU, but rounding moves activations
        across zero, and so PoZ.

    Raises
    ------
    ValueError : no such node (the close ones are named), a negative or undefined activation, bad images, precision.
    """
    checks.choice("precision", precision, ("float32", "mixed"))
    extractor = _extractor(model, node)
    if not len(images):
        raise ValueError("images must be one or more; got none.")
    mixed = "-mixed" if precision == "mixed" else ""
    path = datasets.cache_folder() / "features" / f"{_key(extractor, node, images, preprocessing)}{mixed}.npz"
    if cache and (stored := _read_cached(path, len(images))) is not None:
        return stored
    features = np.concatenate(list(_batches(extractor, node, images, batch_size, preprocessing, bool(mixed))))
    if cache:
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets._write_npz(path, {"features": features})
    return features


# ----------------------------------------------------------------------------------------------------------- internals
def _known(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError naming the close ones, unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        close = difflib.get_close_matches(str(value), allowed, n=6, cutoff=0.4)
        hint = f"Close: {', '.join(close)}" if close else f"There are {', '.join(allowed[:3])}, ..., {allowed[-1]}"
        raise ValueError(f"{name} {value!r} does not exist. {hint}.")


def _is_file(weights: str | Path) -> bool:
    return isinstance(weights, Path) or Path(weights).suffix in (".pth", ".pt", ".safetensors")


def _untrained(name: str, seed: int, **options) -> nn.Module:
    """A model whose random weights depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return import_torchvision().models.get_model(name, weights=None, **options)


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _published_state(name: str, weights: str) -> dict[str, torch.Tensor]:
    """torchvision's pretrained weights: from its folder, sha256 checked, else its download, which checks it too."""
    known = import_torchvision().models.get_model_weights(name)
    _known(f"weights of {name}", weights, ["DEFAULT", *known.__members__])
    url = known[weights].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    start = path.stem.rpartition("-")[2]  # published files are named after the start of their sha256
    if path.exists() and not datasets.file_sha256(path).startswith(start):
        raise ValueError(f"Weights {path} are damaged: their sha256 does not start with {start}. Remove the file.")
    try:
        return known[weights].get_state_dict(check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError) as error:  # no connection, or another file than the one asked for
        raise datasets.DataUnavailable(
            f"The pretrained weights {weights} of {name} are not on this machine and could not be fetched. Tried:\n"
            f"  - {path}: no such file\n  - {url}: {datasets._reason(error)}\n"
            f"What to do: connect to the network and try again; or fetch that address on another machine and put the "
            f"file into {path.parent}; or name a file, weights='path/to/{path.name}'; or take random weights, "
            "weights=None."
        ) from error


def _with_state(model: nn.Module, state: dict[str, torch.Tensor], name: str) -> nn.Module:
    try:
        model.load_state_dict(state, assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"weights do not fit {name}: {' '.join(str(error).split())[:400]}") from error
    return model.requires_grad_(False)


def _extractor(model: nn.Module, node: str) -> nn.Module:
    """The model up to ``node``, in evaluation mode; it shares the model's weights."""
    import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    _known("node", node, node_names(model))
    extractor = create_feature_extractor(model, {node: "features"}, suppress_diff_warning=True)
    return extractor.eval()


def _steps(p: Preprocessing):
    import_torchvision()
    from torchvision import transforms

    checks.choice("interpolation", p.interpolation, ("bilinear", "bicubic"))
    how = transforms.InterpolationMode(p.interpolation)
    resize = [transforms.Resize(p.resize, interpolation=how)] if p.resize else []
    crop = [transforms.CenterCrop(p.crop)] if p.crop else []
    return transforms.Compose([*resize, *crop, transforms.ToTensor(), transforms.Normalize(p.mean, p.sd)])


def _enough(image: Image.Image, i: int, p: Preprocessing) -> Image.Image:
    """The image, unless cropping would pad it."""
    shorter = p.resize or min(image.size)
    if p.crop and shorter < p.crop:
        raise ValueError(
            f"crop must be at most the shorter side; image {i} has {shorter} pixels, crop is {p.crop}. Set resize."
        )
    return image


@torch.no_grad()
def _batches(extractor, node, images, batch_size, preprocessing, mixed) -> Iterator[np.ndarray]:
    from tqdm import tqdm

    device = next((parameter.device for parameter in extractor.parameters()), torch.device("cpu"))
    on_gpu = device.type == "cuda"
    with tqdm(total=len(images), desc=node, unit="image") as bar:
        for start in range(0, len(images), batch_size):
            inputs = preprocess(images[start : start + batch_size], preprocessing)
            inputs = inputs.pin_memory().to(device, non_blocking=True) if on_gpu else inputs.to(device)
            with torch.autocast(device.type, torch.float16 if on_gpu else torch.bfloat16, enabled=mixed):
                features = extractor(inputs)["features"]
            yield _post_relu(features.flatten(1).float().cpu().numpy(), node, start)
            bar.update(len(inputs))


def _post_relu(features: np.ndarray, node: str, start: int) -> np.ndarray:
    """The features as they are, if every one is >= 0."""
    if not (good := features >= 0).all():
        row, column = np.argwhere(~good)[0]
        raise ValueError(
            f"node {node!r} is not post-ReLU: feature {column} of image {start + row} is {features[row, column]:g}. "
            "Take the output of the ReLU after it (pipeline.extraction.node_names lists the nodes)."
        )
    return features


def _key(extractor: nn.Module, node: str, images, preprocessing: Preprocessing) -> str:
    """sha256 over all that the features depend on."""
    digest = hashlib.sha256(repr((node, astuple(preprocessing), str(extractor), len(images))).encode())
    for name, tensor in extractor.state_dict().items():
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()))
    for image in images:
        pixels = np.asarray(open_image(image))
        digest.update(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def _read_cached(path: Path, n_images: int) -> np.ndarray | None:
    """Cached features, or None where there are none that can be used; a damaged file is overwritten later."""
    try:
        features = datasets._read_npz(path)["features"]
    except Exception:  # noqa: BLE001 - a damaged zip file raises errors of many kinds
        return None
    return features if features.ndim == 2 and len(features) == n_images else None
