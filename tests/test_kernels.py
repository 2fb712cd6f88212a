"""The compiled kernel gives what plain numpy gives, to 1e-12, whatever the data and the number of threads."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference as slow
from helpers import parallel, rsa
from helpers.rsa import insertion_curve, similarity_matrix, streamed_curve, upper_triangle
from helpers.sparsity import percentage_of_zeros, poz_order

pytest.importorskip("numba")
compiled_methods = pytest.mark.parametrize("method", ["pearson", "cosine"])
undefined_rules = pytest.mark.parametrize("undefined", ["nan", "drop"])

levels = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5])  # many silent and many equal images, ghosts, duplicates
few = hnp.arrays(np.float64, st.tuples(st.integers(3, 9), st.integers(1, 12)), elements=levels)


def sparse_embeddings(seed, n_images, n_features, silence=0.0):
    """Post-ReLU-like; every fifth image is silent in its first features, two images are the same, some are ghosts."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(size=(n_images, n_features)) - rng.uniform(-1, 2, n_features), 0)
    x[::5, : int(silence * n_features)] = 0
    x[1] = x[2]
    x[:, ::7] = 0
    return x


def both(x, order, reference, **settings):
    return [insertion_curve(x, order, reference, engine=engine, **settings) for engine in ("numpy", "compiled")]


def assert_same(numpy_curve, compiled_curve, atol=1e-12):
    np.testing.assert_allclose(compiled_curve.r2, numpy_curve.r2, atol=atol, rtol=0)
    assert np.array_equal(compiled_curve.n_undefined, numpy_curve.n_undefined)
    assert np.array_equal(compiled_curve.sizes, numpy_curve.sizes)


