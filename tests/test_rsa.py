import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference as slow
from helpers.rsa import SIMILARITIES, insertion_curve, partial_similarities, similarity_matrix, upper_triangle
from helpers.sparsity import percentage_of_zeros, poz_order

WORKED_EXAMPLE = np.array([[0.91, 0.76, 0.3, 0.7, 0.9, 0], [0.4, 0.7, 0.6, 0.3, 0.7, 0], [0.02, 0.4, 0.9, 0.2, 0.2, 0]])
levels = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5])
embeddings = hnp.arrays(np.float64, st.tuples(st.integers(3, 7), st.integers(1, 9)), elements=levels)


# ---------------------------------------------------------------------------------------------------- similarity matrix
def test_worked_example_of_the_paper():
    assert upper_triangle(similarity_matrix(WORKED_EXAMPLE)) == pytest.approx([0.6167, -0.1818, 0.5556], abs=5e-5)
    without = similarity_matrix(WORKED_EXAMPLE[:, :5])
    assert upper_triangle(without) == pytest.approx([-0.0654, -0.9390, 0.4031], abs=5e-5)


@pytest.mark.parametrize("method", SIMILARITIES)
@settings(deadline=None)
@given(x=embeddings)
def test_similarity_agrees_with_scipy_pair_by_pair(method, x):
    np.testing.assert_allclose(similarity_matrix(x, method), slow.similarity_matrix(x, method), atol=1e-12)


@pytest.mark.parametrize("method", SIMILARITIES)
def test_similarity_ignores_the_order_of_nodes_and_follows_the_order_of_images(method, sparse, rng):
    nodes, images = rng.permutation(sparse.shape[1]), rng.permutation(len(sparse))
    matrix = similarity_matrix(sparse, method)
    np.testing.assert_allclose(similarity_matrix(sparse[:, nodes], method), matrix, atol=1e-12)
    np.testing.assert_allclose(similarity_matrix(sparse[images], method), matrix[np.ix_(images, images)], atol=1e-12)


@pytest.mark.parametrize(("method", "factor"), [("euclidean", 1), ("cosine", 1), ("pearson", None), ("spearman", None)])
def test_silent_node_changes_correlations_but_neither_cosine_nor_euclidean(method, factor, sparse):
    padded = np.hstack([sparse, np.zeros((len(sparse), 5))])
    same = np.allclose(similarity_matrix(padded, method), similarity_matrix(sparse, method), atol=1e-12)
    assert same == (factor is not None)


@pytest.mark.parametrize("method", ["pearson", "pearson_squared", "spearman", "cosine"])
def test_undefined_similarity_is_nan_never_zero(method):
    x = np.array([[0, 0, 0], [1, 2, 3], [3, 1, 2.0]])
    matrix = similarity_matrix(x, method)
    assert np.isnan(matrix[0]).all() and np.isnan(matrix[:, 0]).all()
    assert np.isfinite(matrix[1:, 1:]).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1e200])
def test_extreme_scales_neither_overflow_nor_vanish(scale, sparse):
    for method in ("pearson", "cosine", "spearman"):
        np.testing.assert_allclose(similarity_matrix(sparse * scale, method), similarity_matrix(sparse, method))


def test_upper_triangle_has_the_order_of_triu_indices(rng):
    matrix = rng.normal(size=(6, 6))
    assert np.array_equal(upper_triangle(matrix), matrix[np.triu_indices(6, 1)])


# ------------------------------------------------------------------------------------------------------ insertion curve
@pytest.mark.parametrize("undefined", ["nan", "drop"])
@pytest.mark.parametrize("method", SIMILARITIES)
@settings(deadline=None, max_examples=40)
@given(x=embeddings, seed=st.integers(0, 99))
@example(x=np.array([[0, 4, 1, 1, 1, 1, 1], [1, 1, 0, 4, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1.0]]) / 4, seed=0)  # all r are 0
def test_curve_equals_recomputing_every_partial_matrix(method, undefined, x, seed):
    rng = np.random.default_rng(seed)
    order, sizes = rng.permutation(x.shape[1]), np.arange(1, x.shape[1] + 1)
    reference = rng.normal(size=(len(x), len(x)))
    reference += reference.T
    curve = insertion_curve(x, order, reference, similarity=method, undefined=undefined)
    r2, n_undefined = slow.insertion_curve(x, order, reference, sizes, method, undefined)
    np.testing.assert_allclose(curve.r2, r2, atol=1e-10)
    assert np.array_equal(curve.n_undefined, n_undefined)


