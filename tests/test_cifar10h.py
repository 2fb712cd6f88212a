"""People's confusions and how pruned networks predict them, against slow references."""

import numpy as np
import pytest
from scipy import stats

from helpers import data, rsa
from pipeline import cifar10h

UPPER = np.triu_indices(5, 1)


@pytest.fixture
def counts(rng):
    """Labels of 60 images of five classes by 50 people, and the classes."""
    labels = rng.permutation(np.arange(60) % 5)
    p = np.where(np.eye(5), 6, rng.uniform(0.2, 1, (5, 5)))
    p /= p.sum(axis=1, keepdims=True)
    return np.stack([rng.multinomial(50, p[label]) for label in labels]), labels


@pytest.fixture
def networks(rng):
    """Class means and PoZ of four networks with twenty nodes, three of them dead."""
    means = rng.exponential(size=(4, 5, 20)) * rng.integers(0, 2, (4, 5, 20))
    pozs = rng.uniform(0, 0.99, (4, 20))
    dead = rng.permuted(np.tile(np.arange(20) < 3, (4, 1)), axis=1)
    pozs[dead] = 1
    means[np.broadcast_to(dead[:, None], means.shape)] = 0
    return means, pozs


def reference_scores(x, people, method="pearson"):
    a, b = (matrix[UPPER] for matrix in (rsa.similarity_matrix(x, method), people))
    logarithm, plain = (stats.pearsonr(a, y).statistic ** 2 for y in (np.log(b), b))
    return logarithm, plain, stats.spearmanr(a, b).statistic


def test_confusions_are_shares_of_labels_in_both_directions(counts):
    found = cifar10h.confusions(*counts)
    np.testing.assert_array_equal(found, found.T)
    given, labels = counts
    for a, b in ((0, 1), (4, 2)):
        ways = [np.mean(given[labels == p, q] / 50) for p, q in ((a, b), (b, a))]
        assert found[a, b] == pytest.approx(np.mean(ways))
    assert found.sum() == pytest.approx(5)


def test_prunings_keep_what_their_names_say(networks, rng):
    poz = networks[1][0]
    kept = dict(zip(cifar10h.PRUNINGS, cifar10h.selections(poz, rng), strict=True))
    all_nodes, dead, silent, rare, lowest, random, live = kept.values()
    assert set(all_nodes[0]) == set(range(20)) and set(silent[0]) == set(range(40))
    assert set(dead[0]) == set(np.flatnonzero(poz < 1))
    assert set(rare[0]) == set(np.flatnonzero(poz <= 0.8))
    assert set(lowest[0]) == set(np.argsort(poz)[:16])
    for sets in (random, live):
        assert len(sets) == cifar10h.N_RANDOM
        assert {len(set(nodes)) for nodes in sets} == {16}
    assert all((poz[nodes] < 1).all() for nodes in live)
    assert not all((poz[nodes] < 1).all() for nodes in random)


def test_scores_are_those_of_single_networks(counts, networks, rng):
    people = cifar10h.confusions(*counts)
    found = cifar10h.analyse(*networks, people, rng)
    assert found.shape == (4, 2, 7, 3, 6)
    for network, (means, poz) in enumerate(zip(*networks, strict=True)):
        nodes = (poz < 2, poz < 1, np.arange(40) < 40, poz <= 0.8)
        padded = np.hstack([means, np.zeros((5, 20))])
        for pruning, mask in enumerate(nodes):
            x = (padded if len(mask) == 40 else means)[:, mask]
            for place, method in enumerate(cifar10h.SIMILARITIES):
                expected = reference_scores(x, people, method)
                scores = found[network, place, pruning, :, 0]
                assert tuple(scores) == pytest.approx(expected, abs=1e-10)


def test_silent_nodes_move_pearson_and_not_the_cosine(counts, networks, rng):
    found = cifar10h.analyse(*networks, cifar10h.confusions(*counts), rng)
    moved = np.abs(found[:, :, 1:3] - found[:, :, :1]).max(axis=(0, 2, 3, 4))
    assert moved[0] > 1e-3 and moved[1] < 1e-12


def test_a_class_is_left_out_as_if_it_had_not_been_there(counts, networks, rng):
    people = cifar10h.confusions(*counts)
    found = cifar10h.analyse(*networks, people, rng)[1, 0, 0]
    for label in range(5):
        rest = np.delete(np.arange(5), label)
        a = rsa.upper_triangle(rsa.similarity_matrix(networks[0][1][rest]))
        b = rsa.upper_triangle(people[np.ix_(rest, rest)])
        expected = stats.pearsonr(a, np.log(b)).statistic ** 2
        assert found[0, label + 1] == pytest.approx(expected, abs=1e-10)


def test_halves_of_the_people_make_up_the_whole(counts, rng):
    halves = cifar10h.half_split(*counts, rng)
    whole = cifar10h.confusions(*counts)
    np.testing.assert_allclose(halves.mean(axis=0), whole, atol=1e-12)
    assert np.abs(halves[0] - halves[1]).max() > 0.01
    log, plain, rho = cifar10h.agreement(halves)
    a, b = halves[0][UPPER], halves[1][UPPER]
    assert log == pytest.approx(stats.pearsonr(np.log(a), np.log(b)).statistic ** 2)
    assert plain == pytest.approx(stats.pearsonr(a, b).statistic ** 2)
    assert rho == pytest.approx(stats.spearmanr(a, b).statistic)


def test_the_recorded_file_is_of_these_choices():
    stored = data.read_shipped("cifar10h.npz")
    assert stored["scores"].shape == (50, 2, 7, 3, 11)
    for name in ("similarities", "prunings", "comparators"):
        assert tuple(stored[name]) == getattr(cifar10h, name.upper())
    assert stored["margin"] == cifar10h.MARGIN
    change = stored["scores"] - stored["scores"][:, :, :1]
    assert np.abs(change[:, 1, 1:3]).max() < 1e-5, "silent nodes under the cosine"