@compiled_methods
@undefined_rules
@settings(deadline=None, max_examples=60)
@given(x=few, seed=st.integers(0, 99), constant=st.booleans(), some=st.booleans())
@example(x=np.zeros((4, 3)), seed=0, constant=False, some=False)
@example(x=np.ones((5, 4)), seed=0, constant=True, some=True)
def test_every_size_and_chosen_sizes_of_small_tables(method, undefined, x, seed, constant, some):
    rng = np.random.default_rng(seed)
    reference = np.full(len(x) * (len(x) - 1) // 2, 2.5) if constant else rng.normal(size=len(x) * (len(x) - 1) // 2)
    sizes = np.arange(2, x.shape[1] + 1, 3) if some and x.shape[1] > 1 else None
    settings = {"sizes": sizes, "similarity": method, "undefined": undefined}
    assert_same(*both(x, rng.permutation(x.shape[1]), reference, **settings))


@compiled_methods
@undefined_rules
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_images=st.sampled_from([3, 8, 15, 16, 17, 33, 127, 130, 150]),
    n_features=st.integers(2, 60),
    silence=st.sampled_from([0.0, 0.3, 1.0]),
    by_poz=st.booleans(),
)
def test_tables_of_one_tile_and_of_many(method, undefined, seed, n_images, n_features, silence, by_poz):
    x, rng = sparse_embeddings(seed, n_images, n_features, silence), np.random.default_rng(seed)
    order = poz_order(percentage_of_zeros(x)) if by_poz else np.arange(n_features)
    reference = rng.normal(size=n_images * (n_images - 1) // 2) + 40
    assert_same(*both(x, order, reference, similarity=method, undefined=undefined))


@compiled_methods
def test_compiled_curve_equals_recomputing_each_matrix(method, sparse, rng):
    order, reference = rng.permutation(30), rng.normal(size=(12, 12))
    reference += reference.T
    sizes = np.arange(1, 31)
    r2, n_undefined = slow.insertion_curve(sparse, order, reference, sizes, method, "drop")
    curve = insertion_curve(sparse, order, reference, similarity=method, undefined="drop", engine="compiled")
    np.testing.assert_allclose(curve.r2, r2, atol=1e-12)
    assert np.array_equal(curve.n_undefined, n_undefined)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_similarities_that_hardly_differ_keep_their_digits(engine, rng):
    base = rng.uniform(1, 2, 40)
    x = base + 1e-5 * rng.normal(size=(20, 40))  # every similarity is one minus some 1e-10
    reference, sizes = rng.normal(size=190), np.array([10, 40])
    # exact: centred rows are unit rows plus a small part; 1 - r is half the squared distance between unit rows
    exact = []
    for k in sizes:
        part = x[:, :k].astype(np.longdouble)
        part = part - part.mean(axis=1, keepdims=True)
        part /= np.sqrt((part**2).sum(axis=1, keepdims=True))
        i, j = np.triu_indices(20, 1)
        exact.append(np.corrcoef(((part[i] - part[j]) ** 2).sum(axis=1).astype(float), reference)[0, 1] ** 2)
    found = insertion_curve(x, np.arange(40), reference, sizes, engine=engine).r2
    np.testing.assert_allclose(found, exact, rtol=1e-4)  # 6 digits of r are left above rounding, 4 of its square


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    x = sparse_embeddings(3, 20, 30)
    order, reference = np.arange(30), np.random.default_rng(0).normal(size=190)
    for method in ("pearson", "cosine"):
        plain, scaled = (
            insertion_curve(v, order, reference, similarity=method, engine="compiled") for v in (x, x * scale)
        )
        np.testing.assert_allclose(scaled.r2, plain.r2, atol=1e-12)


@undefined_rules
def test_number_of_threads_changes_no_bit(undefined, monkeypatch):
    x = sparse_embeddings(1, 300, 40, silence=0.5)
    order, reference = poz_order(percentage_of_zeros(x)), np.random.default_rng(2).normal(size=300 * 299 // 2)
    found = []
    for n, block in ((1, 2**17), (2, 2**17), (3, 2**17)):
        monkeypatch.setenv("HELPERS_THREADS", str(n))
        monkeypatch.setattr(rsa, "_BLOCK", block // 8)
        found.append([curve.r2 for curve in both(x, order, reference, undefined=undefined)])
    for other in found[1:]:
        for engine in (0, 1):
            assert np.array_equal(other[engine], found[0][engine], equal_nan=True)


# ------------------------------------------------------------------------------------------------------------ streaming
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("reference_method", ["pearson", "cosine"])
@undefined_rules
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n_images=st.sampled_from([3, 16, 21, 140]), method=st.sampled_from(rsa.SIMILARITIES))
def test_streamed_reference_equals_the_matrix_in_memory(engine, reference_method, undefined, seed, n_images, method):
    if engine == "compiled" and method not in ("pearson", "cosine"):
        return
    x, rng = sparse_embeddings(seed, n_images, 18, 0.4), np.random.default_rng(seed)
    other, sizes = rng.uniform(0, 1, (n_images, 7)), np.array([1, 5, 6, 18])
    settings = {"similarity": method, "undefined": undefined, "engine": engine}
    streamed = streamed_curve(x, np.arange(18), other, sizes, reference_similarity=reference_method, **settings)
    stored = insertion_curve(x, np.arange(18), similarity_matrix(other, reference_method), sizes, **settings)
    assert_same(stored, streamed, 1e-10 if method == "euclidean" else 1e-11)


def test_streamed_blocks_of_rows_are_the_blocks_of_the_matrix(monkeypatch):
    x = sparse_embeddings(5, 40, 20)
    other = np.random.default_rng(5).uniform(0, 1, (40, 9))
    monkeypatch.setattr(rsa, "_BLOCK", 160)
    streamed = streamed_curve(x, np.arange(20), other, engine="numpy")
    monkeypatch.undo()
    assert_same(insertion_curve(x, np.arange(20), similarity_matrix(other), engine="numpy"), streamed)


def test_full_embedding_as_its_own_reference_ends_at_one():
    x = np.random.default_rng(0).gamma(1, size=(60, 12))
    assert streamed_curve(x, np.arange(12), x).r2[-1] == pytest.approx(1, abs=1e-12)


def test_streamed_reference_must_fit_and_be_defined():
    x = np.random.default_rng(0).gamma(1, size=(6, 5))
    with pytest.raises(ValueError, match="reference_embeddings must hold the 6 images.*got 5"):
        streamed_curve(x, np.arange(5), x[:5])
    with pytest.raises(ValueError, match=r"undefined for image\(s\) \[2\]"):
        streamed_curve(x, np.arange(5), np.where(np.arange(6)[:, None] == 2, 1.0, x))
    with pytest.raises(ValueError, match="reference_similarity must be one of.*'euclid'"):
        streamed_curve(x, np.arange(5), x, reference_similarity="euclid")


# -------------------------------------------------------------------------------------------------------------- engines
def test_engine_is_checked():
    x = np.random.default_rng(0).gamma(1, size=(6, 5))
    reference = upper_triangle(similarity_matrix(x))
    with pytest.raises(ValueError, match="engine must be one of.*'fast'"):
        insertion_curve(x, np.arange(5), reference, engine="fast")
    with pytest.raises(ValueError, match="must have similarity pearson or cosine; got 'spearman'"):
        insertion_curve(x, np.arange(5), reference, similarity="spearman", engine="compiled")


def test_without_numba_auto_is_numpy_and_compiled_says_what_to_install():
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "numba":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import helpers.rsa as rsa, numpy as np
rsa.find_spec = lambda name: None
rsa._WORTHWHILE = 0
x = np.random.default_rng(0).gamma(1, size=(6, 5))
assert rsa.insertion_curve(x, np.arange(5), rsa.similarity_matrix(x)).r2[-1] > 0.999
try:
    rsa.insertion_curve(x, np.arange(5), rsa.similarity_matrix(x), engine="compiled")
except ModuleNotFoundError as error:
    assert "pip install" in str(error)
else:
    sys.exit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_number_of_threads_is_checked(monkeypatch):
    for wrong in ("0", "two", "-1"):
        monkeypatch.setenv("HELPERS_THREADS", wrong)
        with pytest.raises(ValueError, match=f"HELPERS_THREADS must be.*{wrong}"):
            parallel.threads()
    monkeypatch.setenv("HELPERS_THREADS", "3")
    assert parallel.threads() == 3 and parallel.ordered_map(lambda i: i * i, range(9)) == [i * i for i in range(9)]


@undefined_rules
@pytest.mark.parametrize("streamed", [False, True])
def test_where_tiles_share_their_columns_nothing_is_lost(rng, streamed, undefined):
    """More images than `kernels.curves._MANY`, not a whole number of tiles, some of them silent at first."""
    from kernels import curves

    n = curves._MANY + 87
    x = rng.random((n, 6))
    x[::50, :4] = 0
    x[::50, 4:] += 1
    curve, reference = (streamed_curve, x) if streamed else (insertion_curve, rng.random(n * (n - 1) // 2))
    numpy_curve, compiled_curve = (
        curve(x, np.arange(6), reference, np.array([3, 4, 6]), undefined=undefined, engine=engine)
        for engine in ("numpy", "compiled")
    )
    assert np.isfinite(compiled_curve.r2[-1])
    assert_same(numpy_curve, compiled_curve)
