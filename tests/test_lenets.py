"""The ensembles' activations: what torch computes and what is read without it are the same bits."""

from dataclasses import fields

import numpy as np
import pytest

from helpers import datasets, lenets, sparsity


@pytest.fixture(scope="module")
def computed():
    return lenets.load("cifar10", 4, "_lr0.001")


def test_shapes_and_ranges(computed):
    assert len(computed) == 4
    assert computed.embeddings.shape == (4, 10 * lenets.PER_CLASS, 84)
    assert computed.class_means.shape == (4, 10, 84)
    assert ((computed.poz >= 0) & (computed.poz <= 1)).all()
    assert (np.bincount(computed.labels) == lenets.PER_CLASS).all()


def test_poz_and_class_means_are_those_of_the_images_where_all_are_kept(computed):
    """The CIFAR-10 sample has as many test images as are kept, so both can be recomputed from the embeddings."""
    assert computed.n_test == len(computed.labels)
    for x, poz, means in zip(computed.embeddings, computed.poz, computed.class_means, strict=True):
        np.testing.assert_array_equal(sparsity.percentage_of_zeros(x), poz)
        by_hand = np.stack([x[computed.labels == k].astype(float).mean(axis=0) for k in range(10)])
        np.testing.assert_allclose(by_hand, means, rtol=1e-12)


def test_without_torch_the_same_bits_are_read(computed, tmp_path, monkeypatch):
    monkeypatch.setattr(lenets, "_BLOCK", 3)
    paths = lenets.export(tmp_path, "cifar10", 4, "_lr0.001")
    assert [path.name for path in paths] == ["lenets_cifar10_lr0.001_00.npz", "lenets_cifar10_lr0.001_03.npz"]
    monkeypatch.setattr(lenets.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(datasets, "data_folder", lambda: tmp_path)
    read = lenets.load("cifar10", 4, "_lr0.001")
    for field in fields(computed):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(computed, field.name))
    np.testing.assert_array_equal(lenets.load("cifar10", 2, "_lr0.001").poz, computed.poz[:2])


@pytest.mark.parametrize("options", [{"train": True}, {"data": "full"}])
def test_without_torch_nothing_is_trained_or_downloaded(options, monkeypatch):
    monkeypatch.setattr(lenets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="torch"):
        lenets.load("mnist", 2, **options)
