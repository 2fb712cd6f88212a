"""Each public function on hostile arrays, against slow references in longer numbers.

A short, fixed part runs with the other tests. `make fuzz` draws new examples for as
long as it is given and records what was tried and found (`campaign.py`).
"""

import inspect
import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import exact
import hostile
from helpers import checks, inference, retrieval, rsa, significance, sparsity
from helpers.rsa import SIMILARITIES

pytest.importorskip("numba")
long = "FUZZ" in os.environ  # set by `campaign`
short = settings(
    deadline=None,
    max_examples=100,
    derandomize=not long,
    database=None,
    suppress_health_check=list(HealthCheck),
)
methods, seeds = st.sampled_from(SIMILARITIES), st.integers(0, 2**32)


def close(found, expected, tolerance):
    """NaN in the same places, and equal to within the tolerance elsewhere."""
    compared = np.isfinite(tolerance)
    assert np.array_equal(np.isnan(found)[compared], np.isnan(expected)[compared])
    off = np.abs(np.asarray(found) - expected)[compared]
    assert not (off > np.broadcast_to(tolerance, np.shape(found))[compared]).any(), (
        found,
        expected,
    )


def in_unit_interval(r2):
    defined = r2[~np.isnan(r2)]
    return ((defined >= 0) & (defined <= 1)).all()


@short
@given(data=st.data(), x=hostile.embeddings(images=(1, 9)), method=methods)
def test_similarity_matrix(data, x, method):
    pairs, scale = exact.similarities(x, method), 1.0
    if method == "euclidean":
        scale = np.abs(pairs).max(initial=0) or 1.0
        assume(scale < 1e308)  # else a distance is no double
    laid_out = hostile.laid_out(x, data.draw(hostile.layouts))
    matrix = rsa.similarity_matrix(laid_out, method)
    assert np.array_equal(matrix, matrix.T, equal_nan=True)
    close(
        rsa.upper_triangle(matrix) / float(scale),
        (pairs / scale).astype(float),
        np.full(len(pairs), 1e-12 + float(np.nextafter(0, 1) / scale)),
    )


@short
@given(
    data=st.data(), method=methods, rule=st.sampled_from(["nan", "drop"]), seed=seeds
)
def test_curves(data, method, rule, seed):
    x, rng = data.draw(hostile.embeddings()), np.random.default_rng(seed)
    order, k = rng.permutation(x.shape[1]), x.shape[1]
    sizes = np.unique(rng.integers(1, k + 1, rng.integers(1, k + 1)))
    y = data.draw(hostile.judgments(len(x)))
    how = data.draw(hostile.layouts)
    given = [hostile.laid_out(a, how) for a in (x, order, y, sizes)]
    r2, tolerance, undefined = exact.curve(x, order, y, sizes, method, rule)
    for engine in (
        ("numpy", "compiled") if method in ("pearson", "cosine") else ("numpy",)
    ):
        curve = rsa.insertion_curve(*given, method, rule, engine)
        assert np.array_equal(curve.n_undefined, undefined)
        assert in_unit_interval(curve.r2)
        close(curve.r2, r2, 1e-10 + tolerance)
    pairs = rsa.partial_similarities(*given[:2], given[3], method)
    expected = np.array([exact.similarities(x[:, order[:s]], method) for s in sizes])
    if method == "euclidean":
        largest = np.abs(expected).max() or 1
        pairs = pairs / (np.abs(pairs).max() or 1)
        expected = (expected / largest).astype(float)
    close(pairs, expected.astype(float), np.full(pairs.shape, 1e-10))


@short
@given(data=st.data(), x=hostile.embeddings(), method=methods, seed=seeds)
def test_streamed_curve(data, x, method, seed):
    rng, y = np.random.default_rng(seed), data.draw(hostile.embeddings())
    y = np.resize(y, (len(x), y.shape[1]))
    reference = data.draw(st.sampled_from(["pearson", "cosine"]))
    assume(not exact.undefined(y, reference).any())
    order, sizes = rng.permutation(x.shape[1]), np.arange(1, x.shape[1] + 1)
    expected = exact.curve(
        x, order, exact.similarities(y, reference).astype(float), sizes, method, "drop"
    )
    curve = rsa.streamed_curve(x, order, y, None, method, "drop", "auto", reference)
    close(curve.r2, expected[0], 1e-9 + 10 * expected[1])


