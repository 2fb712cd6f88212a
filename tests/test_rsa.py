import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference as slow
from helpers import rsa
from helpers.rsa import SIMILARITIES, insertion_curve, similarity_matrix, upper_triangle
from helpers.sparsity import percentage_of_zeros, poz_order

WORKED_EXAMPLE = np.array(
    [
        [0.91, 0.76, 0.3, 0.7, 0.9, 0],
        [0.4, 0.7, 0.6, 0.3, 0.7, 0],
        [0.02, 0.4, 0.9, 0.2, 0.2, 0],
    ]
)
ALL_R_ZERO = np.array(
    [[0, 4, 1, 1, 1, 1, 1], [1, 1, 0, 4, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1.0]]
)
levels = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5])
shapes = st.tuples(st.integers(3, 7), st.integers(1, 9))
embeddings = hnp.arrays(np.float64, shapes, elements=levels)
all_methods = pytest.mark.parametrize("method", SIMILARITIES)


def close(a, b, atol=1e-12):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ---------------------------------------------------------------- similarity matrices
def test_worked_example_of_the_paper():
    similarity = upper_triangle(similarity_matrix(WORKED_EXAMPLE))
    assert similarity == pytest.approx([0.6167, -0.1818, 0.5556], abs=5e-5)
    similarity = upper_triangle(similarity_matrix(WORKED_EXAMPLE[:, :5]))
    assert similarity == pytest.approx([-0.0654, -0.9390, 0.4031], abs=5e-5)


@all_methods
@settings(deadline=None)
@given(x=embeddings)
def test_similarity_agrees_with_scipy_pair_by_pair(method, x):
    """Undefined similarities are NaN in both, never 0."""
    close(similarity_matrix(x, method), slow.similarity_matrix(x, method))


@all_methods
def test_invariances_of_similarity(method, sparse, rng):
    nodes, images = rng.permutation(sparse.shape[1]), rng.permutation(len(sparse))
    matrix = similarity_matrix(sparse, method)
    close(similarity_matrix(sparse[:, nodes], method), matrix)
    close(similarity_matrix(sparse[images], method), matrix[np.ix_(images, images)])
    silent = np.hstack([sparse, np.zeros((len(sparse), 5))])
    is_same = np.allclose(similarity_matrix(silent, method), matrix, atol=1e-12)
    assert is_same == (method in ("cosine", "euclidean"))
    if method != "euclidean":
        for scale in (1e-200, 1e-3, 1e200):  # squares neither overflow nor vanish
            close(similarity_matrix(sparse * scale, method), matrix)


def test_upper_triangle_has_the_order_of_triu_indices(rng):
    matrix = rng.normal(size=(6, 6))
    assert np.array_equal(upper_triangle(matrix), matrix[np.triu_indices(6, 1)])
    with pytest.raises(ValueError, match=r"square.*\(3, 6\)"):
        upper_triangle(WORKED_EXAMPLE)


# ------------------------------------------------------------------- insertion curves
@pytest.mark.parametrize("undefined", ["nan", "drop"])
@all_methods
@settings(deadline=None, max_examples=40)
@given(x=embeddings, seed=st.integers(0, 99))
@example(x=ALL_R_ZERO / 4, seed=0)
def test_curve_equals_recomputing_every_partial_matrix(method, undefined, x, seed):
    rng = np.random.default_rng(seed)
    order, sizes = rng.permutation(x.shape[1]), np.arange(1, x.shape[1] + 1)
    reference = rng.normal(size=(len(x), len(x)))
    reference += reference.T
    settings = {"similarity": method, "undefined": undefined}
    curve = insertion_curve(x, order, reference, **settings)
    r2, n_undefined = slow.insertion_curve(
        x, order, reference, sizes, *settings.values()
    )
    close(curve.r2, r2, 1e-10)
    assert np.array_equal(curve.n_undefined, n_undefined)
    few = insertion_curve(x, order, reference, sizes[::2], **settings)
    close(few.r2, curve.r2[::2])
    assert np.array_equal(few.n_undefined, n_undefined[::2])


@all_methods
def test_curve_ends_at_one_against_the_full_matrix(method, sparse):
    order, full = (
        poz_order(percentage_of_zeros(sparse)),
        similarity_matrix(sparse, method),
    )
    r2 = insertion_curve(sparse, order, full, similarity=method).r2
    assert r2[-1] == pytest.approx(1)


@all_methods
def test_blocks_orders_and_partial_matrices_agree(method, sparse, rng, monkeypatch):
    orders, y = [rng.permutation(30) for _ in range(3)], rng.normal(size=66)
    sizes = np.array([1, 2, 7, 30])
    whole = [insertion_curve(sparse, order, y, sizes, method).r2 for order in orders]
    pairs = rsa.partial_similarities(sparse, orders[0], sizes, method)
    matrices = [similarity_matrix(sparse[:, orders[0][:k]], method) for k in sizes]
    close(pairs, [upper_triangle(matrix) for matrix in matrices], 1e-10)
    close(rsa.order_curves(sparse, orders, y, sizes, method), whole)
    undefined = rsa.undefined_items(sparse[:, orders[0]], sizes, method)
    is_nan = np.isnan([np.diag(matrix) for matrix in matrices]).T
    assert np.array_equal(undefined, is_nan)
    monkeypatch.setattr("helpers.rsa._BLOCK", 40)  # entries: three rows at a time
    parts = [insertion_curve(sparse, order, y, sizes, method).r2 for order in orders]
    close(parts, whole)


