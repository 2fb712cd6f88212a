import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.sparsity import ghost_features, percentage_of_zeros, poz_order, rules

activations = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0.0, 0.0, 0.5, 3.0])
)


def test_poz_of_three_images_by_hand():
    x = [[0, 1, 0], [0, 2, 5], [0, 3, 0]]
    assert percentage_of_zeros(x) == pytest.approx([1, 0, 2 / 3])


def test_poz_counts_negative_zero_as_zero_and_the_smallest_number_as_active():
    assert percentage_of_zeros([[-0.0, np.nextafter(0, 1)]]).tolist() == [1, 0]


@given(activations, st.randoms(use_true_random=False))
def test_poz_ignores_the_order_of_images_and_follows_the_order_of_nodes(x, random):
    images, nodes = list(range(x.shape[0])), list(range(x.shape[1]))
    random.shuffle(images), random.shuffle(nodes)
    assert np.array_equal(percentage_of_zeros(x[images][:, nodes]), percentage_of_zeros(x)[nodes])


@given(activations, st.floats(1e-3, 1e3))
def test_poz_ignores_positive_scaling(x, factor):
    assert np.array_equal(percentage_of_zeros(factor * x), percentage_of_zeros(x))


@given(activations)
def test_repeating_every_image_changes_no_poz(x):
    assert percentage_of_zeros(np.vstack([x, x])) == pytest.approx(percentage_of_zeros(x))


@given(activations)
def test_ghosts_are_the_columns_that_sum_to_zero(x):
    assert np.array_equal(ghost_features(x), np.flatnonzero(x.sum(axis=0) == 0))


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0, 0.25, 0.5, 1])), st.booleans())
def test_order_is_a_permutation_sorted_by_poz_with_ties_by_index(poz, highest_first):
    order = poz_order(poz, highest_first)
    expected = sorted(range(len(poz)), key=lambda i: (-poz[i] if highest_first else poz[i], i))
    assert order.tolist() == expected


def test_random_ties_stay_within_their_tie_and_reach_every_arrangement(rng):
    poz = np.array([0.5, 0, 0.5, 0.5])
    orders = {tuple(poz_order(poz, rng=rng)) for _ in range(200)}
    assert len(orders) == 6
    assert {order[0] for order in orders} == {1}


def test_same_seed_same_ties():
    poz = np.zeros(50)
    assert np.array_equal(*(poz_order(poz, rng=np.random.default_rng(3)) for _ in range(2)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, np.nan]], r"embeddings\[0, 1\] is nan"),
        ([[1.0, np.inf]], r"embeddings\[0, 1\] is inf"),
        ([[1.0], [-0.25]], r"embeddings\[1, 0\] is -0.25.*ReLU"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        ([["a"]], "dtype"),
    ],
)
def test_bad_embeddings_are_named(values, message):
    for function in (percentage_of_zeros, ghost_features):
        with pytest.raises(ValueError, match=message):
            function(values)


@pytest.mark.parametrize("poz", [[[0.1]], [80.0, 20.0], [-0.1], [np.nan]])
def test_bad_poz_is_named(poz):
    with pytest.raises(ValueError, match="poz must be"):
        poz_order(poz)


def test_rules_count_features_in_the_poz_order():
    poz = [0.0, 0.5, 0.9, 0.9, 0.95, 1, 1, 0.2, 0.3, 0.4]
    kept = {"drop ghosts": 8, "drop PoZ > 90%": 7, "keep the 20% lowest": 2}
    assert rules(poz) == kept
    assert rules([108 / 120])["drop PoZ > 90%"] == 1  # not fooled by rounding
    assert rules(np.full(7, 0.3))["keep the 20% lowest"] == 2
    with pytest.raises(ValueError, match="poz must be"):
        rules([0, 80])