@pytest.mark.parametrize("method", SIMILARITIES)
def test_curve_ends_at_one_against_the_full_matrix(method, sparse):
    order = poz_order(percentage_of_zeros(sparse))
    assert insertion_curve(sparse, order, similarity_matrix(sparse, method), similarity=method).r2[-1] == pytest.approx(
        1
    )


@pytest.mark.parametrize("method", SIMILARITIES)
def test_chosen_sizes_are_points_of_the_whole_curve(method, sparse, rng):
    order, reference = rng.permutation(30), rng.normal(size=66)
    whole = insertion_curve(sparse, order, reference, similarity=method, undefined="drop")
    some = insertion_curve(sparse, order, reference, np.array([3, 4, 11, 29]), method, "drop")
    np.testing.assert_allclose(some.r2, whole.r2[[2, 3, 10, 28]], atol=1e-12)
    assert np.array_equal(some.n_undefined, whole.n_undefined[[2, 3, 10, 28]])


def test_curve_ignores_image_order_and_per_image_affine_changes(sparse, rng):
    order, reference, images = rng.permutation(30), similarity_matrix(sparse), rng.permutation(12)
    curve = insertion_curve(sparse, order, reference).r2
    shuffled = insertion_curve(sparse[images], order, reference[np.ix_(images, images)]).r2
    np.testing.assert_allclose(shuffled, curve, atol=1e-12)
    changed = sparse * rng.uniform(0.1, 9, (12, 1)) + rng.normal(size=(12, 1))
    np.testing.assert_allclose(insertion_curve(changed, order, 3 - 2 * reference).r2, curve, atol=1e-10)


def test_blocks_of_rows_give_the_result_of_one_block(sparse, rng, monkeypatch):
    order, reference = rng.permutation(30), rng.normal(size=66)
    for undefined in ("nan", "drop"):
        for method in SIMILARITIES:
            whole = insertion_curve(sparse, order, reference, similarity=method, undefined=undefined).r2
            with monkeypatch.context() as patch:
                patch.setattr("helpers.rsa._BLOCK", 40)
                parts = insertion_curve(sparse, order, reference, similarity=method, undefined=undefined).r2
            np.testing.assert_allclose(parts, whole, atol=1e-12)


def test_large_offsets_lose_no_digits(sparse, rng):
    order, reference = rng.permutation(30), similarity_matrix(sparse)
    shifted = sparse + 1e5
    recomputed, _ = slow.insertion_curve(shifted, order, reference, [5, 17, 30], "pearson")
    np.testing.assert_allclose(
        insertion_curve(shifted, order, reference, np.array([5, 17, 30])).r2, recomputed, atol=1e-10
    )


def test_late_spike_after_silence_is_exact(rng):
    x = np.zeros((4, 500))
    x[:, -3:] = rng.uniform(1e-6, 1e-5, (4, 3))
    reference, sizes = rng.normal(size=6), np.array([498, 499, 500])
    recomputed = [np.corrcoef(upper_triangle(np.corrcoef(x[:, :k])), reference)[0, 1] ** 2 for k in sizes]
    np.testing.assert_allclose(insertion_curve(x, np.arange(500), reference, sizes).r2, recomputed, atol=1e-10)


def test_nan_where_any_image_is_undefined_and_drop_scores_the_rest(rng):
    x = rng.uniform(1, 2, (6, 4))
    x[0, :2] = 0
    reference = similarity_matrix(x)
    strict = insertion_curve(x, np.arange(4), reference, similarity="cosine")
    assert strict.n_undefined.tolist() == [1, 1, 0, 0]
    assert np.isnan(strict.r2).tolist()[1:] == [True, False, False]
    lenient = insertion_curve(x, np.arange(4), reference, similarity="cosine", undefined="drop")
    rest = insertion_curve(x[1:], np.arange(4), reference[1:, 1:], similarity="cosine")
    assert lenient.r2[1] == pytest.approx(rest.r2[1], abs=1e-12)


