"""Inference: explicit resampling, rsatoolbox, invariances, planted truths, errors."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import inference, rsa

N, F = 14, 30
SIZES = np.array([6, 12, 20, F])


def post_relu(seed=0, n=N, f=F):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, f)), 0) + 0.0


def judgments(seed=1, n=N):
    return np.random.default_rng(seed).random(n * (n - 1) // 2)


def planted(seed, n=48, f=60, best=20, noise=0.1):
    """Embeddings of which the first ``best`` features make the judgments."""
    x = post_relu(seed, n, f)
    pair_noise = np.random.default_rng(seed + 100).normal(size=n * (n - 1) // 2)
    human = rsa.upper_triangle(rsa.similarity_matrix(x[:, :best]))
    return x, human + noise * pair_noise


def square(pairs, n=N):
    matrix = np.eye(n)
    i, j = np.triu_indices(n, 1)
    matrix[i, j] = matrix[j, i] = pairs
    return matrix


def bootstrap(x, human, order=None, sizes=SIZES, seed=2, n_resamples=40, **settings):
    order = np.arange(x.shape[1]) if order is None else order
    given = inference.prepare(x, order, human, sizes, **settings)
    rng = np.random.default_rng(seed)
    return inference.bootstrap_curve(given, n_resamples, rng=rng)


def null(x, human, order=None, sizes=SIZES, n_orders=12, similarity="pearson", **more):
    order = np.arange(x.shape[1]) if order is None else order
    given = inference.prepare(x, order, human, sizes, similarity)
    rng = np.random.default_rng(0)
    return inference.random_order_null(given, n_orders, rng=rng, **more)


def nested(x, human, sizes=None, seed=0, similarity="pearson", **settings):
    given = inference.prepare(x, np.arange(x.shape[1]), human, sizes, similarity)
    rng = np.random.default_rng(seed)
    return inference.nested_choice(given, rng=rng, **settings)


def resamples(n_resamples=40, n=N):
    """Those of `bootstrap`."""
    return inference.bootstrap_counts(n, n_resamples, np.random.default_rng(2))


def plain_r2(model, people, images):
    """Squared corrcoef over the pairs of the images, one by one; a pair of an image
    with itself, or without a judgment, does not count."""
    i, j = np.triu_indices(len(images), 1)
    i, j = images[i], images[j]
    kept = (i != j) & np.isfinite(people[i, j])
    return np.corrcoef(model[i, j][kept], people[i, j][kept])[0, 1] ** 2


# -------------------------------------------------------------------------- bootstrap
@pytest.mark.parametrize("missing", [[], [0, 17, 40]], ids=["complete", "missing"])
@pytest.mark.parametrize("similarity", rsa.SIMILARITIES)
def test_weighted_form_equals_explicit_resampling(similarity, missing):
    x, human, order = post_relu(), judgments(), np.random.default_rng(3).permutation(F)
    human[missing] = np.nan
    sizes, counts = SIZES[:-1], resamples()
    result = inference.prepare(x, order, human, sizes, similarity).weighted_r2(counts)
    models = [rsa.similarity_matrix(x[:, order[:size]], similarity) for size in SIZES]
    drawn = [np.repeat(np.arange(N), count) for count in counts]
    people = square(human)
    expected = [[plain_r2(m, people, images) for m in models] for images in drawn]
    np.testing.assert_allclose(result, expected, atol=1e-10)
    a, b = (bootstrap(x, h, order, similarity=similarity) for h in (human, people))
    pd.testing.assert_frame_equal(a, b)
    observed = [plain_r2(model, people, np.arange(N)) for model in models]
    np.testing.assert_allclose(a["r2"], observed, atol=1e-10)


def test_full_embedding_is_compared_also_when_not_among_the_sizes():
    x, human = post_relu(), judgments()
    whole, without = bootstrap(x, human), bootstrap(x, human, sizes=SIZES[:-1])
    columns = [name for name in whole if not name.startswith("all")]
    np.testing.assert_allclose(without[columns], whole[columns][:-1])
    last = whole.loc[F]  # does not differ from itself
    assert (last.filter(regex="^difference|^all_[lh]|^calibrated_[lh]") == 0).all()
    assert (last.filter(regex="^ratio|p$") == 1).all()


def test_bands_are_percentiles_of_the_resamples():
    x, human = post_relu(), judgments()
    r2 = inference.prepare(x, np.arange(F), human, SIZES).weighted_r2(resamples())
    r2, full = r2[:, :-1], r2[:, -1:]
    curve = bootstrap(x, human)
    for name, resampled in (
        ("", r2),
        ("difference_", r2 - full),
        ("ratio_", r2 / full),  # within each resample
    ):
        expected = np.quantile(resampled, [0.025, 0.975], axis=0)
        band = curve[[f"{name}low", f"{name}high"]].T
        np.testing.assert_allclose(band, expected, atol=1e-12)
    np.testing.assert_allclose(curve["ratio"], curve["r2"] / curve.at[F, "r2"])


@pytest.mark.parametrize("scale", [1e-8, 3.0, 1e8])
def test_scale_of_embeddings_and_judgments_changes_nothing(scale):
    x, human, columns = post_relu(), judgments(), ["r2", "low", "high"]
    expected = bootstrap(x, human)[columns]
    np.testing.assert_allclose(bootstrap(x * scale, human)[columns], expected)
    other = bootstrap(x, 5 - scale * human)[columns]
    np.testing.assert_allclose(other, expected, atol=1e-7 if scale < 1 else 1e-10)


def test_permuting_images_changes_something_only_without_their_judgments():
    x, human = post_relu(), judgments()
    images = np.random.default_rng(4).permutation(N)
    moved = rsa.upper_triangle(square(human)[np.ix_(images, images)])
    expected = bootstrap(x, human)["r2"]
    np.testing.assert_allclose(bootstrap(x[images], moved)["r2"], expected, atol=1e-12)
    assert np.abs(bootstrap(x[images], human)["r2"] - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("similarity", "changes"), [("pearson", True), ("cosine", False)]
)
def test_dead_node_changes_pearson_but_not_cosine(similarity, changes):
    dead = np.column_stack([post_relu(f=8), np.zeros(N)])
    result = bootstrap(dead, judgments(), sizes=[8, 9], similarity=similarity)
    assert (result.loc[8, "difference"] != 0) == changes
    assert ((result.loc[8, ["p", "calibrated_p", "all_p"]] == 1).all()) != changes


def test_image_without_any_judgment_equals_the_set_without_it():
    x, human, others = post_relu(), square(judgments()), np.delete(np.arange(N), 5)
    human[5], human[:, 5] = np.nan, np.nan
    expected = bootstrap(x[others], human[np.ix_(others, others)])["r2"]
    np.testing.assert_allclose(bootstrap(x, human)["r2"], expected, atol=1e-12)


@pytest.mark.parametrize("judged", [True, False])
def test_undefined_image_makes_the_size_nan_even_if_nobody_judged_it(judged):
    x, human = post_relu(), square(judgments())
    x[2, :6] = 0
    if not judged:
        human[2], human[:, 2] = np.nan, np.nan
    curve = bootstrap(x, human, sizes=[4, 6, 12]).drop(columns="n_undefined")
    assert curve.loc[[4, 6]].isna().all(axis=None) and curve.loc[12].notna().all()
    alone = bootstrap(x, human, sizes=[12])
    assert curve.loc[12, "all_p"] == alone.loc[12, "all_p"]  # of a family of one


def test_undefined_resamples_are_dropped_and_counted():
    x, human = post_relu(n=4), judgments(n=4)
    prepared = inference.prepare(x, np.arange(F), human, SIZES)
    r2 = prepared.weighted_r2(resamples(300, n=4))
    undefined = np.isnan(r2).any(axis=1)
    curve = bootstrap(x, human, n_resamples=300)
    assert (curve["n_undefined"] == undefined.sum()).all() and undefined.any()
    expected = np.quantile(r2[~undefined, :-1], [0.025, 0.975], axis=0)
    np.testing.assert_allclose(curve[["low", "high"]].T, expected)


def test_weighted_r2_does_not_depend_on_how_many_resamples_are_worked_on_at_a_time():
    rng, images = np.random.default_rng(0), np.triu_indices(N, 1)
    similarities, counts = rng.random((5, 91)), inference.bootstrap_counts(N, 300, rng)
    whole, *parts = (
        inference.weighted_r2(similarities, judgments(), part, *images)
        for part in (counts, *np.array_split(counts, 9))
    )
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-13)


def test_bootstrap_equals_rsatoolbox():
    pytest.importorskip("rsatoolbox", reason="the field's reference implementation")
    from rsatoolbox.inference import eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    human = judgments()
    similarities = rsa.partial_similarities(post_relu(), np.arange(F), SIZES)
    models = [
        ModelFixed(str(k), RDMs(1 - row[None])) for k, row in enumerate(similarities)
    ]
    options = {"method": "corr", "N": 30, "boot_noise_ceil": False}
    np.random.seed(8)  # noqa: NPY002 - rsatoolbox draws from numpy's global generator
    evaluated = eval_bootstrap_pattern(models, RDMs(1 - human[None]), **options)
    np.random.seed(8)  # noqa: NPY002
    drawn = [np.random.randint(0, N, size=N) for _ in range(30)]  # noqa: NPY002
    counts = np.stack([np.bincount(images, minlength=N) for images in drawn])
    r2 = inference.weighted_r2(similarities, human, counts, *np.triu_indices(N, 1))
    np.testing.assert_allclose(r2, evaluated.evaluations**2, atol=1e-10)


ONE_SIDED = square(judgments())
ONE_SIDED[2, 7] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"human": judgments(n=N - 1)}, r"human must be \(14, 14\) or \(91,\)"),
        ({"human": ONE_SIDED}, "human must be symmetric"),
        ({"human": np.full(91, np.nan)}, "human must hold at least 3 judged pairs"),
        ({"human": np.ones(91)}, "judged pairs that are not all equal"),
        ({"human": np.append(np.inf, judgments()[1:])}, "human must be finite"),
        ({"x": post_relu()[:3]}, "at least 4 image"),
        ({"order": np.zeros(F, int)}, "order must hold each of the integers"),
        ({"sizes": [3, 31]}, r"integers in 1..30"),
        ({"similarity": "person"}, "similarity must be one of"),
        ({"n_resamples": 1}, "n_resamples must be at least 2"),
        ({"x": post_relu() * (np.arange(N) != 3)[:, None]}, r"feature: \[3\]"),
    ],
)
def test_bootstrap_refuses(change, message):
    settings = {"x": post_relu(), "human": judgments(), **change}
    with pytest.raises(ValueError, match=message):
        bootstrap(**settings)


# --------------------------------------------------------------------------- prepared
def test_similarities_are_formed_once(monkeypatch):
    calls, form = [], rsa.partial_similarities
    monkeypatch.setattr(
        rsa, "partial_similarities", lambda *a: calls.append(a) or form(*a)
    )
    given = inference.prepare(post_relu(), np.arange(F)[::-1], judgments(), SIZES)
    for function in (inference.bootstrap_curve, inference.nested_choice):
        function(given, rng=np.random.default_rng(0))
    assert len(calls) == 1


# ------------------------------------------------------------------ images and raters
def test_two_factor_equals_explicit_resampling_of_images_and_raters():
    x, rng = post_relu(), np.random.default_rng(6)
    raters = judgments() + 0.5 * rng.random((5, 91))
    given = inference.prepare(x, np.arange(F), raters[0], SIZES[:3])
    table = inference.two_factor(given, raters, 60, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)  # the same draws, as lists of images and raters
    images = inference.bootstrap_counts(N, 60, rng)
    people = inference.bootstrap_counts(5, 60, rng)
    models = [np.corrcoef(x[:, :size]) for size in (*SIZES[:3], F)]

    def differences(drawn, who):
        drawn, who = (np.repeat(np.arange(len(w)), w) for w in (drawn, who))
        mean = square(np.mean(raters[who], axis=0))
        r2 = np.array([plain_r2(model, mean, drawn) for model in models])
        return r2[:-1] - r2[-1]

    one = np.ones(N, int), np.ones(5, int)
    np.testing.assert_allclose(table["difference"], differences(*one), atol=1e-12)
    variances = [
        np.var([differences(*pair) for pair in pairs], axis=0, ddof=1)
        for pairs in (
            [(a, one[1]) for a in images],
            [(one[0], b) for b in people],
            zip(images, people, strict=True),
        )
    ]
    np.testing.assert_allclose(table[["images", "raters", "both"]].T ** 2, variances)
    ends = inference.two_factor_test(table["difference"], np.stack(variances), N, 5)
    np.testing.assert_allclose(table[["low", "high", "p"]], ends)


def test_two_factor_refuses_two_raters():
    given = inference.prepare(post_relu(), np.arange(F), judgments(), SIZES)
    with pytest.raises(ValueError, match="number of raters must be at least 3; got 2"):
        inference.two_factor(given, np.ones((2, 91)), rng=np.random.default_rng(0))


# ---------------------------------------------------------------------- random orders
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("similarity", ["pearson", "cosine"])
def test_random_orders_are_insertion_curves(similarity, engine):
    x, human, order = post_relu(), judgments(), np.arange(F)[::-1]
    x = np.where(x > 1, x, 0)
    x[:, 0] += 1  # every image is defined in the end
    x[4, 1:] = 0
    curve, r2 = null(x, human, order, similarity=similarity, engine=engine)
    rng = np.random.default_rng(0)
    orders = [order, *(rng.permutation(F) for _ in range(12))]
    expected = [rsa.insertion_curve(x, o, human, SIZES, similarity).r2 for o in orders]
    found = np.vstack([curve["r2"], r2])
    np.testing.assert_allclose(found, expected, atol=1e-10)
    n_undefined = np.isnan(expected[1:]).sum(axis=0)
    np.testing.assert_array_equal(curve["n_undefined"], n_undefined)
    assert n_undefined.max() > 0 and np.isfinite(r2).any()


def test_random_orders_drop_missing_pairs():
    x, human = post_relu(), judgments()
    human[[2, 50]] = np.nan
    models, everyone = (np.corrcoef(x[:, :size]) for size in SIZES), np.arange(N)
    expected = [plain_r2(model, square(human), everyone) for model in models]
    r2 = null(x, human, n_orders=2)[0]["r2"]
    np.testing.assert_allclose(r2, expected, atol=1e-10)


def test_all_orders_tie_at_full_size():
    last = null(post_relu(), judgments(), n_orders=50)[0].loc[F]
    assert last["percentile"] == 50 and last["p"] == 1


def test_informative_features_first_beat_random_orders_and_last_lose():
    x, human = planted(0, 30, noise=0)
    first = null(x, human, sizes=[20, 40], n_orders=99)[0]
    last = null(x, human, np.arange(60)[::-1], [20, 40], 99)[0]
    assert (first["percentile"] == 100).all() and (last["percentile"] == 0).all()
    np.testing.assert_allclose([first["p"], last["p"]], 2 / 100)


def test_random_order_is_uniform_among_random_orders():
    x, human, rng = post_relu(), judgments(), np.random.default_rng(0)
    p = []
    for _ in range(100):
        prepared = inference.prepare(x, rng.permutation(F), human, [10])
        curve, _ = inference.random_order_null(prepared, n_orders=39, rng=rng)
        p.append(curve["p"].iloc[0])
    assert 0.002 < np.mean(np.array(p) <= 0.1) < 0.2


@pytest.mark.parametrize("gaps", [[], [7]], ids=["complete", "missing"])
def test_r2_of_similarities_that_vary_by_rounding_only_is_undefined(gaps):
    x, human = np.outer(1 + np.random.default_rng(0).random(N), np.ones(5)), judgments()
    human[gaps] = np.nan
    curve, r2 = null(x, human, sizes=[2, 5], n_orders=3, similarity="cosine")
    assert curve["r2"].isna().all() and np.isnan(r2).all()


def test_order_null_refuses_no_orders():
    with pytest.raises(ValueError, match="n_orders must be at least 1; got 0"):
        null(post_relu(), judgments(), n_orders=0)


# ---------------------------------------------------------------------- nested choice
def test_planted_optimum_is_found_and_better_on_held_out_images():
    splits, (gain, low, _, p) = nested(*planted(0), sizes=np.arange(5, 61, 5))
    assert (splits["chosen"] == 20).mean() > 0.9
    assert gain > 0.2 and low > 0 and p < 0.01


def test_no_effect_is_not_significantly_positive():
    sizes, n_positive = np.arange(4, 41, 4), 0
    for seed in range(40):
        x, human = post_relu(seed, 30, 40), judgments(seed + 50, 30)
        _, (_, low, _, _) = nested(x, human, sizes=sizes)
        n_positive += low > 0
    assert n_positive <= 4  # 2.5 % expected; more: p = 0.003


def test_splits_equal_an_explicit_cross_validation():
    n, sizes = 16, np.array([4, 8, 20])
    x, human = planted(3, n=n, f=20, best=8, noise=1)
    splits, gain = nested(x, human, sizes=sizes, n_folds=3, n_repeats=2, seed=9)
    fold = np.tile(np.arange(n) % 3, (2, 1))
    fold = np.random.default_rng(9).permuted(fold, axis=1)
    models, people = [np.corrcoef(x[:, :size]) for size in sizes], square(human, n)
    tests = [images == k for images in fold for k in range(3)]
    for (_, row), test in zip(splits.iterrows(), tests, strict=True):
        train_r2, held_out = (
            [plain_r2(model, people, np.flatnonzero(part)) for model in models]
            for part in (~test, test)
        )
        best = int(np.argmax(train_r2))
        expected = sizes[best], train_r2[best], held_out[best], held_out[-1]
        np.testing.assert_allclose(row, expected, atol=1e-10)
    assert gain[0] == pytest.approx((splits["held_out"] - splits["full"]).mean())


def test_no_choice_means_no_difference_and_no_test():
    _, gain = nested(post_relu(), judgments(), sizes=[F])
    assert (gain[:3] == 0).all() and np.isnan(gain[3])


def test_smallest_of_equal_sizes_is_chosen():
    x, human = planted(0, f=20, best=20)
    dead = np.column_stack([x, np.zeros((48, 5))])
    splits, _ = nested(dead, human, sizes=np.arange(20, 26), similarity="cosine")
    assert (splits["chosen"] == 20).all()


def test_undefined_sizes_are_no_candidates_also_where_pairs_are_missing():
    x, human = planted(0)
    x[3, :20] = 0
    human[[1, 100]] = np.nan
    splits, _ = nested(x, human, sizes=np.arange(5, 61, 5))
    assert splits["chosen"].min() > 20 and splits.notna().all(axis=None)


@pytest.mark.parametrize("n_folds", [1, 4])
def test_nested_choice_refuses_folds_too_few_or_too_small(n_folds):
    with pytest.raises(ValueError, match=r"n_folds must lie in 2..3, so that each"):
        nested(post_relu(), judgments(), n_folds=n_folds)


def test_nested_choice_refuses_sizes_that_are_all_undefined():
    x = post_relu()
    x[0, :5] = 0
    with pytest.raises(ValueError, match="sizes must include one with a defined R2"):
        nested(x, judgments(), sizes=[2, 3])


@given(st.integers(1, 5000), st.integers(1, 300))
def test_spaced_sizes_increase_evenly_and_end_with_all(n_features, n_sizes):
    sizes = inference.spaced_sizes(n_features, n_sizes)
    steps = [b - a for a, b in pairwise(sizes)]
    assert sizes[0] >= 1 and sizes[-1] == n_features
    assert len(sizes) == min(n_features, n_sizes)
    assert not steps or (min(steps) > 0 and max(steps) - min(steps) <= 1)
