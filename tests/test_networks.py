"""LeNet-5 and its inputs against their definition."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pipeline import networks


@pytest.mark.parametrize(("dataset", "n"), [("mnist", 61_706), ("cifar10", 62_006)])
def test_lenet5_has_the_classic_number_of_parameters(dataset, n):
    assert sum(p.numel() for p in networks.lenet5(dataset).parameters()) == n


def test_initial_weights_follow_the_seed_and_the_global_generator_is_kept():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (networks.lenet5("mnist", s)[0].weight for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.rand(1), expected)


def test_inputs_are_padded_with_black_normalised_and_keep_their_channels():
    black = networks.as_input(np.zeros((2, 28, 28), np.uint8), "mnist")
    assert black.shape == (2, 1, 32, 32)
    assert black.numpy() == pytest.approx(-0.1307 / 0.3081)
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255
    means = networks.as_input(red, "cifar10")[0].mean((1, 2))
    assert means.tolist() == pytest.approx([1, -1, -1])


def test_penultimate_is_the_rectified_84_node_layer(rng):
    model = networks.lenet5("cifar10", 3)
    images = rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    x = inputs = networks.as_input(images, "cifar10")
    with torch.no_grad():
        for layer in model[:10]:
            x = layer(x)
    assert x.min() < 0  # the linear layer itself does go below zero
    features = networks.penultimate(model, inputs, batch_size=3)
    assert features.shape == (7, 84) and (features == 0).any()
    torch.testing.assert_close(features, x.clamp(min=0))