def test_partial_similarities_are_the_matrices_themselves(sparse, rng):
    order, sizes = rng.permutation(30), np.array([1, 2, 7, 30])
    for method in SIMILARITIES:
        pairs = partial_similarities(sparse, order, sizes, method)
        expected = [upper_triangle(similarity_matrix(sparse[:, order[:k]], method)) for k in sizes]
        np.testing.assert_allclose(pairs, expected, atol=1e-10)


# ------------------------------------------------------------------------------------------------------------ bad input
GOOD = {"embeddings": WORKED_EXAMPLE, "order": np.arange(6), "reference": np.array([0.1, 0.2, 0.4])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": WORKED_EXAMPLE[:2]}, r"at least 3 image.*\(2, 6\)"),
        ({"embeddings": WORKED_EXAMPLE.ravel()}, r"shape \(18,\)"),
        ({"embeddings": np.where(WORKED_EXAMPLE == 0.9, np.nan, WORKED_EXAMPLE)}, r"embeddings\[0, 4\] is nan"),
        ({"order": np.arange(5)}, "order must hold 6"),
        ({"order": np.array([0, 1, 2, 3, 4, 4])}, "twice"),
        ({"order": np.array([0, 1, 2, 3, 4, 6])}, "6, outside 0..5"),
        ({"order": np.arange(6.0)}, "float64"),
        ({"reference": np.zeros(4)}, r"shape \(4,\)"),
        ({"reference": np.zeros((4, 4))}, r"shape \(4, 4\)"),
        ({"reference": np.array([0.1, np.nan, 0.2])}, "pair 1 is nan"),
        ({"reference": np.arange(9.0).reshape(3, 3)}, "symmetric"),
        ({"sizes": [0, 3]}, r"1..6.*0..3"),
        ({"sizes": [3, 7]}, r"1..6.*3..7"),
        ({"sizes": [3, 3]}, "strictly increasing"),
        ({"sizes": []}, "strictly increasing"),
        ({"similarity": "pearsn"}, "similarity must be one of.*'pearsn'"),
        ({"undefined": "zero"}, "undefined must be one of.*'zero'"),
    ],
)
def test_bad_input_names_the_argument_and_the_value(change, message):
    with pytest.raises(ValueError, match=message):
        insertion_curve(**(GOOD | change))


def test_unknown_method_and_square():
    with pytest.raises(ValueError, match="method must be one of.*'dot'"):
        similarity_matrix(WORKED_EXAMPLE, "dot")
    with pytest.raises(ValueError, match=r"square.*\(3, 6\)"):
        upper_triangle(WORKED_EXAMPLE)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("reference", [1e-16, 1e6])
def test_a_reference_that_varies_by_rounding_alone_gives_no_r2(engine, reference, rng):
    pytest.importorskip("numba")
    x, pairs = np.maximum(rng.normal(size=(12, 30)), 0), 12 * 11 // 2
    nearly = reference + reference * 1e-16 * rng.integers(0, 3, pairs)
    assert np.isnan(insertion_curve(x, np.arange(30), nearly, engine=engine).r2).all()


@pytest.mark.parametrize("similarity", ["pearson", "euclidean"])
@pytest.mark.parametrize("unit", [1e-200, 1e160])
def test_units_of_the_reference_and_of_distances_do_not_matter(similarity, unit, rng):
    x, y = np.maximum(rng.normal(size=(12, 30)), 0), rng.random(66)
    usual = insertion_curve(x, np.arange(30), y, similarity=similarity).r2
    np.testing.assert_allclose(insertion_curve(x, np.arange(30), y * unit, similarity=similarity).r2, usual, rtol=1e-10)
    np.testing.assert_allclose(insertion_curve(x * unit, np.arange(30), y, similarity=similarity).r2, usual, rtol=1e-10)