def test_pairs_without_a_reference_are_dropped_for_many_orders(sparse, rng):
    y = np.where(rng.random(66) < 0.3, np.nan, rng.random(66))
    order, sizes, kept = rng.permutation(30), np.array([9, 20, 30]), np.isfinite(y)
    r2 = rsa.order_curves(sparse, [order], y, sizes)[0]
    partial = rsa.partial_similarities(sparse, order, sizes)[:, kept]
    close(r2, [np.corrcoef(row, y[kept])[0, 1] ** 2 for row in partial])


def test_curve_ignores_image_order_and_affine_changes_of_images(sparse, rng):
    order, full, images = (
        rng.permutation(30),
        similarity_matrix(sparse),
        rng.permutation(12),
    )
    r2 = insertion_curve(sparse, order, full).r2
    shuffled = full[np.ix_(images, images)]
    close(insertion_curve(sparse[images], order, shuffled).r2, r2)
    changed = sparse * rng.uniform(0.1, 9, (12, 1)) + rng.normal(size=(12, 1))
    close(insertion_curve(changed, order, 3 - 2 * full).r2, r2, 1e-10)


def test_a_silent_node_leaves_cosine_and_euclidean_curves(sparse, rng):
    order, y = rng.permutation(30), rng.random(66)
    with_silent, later = np.hstack([np.zeros((12, 1)), sparse]), np.append(0, order + 1)
    for method in ("cosine", "euclidean"):
        r2 = insertion_curve(sparse, order, y, similarity=method).r2
        close(insertion_curve(with_silent, later, y, similarity=method).r2[1:], r2)


def test_offsets_and_late_spikes_keep_their_digits(sparse, rng):
    order, y, sizes = (
        rng.permutation(30),
        similarity_matrix(sparse),
        np.array([5, 17, 30]),
    )
    for offset in (1e5, 1e8):  # whose rounding is part of the data
        x = (sparse + offset).astype(np.longdouble)
        pairs = [slow.pearson_pairs(x[:, order[:k]]) for k in sizes]
        r = [np.corrcoef(upper_triangle(y), p.astype(float))[0, 1] for p in pairs]
        close(insertion_curve(sparse + offset, order, y, sizes).r2, np.square(r))
        close(upper_triangle(similarity_matrix(sparse + offset)), pairs[-1])
    x = np.zeros((4, 500))
    x[:, -3:] = rng.uniform(1e-6, 1e-5, (4, 3))
    y, sizes = rng.normal(size=6), np.array([498, 499, 500])
    partial = [upper_triangle(np.corrcoef(x[:, :k])) for k in sizes[1:]]
    exact = [np.corrcoef(pairs, y)[0, 1] ** 2 for pairs in partial]
    r2 = insertion_curve(x, np.arange(500), y, sizes).r2
    close(r2, [np.nan, *exact], 1e-10)  # with one spike all similarities are 1


def test_huge_distances_do_not_overflow(sparse):
    expected = similarity_matrix(sparse, "euclidean")
    for unit in (1e-200, 1e160, 1e300):
        matrix = similarity_matrix(sparse * unit, "euclidean")
        close(matrix / unit, expected)
    x = np.array([[1_000_000.25], [1_000_001]])
    assert similarity_matrix(x, "euclidean")[0, 1] == -0.75


@pytest.mark.parametrize("similarity", ["pearson", "euclidean"])
@pytest.mark.parametrize("unit", [1e-200, 1e160])
def test_units_of_reference_and_distances_do_not_matter(similarity, unit, rng):
    x, y = np.maximum(rng.normal(size=(12, 30)), 0), rng.random(66)
    curves = [
        insertion_curve(a, np.arange(30), b, similarity=similarity).r2
        for a, b in ((x, y), (x, y * unit), (x * unit, y))
    ]
    np.testing.assert_allclose(curves[1:], [curves[0]] * 2, rtol=1e-10)


GOOD = {
    "embeddings": WORKED_EXAMPLE,
    "order": np.arange(6),
    "reference": [0.1, 0.2, 0.4],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": WORKED_EXAMPLE[:2]}, r"at least 3 image.*\(2, 6\)"),
        ({"order": np.arange(5)}, "order must hold each"),
        ({"reference": np.zeros(4)}, r"reference.*shape \(4,\)"),
        ({"sizes": [3, 7]}, r"sizes.*1..6.*3, 7"),
        ({"similarity": "pearsn"}, "similarity must be one of.*'pearsn'"),
        ({"undefined": "zero"}, "undefined must be one of.*'zero'"),
        ({"engine": "fast"}, "engine must be one of.*'fast'"),
        ({"similarity": "spearman", "engine": "compiled"}, "'compiled'.*'spearman'"),
    ],
)
def test_bad_input_names_the_argument_and_the_value(change, message):
    with pytest.raises(ValueError, match=message):
        insertion_curve(**(GOOD | change))


# ---------------------------------------------------------------------------- threads
def test_threads_keep_the_order_and_do_not_nest(monkeypatch):
    def nested(i):
        return rsa.map_in_threads(lambda j: (i, j), range(3))

    monkeypatch.setenv("HELPERS_THREADS", "3")
    expected = [[(i, j) for j in range(3)] for i in range(9)]
    assert rsa.map_in_threads(nested, range(9)) == expected
    with pytest.raises(ZeroDivisionError):
        rsa.map_in_threads(lambda i: 1 / i, range(9))
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("HELPERS_THREADS", wrong)
        with pytest.raises(ValueError, match=wrong):
            rsa.map_in_threads(abs, [1, 2])


def test_the_browser_has_no_threads(monkeypatch):
    def fail(*arguments):
        raise AssertionError("a thread was started")

    monkeypatch.setattr("sys.platform", "emscripten")
    monkeypatch.setattr("helpers.rsa._pool", fail)
    assert rsa.map_in_threads(abs, [-1, -2, -3]) == [1, 2, 3]
