"""Every layer for a folder of images: the same bits however often it is interrupted."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image

from helpers import sparsity
from pipeline import embed, extraction, readers

LAYERS = "relu,layer1.0.relu_1,layer4.1.relu_1"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(extraction.load_model("resnet18", None).state_dict(), path)
    return str(path)


@pytest.fixture
def images(rng, tmp_path):
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for k in range(5):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        name = f"more/{k}.png" if k > 2 else f"{k}.png"
        Image.fromarray(pixels).save(folder / name)
    return folder


def run(weights, images, target, **settings):
    options = {"layers": LAYERS, "batch_size": 2} | settings
    embed.record("resnet18", weights, images, target, **options)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_same_bits(
    weights, images, tmp_path, monkeypatch
):
    run(weights, images, tmp_path / "whole")
    preprocess, calls = extraction.preprocess, []

    def fail_at_third(files):
        calls.append(files)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return preprocess(files)

    monkeypatch.setattr(extraction, "preprocess", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(weights, images, tmp_path / "parts")
    run(weights, images, tmp_path / "parts")
    assert [len(files) for files in calls] == [2, 2, 1, 1]
    for layer in LAYERS.split(","):
        whole, parts = (
            (tmp_path / name / layer / "features.npy").read_bytes()
            for name in ("whole", "parts")
        )
        assert whole == parts
    with pytest.raises(ValueError, match="results for other batch_size; name another"):
        run(weights, images, tmp_path / "parts", batch_size=3)


@pytest.mark.slow
def test_it_writes_what_extraction_gives_and_the_reader_reads(
    weights, images, tmp_path
):
    run(weights, images, tmp_path / "out")
    found = readers.read(tmp_path / "out", "layer4.1.relu_1")
    assert found.labels == ("0.png", "1.png", "2.png", "more/3.png", "more/4.png")
    model, files = extraction.load_model("resnet18", weights), embed.image_files(images)
    settings = {"batch_size": 2, "cache": False}
    expected = extraction.embed(model, "layer4.1.relu_1", files, **settings)
    np.testing.assert_array_equal(found.values, expected)
    table = pd.read_csv(tmp_path / "out" / "poz.csv")
    poz = table[table["layer"] == "layer4.1.relu_1"]["poz"]
    np.testing.assert_allclose(poz, sparsity.percentage_of_zeros(expected), atol=1e-6)


def test_all_layers_are_those_after_a_relu():
    nodes = {
        name: embed.rectified(extraction.load_model(name, None))
        for name in ("resnet18", "squeezenet1_1")
    }
    assert len(nodes["resnet18"]) == 17 and "layer1.0.relu_1" in nodes["resnet18"]
    assert len(nodes["squeezenet1_1"]) == 26


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        embed.image_files(tmp_path)
