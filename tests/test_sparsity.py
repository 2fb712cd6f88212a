import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.sparsity import ghost_features, percentage_of_zeros, poz_order, rules

activations = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
)
shares = st.sampled_from([0, 0.25, 0.5, 1])


def test_poz_by_hand():
    x = [[0, 1, 0], [0, 2, 5], [0, 3, 0]]
    assert percentage_of_zeros(x) == pytest.approx([1, 0, 2 / 3])
    assert percentage_of_zeros([[-0.0, np.nextafter(0, 1)]]).tolist() == [1, 0]


@given(activations, st.randoms(use_true_random=False), st.floats(1e-3, 1e3))
def test_poz_follows_nodes_and_ignores_order_number_and_scale_of_images(x, random, c):
    images, nodes = list(range(x.shape[0])), list(range(x.shape[1]))
    random.shuffle(images)
    random.shuffle(nodes)
    poz = percentage_of_zeros(x)
    assert np.array_equal(percentage_of_zeros(c * x[images][:, nodes]), poz[nodes])
    assert percentage_of_zeros(np.vstack([x, x])) == pytest.approx(poz)


@given(activations)
def test_ghosts_are_the_columns_that_sum_to_zero(x):
    assert np.array_equal(ghost_features(x), np.flatnonzero(x.sum(axis=0) == 0))


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=shares), st.booleans())
def test_order_is_sorted_by_poz_with_ties_by_index(poz, highest_first):
    sign = -1 if highest_first else 1
    expected = sorted(range(len(poz)), key=lambda i: (sign * poz[i], i))
    assert poz_order(poz, highest_first).tolist() == expected


def test_random_ties_stay_within_their_tie_and_reach_every_arrangement(rng):
    poz = np.array([0.5, 0, 0.5, 0.5])
    orders = {tuple(poz_order(poz, rng=rng)) for _ in range(200)}
    assert len(orders) == 6 and {order[0] for order in orders} == {1}
    same = [poz_order(np.zeros(50), rng=np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*same)


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=shares))
def test_rules_keep_the_first_nodes_of_the_order(poz):
    ghosts, high, lowest = rules(poz).values()
    in_order = np.sort(poz)
    assert (in_order[:ghosts] < 1).all() and (in_order[ghosts:] == 1).all()
    assert (in_order[:high] <= 0.9).all() and (in_order[high:] > 0.9).all()
    assert lowest - 1 < len(poz) / 5 <= lowest


def test_bad_input_is_named():
    for function in (percentage_of_zeros, ghost_features):
        with pytest.raises(ValueError, match=r"post-ReLU.*embeddings\[1, 0\] is -0.25"):
            function([[1.0], [-0.25]])
    for poz in ([[0.1]], [80.0, 20.0], [-0.1], [np.nan], 0.5):
        with pytest.raises(ValueError, match="poz must be"):
            poz_order(poz)
