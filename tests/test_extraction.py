"""Features are what the network has at that node. No test uses the network."""

import urllib.error

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image, UnidentifiedImageError
from safetensors.numpy import save_file
from torch import nn

from pipeline import datasets, extraction
from pipeline.extraction import Preprocessing, embed
from pipeline.torchvision_cpu import torchvision

SMALL = Preprocessing(resize=32, crop=32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def images():
    """Four smooth random images, 40 x 36."""
    rng = np.random.default_rng(7)
    coarse = [rng.integers(0, 256, (5, 4, 3), np.uint8) for _ in range(4)]
    return np.stack([np.asarray(Image.fromarray(x).resize((36, 40))) for x in coarse])


@pytest.fixture
def toy():
    """A small network with in-place ReLUs, max-pooling and dropout."""
    torch.manual_seed(3)
    first = [nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    second = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(100, 20), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *second, nn.Dropout(0.5), nn.Linear(20, 5))


# ------------------------------------------------------------------------- embedding
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batches_are_the_network_image_by_image(toy, images, batch_size):
    """Dropout is off whatever the mode was, and every zero stays a zero."""
    with torch.no_grad():
        inputs = extraction.preprocess(images, SMALL)
        expected = np.concatenate([toy[:7].eval()(x[None]).numpy() for x in inputs])
    for node in ("6", "7"):  # the ReLU and the dropout after it
        features = embed(toy.train(), node, images, batch_size, False, SMALL)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features == 0, expected == 0)
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("node", ["0", "5", "8"])
def test_a_node_before_a_relu_that_works_in_place_is_refused(toy, images, node, cache):
    with pytest.raises(ValueError, match=f"node '{node}' is not post-ReLU"):
        embed(toy, node, images, preprocessing=SMALL)
    assert not cache.exists()


def test_undefined_activations_unknown_nodes_and_no_images_are_refused(toy, images):
    with pytest.raises(ValueError, match="at least one array"):
        embed(toy, "6", [], cache=False)
    with pytest.raises(ValueError, match=r"node '\?\?' does not exist; choose one of "):
        embed(toy, "??", images)
    with torch.no_grad():
        toy[0].weight[1] = np.nan
    with pytest.raises(ValueError, match="image 0, feature .* is nan"):
        embed(toy, "1", images, preprocessing=SMALL)
    model = extraction.load_model("squeezenet1_1", weights=None)
    with pytest.raises(ValueError, match=r"'clasifier\.2'.*one of classifier\.2"):
        embed(model, "clasifier.2", images)


@pytest.mark.slow
def test_fc7_of_vgg19_is_the_relu_after_the_second_linear_layer(images):
    vgg19 = extraction.load_model("vgg19", weights=None, seed=5)
    inputs = extraction.preprocess(images[:2])
    assert inputs.shape == (2, 3, 224, 224)
    with torch.no_grad():
        x = torch.flatten(vgg19.avgpool(vgg19.features(inputs)), 1)
        linear = vgg19.classifier[3](torch.relu(vgg19.classifier[0](x))).numpy()
    features = embed(vgg19.train(), extraction.FC7["vgg19"], images[:2], cache=False)
    assert features.shape == (2, 4096) and (linear < 0).mean() > 0.2
    np.testing.assert_array_equal(features == 0, linear <= 0)
    np.testing.assert_allclose(features, linear.clip(0), rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------- VGG weights
def convolutions(name, rng):
    with torch.device("meta"):
        options = {"weights": None, "init_weights": False}
        model = torchvision.models.get_model(name, **options)
    layers = [layer for layer in model.features if isinstance(layer, nn.Conv2d)]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    kernels = [rng.normal(0, np.sqrt(2 / np.prod(s[1:])), s) for s in shapes]
    biases = [rng.normal(0, 0.1, len(kernel)) for kernel in kernels]
    return [[x.astype(np.float32) for x in part] for part in (kernels, biases)]


def pool5(kernels, biases, inputs, pool_after):
    """By VGG's definition: 3 x 3 convolutions with zero padding, ReLU, max-pools."""
    x = inputs
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True), 1):
        kernel, bias = torch.tensor(kernel), torch.tensor(bias)
        x = nn.functional.conv2d(x, kernel, bias, padding=1).relu()
        x = nn.functional.max_pool2d(x, 2) if i in pool_after else x
    return x.flatten(1).numpy()


