"""Training: the same bits from a seed, however it is run, stopped or stored."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from helpers import data
from pipeline import datasets, training
from pipeline.training import Recipe

TINY = Recipe(epochs=1)


@pytest.fixture
def small(monkeypatch):
    """The shipped MNIST sample cut to 300 training and 200 test images."""
    whole, n = data.load_sample("mnist"), {"train": 300, "test": 200}
    parts = [f"{kind}_{part}" for kind in ("x", "y", "index") for part in n]
    cut = {part: getattr(whole, part)[: n[part.split("_")[1]]] for part in parts}
    images = replace(whole, **cut)
    monkeypatch.setattr(datasets, "load_images", lambda name, source="full": images)
    return images


def trained(folder, seeds=(0,), n_workers=1):
    paths = training.train_ensemble("mnist", seeds, folder, TINY, "shipped", n_workers)
    return paths, training.stack("mnist", paths)


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_seed_gives_the_same_bits_and_another_one_another_model(small):
    given = "mnist", small.x_train, small.y_train
    models = [training.train_model(*given, seed, TINY) for seed in (1, 1, 2)]
    first, again, other = (model.state_dict() for model in models)
    assert same(first, again) and not same(first, other)


@pytest.mark.slow
def test_the_number_of_workers_changes_no_bit(tmp_path):
    one, two = (trained(tmp_path / str(n), [0, 1], n)[1] for n in (1, 2))
    assert same(one.parameters, two.parameters)


def test_batched_training_follows_training_one_by_one(small):
    x, y, recipe = small.x_train, small.y_train, Recipe(epochs=1, batch_size=100)
    stacked = training.train_batch("mnist", x, y, [4, 9], recipe)
    for i, seed in enumerate([4, 9]):  # three steps: rounding has not grown yet
        alone = training.train_model("mnist", x, y, seed, recipe).state_dict()
        for name, value in alone.items():
            torch.testing.assert_close(stacked[name][i], value, rtol=1e-3, atol=2e-5)


def test_training_learns(small):
    x, y = small.x_train, small.y_train
    model = training.train_model("mnist", x, y, 0, Recipe(epochs=20))
    assert training.accuracy(model, "mnist", small.x_test, small.y_test) > 0.7


def test_a_stopped_run_trains_only_the_missing_models(small, tmp_path, monkeypatch):
    (first,), _ = trained(tmp_path)
    seeds, train_model = [], training.train_model
    monkeypatch.setattr(
        training, "train_model", lambda *a: seeds.append(a[3]) or train_model(*a)
    )
    paths, _ = trained(tmp_path, [0, 1])
    assert seeds == [1] and paths[0] == first


def test_a_damaged_model_is_named_and_trained_again(small, tmp_path):
    (path,), models = trained(tmp_path)
    content = bytearray(path.read_bytes())
    flipped = content.copy()
    flipped[len(content) // 2] ^= 1
    for damaged in (flipped, content[: len(content) // 2], b""):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=r"seed000\.npz is damaged and made again"):
            again = trained(tmp_path)[1]
        assert same(again.parameters, models.parameters)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": -1}, "epochs must be at least 1; got -1"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0; got nan"),
        ({"learning_rate": -1e-3}, "learning_rate must be above 0"),
        ({"models": 0}, "n_models must be at least 1"),
        ({"workers": -2}, "n_workers must be at least 1"),
        ({"device": "cuda"}, "'cuda' needs an NVIDIA GPU"),
        ({"replace_shipped": False}, r"lenet5_mnist\.safetensors ships"),
    ],
)
def test_the_command_refuses_before_it_trains(monkeypatch, wrong, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training, "_train_and_save", lambda *_: pytest.fail("trained"))
    options = {"models": 1, "epochs": None, "learning_rate": None, "workers": 1}
    options |= {"device": "cpu", "target": None, "replace_shipped": True} | wrong
    with pytest.raises(ValueError, match=message):
        training.record("mnist", **options, command="text")


def test_a_failing_run_leaves_no_half_written_model(small, tmp_path, monkeypatch):
    def fail(path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        trained(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_stored_was_evaluated_and_gives_the_activations(small, tmp_path):
    paths, models = trained(tmp_path, [0, 1])
    training.save_ensemble(models, tmp_path / "packed.safetensors")
    loaded = training.load_ensemble(tmp_path / "packed.safetensors")
    assert all(value.dtype == torch.float16 for value in loaded.parameters.values())
    x = training.ensemble_embeddings(loaded, small.x_test)
    assert x.shape == (2, 200, 84) and (x >= 0).all() and (x == 0).any()
    second = training.stack("mnist", paths[1:])
    np.testing.assert_array_equal(
        training.ensemble_embeddings(second, small.x_test)[0], x[1]
    )
    for i in range(2):
        score = training.accuracy(loaded.model(i), "mnist", small.x_test, small.y_test)
        assert score == loaded.accuracy[i]


@pytest.mark.parametrize(("dataset", "typical"), [("mnist", 0.985), ("cifar10", 0.63)])
def test_shipped_models_reach_their_stated_accuracy(dataset, typical):
    models, images = training.load_shipped(dataset), data.load_sample(dataset)
    assert models.seeds.tolist() == list(range(50)) and models.accuracy.mean() > typical
    assert models.origin["training_images"] == datasets.SHA256[dataset][0]
    for i, stated in enumerate(models.accuracy[:2]):
        score = training.accuracy(
            models.model(i), dataset, images.x_test, images.y_test
        )
        error = np.sqrt(stated * (1 - stated) / len(images.x_test))
        # for MNIST these are the same 10,000 images
        assert abs(score - stated) < (3e-4 if dataset == "mnist" else 4 * error)


def test_more_models_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"n_models must lie in 1..50; got 80"):
        training.load_shipped("mnist", 80)


def test_the_command_trains_packs_and_registers(small, tmp_path, monkeypatch):
    (tmp_path / "manifest.json").write_text("[]")
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    options = {"epochs": 1, "learning_rate": 0.004, "workers": 1, "device": "cpu"}
    monkeypatch.setenv("HELPERS_DATA", str(tmp_path / "cache"))
    training.record(
        "mnist", 2, **options, target=None, replace_shipped=False, command="text"
    )
    models = training.load_shipped("mnist")
    assert len(models) == 2 and models.origin["recipe"]["learning_rate"] == 0.004
    assert data.manifest()[0]["command"] == models.origin["command"] == "text"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_missing_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match='needs an NVIDIA GPU .* Use device "cpu"'):
        training.train_ensemble("mnist", [0], tmp_path, TINY, device="cuda")
