"""Activations of the LeNets: computed once, then read as the same bits."""

import os
import shutil
from dataclasses import fields

import numpy as np
import pytest

pytest.importorskip("torch")

from helpers import data, sparsity
from pipeline import lenets, training

VARIANT = ("cifar10", 4, "_lr0.001")


@pytest.fixture(scope="module")
def computed():
    return lenets.compute(*VARIANT)


def same(a, b):
    for field in fields(a):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_poz_and_class_means_are_those_of_the_kept_images(computed):
    """The CIFAR-10 sample has as many test images as are kept."""
    assert len(computed) == 4 and computed.n_test == len(computed.labels) == 2000
    np.testing.assert_array_equal(np.bincount(computed.labels), [200] * 10)
    assert computed.command.startswith("python -m pipeline train cifar10 --models 4")
    for x, poz, means in zip(
        computed.embeddings, computed.poz, computed.class_means, strict=True
    ):
        np.testing.assert_array_equal(sparsity.percentage_of_zeros(x), poz)
        classes = [
            x[computed.labels == k].astype(float).mean(axis=0) for k in range(10)
        ]
        np.testing.assert_allclose(classes, means, rtol=1e-12)


def test_they_are_computed_once_and_read_as_the_same_bits(
    computed, tmp_path, monkeypatch
):
    monkeypatch.setattr(lenets, "folder", lambda: tmp_path)
    same(data.load_lenets(*VARIANT), computed)
    files = [path.name for path in tmp_path.glob("*.npz")]
    assert files == data.lenet_files("cifar10_lr0.001", 4)
    monkeypatch.setattr(
        lenets, "compute", lambda *_, **__: pytest.fail("computed again")
    )
    same(data.load_lenets(*VARIANT), computed)
    first = data.load_lenets("cifar10", 2, "_lr0.001")
    np.testing.assert_array_equal(first.poz, computed.poz[:2])
    for n_models in (5, 15):
        with pytest.raises(ValueError, match=f"at most 4; got {n_models}"):
            data.load_lenets("cifar10", n_models, "_lr0.001")


def test_a_damaged_file_is_computed_again(computed, tmp_path, monkeypatch):
    monkeypatch.setattr(lenets, "folder", lambda: tmp_path)
    monkeypatch.setattr(lenets, "compute", lambda *_, **__: computed)
    (path,) = lenets.ensure("cifar10_lr0.001")
    path.write_bytes(path.read_bytes()[:1000])
    assert lenets.ensure("cifar10_lr0.001") == [path]
    same(data.load_lenets(*VARIANT), computed)


def test_models_of_several_files_are_joined_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(lenets, "folder", lambda: tmp_path)
    models = data.load_lenets("cifar10", 23)
    assert len(list(tmp_path.glob("*.npz"))) == 5 and len(models) == 23
    assert models.seeds.tolist() == list(range(23))
    same(data.load_lenets("cifar10", 23), models)
    (tmp_path / "lenets_cifar10_20.npz").unlink()  # as an interrupted run leaves it
    same(data.load_lenets("cifar10", 23), models)
    np.testing.assert_array_equal(models.poz[22], lenets.compute("cifar10", 23).poz[22])


def test_only_old_states_are_removed(tmp_path):
    current, recent, old = (tmp_path / f"lenets-{name}" for name in "abc")
    for folder in (current, recent, old):
        folder.mkdir()
    for folder in (current, old):
        os.utime(folder, (0, 0))
    lenets.remove_old_states(current)
    assert sorted(tmp_path.iterdir()) == [current, recent]


def test_without_torch_files_beside_the_data_are_read(computed, tmp_path, monkeypatch):
    for path in lenets.ensure("cifar10_lr0.001"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(data, "data_folder", lambda: tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pipeline", None)
    same(data.load_lenets(*VARIANT), computed)
    for options in ({"train": True}, {"data": "full"}):
        with pytest.raises(RuntimeError, match="needs torch"):
            data.load_lenets("mnist", 2, **options)


@pytest.mark.slow
def test_models_trained_now_are_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_DATA", str(tmp_path))
    models = data.load_lenets("mnist", 1, train=True, epochs=1)
    assert models.command == "trained in this run" and len(models) == 1
    trained = training.ensemble("mnist", 1, epochs=1)
    np.testing.assert_array_equal(trained.accuracy, models.accuracy)
