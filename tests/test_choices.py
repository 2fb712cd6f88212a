"""The comparison of choices: its numbers are the insertion curves', and nothing depends on what it should not."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import choices, ensembles, lenets, rsa, sparsity


@pytest.fixture
def models(rng):
    """Three networks with 12 nodes, 40 images of four classes."""
    thresholds = rng.uniform(-1, 1.5, (3, 1, 12))
    x = np.maximum(rng.normal(size=(3, 40, 12)) - thresholds, 0).astype(np.float32)
    labels = np.repeat(np.arange(4), 10)
    pozs = np.stack([sparsity.percentage_of_zeros(one) for one in x])
    means = np.stack([ensembles.class_means(one, labels) for one in x])
    return lenets.Lenets("cifar10", np.arange(3), np.ones(3), 40, pozs, means, labels, x, "")


def test_each_row_is_the_mean_of_the_models_curves(models, rng):
    table = choices.low_poz_r2(models, 0.5, 40, rng)
    assert len(table) == len(choices.ITEMS) * len(choices.SOURCES) * len(rsa.SIMILARITIES)
    row = table.set_index(["similarity", "items", "PoZ from"]).loc[("cosine", "images", choices.SOURCES[1])]
    by_hand = []
    for x in models.embeddings:
        kept = x[:, np.argsort((x == 0).mean(axis=0), kind="stable")[:6]]
        small, full = (rsa.upper_triangle(rsa.similarity_matrix(one, "cosine")) for one in (kept, x))
        there = np.isfinite(small)
        by_hand.append(np.corrcoef(small[there], full[there])[0, 1] ** 2)
    assert row["R2"] == pytest.approx(np.mean(by_hand), abs=1e-10)
    assert row["low"] < row["R2"] < row["high"]


def test_where_all_images_are_compared_the_source_of_the_poz_makes_no_difference(models, rng):
    table = choices.low_poz_r2(models, 0.5, 40, rng).set_index(["items", "similarity"])["R2"]
    for similarity in rsa.SIMILARITIES:
        first, second = table.loc[("images", similarity)]
        assert first == second


def test_all_nodes_give_the_full_matrix(models, rng):
    table = choices.low_poz_r2(models, 1.0, 40, rng)
    np.testing.assert_allclose(table["R2"], 1, atol=1e-10)


def test_without_ties_their_range_is_zero_and_with_ties_it_is_not(models, rng):
    assert (choices.tie_range(models, 0.5, 40, 5, rng) >= 0).all()
    n_zero = np.arange(12)  # of 40 images, another number for every node
    x = np.where(np.arange(40)[:, None] < n_zero, 0, 1 + np.abs(rng.normal(size=(40, 12))))
    untied = replace(models, embeddings=np.stack([x] * 3).astype(np.float32))
    np.testing.assert_array_equal(choices.tie_range(untied, 0.5, 40, 5, rng), 0)
    tied = replace(models, embeddings=(1 + np.abs(rng.normal(size=(3, 40, 12)))).astype(np.float32))
    assert (choices.tie_range(tied, 0.5, 40, 5, rng) > 0).all()
