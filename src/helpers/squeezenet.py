"""SqueezeNet v1.1 in plain numpy: what its layers make of an image.

Network after Iandola et al. (2016, arXiv:1602.07360). Its weights are shipped in half
precision: the rounded network is the network. An image takes less than a tenth of a
second, also where there is no torch, such as in a browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from helpers import checks, data

_PLACES = (3, 4, 6, 7, 9, 10, 11, 12)
FIRES = {f"fire{i}": f"features.{n}" for i, n in enumerate(_PLACES, 2)}
"""Fire modules, from input to output, and the names of their weights."""
LAYERS = ("conv1", *FIRES, "conv10")
SIDE = 227  # pixels
_MEAN = np.array([103.939, 116.779, 123.68], np.float32)  # blue, green, red
_THEN_POOLED = ("conv1", "fire3", "fire5")


def load_weights() -> data.Arrays:
    """The shipped weights, float32, under torchvision's names."""
    stored = data.read_shipped("squeezenet1_1.npz")
    return {name: values.astype(np.float32) for name, values in stored.items()}


def activations(
    image: np.ndarray, weights: Mapping[str, np.ndarray], layers: Sequence[str] = LAYERS
) -> dict[str, np.ndarray]:
    """Post-ReLU activations of the named layers, each (channels, rows, columns).

    Parameters
    ----------
    image : (height, width, 3) uint8 RGB, squashed to 227 x 227 pixels.
    weights : of `load_weights`.
    layers : some of `LAYERS`; nothing after the last of them is computed. The last,
        "conv10", has a channel per ImageNet class.

    Raises ValueError for another kind of image or an unknown layer.
    """
    for layer in layers:
        checks.choice("layer", layer, LAYERS)
    x, found = as_input(image), {}
    for layer in LAYERS[: max(map(LAYERS.index, layers), default=-1) + 1]:
        x = _layer(x, layer, weights)
        if layer in layers:
            found[layer] = x.transpose(2, 0, 1)
        x = _pooled(x) if layer in _THEN_POOLED else x
    return found


def as_input(image: np.ndarray) -> np.ndarray:
    """(227, 227, 3) float32: blue, green, red in 0..255, minus their means."""
    from PIL import Image

    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.shape}, {image.dtype}"
        raise ValueError(f"image must be (height, width, 3) uint8 RGB; got {got}.")
    picture = Image.fromarray(np.ascontiguousarray(image))
    if picture.size != (SIDE, SIDE):
        picture = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)[:, :, ::-1] - _MEAN


def _layer(x: np.ndarray, layer: str, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of (rows, columns, channels): a fire module squeezes, then expands."""
    if layer == "conv1":
        return _convolved(x, "features.0", weights, stride=2)
    if layer == "conv10":
        return _convolved(x, "classifier.1", weights)
    squeezed = _convolved(x, f"{FIRES[layer]}.squeeze", weights)
    small = _convolved(squeezed, f"{FIRES[layer]}.expand1x1", weights)
    around = np.pad(squeezed, ((1, 1), (1, 1), (0, 0)))
    large = _convolved(around, f"{FIRES[layer]}.expand3x3", weights)
    return np.concatenate([small, large], axis=2)


def _convolved(x, name: str, weights: Mapping[str, np.ndarray], stride: int = 1):
    """ReLU of a convolution; (rows, columns, in) becomes (rows', columns', out)."""
    kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)  # (side, side, in, out)
    windows = sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    windows = windows[::stride, ::stride].transpose(0, 1, 3, 4, 2)
    rows, columns, out = *windows.shape[:2], kernel.shape[-1]
    y = windows.reshape(rows * columns, -1) @ kernel.reshape(-1, out)
    return np.maximum(y + weights[f"{name}.bias"], 0).reshape(rows, columns, out)


def _pooled(x: np.ndarray) -> np.ndarray:
    """Largest of 3 x 3 at every second place; windows may reach over the edge."""
    for _ in range(2):  # rows, then columns
        x = np.pad(x, ((0, 1 - len(x) % 2), (0, 0), (0, 0)))
        x = np.maximum(np.maximum(x[:-2:2], x[1:-1:2]), x[2::2]).swapaxes(0, 1)
    return x