@short
@given(data=st.data(), x=hostile.embeddings(), method=methods, seed=seeds)
def test_curves_of_many_orders_with_missing_pairs(data, x, method, seed):
    rng, y = np.random.default_rng(seed), data.draw(hostile.judgments(len(x), True))
    y = checks.reference(y, len(x), may_miss=True)
    assume(np.isfinite(y).any())
    orders = [rng.permutation(x.shape[1]) for _ in range(2)]
    x = x / (np.abs(x).max() or 1)
    sizes = np.arange(1, x.shape[1] + 1)
    found = rsa.order_curves(x, orders, y, sizes, method)
    for r2, order in zip(found, orders, strict=True):
        expected = exact.curve(x, order, y, sizes, method, "nan")
        close(r2, expected[0], 1e-10 + expected[1])


@short
@given(data=st.data(), x=hostile.embeddings((1, 9), post_relu=True), seed=seeds)
def test_sparsity(data, x, seed):
    laid_out = hostile.laid_out(x, data.draw(hostile.layouts))
    zeros = [sum(value == 0 for value in column) for column in x.T]
    poz = sparsity.percentage_of_zeros(laid_out)
    assert poz.tolist() == [count / len(x) for count in zeros]
    ghosts = [k for k, count in enumerate(zeros) if count == len(x)]
    assert sparsity.ghost_features(laid_out).tolist() == ghosts
    for first in (False, True):
        keys = [(-z if first else z, k) for k, z in enumerate(zeros)]
        assert sparsity.poz_order(poz, first).tolist() == [k for _, k in sorted(keys)]
        order = sparsity.poz_order(poz, first, np.random.default_rng(seed))
        assert np.array_equal(np.sort(order), np.arange(len(poz)))
        assert (np.diff(poz[order]) * (-1 if first else 1) >= 0).all()
    few = sum(10 * z <= 9 * len(x) for z in zeros)
    expected = [len(zeros) - len(ghosts), few, -(-len(zeros) // 5)]
    assert list(sparsity.rules(poz).values()) == expected


@short
@given(
    data=st.data(), x=hostile.embeddings((6, 10), (2, 9)), method=methods, seed=seeds
)
def test_bootstrap_orders_and_choice(data, x, method, seed):
    """The same draws, weighed pair by pair."""
    y = data.draw(hostile.judgments(len(x)))
    order, n = np.random.default_rng(seed).permutation(x.shape[1]), len(x)
    i, j = np.triu_indices(n, 1)
    rng = np.random.default_rng(seed)
    try:
        prepared = inference.prepare(x, order, y, similarity=method)
        curve = inference.bootstrap_curve(prepared, n_resamples=19, rng=rng)
    except ValueError as error:
        assert str(error).startswith(("human must", "the R2 of all", "too few"))
        return
    counts = significance.bootstrap_counts(n, 19, np.random.default_rng(seed))
    counts = np.vstack([np.ones(n, int), counts])
    pairs = [exact.similarities(x[:, order[:k]], method) for k in prepared.sizes]
    score = [[exact.r_squared(p, y, c[i] * c[j]) for p in pairs] for c in counts]
    r2, tolerance = np.moveaxis(np.array(score), 2, 0)
    trusted = np.isfinite(tolerance).all(axis=0) & (tolerance.max(axis=0) < 1e-7)
    assume(trusted.any() and curve["n_undefined"].iloc[0] == 0)
    band = np.quantile(r2[1:], [0.025, 0.975], axis=0)
    for name, expected in zip(("r2", "low", "high"), (r2[0], *band), strict=True):
        close(curve[name].to_numpy()[trusted], expected[trusted], 1e-6)
    assume(trusted[-1])
    difference = (r2 - r2[:, -1:])[1:]
    settled = trusted & (np.abs(difference) > 1e-6).all(axis=0)
    sides = (difference <= 0).sum(axis=0), (difference >= 0).sum(axis=0)
    p = np.minimum(1, 2 * (1 + np.minimum(*sides)) / 20)
    close(curve["p"].to_numpy()[settled], p[settled], 1e-12)
    _, null = inference.random_order_null(
        prepared, n_orders=5, rng=np.random.default_rng(seed)
    )
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(order)) for _ in range(5)]
    for found, other in zip(null, orders, strict=True):
        expected = exact.curve(x, other, y, prepared.sizes, method, "nan")
        close(found, expected[0], 1e-9 + expected[1])


