import numpy as np
import pytest
from scipy import stats

from helpers import ensembles, rsa
from helpers.sparsity import percentage_of_zeros, poz_order


@pytest.fixture
def three_models(rng):
    return np.maximum(rng.normal(size=(3, 10, 12)) - rng.uniform(-1, 1, 12), 0)


def test_class_means_by_hand_and_whatever_the_order_of_images(rng):
    x, labels = np.array([[1.0, 0], [3, 2], [5, 5]]), np.array([7, 7, 2])
    assert ensembles.class_means(x, labels).tolist() == [[5, 5], [2, 1]]
    shuffled = rng.permutation(3)
    assert np.array_equal(ensembles.class_means(x[shuffled], labels[shuffled]), ensembles.class_means(x, labels))


def test_class_means_refuses_labels_of_another_length():
    with pytest.raises(ValueError, match=r"labels must be \(3,\).*\(2,\)"):
        ensembles.class_means(np.ones((3, 2)), [0, 1])


def test_orders_are_those_of_each_model_and_random_ones_are_permutations(three_models, rng):
    pozs = np.stack([percentage_of_zeros(x) for x in three_models])
    for first, highest in (("lowest", False), ("highest", True)):
        for order, poz in zip(ensembles.poz_orders(pozs, first), pozs, strict=True):
            assert np.array_equal(order, poz_order(poz, highest))
    assert all(sorted(order) == list(range(12)) for order in ensembles.poz_orders(pozs, "random", rng))
    with pytest.raises(ValueError, match="'first'|first must be one of"):
        ensembles.poz_orders(pozs, "rarest")


def test_curves_are_the_single_models_curves(three_models, rng):
    orders = [rng.permutation(12) for _ in three_models]
    together = ensembles.insertion_curves(three_models, orders, min_defined=0)
    for x, order, r2 in zip(three_models, orders, together.r2, strict=True):
        alone = rsa.insertion_curve(x, order, rsa.similarity_matrix(x), undefined="drop")
        np.testing.assert_array_equal(r2, alone.r2)


def test_a_value_over_too_few_items_is_nan(three_models, rng):
    three_models[:, :4, :9] = 0  # four of the ten items fire with the last three nodes only
    three_models[:, :4, 9:] = rng.uniform(1, 2, (3, 4, 3))
    orders = [np.arange(12) for _ in three_models]
    loose = ensembles.insertion_curves(three_models, orders, min_defined=0)
    strict = ensembles.insertion_curves(three_models, orders, min_defined=0.9)
    few = loose.n_undefined > 1
    assert few.any() and np.isnan(strict.r2[few]).all()
    np.testing.assert_array_equal(strict.r2[~few], loose.r2[~few])


@pytest.mark.parametrize(
    ("share", "n", "size"), [(0.8, 84, 67), (0.2, 84, 17), (0.3, 84, 25), (0.001, 84, 1), (1, 7, 7)]
)
def test_size_of_share(share, n, size):
    assert ensembles.size_of_share(share, n) == size


def test_interval_is_scipys_and_leaves_out_undefined_models(rng):
    values = rng.normal(size=20)
    found = ensembles.mean_over_models(np.append(values, [np.nan] * 20))
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_too_few_models_have_no_interval():
    assert ensembles.mean_over_models(np.array([0.4])).high == np.inf
    assert np.isnan(ensembles.mean_over_models(np.array([np.nan])).value)


def test_a_minority_of_models_speaks_for_none():
    minority = np.array([0.5, 0.7, np.nan, np.nan, np.nan])
    assert np.isnan(ensembles.mean_over_models(minority).value)


def test_models_above_a_bar_are_counted_unless_most_are_undefined():
    assert ensembles.models_above(np.array([0.1, 0.4, 0.41, 0.9, np.nan]), 0.4).value == 2
    assert np.isnan(ensembles.models_above(np.array([0.5, 0.7, np.nan, np.nan, np.nan]), 0.4).value)
    assert np.isnan(ensembles.models_above(np.array([]), 0.4).value)
