"""The compiled kernel gives what plain numpy gives, to 1e-12, whatever the data."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference as slow
from helpers.rsa import SIMILARITIES, insertion_curve, similarity_matrix, streamed_curve

pytest.importorskip("numba")
engines = pytest.mark.parametrize("engine", ["numpy", "compiled"])
methods = pytest.mark.parametrize("method", ["pearson", "cosine"])
undefined_rules = pytest.mark.parametrize("undefined", ["nan", "drop"])

levels = st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.5])  # silent and equal images, ghosts
shapes = st.tuples(st.integers(3, 9), st.integers(1, 12))
tables = hnp.arrays(np.float64, shapes, elements=levels)


def example_table(seed, n_images, n_features, silence=0.0):
    """Every fifth image silent in the first features, two images alike, some ghosts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_images, n_features)) - rng.uniform(-1, 2, n_features)
    x = np.maximum(x, 0)
    x[::5, : int(silence * n_features)] = 0
    x[1] = x[2]
    x[:, ::7] = 0
    return x


def assert_same(curve, other, atol=1e-12):
    np.testing.assert_allclose(curve.r2, other.r2, atol=atol, rtol=0)
    assert np.array_equal(curve.n_undefined, other.n_undefined)
    assert np.array_equal(curve.sizes, other.sizes)


def assert_engines_agree(x, order, y, sizes=None, curve=insertion_curve, **settings):
    numpy, compiled = (
        curve(x, order, y, sizes, engine=engine, **settings)
        for engine in ("numpy", "compiled")
    )
    assert_same(numpy, compiled)
    return compiled


@methods
@undefined_rules
@settings(deadline=None, max_examples=60)
@given(x=tables, seed=st.integers(0, 99), offset=st.sampled_from([0, 1e6]))
@example(x=np.zeros((4, 3)), seed=0, offset=0)
@example(x=np.ones((5, 4)), seed=0, offset=0)
def test_small_tables_at_every_size_and_at_some(method, undefined, x, seed, offset):
    rng, n = np.random.default_rng(seed), len(x) * (len(x) - 1) // 2
    order, y = rng.permutation(x.shape[1]), rng.integers(0, 3, n) + offset
    settings = {"similarity": method, "undefined": undefined}
    assert_engines_agree(x, order, y, **settings)
    few = np.arange(x.shape[1], 0, -3)[::-1]
    assert_engines_agree(x, order, y, few, **settings)


@methods
@undefined_rules
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_images=st.sampled_from([3, 8, 15, 16, 17, 33, 127, 130, 150]),
    n_features=st.integers(2, 60),
    silence=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_one_tile_and_many(method, undefined, seed, n_images, n_features, silence):
    x = example_table(seed, n_images, n_features, silence)
    rng, n = np.random.default_rng(seed), n_images * (n_images - 1) // 2
    order, y = rng.permutation(n_features), rng.normal(size=n) + 40
    assert_engines_agree(x, order, y, similarity=method, undefined=undefined)