def test_given_convolutions_give_pool5_of_vgg16(images, rng):
    kernels, biases = convolutions("vgg16", rng)
    model, node = extraction.vgg_convolutions("vgg16", kernels, biases), "features.30"
    assert node == extraction.POOL5["vgg16"] == f"features.{len(model.features) - 1}"
    features = embed(model, node, images, cache=False, preprocessing=SMALL)
    inputs = extraction.preprocess(images, SMALL)
    expected = pool5(kernels, biases, inputs, (2, 4, 7, 10, 13))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="13 convolutions; got 12"):
        extraction.vgg_convolutions("vgg16", kernels[1:], biases[1:])
    with pytest.raises(ValueError, match=r"do not fit vgg16.*size mismatch"):
        extraction.vgg_convolutions("vgg16", kernels[::-1], biases)


def test_the_vgg_teams_weights_see_bgr_minus_the_mean_colour(images, rng, tmp_path):
    kernels, biases = convolutions("vgg19", rng)
    kernels[0] /= 60  # for values in 0..255
    sizes = enumerate((2, 2, 4, 4, 4), 1)
    names = [f"block{block}_conv{i}" for block, n in sizes for i in range(1, n + 1)]
    stored = {f"{name}_w": kernel for name, kernel in zip(names, kernels, strict=True)}
    stored |= {f"{name}_b": bias for name, bias in zip(names, biases, strict=True)}
    save_file(stored, tmp_path / "w.safetensors")
    team, node = extraction.VGG_TEAM, extraction.POOL5["vgg19"]
    preprocessing = Preprocessing(32, 32, mean=team.mean, sd=team.sd)
    model = extraction.vgg19_conv(tmp_path / "w.safetensors")
    features = embed(model, node, images, cache=False, preprocessing=preprocessing)
    raw = Preprocessing(32, 32, mean=(0, 0, 0), sd=(1 / 255,) * 3)
    mean = torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    bgr = extraction.preprocess(images, raw).flip(1) - mean
    expected = pool5(kernels, biases, bgr, (2, 4, 8, 12, 16))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)
    save_file(
        {"conv1": kernels[0], "conv2": kernels[1]}, tmp_path / "other.safetensors"
    )
    with pytest.raises(ValueError, match="shorter|longer|convolutions"):
        extraction.vgg19_conv(tmp_path / "other.safetensors")


# ----------------------------------------------------------------------------- cache
@pytest.fixture
def runs(toy):
    """A list that grows with each forward pass of the toy network."""
    passes = []
    toy[0].register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_the_same_pixels_are_computed_once_wherever_they_come_from(
    toy, images, runs, tmp_path
):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    pictures = [Image.fromarray(image) for image in images]
    first = embed(toy, "6", images, preprocessing=SMALL)
    with torch.no_grad():
        toy[8].weight += 1  # after the node
    for source in (list(images), pictures, paths, [str(path) for path in paths]):
        again = embed(toy, "6", source, batch_size=3, preprocessing=SMALL)
        np.testing.assert_array_equal(first, again)
    assert len(runs) == 1


def other_pixel(toy, images):
    images = images.copy()
    images[3, 20, 20, 0] ^= 1
    return "6", images, SMALL


def other_weight(toy, images):
    with torch.no_grad():
        toy[5].bias[0] += 1e-3
    return "6", images, SMALL


def other_layer(toy, images):
    toy[1] = nn.ReLU6()
    return "6", images, SMALL


