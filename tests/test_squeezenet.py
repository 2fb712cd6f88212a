"""SqueezeNet in numpy, against torchvision's and on invariances."""

import numpy as np
import pytest

from helpers import squeezenet

WEIGHTS = squeezenet.load_weights()


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_every_layer_is_that_of_torchvision(image):
    torch = pytest.importorskip("torch")
    from pipeline.torchvision_cpu import torchvision

    model = torchvision.models.squeezenet1_1(weights=None).eval()
    state = {name: torch.from_numpy(value) for name, value in WEIGHTS.items()}
    model.load_state_dict(state)
    x = torch.from_numpy(squeezenet.as_input(image).copy()).permute(2, 0, 1)[None]
    found = squeezenet.activations(image, WEIGHTS)
    places = {name: int(n.split(".")[1]) for name, n in squeezenet.FIRES.items()}
    places["conv1"] = 1
    with torch.no_grad():
        for layer, place in places.items():
            expected = model.features[: place + 1](x)[0].numpy()
            scale = expected.max()
            np.testing.assert_allclose(found[layer], expected, atol=1e-5 * scale)
        expected = model.classifier[:3](model.features(x))[0].numpy()
    np.testing.assert_allclose(found["conv10"], expected, atol=1e-4)


def test_layers_are_as_wide_as_published(image):
    found = squeezenet.activations(image, WEIGHTS)
    widths = [64, 128, 128, 256, 256, 384, 384, 512, 512, 1000]
    assert list(found) == list(squeezenet.LAYERS)
    assert [len(x) for x in found.values()] == widths
    assert all(x.min() == 0 for x in found.values())


def test_only_what_is_asked_for_is_returned(image):
    found = squeezenet.activations(image, WEIGHTS, ["fire3"])
    every = squeezenet.activations(image, WEIGHTS)
    assert list(found) == ["fire3"]
    np.testing.assert_array_equal(found["fire3"], every["fire3"])


def test_a_shift_by_a_whole_stride_shifts_the_first_layer(rng):
    side = squeezenet.SIDE
    large = rng.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)
    left, right = (
        squeezenet.activations(x, WEIGHTS, ["conv1"])["conv1"]
        for x in (large[:, :-2], large[:, 2:])
    )
    np.testing.assert_allclose(left[:, :, 1:], right[:, :, :-1], atol=1e-3)


def test_colours_are_red_green_blue():
    red = np.zeros((227, 227, 3), np.uint8)
    red[:, :, 0] = 255
    means = squeezenet.as_input(red).mean(axis=(0, 1), dtype=float)
    np.testing.assert_allclose(means, [-103.939, -116.779, 255 - 123.68], rtol=1e-5)


@pytest.mark.parametrize("shape", [(227, 227), (3, 227, 227), (1, 227, 227, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="image must be"):
        squeezenet.activations(np.zeros(shape, np.uint8), WEIGHTS)


def test_other_types_and_layers_are_refused(image):
    with pytest.raises(ValueError, match="uint8"):
        squeezenet.activations(image / 255, WEIGHTS)
    with pytest.raises(ValueError, match="layer must be one of"):
        squeezenet.activations(image, WEIGHTS, ["fire1"])