@undefined_rules
@pytest.mark.parametrize("curve", [insertion_curve, streamed_curve])
def test_images_beyond_those_whose_columns_stay_near(rng, curve, undefined):
    n, order, sizes = 2087, np.arange(6), np.array([3, 4, 6])
    x = rng.random((n, 6))
    x[::50, :4] = 0
    x[::50, 4:] += 1
    y = x if curve is streamed_curve else rng.random(n * (n - 1) // 2)
    compiled = assert_engines_agree(x, order, y, sizes, curve, undefined=undefined)
    assert np.isfinite(compiled.r2[-1])


@methods
@pytest.mark.parametrize("scale", [1, 1e-200, 1e200])
def test_compiled_curve_equals_recomputing_each_matrix(method, scale, sparse, rng):
    order, y, sizes = rng.permutation(30), rng.normal(size=(12, 12)), np.arange(1, 31)
    y += y.T
    settings = {"similarity": method, "undefined": "drop", "engine": "compiled"}
    curve = insertion_curve(sparse * scale, order, y, **settings)
    r2, n_undefined = slow.insertion_curve(sparse, order, y, sizes, method, "drop")
    np.testing.assert_allclose(curve.r2, r2, atol=1e-12)
    assert np.array_equal(curve.n_undefined, n_undefined)


@engines
def test_similarities_that_hardly_differ_keep_their_digits(engine, rng):
    x = rng.uniform(1, 2, 40) + 1e-5 * rng.normal(size=(20, 40))  # 1 - r is about 1e-10
    y, sizes, (i, j) = rng.normal(size=190), np.array([10, 40]), np.triu_indices(20, 1)
    exact = []
    for k in sizes:  # 1 - r is half the squared distance between unit rows
        rows = x[:, :k].astype(np.longdouble)
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows /= np.sqrt((rows**2).sum(axis=1, keepdims=True))
        distances = ((rows[i] - rows[j]) ** 2).sum(axis=1).astype(float)
        exact.append(np.corrcoef(distances, y)[0, 1] ** 2)
    r2 = insertion_curve(x, np.arange(40), y, sizes, engine=engine).r2
    np.testing.assert_allclose(r2, exact, rtol=1e-4)  # 4 digits of 1 - r squared remain


@engines
@pytest.mark.parametrize("level", [0, 1e-16, 1e6])
def test_a_reference_that_varies_by_rounding_alone_gives_no_r2(engine, level, rng):
    x = np.maximum(rng.normal(size=(12, 30)), 0)
    y = level + level * 1e-16 * rng.integers(0, 3, 66)
    assert np.isnan(insertion_curve(x, np.arange(30), y, engine=engine).r2).all()


@engines
@undefined_rules
def test_number_of_threads_changes_no_bit(engine, undefined, monkeypatch):
    x, rng = example_table(1, 300, 40, silence=0.5), np.random.default_rng(2)
    order, y = rng.permutation(40), rng.normal(size=300 * 299 // 2)
    monkeypatch.setattr("helpers.rsa._BLOCK", 2**14)
    curves = []
    for n_threads in "123":
        monkeypatch.setenv("HELPERS_THREADS", n_threads)
        settings = {"undefined": undefined, "engine": engine}
        curves.append(insertion_curve(x, order, y, **settings).r2)
    for r2 in curves[1:]:
        assert np.array_equal(r2, curves[0], equal_nan=True)


# -------------------------------------------------------------------------- streaming
@engines
@pytest.mark.parametrize("reference_method", ["pearson", "cosine"])
@pytest.mark.parametrize("n_images", [3, 21, 140])
@pytest.mark.parametrize("method", SIMILARITIES)
def test_streamed_reference_is_the_matrix(
    engine, reference_method, n_images, method, rng, monkeypatch
):
    if engine == "compiled" and method not in ("pearson", "cosine"):
        engine = "auto"
    monkeypatch.setattr("helpers.rsa._BLOCK", 2000)
    x, sizes = example_table(n_images, n_images, 18, 0.4), np.array([1, 5, 6, 18])
    other, order = rng.uniform(0, 1, (n_images, 7)), np.arange(18)
    matrix = similarity_matrix(other, reference_method)
    settings = {"similarity": method, "undefined": "drop", "engine": engine}
    stored = insertion_curve(x, order, matrix, sizes, **settings)
    settings["reference_similarity"] = reference_method
    assert_same(streamed_curve(x, order, other, sizes, **settings), stored, 1e-11)


def test_streamed_reference_must_fit_and_be_defined(rng):
    x, order = rng.gamma(1, size=(6, 5)), np.arange(5)
    assert streamed_curve(x, order, x).r2[-1] == pytest.approx(1, abs=1e-12)
    with pytest.raises(
        ValueError, match="each of the 6 images.*|6 images.*got 5 images"
    ):
        streamed_curve(x, order, x[:5])
    silent = np.where(np.arange(6)[:, None] == 2, 1.0, x)
    with pytest.raises(ValueError, match="6 images.*5 of which"):
        streamed_curve(x, order, silent)
    with pytest.raises(
        ValueError, match="reference_similarity must be one of.*'euclid'"
    ):
        streamed_curve(x, order, x, reference_similarity="euclid")


def test_without_numba_or_its_cache_auto_is_numpy_and_compiled_says_why():
    code = """
import sys
sys.modules["numba"] = None
import numpy as np
from helpers import rsa
rsa._WORTHWHILE = 0
x = np.random.default_rng(0).gamma(1, size=(6, 5))
y = rsa.similarity_matrix(x)
assert rsa.insertion_curve(x, np.arange(5), y).r2[-1] > 0.999
try:
    rsa.insertion_curve(x, np.arange(5), y, engine="compiled")
except ModuleNotFoundError as error:
    assert "numba" in str(error)
else:
    sys.exit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    # where numba may write nowhere, it raises "cannot cache function"
    unwritable = "import numba\nnumba.core.caching.CacheImpl._locator_classes = []\n"
    code = code.replace('sys.modules["numba"] = None', unwritable)
    code = code.replace("ModuleNotFoundError", "RuntimeError").replace(
        '"numba" in', '"cannot cache function" in'
    )
    subprocess.run([sys.executable, "-c", code], check=True)