@short
@given(data=st.data(), seed=seeds)
def test_significance(data, seed):
    rng = np.random.default_rng(seed)
    p = rng.choice([0, 1e-300, 0.01, 0.01, 0.4, 1, np.nan], rng.integers(0, 9))
    close(significance.holm(p), exact.holm(p), np.full(len(p), 1e-15))
    unit = data.draw(st.sampled_from(hostile.UNITS))
    subjects = (rng.normal(size=(4, 12)) + rng.normal(size=12)) * unit
    z = subjects / unit
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    lower = np.mean(
        [
            np.corrcoef(s, np.delete(z, i, 0).sum(axis=0))[0, 1] ** 2
            for i, s in enumerate(z)
        ]
    )
    models = np.linalg.svd(z, full_matrices=False)[2][0]
    upper = np.mean([np.corrcoef(models, s)[0, 1] ** 2 for s in z])
    np.testing.assert_allclose(
        significance.noise_ceiling(subjects), (lower, upper), 1e-9
    )
    differences = rng.choice([-1.0, 0, 0, 2], (rng.integers(2, 30), 3)) * unit
    for column, found in zip(
        differences.T, significance.two_sided_p(differences), strict=True
    ):
        sides = 1 + np.sum(column <= 0), 1 + np.sum(column >= 0)
        assert found == min(1, 2 * min(sides) / (1 + len(column)))


@short
@given(data=st.data(), x=hostile.embeddings((2, 6), (2, 9), True), seed=seeds)
def test_retrieval(data, x, seed):
    rng = np.random.default_rng(seed)
    corpus = np.resize(
        data.draw(hostile.embeddings((4, 9), (2, 9), True)), (7, x.shape[1])
    )
    wanted = np.arange(7) % rng.integers(2, 4) == 0
    scores = retrieval.query_scores(x, corpus, rng)
    mean = x.astype(exact.LONG).mean(axis=0)
    for value, row in zip(scores["distance from the mean"], corpus, strict=True):
        r = exact.similarities(np.array([row.astype(exact.LONG), mean]), "pearson")[0]
        close(value, float(1 - r), np.array(1e-10))
    for values in scores.values():
        found = retrieval.roc_area(values, wanted)
        if np.isnan(values).all():
            assert np.isnan(found)
            continue
        values = np.where(np.isnan(values), -np.inf, values)
        ranks = np.unique(values, return_inverse=True)[1].astype(float)
        assert found == pytest.approx(exact.roc_area(ranks, wanted), abs=1e-12)


GOOD = {
    "embeddings": np.arange(12.0).reshape(4, 3) ** 2,
    "order": [2, 0, 1],
    "reference": [1, 2, 3, 4, 5, 7],
    "human": [1, 2, 3, 4, 5, 7],
    "sizes": [1, 3],
    "reference_embeddings": np.arange(12.0).reshape(4, 3) ** 2,
    "category": np.arange(6.0).reshape(2, 3),
    "corpus": np.arange(12.0).reshape(4, 3),
    "poz": [0.5, 0.2],
    "p": [0.5, 0.2],
    "subject_rdms": np.arange(12).reshape(2, 6) % 5,
    "n_features": 10,
    "n_sizes": 3,
    "scores": [0.1, 0.2, 0.2],
    "wanted": np.array([True, False, True]),
    "rng": np.random.default_rng(0),
}
PUBLIC = {
    rsa.similarity_matrix: ("embeddings",),
    rsa.insertion_curve: ("embeddings", "order", "reference", "sizes"),
    rsa.partial_similarities: ("embeddings", "order", "sizes"),
    rsa.streamed_curve: ("embeddings", "order", "reference_embeddings", "sizes"),
    sparsity.percentage_of_zeros: ("embeddings",),
    sparsity.ghost_features: ("embeddings",),
    sparsity.poz_order: ("poz",),
    sparsity.rules: ("poz",),
    inference.prepare: ("embeddings", "order", "human", "sizes"),
    inference.spaced_sizes: ("n_features", "n_sizes"),
    significance.holm: ("p",),
    significance.noise_ceiling: ("subject_rdms",),
    retrieval.query_scores: ("category", "corpus"),
    retrieval.roc_area: ("scores", "wanted"),
}


@settings(short, max_examples=250)
@given(data=st.data(), function=st.sampled_from(list(PUBLIC)))
def test_garbage_is_taken_or_refused_under_its_name(data, function):
    """Any array may be fit for some argument; none may end in another error."""
    name = data.draw(st.sampled_from(PUBLIC[function]))
    value = data.draw(hostile.garbage())
    names = inspect.signature(function).parameters
    arguments = {
        k: v for k, v in GOOD.items() if k in names and k in (*PUBLIC[function], "rng")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            function(**arguments | {name: value})
        except (ValueError, TypeError) as error:
            assert any(argument in str(error) for argument in PUBLIC[function]), error
            assert name in str(error) or not np.ma.is_masked(value), error
