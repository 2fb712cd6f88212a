"""What every public function accepts, and what its message names otherwise."""

import numpy as np
import pytest

from helpers import checks

X = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float16, np.float32, np.float64])
def test_embeddings_of_any_real_type_become_float64(dtype):
    checked = checks.embeddings(X.astype(dtype))
    assert checked.dtype == np.float64
    assert np.array_equal(checked, X.astype(dtype).astype(float))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (X.ravel(), {}, r"shape \(12,\)"),
        (np.zeros((0, 3)), {}, r"shape \(0, 3\)"),
        (np.zeros((3, 0)), {}, r"shape \(3, 0\)"),
        (X[:2], {"min_images": 3}, r"at least 3 image.*\(2, 4\)"),
        ([["a"]], {}, "real numbers; got dtype <U1"),
        (X + 1j, {}, "real numbers; got dtype complex128"),
        ([[None]], {}, "real numbers; got dtype object"),
        (np.where(X == 6, np.nan, X), {}, r"embeddings\[1, 2\] is nan"),
        (
            np.where(X == 6, -np.inf, X),
            {"post_relu": True},
            r"finite.*\[1, 2\] is -inf",
        ),
        (X - 0.25, {"post_relu": True}, r"post-ReLU.*embeddings\[0, 0\] is -0.25"),
        (X * np.nan, {"name": "corpus"}, r"corpus must be.*; corpus\[0, 0\] is nan"),
        (np.ma.masked_less(X, 1), {}, "embeddings must not be masked"),
        ([[1, 2], [3]], {}, "embeddings must be an array of numbers: .*inhomogeneous"),
        ((row for row in X), {}, "embeddings must hold real numbers; got dtype object"),
    ],
)
def test_bad_embeddings(values, options, message):
    with pytest.raises(ValueError, match=message):
        checks.embeddings(values, **options)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("check", [checks.order, checks.sizes])
def test_integers_of_any_type_become_int64(dtype, check):
    values = [1, 2, 3] if check is checks.sizes else [2, 0, 1]
    checked = check(np.array(values, dtype), 3)
    assert checked.dtype == np.int64 and checked.tolist() == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1], r"integers 0..2 once; .*shape \(2,\)"),
        ([[0, 1, 2]], r"shape \(1, 3\)"),
        ([0.0, 1, 2], "float64"),
        ([True, False, True], "bool"),
        ([0, 1, 1], "2 different"),
        ([-1, 0, 1], "3 different"),
        (np.ma.masked_less([0, 1, 2], 1), "order must not be masked"),
    ],
)
def test_bad_order(values, message):
    with pytest.raises(ValueError, match=message):
        checks.order(values, 3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("values", [[3, 1], [2, 2], [1, 4, 2], [255, 0]])
def test_sizes_must_increase_also_where_differences_have_no_sign(dtype, values):
    with pytest.raises(ValueError, match="strictly increasing"):
        checks.sizes(np.array(values, dtype), 300)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "strictly increasing"),
        ([[1, 2]], "strictly increasing"),
        ([1.0, 2.0], "strictly increasing"),
        (2, "strictly increasing"),
        ([0, 3], r"1..6.*\[0, 3\]"),
        ([3, 7], r"1..6.*\[3, 7\]"),
    ],
)
def test_bad_sizes(values, message):
    with pytest.raises(ValueError, match=message):
        checks.sizes(values, 6)


def test_reference_is_the_upper_triangle():
    matrix = np.random.default_rng(0).normal(size=(500, 500))
    matrix += matrix.T
    expected = matrix[np.triu_indices(500, 1)]
    assert np.array_equal(checks.reference(matrix, 500), expected)
    assert np.array_equal(checks.reference(expected, 500), expected)
    matrix[430, 20] += 1
    with pytest.raises(ValueError, match="reference must be symmetric"):
        checks.reference(matrix, 500)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((4, 4)), r"shape \(4, 4\)"),
        ([0.1, np.nan, 0.2], "pair 1 is nan"),
        (np.ma.masked_less([0.1, 0.2, 0.3], 0.2), "reference must not be masked"),
        (1e-30 * np.arange(9).reshape(3, 3), "must be symmetric"),
        (np.array([0.1, 1j, 0.2]), "real numbers"),
    ],
)
def test_bad_reference(values, message):
    with pytest.raises(ValueError, match=message):
        checks.reference(values, 3)


def test_judgments_may_miss_pairs_and_be_in_any_unit():
    values = np.array([1.0, np.nan, 3])
    for unit in (5e-324, 1e-170, 1.0, 2.0**1020):
        pairs = checks.reference(values * unit, 3, "human", may_miss=True)
        np.testing.assert_array_equal(pairs / pairs[0], values)
        assert 1e-100 < pairs[0] < 1e100
    with pytest.raises(ValueError, match="human must be finite; pair 0 is inf"):
        checks.reference(values * np.inf, 3, "human", may_miss=True)


def test_a_tensor_with_a_gradient_is_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="embeddings must be an array.*requires grad"):
        checks.embeddings(torch.ones(2, 2, requires_grad=True))


@pytest.mark.parametrize(
    ("check", "arguments", "message"),
    [
        (checks.choice, ("c", ("a", "b")), r"n must be one of \['a', 'b'\]; got 'c'"),
        (checks.at_least, (1, 2), "n must be at least 2; got 1"),
        (checks.at_least, (np.nan, 2), "n must be a whole number; got nan"),
        (checks.at_least, (2.5, 2), "n must be a whole number; got 2.5"),
        (checks.at_least, (True, 0), "got True"),
    ],
)
def test_single_values(check, arguments, message):
    checks.choice("n", "a", ("a", "b"))
    checks.at_least("n", 2, 2)
    with pytest.raises(ValueError, match=message):
        check("n", *arguments)