@pytest.mark.parametrize(
    "change",
    [
        other_pixel,
        other_weight,
        other_layer,
        lambda toy, images: ("6", images[::-1], SMALL),
        lambda toy, images: ("2", images, SMALL),
        lambda toy, images: ("6", images, Preprocessing(resize=33, crop=32)),
    ],
    ids=["pixel", "weight", "layer", "order", "node", "preprocessing"],
)
def test_whatever_features_depend_on_is_in_the_key(toy, images, runs, change):
    embed(toy, "6", images, preprocessing=SMALL)
    node, images, preprocessing = change(toy, images)
    features = embed(toy, node, images, preprocessing=preprocessing)
    assert len(runs) == 2
    expected = embed(toy, node, images, cache=False, preprocessing=preprocessing)
    np.testing.assert_array_equal(features, expected)


def test_a_damaged_cached_file_is_computed_again(toy, images, runs, cache):
    first = embed(toy, "6", images, preprocessing=SMALL)
    [path] = cache.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.warns(UserWarning, match="is damaged and made again"):
        embed(toy, "6", images, preprocessing=SMALL)
    for _ in range(2):
        again = embed(toy, "6", images, preprocessing=SMALL)
        np.testing.assert_array_equal(again, first)
    assert len(runs) == 2


def test_features_are_returned_where_the_cache_cannot_be_written(toy, images, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be", "utf-8")
    with pytest.warns(UserWarning, match=r"not kept in .*features"):
        features = embed(toy, "6", images, preprocessing=SMALL)
    expected = embed(toy, "6", images, cache=False, preprocessing=SMALL)
    np.testing.assert_array_equal(features, expected)


# --------------------------------------------------------------------- preprocessing
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 0}, "crop must be at least 1; got 0"),
        ({"resize": 25.5}, "resize must be a whole number"),
        ({"sd": (1, 1, np.nan)}, "sd must be 3 numbers, sd above 0"),
        ({"sd": (1, 1, 0)}, "sd above 0"),
        ({"mean": (0, 0)}, "mean must be 3 numbers"),
    ],
)
def test_settings_that_no_image_fits_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**options)


def test_preprocessing_is_the_published_one(images):
    weights = torchvision.models.VGG19_Weights.IMAGENET1K_V1
    published = [weights.transforms()(Image.fromarray(image)) for image in images]
    found = extraction.preprocess(images)
    torch.testing.assert_close(found, torch.stack(published), rtol=0, atol=1e-6)


def test_shorter_side_and_crop():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 255
    unscaled = Preprocessing(20, 10, mean=(0, 0, 0), sd=(1, 1, 1))
    x = extraction.preprocess([image], unscaled)
    assert x.shape == (1, 3, 10, 10) and x[..., :4].max() == 0 and x[..., 6:].min() == 1
    for resize, size in ((20, (20, 40)), (None, (40, 80))):
        x = extraction.preprocess([image], Preprocessing(resize, None))
        assert x.shape[2:] == size


def test_grey_transparent_and_turned_images_become_upright_rgb(images, tmp_path):
    grey = images[0][..., 0]
    same = np.repeat(grey[..., None], 3, axis=2)
    transparent = Image.fromarray(np.dstack([same, grey]))
    x = extraction.preprocess([grey, same, transparent], SMALL)
    assert torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])
    picture = Image.new("RGB", (20, 10))
    picture.getexif()[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=picture.getexif())
    assert extraction.open_image(tmp_path / "turned.jpg").size == (10, 20)


