"""LeNet-5 as a function from images to features.

It follows LeCun, Bottou, Bengio & Haffner (1998, Proc. IEEE 86, 2278-2324) with the
usual modern choices of the paper's authors: ReLU, max-pooling, three fully connected
layers of 120, 84 and 10 nodes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

N_FEATURES = 84
"""Number of nodes of LeNet-5's penultimate layer."""
CHANNELS = {"mnist": 1, "cifar10": 3}
NORMALISATION = {"mnist": (0.1307, 0.3081), "cifar10": (0.5, 0.5)}
"""Mean and SD (of pixel values in 0..1) by which inputs are normalised."""


def lenet5(dataset: str, seed: int = 0, activation: str = "ReLU") -> nn.Sequential:
    """An untrained LeNet-5 for 32 x 32 images, initialised from ``seed`` alone.

    ``activation`` names a module of ``torch.nn``, such as "GELU".
    """
    rectify = getattr(nn, activation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        convolution1 = [nn.Conv2d(CHANNELS[dataset], 6, 5), rectify(), nn.MaxPool2d(2)]
        convolution2 = [nn.Conv2d(6, 16, 5), rectify(), nn.MaxPool2d(2), nn.Flatten()]
        connected1 = [nn.Linear(400, 120), rectify()]
        connected2 = [nn.Linear(120, N_FEATURES), rectify()]
        output = nn.Linear(N_FEATURES, 10)
        return nn.Sequential(
            *convolution1, *convolution2, *connected1, *connected2, output
        )


def as_input(images: np.ndarray, dataset: str) -> torch.Tensor:
    """Images, uint8 (n, 28, 28) or (n, 32, 32, 3), as inputs (n, channels, 32, 32)."""
    x = torch.from_numpy(np.ascontiguousarray(images))
    is_mnist = dataset == "mnist"
    x = F.pad(x, (2, 2, 2, 2))[:, None] if is_mnist else x.permute(0, 3, 1, 2)
    mean, sd = NORMALISATION[dataset]
    normalised = (x.float() / 255 - mean) / sd
    return normalised.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def penultimate(
    model: nn.Sequential, inputs: torch.Tensor, batch_size: int = 2000
) -> torch.Tensor:
    """Post-ReLU activations of the penultimate layer, (n_images, 84)."""
    body = model[:-1].eval()
    return torch.cat([body(batch) for batch in inputs.split(batch_size)])


def record_outputs(layer: nn.Module, copy: bool) -> list[torch.Tensor]:
    """A list that fills with the outputs of a layer, or with copies of them."""
    outputs = []

    def hook(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        outputs.append(output.clone() if copy else output)

    layer.register_forward_hook(hook)
    return outputs
