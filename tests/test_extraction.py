"""Features are what the network has at that node, and are computed once. No test touches the network."""

import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from torch import nn

from helpers import datasets
from pipeline import extraction
from pipeline.torchvision_cpu import import_torchvision

SMALL = extraction.Preprocessing(resize=32, crop=32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def images():
    """Four smooth random images, 40 x 36."""
    rng = np.random.default_rng(7)
    return np.stack(
        [np.asarray(Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8)).resize((36, 40))) for _ in range(4)]
    )


@pytest.fixture
def toy():
    """A small network with all that matters: in-place ReLUs, max-pooling and dropout."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(100, 20), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(20, 5),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- precision
def test_batches_leave_every_zero_where_one_image_at_a_time_has_it(toy, images):
    """PoZ by default is that of plain float32, whatever the batch; 16 bits come only where they are asked for."""
    inputs = extraction.preprocess(images, SMALL)
    with torch.no_grad():
        plain = np.concatenate([toy[:7].eval()(one[None]).numpy() for one in inputs])
    for batch_size in (1, 3, 16):
        found = extraction.embed(toy, "6", images, batch_size, False, SMALL)
        np.testing.assert_array_equal((found == 0).mean(axis=0), (plain == 0).mean(axis=0))
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_mixed_precision_is_another_result_with_a_cache_of_its_own(toy, images, cache):
    exact = extraction.embed(toy, "6", images, preprocessing=SMALL)
    mixed = extraction.embed(toy, "6", images, preprocessing=SMALL, precision="mixed")
    assert mixed.dtype == np.float32 and not np.array_equal(mixed, exact)
    np.testing.assert_allclose(mixed, exact, atol=0.05)
    assert len(list(cache.iterdir())) == 2
    np.testing.assert_array_equal(extraction.embed(toy, "6", images, preprocessing=SMALL), exact)
    with pytest.raises(ValueError, match="precision must be one of.*'half'"):
        extraction.embed(toy, "6", images, preprocessing=SMALL, precision="half")


# ------------------------------------------------------------------------------------------------------------- VGG-19
@pytest.fixture(scope="module")
def vgg19():
    return extraction.load_model("vgg19", weights=None, seed=5)


@pytest.mark.slow
def test_fc7_of_vgg19_is_the_relu_after_the_second_linear_layer(vgg19, images):
    layers = [type(layer) for layer in vgg19.classifier]
    assert layers == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    inputs = extraction.preprocess(images[:2])
    assert inputs.shape == (2, 3, 224, 224)
    with torch.no_grad():
        by_hand = torch.flatten(vgg19.avgpool(vgg19.features(inputs)), 1)
        by_hand = torch.relu(vgg19.classifier[0](by_hand))
        before = vgg19.classifier[3](by_hand).numpy()
    vgg19.train()  # dropout must be off whatever the mode was
    found = extraction.embed(vgg19, extraction.FC7["vgg19"], images[:2], cache=False)
    assert found.shape == (2, 4096) and found.dtype == np.float32
    assert (before < 0).mean() > 0.2
    np.testing.assert_allclose(found, np.maximum(before, 0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found == 0, before <= 0)
    np.testing.assert_array_equal(extraction.embed(vgg19, "classifier.4", images[:2], cache=False), found)
    with pytest.raises(ValueError, match=r"'classifier.3' is not post-ReLU.*image 0 is -.*ReLU after it"):
        extraction.embed(vgg19, "classifier.3", images[:1], cache=False)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_pool5_is_the_last_max_pool(name):
    with torch.device("meta"):
        features = import_torchvision().models.get_model(name, weights=None, init_weights=False).features
        assert features(torch.empty(1, 3, 224, 224)).numel() == 25088
    assert extraction.POOL5[name] == f"features.{len(features) - 1}"
    assert isinstance(features[-1], nn.MaxPool2d) and isinstance(features[-2], nn.ReLU)


def convolutions(name, rng):
    with torch.device("meta"):
        model = import_torchvision().models.get_model(name, weights=None, init_weights=False)
    shapes = [tuple(layer.weight.shape) for layer in model.features if isinstance(layer, nn.Conv2d)]
    kernels = [rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32) for shape in shapes]
    return kernels, [rng.normal(0, 0.1, len(kernel)).astype(np.float32) for kernel in kernels]


def by_hand(kernels, biases, inputs, pool_after):
    """Pool5 from the definition of VGG: 3 x 3 convolutions with zero padding, ReLU, five max-pools."""
    x = inputs
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True), 1):
        x = nn.functional.conv2d(x, torch.tensor(kernel), torch.tensor(bias), padding=1).relu()
        x = nn.functional.max_pool2d(x, 2) if i in pool_after else x
    return x.flatten(1).numpy()


def test_given_convolutions_give_pool5_of_vgg16(images, rng):
    kernels, biases = convolutions("vgg16", rng)
    model = extraction.vgg_convolutions("vgg16", kernels, biases)
    found = extraction.embed(model, extraction.POOL5["vgg16"], images, cache=False, preprocessing=SMALL)
    expected = by_hand(kernels, biases, extraction.preprocess(images, SMALL), (2, 4, 7, 10, 13))
    assert (found == 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="13 convolutions; got 12 kernels"):
        extraction.vgg_convolutions("vgg16", kernels[1:], biases[1:])
    with pytest.raises(ValueError, match=r"do not fit vgg16.*size mismatch"):
        extraction.vgg_convolutions("vgg16", kernels[::-1], biases)


def test_weights_of_the_vgg_team_see_blue_green_red_minus_the_mean_colour(images, rng, tmp_path):
    kernels, biases = convolutions("vgg19", rng)
    kernels[0] /= 60  # for values in 0..255
    names = [f"block{block}_conv{i}" for block, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1)]
    stored = {f"{key}_w": kernel for key, kernel in zip(names, kernels, strict=True)}
    save_file(stored | {f"{key}_b": bias for key, bias in zip(names, biases, strict=True)}, tmp_path / "w.safetensors")
    model = extraction.vgg19_conv(tmp_path / "w.safetensors")
    p = extraction.Preprocessing(32, 32, mean=extraction.VGG_TEAM.mean, sd=extraction.VGG_TEAM.sd)
    found = extraction.embed(model, extraction.POOL5["vgg19"], images, cache=False, preprocessing=p)
    raw = extraction.preprocess(images, extraction.Preprocessing(32, 32, mean=(0, 0, 0), sd=(1 / 255,) * 3))
    bgr = raw.flip(1) - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    np.testing.assert_allclose(found, by_hand(kernels, biases, bgr, (2, 4, 8, 12, 16)), rtol=1e-3, atol=1e-4)
    save_file({"conv1": kernels[0]}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors must hold block.*conv1"):
        extraction.vgg19_conv(tmp_path / "other.safetensors")


# ----------------------------------------------------------------------------------------------------------- embedding
def test_batches_change_nothing_but_rounding(images):
    model = extraction.load_model("squeezenet1_1", weights=None)
    one, all_, uneven = (
        extraction.embed(model, "features.12.cat", images, batch_size=size, cache=False) for size in (1, 4, 3)
    )
    assert one.shape == (4, 512 * 13 * 13)
    np.testing.assert_allclose(one, all_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(uneven, all_, rtol=1e-4, atol=1e-5)


def test_features_follow_the_images(toy, images):
    order = [2, 0, 3, 1]
    a = extraction.embed(toy, "6", images, cache=False, preprocessing=SMALL)
    b = extraction.embed(toy, "6", images[order], cache=False, preprocessing=SMALL)
    np.testing.assert_allclose(b, a[order], rtol=1e-5, atol=1e-6)


def test_dropout_is_off(toy, images):
    toy.train()
    first, second = (extraction.embed(toy, "7", images, cache=False, preprocessing=SMALL) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, extraction.embed(toy, "6", images, cache=False, preprocessing=SMALL))


@pytest.mark.parametrize("node", ["0", "5", "8"])
def test_a_node_before_the_relu_is_refused_though_the_relu_works_in_place(toy, images, node):
    with pytest.raises(ValueError, match=f"node '{node}' is not post-ReLU"):
        extraction.embed(toy, node, images, preprocessing=SMALL)


def test_an_undefined_activation_is_refused(toy, images):
    with torch.no_grad():
        toy[0].weight[1] = np.nan
    with pytest.raises(ValueError, match="of image 0 is nan"):
        extraction.embed(toy, "1", images, preprocessing=SMALL)


def test_a_wrong_node_is_answered_with_close_ones(images):
    model = extraction.load_model("squeezenet1_1", weights=None)
    with pytest.raises(ValueError, match=r"node 'clasifier\.2' does not exist\. Close: classifier\.2"):
        extraction.embed(model, "clasifier.2", images)
    with pytest.raises(ValueError, match=r"node '\?\?' does not exist\. There are x, "):
        extraction.embed(model, "??", images)


def test_no_images_are_refused(toy):
    with pytest.raises(ValueError, match="one or more; got none"):
        extraction.embed(toy, "6", [])


# --------------------------------------------------------------------------------------------------------------- cache
@pytest.fixture
def runs(toy):
    """A list that grows with each forward pass of the toy network."""
    passes = []
    toy[0].register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_the_second_call_runs_no_network(toy, images, runs, cache):
    first = extraction.embed(toy, "6", images, batch_size=2, preprocessing=SMALL)
    assert len(runs) == 2 and len(list(cache.iterdir())) == 1
    second = extraction.embed(toy, "6", images, batch_size=4, preprocessing=SMALL)
    assert len(runs) == 2
    np.testing.assert_array_equal(first, second)
    assert second.dtype == np.float32


def test_the_same_pixels_are_the_same_image_wherever_they_come_from(toy, images, runs, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    sources = [images, list(images), [Image.fromarray(image) for image in images], paths, [str(path) for path in paths]]
    results = [extraction.embed(toy, "6", source, preprocessing=SMALL) for source in sources]
    assert len(runs) == 1
    assert all(np.array_equal(results[0], other) for other in results)


def changed_image(toy, images):
    images = images.copy()
    images[3, 20, 20, 0] ^= 1
    return toy, "6", images, SMALL


def changed_order(toy, images):
    return toy, "6", images[::-1], SMALL


def changed_weights(toy, images):
    with torch.no_grad():
        toy[5].bias[0] += 1e-3
    return toy, "6", images, SMALL


def changed_network(toy, images):
    toy[1] = nn.ReLU6()
    return toy, "6", images, SMALL


def changed_node(toy, images):
    return toy, "2", images, SMALL


def changed_preprocessing(toy, images):
    return toy, "6", images, extraction.Preprocessing(resize=33, crop=32)


@pytest.mark.parametrize(
    "change",
    [changed_image, changed_order, changed_weights, changed_network, changed_node, changed_preprocessing],
    ids=lambda change: change.__name__,
)
def test_whatever_features_depend_on_makes_the_cache_miss(toy, images, runs, change):
    extraction.embed(toy, "6", images, preprocessing=SMALL)
    model, node, images, preprocessing = change(toy, images)
    found = extraction.embed(model, node, images, preprocessing=preprocessing)
    assert len(runs) == 2
    np.testing.assert_array_equal(
        found, extraction.embed(model, node, images, cache=False, preprocessing=preprocessing)
    )


def test_weights_after_the_node_do_not_matter(toy, images, runs):
    extraction.embed(toy, "6", images, preprocessing=SMALL)
    with torch.no_grad():
        toy[8].weight += 1
    extraction.embed(toy, "6", images, preprocessing=SMALL)
    assert len(runs) == 1


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda content: b""], ids=["cut", "empty"])
def test_a_damaged_cache_file_is_computed_again(toy, images, runs, cache, damage):
    first = extraction.embed(toy, "6", images, preprocessing=SMALL)
    [path] = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(extraction.embed(toy, "6", images, preprocessing=SMALL), first)
    extraction.embed(toy, "6", images, preprocessing=SMALL)
    assert len(runs) == 2


def test_nothing_is_stored_when_not_asked_or_when_it_fails(toy, images, cache):
    extraction.embed(toy, "6", images, cache=False, preprocessing=SMALL)
    with pytest.raises(ValueError, match="not post-ReLU"):
        extraction.embed(toy, "5", images, preprocessing=SMALL)
    assert not cache.exists()


# ------------------------------------------------------------------------------------------------------- preprocessing
def test_preprocessing_is_the_published_one(images):
    weights = import_torchvision().models.VGG19_Weights.IMAGENET1K_V1
    published = torch.stack([weights.transforms()(Image.fromarray(image)) for image in images])
    torch.testing.assert_close(extraction.preprocess(images), published, rtol=0, atol=1e-6)


def test_shorter_side_and_crop():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 40:] = 255
    x = extraction.preprocess([image], extraction.Preprocessing(20, 10, mean=(0, 0, 0), sd=(1, 1, 1)))
    assert x.shape == (1, 3, 10, 10)
    assert x[..., :4].max() == 0 and x[..., 6:].min() == 1
    assert extraction.preprocess([image], extraction.Preprocessing(20, None)).shape == (1, 3, 20, 40)
    assert extraction.preprocess([image], extraction.Preprocessing(None, None)).shape == (1, 3, 40, 80)


def test_interpolation_is_a_parameter(images):
    a, b = (extraction.preprocess(images, extraction.Preprocessing(64, 64, how)) for how in ("bilinear", "bicubic"))
    assert not torch.equal(a, b)
    with pytest.raises(ValueError, match="interpolation must be one of"):
        extraction.preprocess(images, extraction.Preprocessing(64, 64, "linear"))


def test_grey_and_transparent_images_become_rgb(images):
    grey = images[0][..., 0]
    same = np.repeat(grey[..., None], 3, axis=2)
    transparent = Image.fromarray(np.dstack([same, grey]))
    x = extraction.preprocess([grey, same, transparent], SMALL)
    assert torch.equal(x[0], x[1]) and torch.equal(x[0], x[2])


@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "cut"])
def test_a_damaged_image_is_named(toy, images, tmp_path, content):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(images[0]).save(good)
    bad.write_bytes(good.read_bytes()[:-300] if content is None else content)
    with pytest.raises(ValueError, match=r"Image file .*bad\.png cannot be read"):
        extraction.embed(toy, "6", [good, bad], preprocessing=SMALL)


def test_a_missing_image_is_named(toy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        extraction.embed(toy, "6", [tmp_path / "none.png"])


@pytest.mark.parametrize("array", [np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros(8, np.uint8)])
def test_other_arrays_are_refused(array):
    with pytest.raises(ValueError, match="must be uint8, .height, width, 3. or .height, width."):
        extraction.preprocess([array])


def test_a_crop_never_pads(images):
    with pytest.raises(ValueError, match=r"image 0 has 36 pixels, crop is 224\. Set resize"):
        extraction.preprocess(images, extraction.Preprocessing(resize=None))


def test_images_of_different_sizes_need_a_crop():
    pair = [np.zeros((40, 40, 3), np.uint8), np.zeros((40, 50, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"of one size after preprocessing.*Set crop"):
        extraction.preprocess(pair, extraction.Preprocessing(40, None))


# -------------------------------------------------------------------------------------------------------------- models
def state(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    a, b = (extraction.load_model("squeezenet1_1", weights=None, seed=1) for _ in range(2))
    assert torch.equal(torch.rand(3), expected), "the global generator must be kept"
    assert torch.equal(state(a), state(b)) and not a.training
    assert not torch.equal(state(a), state(extraction.load_model("squeezenet1_1", weights=None, seed=2)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_file(tmp_path, suffix):
    model, path = extraction.load_model("squeezenet1_1", weights=None, seed=1), tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_file({key: value.numpy() for key, value in model.state_dict().items()}, path)
    again = extraction.load_model("squeezenet1_1", weights=str(path))
    assert torch.equal(state(again), state(model)) and not again.training
    with pytest.raises(ValueError, match="weights do not fit mobilenet_v3_small: .*Missing key"):
        extraction.load_model("mobilenet_v3_small", weights=path)


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"weight": Evil()}, tmp_path / "w.pth")
    with pytest.raises(Exception, match="[Ww]eights"):
        extraction.load_model("squeezenet1_1", weights=tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_unknown_models_and_weights_are_answered_with_close_ones():
    with pytest.raises(ValueError, match=r"name 'vgg91' does not exist\. Close: .*vgg19"):
        extraction.load_model("vgg91")
    with pytest.raises(ValueError, match=r"weights of vgg19 'IMAGENET1K_V9' does not exist\. Close: IMAGENET1K_V1"):
        extraction.load_model("vgg19", weights="IMAGENET1K_V9")


@pytest.fixture
def download(monkeypatch, tmp_path):
    """torchvision's download, replaced: what it was asked, and what it gives or raises."""
    from torchvision.models import _api

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    asked, gives = [], {"error": urllib.error.URLError("no route")}

    def load_state_dict_from_url(url, **options):
        asked.append((url, options))
        if "error" in gives:
            raise gives["error"]
        return gives["state"]

    monkeypatch.setattr(_api, "load_state_dict_from_url", load_state_dict_from_url)
    return asked, gives


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), RuntimeError('invalid hash value (expected "b8")')]
)
def test_weights_that_cannot_be_had_say_what_to_do(download, tmp_path, error):
    download[1]["error"] = error
    with pytest.raises(datasets.DataUnavailable) as caught:
        extraction.load_model("squeezenet1_1")
    text = str(caught.value)
    assert str(tmp_path / "torch") in text and "squeezenet1_1-b8a52dc0.pth" in text and "What to do: connect" in text
    assert type(error).__name__ in text and "weights=None" in text