def test_a_damaged_or_missing_image_is_named(images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "good.png")
    cut = (tmp_path / "good.png").read_bytes()[:-300]
    (tmp_path / "bad.png").write_bytes(cut)
    for name in ("bad.png", "none.png"):
        with pytest.raises(OSError, match=f"The image file is .*{name}"):
            extraction.preprocess([tmp_path / "good.png", tmp_path / name], SMALL)


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        ([np.zeros((8, 8, 3))], {}, "Cannot handle this data type"),
        ([np.zeros((8, 8), np.float32)], {}, "8 bits a channel; got mode F"),
        ([Image.new("I;16", (9, 9))], {}, "8 bits a channel; got mode I;16"),
        ([np.zeros((40, 36), np.uint8)], {"resize": None}, "image 0 has 36 "),
        ([np.zeros((9, n), np.uint8) for n in (9, 8)], {"crop": None}, "equal size"),
    ],
)
def test_images_that_do_not_fit_are_refused(pictures, options, message):
    with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
        extraction.preprocess(pictures, Preprocessing(**options))


# ---------------------------------------------------------------------------- models
def state(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def random_model(seed):
    return extraction.load_model("squeezenet1_1", weights=None, seed=seed)


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    a, b, c = (random_model(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected), "the global generator must be kept"
    assert torch.equal(state(a), state(b)) and not torch.equal(state(a), state(c))
    assert not a.training


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_file(tmp_path, suffix):
    model, path = random_model(1), tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_file(
            {key: value.numpy() for key, value in model.state_dict().items()}, path
        )
    again = extraction.load_model("squeezenet1_1", weights=str(path))
    assert torch.equal(state(again), state(model)) and not again.training
    with pytest.raises(
        ValueError, match="weights do not fit mobilenet_v3_small: .*Miss"
    ):
        extraction.load_model("mobilenet_v3_small", weights=path)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"weight": Evil()}, tmp_path / "w.pth")
    with pytest.raises(Exception, match="[Ww]eights"):
        extraction.load_model("squeezenet1_1", weights=tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("vgg91", "DEFAULT", r"name 'vgg91' does not exist; choose one of .*vgg19"),
        ("vgg19", "IMAGENET1K_V9", r"weights of vgg19 .*one of IMAGENET1K_V1"),
    ],
)
def test_unknown_models_and_weights_are_answered_with_similar_ones(
    name, weights, message
):
    with pytest.raises(ValueError, match=message):
        extraction.load_model(name, weights)


@pytest.fixture
def download(monkeypatch, tmp_path):
    """torchvision's download, replaced: what was requested, and what it gives."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    requested, gives = [], {}

    def load_state_dict_from_url(url, **options):
        requested.append((url, options))
        if "error" in gives:
            raise gives["error"]
        return gives["state"]

    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", load_state_dict_from_url
    )
    return requested, gives


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), RuntimeError("invalid hash value")]
)
def test_weights_that_cannot_be_downloaded_say_what_to_do(download, tmp_path, error):
    download[1]["error"] = error
    with pytest.raises(datasets.DataUnavailable) as caught:
        extraction.load_model("squeezenet1_1")
    for expected in ("b8a52dc0.pth", str(tmp_path), type(error).__name__, "=None"):
        assert expected in str(caught.value)


def test_downloaded_weights_are_checked_and_never_unpickled(download):
    requested, gives = download
    gives["state"] = (model := random_model(4)).state_dict()
    assert torch.equal(state(extraction.load_model("squeezenet1_1")), state(model))
    [(url, options)] = requested
    assert url.endswith("squeezenet1_1-b8a52dc0.pth")
    assert options["check_hash"] is True and options["weights_only"] is True


def test_altered_weights_are_refused_though_torch_could_read_them(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    torch.save(random_model(4).state_dict(), path)
    with pytest.raises(ValueError, match=r"b8a52dc0\.pth is damaged"):
        extraction.load_model("squeezenet1_1")


@pytest.mark.parametrize("suffix", ["ppm", "eps", "pdf", "icns"])
def test_other_formats_of_images_are_refused(suffix, tmp_path):
    Image.new("RGB", (64, 64)).save(path := tmp_path / f"x.{suffix}")
    with pytest.raises(UnidentifiedImageError) as refused:
        extraction.open_image(path)
    assert str(path) in "".join(refused.value.__notes__)