def test_downloaded_weights_are_checked_and_never_unpickled(download):
    asked, gives = download
    del gives["error"]
    gives["state"] = extraction.load_model("squeezenet1_1", weights=None, seed=4).state_dict()
    assert torch.equal(
        state(extraction.load_model("squeezenet1_1")), torch.cat([v.flatten() for v in gives["state"].values()])
    )
    [(url, options)] = asked
    assert url.endswith("squeezenet1_1-b8a52dc0.pth")
    assert options["check_hash"] is True and options["weights_only"] is True


def test_altered_weights_on_disk_are_refused(download, tmp_path):
    path = tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"squeezenet1_1-b8a52dc0.pth are damaged.*b8a52dc0\. Remove the file"):
        extraction.load_model("squeezenet1_1")
    assert not download[0]


def test_sixteen_bits_are_refused_and_a_camera_held_upright_is_believed(tmp_path):
    deep, turned = tmp_path / "deep.png", tmp_path / "turned.jpg"
    Image.fromarray(np.arange(0, 60000, 600, dtype=np.uint16).reshape(10, 10)).save(deep)
    with pytest.raises(ValueError, match="8 bits a channel; image file .*deep.png has mode I"):
        extraction.open_image(deep)
    picture = Image.new("RGB", (20, 10))
    picture.getexif()[0x0112] = 6
    picture.save(turned, exif=picture.getexif())
    assert extraction.open_image(turned).size == (10, 20)
