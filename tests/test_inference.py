"""Inference: agreement with explicit resampling and with rsatoolbox, invariances, planted truths, error messages."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import inference, rsa

N, F = 14, 30
SIZES = np.array([6, 12, 20, F])


def post_relu(seed=0, n=N, f=F):
    return np.maximum(np.random.default_rng(seed).normal(size=(n, f)), 0) + 0.0


def judgments(seed=1, n=N):
    return np.random.default_rng(seed).random(n * (n - 1) // 2)


def square(pairs, n):
    matrix = np.eye(n)
    i, j = np.triu_indices(n, 1)
    matrix[i, j] = matrix[j, i] = pairs
    return matrix


def curve(x, human, order=None, sizes=SIZES, seed=2, n_resamples=40, **settings):
    order = np.arange(x.shape[1]) if order is None else order
    rng = np.random.default_rng(seed)
    return inference.bootstrap_curve(x, order, human, sizes, n_resamples=n_resamples, rng=rng, **settings)


def explicit_r2(x, human, drawn, similarity="pearson"):
    """R2 over the pairs of the drawn images, one by one, without the pairs of an image with itself."""
    model = rsa.similarity_matrix(x, similarity)[np.ix_(drawn, drawn)]
    people = square(human, len(x))[np.ix_(drawn, drawn)]
    i, j = np.triu_indices(len(drawn), 1)
    kept = drawn[i] != drawn[j]
    return np.corrcoef(model[i, j][kept], people[i, j][kept])[0, 1] ** 2


# ----------------------------------------------------------------------------------------------------------- bootstrap
@pytest.mark.parametrize("similarity", rsa.SIMILARITIES)
def test_weighted_form_equals_explicit_resampling(similarity):
    x, human, order = post_relu(), judgments(), np.random.default_rng(3).permutation(F)
    result = curve(x, human, order, similarity=similarity)
    counts = inference.bootstrap_counts(N, 40, np.random.default_rng(2))
    for resample, count in enumerate(counts):
        drawn = np.repeat(np.arange(N), count)
        expected = [explicit_r2(x[:, order[:size]], human, drawn, similarity) for size in SIZES]
        np.testing.assert_allclose(result.resampled[resample], expected, atol=1e-10)
        np.testing.assert_allclose(result.resampled_full[resample], expected[-1], atol=1e-10)


def test_explicit_reference_is_numpys_corrcoef():
    x, human = post_relu(), judgments()
    drawn = np.array([0, 0, 3, 5, 5, 5, 7, 8, 9, 9, 10, 11, 12, 13])
    model, people = np.corrcoef(x[drawn]), square(human, N)[np.ix_(drawn, drawn)]
    pairs = [(model[i, j], people[i, j]) for i in range(N) for j in range(i + 1, N) if drawn[i] != drawn[j]]
    np.testing.assert_allclose(explicit_r2(x, human, drawn), np.corrcoef(np.transpose(pairs))[0, 1] ** 2, atol=1e-12)


def test_observed_curve_is_the_insertion_curve():
    x, human = post_relu(), judgments()
    expected = rsa.insertion_curve(x, np.arange(F), human, SIZES)
    result = curve(x, human)
    np.testing.assert_allclose(result.r2, expected.r2, atol=1e-12)
    assert result.full_r2 == pytest.approx(expected.r2[-1])


def test_full_embedding_is_compared_also_when_not_among_the_sizes():
    x, human = post_relu(), judgments()
    with_full, without = curve(x, human), curve(x, human, sizes=SIZES[:-1])
    np.testing.assert_allclose(without.difference, with_full.difference[:-1], atol=1e-14)
    np.testing.assert_allclose(without.difference_band, with_full.difference_band[:, :-1], atol=1e-14)
    assert (without.sizes == SIZES[:-1]).all() and without.full_r2 == pytest.approx(with_full.full_r2)


def test_full_embedding_does_not_differ_from_itself():
    result = curve(post_relu(), judgments())
    assert result.difference[-1] == 0 and (result.difference_band[:, -1] == 0).all()
    assert (result.simultaneous_band[:, -1] == 0).all()
    assert result.p[-1] == result.adjusted_p[-1] == result.calibrated_p[-1] == 1


def test_bands_are_percentiles_of_the_resamples():
    result = curve(post_relu(), judgments(), level=0.8, n_resamples=99)
    difference = result.resampled - result.resampled_full[:, None]
    np.testing.assert_allclose(result.band, np.quantile(result.resampled, [0.1, 0.9], axis=0))
    np.testing.assert_allclose(result.difference_band, np.quantile(difference, [0.1, 0.9], axis=0))


def test_calibrated_error_is_twice_the_jackknife_less_the_bootstrap_variance():
    x, human = planted(0, N, F, best=12, noise=0.2)
    result, human = curve(x, human, n_resamples=60), square(human, N)
    left_out = []
    for image in range(N):
        others = np.delete(np.arange(N), image)
        r2 = rsa.insertion_curve(x[others], np.arange(F), human[np.ix_(others, others)], SIZES).r2
        left_out.append(r2[:-1] - r2[-1])
    jackknife = (N - 1) / N * ((left_out - np.mean(left_out, axis=0)) ** 2).sum(axis=0)
    bootstrap = (result.resampled - result.resampled_full[:, None]).var(axis=0, ddof=1)[:-1]
    expected = np.maximum(2 * jackknife - bootstrap, jackknife / 2)
    assert (expected > jackknife / 2).any()
    np.testing.assert_allclose(result.calibrated_error[:-1] ** 2, expected, rtol=1e-8)
    t = np.abs(result.difference[:-1]) / np.sqrt(expected)
    np.testing.assert_allclose(result.calibrated_p[:-1], 2 * stats.t.sf(t, N - 1), rtol=1e-8)


def test_calibrated_band_holds_zero_just_where_its_p_exceeds_alpha():
    x, human = post_relu(), judgments()
    low, high = curve(x, human, sizes=np.arange(6, F), level=0.3).calibrated_band
    holds = (low <= 0) & (high >= 0)
    assert 0 < holds.sum() < len(holds)
    np.testing.assert_array_equal(holds, curve(x, human, sizes=np.arange(6, F)).calibrated_p > 0.7)


def test_max_statistic_agrees_with_a_loop():
    result = curve(post_relu(), judgments(), n_resamples=99)
    difference = (result.resampled - result.resampled_full[:, None])[:, :-1]
    error = np.array([column.std(ddof=1) for column in difference.T])
    largest = [max(abs(row - result.difference[:-1]) / error) for row in difference]
    limit = np.quantile(largest, 0.95)
    for k in range(3):
        np.testing.assert_allclose(np.ptp(result.simultaneous_band[:, k]), 2 * limit * error[k])
        reached = sum(value >= abs(result.difference[k]) / error[k] for value in largest)
        assert result.adjusted_p[k] == pytest.approx((1 + reached) / 100)


def test_p_is_two_sided_over_resampled_differences():
    differences = np.array([[-1.0, 1, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]])
    np.testing.assert_allclose(inference._two_sided_p(differences), [2 * 2 / 5, 2 / 5, 1])


@pytest.mark.parametrize("scale", [1e-8, 3.0, 1e8])
def test_scaling_the_embeddings_changes_nothing(scale):
    x, human = post_relu(), judgments()
    np.testing.assert_allclose(curve(x * scale, human).resampled, curve(x, human).resampled, atol=1e-9)


def test_affine_change_of_the_judgments_changes_nothing():
    x, human = post_relu(), judgments()
    np.testing.assert_allclose(curve(x, 5 - 20 * human).resampled, curve(x, human).resampled, atol=1e-10)


def test_permuting_images_together_with_judgments_changes_nothing():
    x, human, images = post_relu(), judgments(), np.random.default_rng(4).permutation(N)
    moved = rsa.upper_triangle(square(human, N)[np.ix_(images, images)])
    before, after = curve(x, human), curve(x[images], moved)
    for name in ("r2", "difference"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=1e-12)


def test_permuting_images_without_judgments_changes_the_curve():
    x, human = post_relu(), judgments()
    assert np.abs(curve(x[::-1], human).r2 - curve(x, human).r2).max() > 1e-3


def test_dead_node_changes_pearson_but_not_cosine():
    x, human = post_relu(f=8), judgments()
    dead = np.column_stack([x, np.zeros(N)])
    for similarity, changes in (("pearson", True), ("cosine", False)):
        result = curve(dead, human, sizes=[8, 9], similarity=similarity)
        assert (result.difference[0] != 0) == changes
        if not changes:
            assert result.p[0] == result.adjusted_p[0] == result.calibrated_p[0] == 1
            assert (result.simultaneous_band == 0).all()


def test_missing_pairs_are_dropped_and_counted():
    x, human = post_relu(), judgments()
    human[[0, 17, 40]] = np.nan
    result, kept = curve(x, human), ~np.isnan(human)
    expected = [np.corrcoef(row[kept], human[kept])[0, 1] ** 2 for row in rsa.partial_similarities(x, range(F), SIZES)]
    np.testing.assert_allclose(result.r2, expected, atol=1e-12)
    assert result.n_missing_pairs == 3
    from_square = curve(x, square(human, N))
    np.testing.assert_array_equal(from_square.resampled, result.resampled)


def test_image_without_any_judgment_equals_the_set_without_it():
    x, human = post_relu(), square(judgments(), N)
    human[5], human[:, 5] = np.nan, np.nan
    others = np.delete(np.arange(N), 5)
    np.testing.assert_allclose(curve(x, human).r2, curve(x[others], human[np.ix_(others, others)]).r2, atol=1e-12)


def test_resamples_with_missing_pairs_equal_explicit_ones():
    x, human = post_relu(), judgments()
    human[[3, 30]] = np.nan
    result = curve(x, human)
    for resample, count in enumerate(inference.bootstrap_counts(N, 40, np.random.default_rng(2))):
        drawn = np.repeat(np.arange(N), count)
        model, people = np.corrcoef(x)[np.ix_(drawn, drawn)], square(human, N)[np.ix_(drawn, drawn)]
        i, j = np.triu_indices(N, 1)
        kept = (drawn[i] != drawn[j]) & np.isfinite(people[i, j])
        expected = np.corrcoef(model[i, j][kept], people[i, j][kept])[0, 1] ** 2
        assert result.resampled_full[resample] == pytest.approx(expected, abs=1e-10)


def test_undefined_image_makes_the_size_nan_and_is_counted():
    x, human = post_relu(), judgments()
    x[2, :6] = 0
    result = curve(x, human, sizes=[4, 6, 12])
    np.testing.assert_array_equal(result.n_undefined, [1, 1, 0])
    for name in ("r2", "difference", "p", "adjusted_p", "calibrated_error", "calibrated_p"):
        np.testing.assert_array_equal(np.isnan(getattr(result, name)), [True, True, False], err_msg=name)
    for name in ("band", "difference_band", "simultaneous_band", "calibrated_band", "resampled"):
        np.testing.assert_array_equal(np.isnan(getattr(result, name)).all(axis=0), [True, True, False], err_msg=name)
    alone = curve(x, human, sizes=[12])
    assert result.adjusted_p[2] == alone.adjusted_p[0]  # undefined sizes are no part of the family


def test_undefined_image_makes_the_size_nan_even_if_nobody_judged_it():
    x, human = post_relu(), square(judgments(), N)
    x[2, :6] = 0
    human[2], human[:, 2] = np.nan, np.nan
    assert np.isnan(curve(x, human).r2[0])


def test_undefined_resamples_are_dropped_and_counted():
    result = curve(post_relu(n=4), judgments(n=4), n_resamples=300)
    undefined = np.isnan(result.resampled).any(axis=1)
    assert result.n_undefined_resamples == undefined.sum() > 0
    np.testing.assert_allclose(result.band, np.quantile(result.resampled[~undefined], [0.025, 0.975], axis=0))


def test_same_seed_same_result_other_seed_other_result():
    x, human = post_relu(), judgments()
    np.testing.assert_array_equal(curve(x, human, seed=5).resampled, curve(x, human, seed=5).resampled)
    assert (curve(x, human, seed=5).resampled != curve(x, human, seed=6).resampled).any()


def test_blocks_do_not_show(monkeypatch):
    x, human = post_relu(), judgments()
    whole = curve(x, human).resampled
    monkeypatch.setattr(inference, "_ROWS", 7)
    monkeypatch.setattr(inference, "_COLUMNS", 2)
    np.testing.assert_allclose(curve(x, human).resampled, whole, atol=1e-13)


def test_clear_effect_is_found_in_the_right_direction():
    rng = np.random.default_rng(0)
    x = post_relu(0, 40, 60)
    human = rsa.upper_triangle(rsa.similarity_matrix(x[:, :20])) + 0.1 * rng.normal(size=780)
    result = curve(x, human, sizes=[10, 20, 40], n_resamples=400)
    assert result.difference[1] > 0.2 and result.difference_band[0, 1] > 0 and result.simultaneous_band[0, 1] > 0
    assert max(result.p[1], result.adjusted_p[1], result.calibrated_p[1]) < 0.01


def test_jackknife_and_bootstrap_count_pair_noise_two_and_three_times():
    # embeddings that are equally related to the judgments: only independent noise of pairs is left
    n, rng = 40, np.random.default_rng(0)
    a, b = rng.normal(size=(2, n * (n - 1) // 2))
    i, j = np.triu_indices(n, 1)
    observed, bootstrap, jackknife = [], [], []
    counts = inference.bootstrap_counts(n, 400, rng)
    for _ in range(200):
        y = a + b + 2 * rng.normal(size=len(a))
        gain = [
            -np.diff(inference._weighted_r2(np.stack([a, b]), y, weights, i, j))[:, 0]
            for weights in (np.ones((1, n)), counts, 1 - np.eye(n))
        ]
        observed.append(gain[0][0])
        bootstrap.append(gain[1].var(ddof=1))
        jackknife.append((n - 1) * gain[2].var())
    once = np.var(observed)
    assert 2.3 < np.mean(bootstrap) / once < 3.9
    assert 1.5 < np.mean(jackknife) / once < 2.6


def test_bootstrap_equals_rsatoolbox(monkeypatch):
    pytest.importorskip("rsatoolbox", reason="the field's reference implementation, a test dependency")
    from rsatoolbox.inference import eval_bootstrap_pattern
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    x, human = post_relu(), judgments()
    rdms = 1 - rsa.partial_similarities(x, np.arange(F), SIZES)
    models = [ModelFixed(str(size), RDMs(rdm[None])) for size, rdm in zip(SIZES, rdms, strict=True)]
    np.random.seed(8)  # noqa: NPY002 - rsatoolbox draws from numpy's global generator
    evaluated = eval_bootstrap_pattern(models, RDMs(1 - human[None]), method="corr", N=30, boot_noise_ceil=False)
    np.random.seed(8)  # noqa: NPY002
    counts = np.stack([np.bincount(np.random.randint(0, N, size=N), minlength=N) for _ in range(30)])  # noqa: NPY002
    monkeypatch.setattr(inference, "bootstrap_counts", lambda *_: counts)
    np.testing.assert_allclose(curve(x, human).resampled, evaluated.evaluations**2, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"human": judgments(n=N - 1)}, r"human must be \(14, 14\) or \(91,\)"),
        ({"human": np.triu(np.ones((N, N)))}, "human must be symmetric"),
        ({"human": np.full(91, np.nan)}, "human must hold at least 3 judged pairs"),
        ({"human": np.ones(91)}, "human must hold at least 3 judged pairs that are not all equal"),
        ({"human": np.where(np.arange(91) == 4, np.inf, judgments())}, "human must be finite"),
        ({"x": post_relu()[:3]}, "at least 4 image"),
        ({"order": np.zeros(F, int)}, "order must be a permutation"),
        ({"sizes": [3, 31]}, r"sizes must lie in 1..30"),
        ({"similarity": "person"}, "similarity must be one of"),
        ({"n_resamples": 1}, "n_resamples must be at least 2"),
        ({"level": 95}, "level must lie strictly between 0 and 1; got 95"),
        ({"x": post_relu() * (np.arange(N) != 3)[:, None]}, r"image\(s\) \[3\]"),
    ],
)
def test_bootstrap_refuses(change, message):
    settings = {"x": post_relu(), "human": judgments(), **change}
    with pytest.raises(ValueError, match=message):
        curve(**settings)


def test_pair_missing_in_one_triangle_only_is_refused():
    human = square(judgments(), N)
    human[2, 7] = np.nan
    with pytest.raises(ValueError, match="human must be symmetric"):
        curve(post_relu(), human)


# ---------------------------------------------------------------------------------------------------------- order null
@pytest.mark.parametrize("worthwhile", [0, 10**12], ids=["compiled", "numpy"])
@pytest.mark.parametrize("similarity", rsa.SIMILARITIES)
def test_random_orders_are_insertion_curves(similarity, worthwhile, monkeypatch):
    monkeypatch.setattr(rsa, "_WORTHWHILE", worthwhile)
    x, human, order = post_relu(), judgments(), np.arange(F)[::-1]
    result = inference.random_order_null(x, human, order, SIZES, 12, similarity, rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(result.r2, rsa.insertion_curve(x, order, human, SIZES, similarity).r2, atol=1e-10)
    for row in result.null:
        expected = rsa.insertion_curve(x, rng.permutation(F), human, SIZES, similarity)
        np.testing.assert_allclose(row, expected.r2, atol=1e-10)


@pytest.mark.parametrize("worthwhile", [0, 10**12], ids=["compiled", "numpy"])
@pytest.mark.parametrize("similarity", ["pearson", "cosine", "spearman"])
def test_random_orders_undefined_at_a_size_are_counted(similarity, worthwhile, monkeypatch):
    monkeypatch.setattr(rsa, "_WORTHWHILE", worthwhile)
    x, human = np.where(post_relu() > 1, post_relu(), 0), judgments()
    x[:, 0] += 1  # every image is defined in the end
    x[4, 1:] = 0
    sizes = np.array([2, 4, 8, 20, F])
    result = inference.random_order_null(x, human, np.arange(F), sizes, 40, similarity, rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)
    expected = [rsa.insertion_curve(x, rng.permutation(F), human, sizes, similarity).r2 for _ in range(40)]
    np.testing.assert_array_equal(np.isnan(result.null), np.isnan(expected))
    np.testing.assert_array_equal(result.n_undefined, np.isnan(expected).sum(axis=0))
    assert 0 < result.n_undefined[2] < 40


def test_all_orders_tie_at_full_size():
    result = inference.random_order_null(
        post_relu(), judgments(), np.arange(F), SIZES, 50, rng=np.random.default_rng(0)
    )
    assert result.percentile[-1] == 50 and result.p[-1] == 1


def test_informative_features_first_beat_random_orders_and_last_lose():
    x = post_relu(0, 30, 60)
    human = rsa.upper_triangle(rsa.similarity_matrix(x[:, :20]))
    first, last = (
        inference.random_order_null(x, human, order, [20, 40], 99, rng=np.random.default_rng(0))
        for order in (np.arange(60), np.arange(60)[::-1])
    )
    assert (first.percentile == 100).all() and (last.percentile == 0).all()
    np.testing.assert_allclose([first.p, last.p], 2 / 100)


def test_random_order_is_uniform_among_random_orders():
    x, human, rng = post_relu(), judgments(), np.random.default_rng(0)
    p = [inference.random_order_null(x, human, rng.permutation(F), [10], 39, rng=rng).p[0] for _ in range(100)]
    assert 0.002 < np.mean(np.array(p) <= 0.1) < 0.2


def test_order_null_drops_missing_pairs():
    x, human = post_relu(), judgments()
    human[[2, 50]] = np.nan
    kept = ~np.isnan(human)
    for similarity in ("pearson", "euclidean"):
        result = inference.random_order_null(x, human, np.arange(F), SIZES, 2, similarity, rng=np.random.default_rng(0))
        rows = rsa.partial_similarities(x, np.arange(F), SIZES, similarity)
        expected = [np.corrcoef(row[kept], human[kept])[0, 1] ** 2 for row in rows]
        np.testing.assert_allclose(result.r2, expected, atol=1e-10)
        assert result.n_missing_pairs == 2


@pytest.mark.parametrize("worthwhile", [0, 10**12], ids=["compiled", "numpy"])
def test_one_overwhelming_feature_costs_random_orders_no_digit(worthwhile, monkeypatch):
    monkeypatch.setattr(rsa, "_WORTHWHILE", worthwhile)
    x, human = post_relu() + 0.1, judgments()
    usual = inference.random_order_null(x, human, np.arange(F), SIZES[:-1], 3, rng=np.random.default_rng(0))
    x[:, -1] *= 1e8  # the last one inserted: sizes before it do not know
    found = inference.random_order_null(x, human, np.arange(F), SIZES[:-1], 3, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.r2, usual.r2, rtol=1e-9)


def test_order_null_refuses_no_orders():
    with pytest.raises(ValueError, match="n_orders must be at least 1; got 0"):
        inference.random_order_null(post_relu(), judgments(), np.arange(F), SIZES, 0, rng=np.random.default_rng(0))


# ------------------------------------------------------------------------------------------------------- nested choice
def nested(x, human, order=None, sizes=None, seed=0, **settings):
    order = np.arange(x.shape[1]) if order is None else order
    return inference.nested_choice(x, order, human, sizes, rng=np.random.default_rng(seed), **settings)


def planted(seed, n=48, f=60, best=20, noise=0.1):
    x = post_relu(seed, n, f)
    pair_noise = noise * np.random.default_rng(seed + 100).normal(size=n * (n - 1) // 2)
    return x, rsa.upper_triangle(rsa.similarity_matrix(x[:, :best])) + pair_noise


def test_planted_optimum_is_found_and_better_on_held_out_images():
    result = nested(*planted(0), sizes=np.arange(5, 61, 5))
    assert (result.chosen == 20).mean() > 0.9
    assert result.difference > 0.2 and result.interval[0] > 0 and result.p < 0.01


def test_no_effect_is_not_significantly_positive():
    positive = [
        nested(post_relu(seed, 30, 40), judgments(seed + 50, 30), sizes=np.arange(4, 41, 4)).interval[0] > 0
        for seed in range(40)
    ]
    assert sum(positive) <= 4  # 2.5 % expected; above 4 of 40 with probability 0.003


def plain_r2(a, b):
    return np.corrcoef(rsa.upper_triangle(a), rsa.upper_triangle(b))[0, 1] ** 2


def test_splits_equal_an_explicit_cross_validation():
    x, human, sizes = *planted(3, n=16, f=20, best=8, noise=1), np.array([4, 8, 20])
    result = nested(x, human, sizes=sizes, n_folds=3, n_repeats=2, seed=9)
    held_out = inference._deal(16, 3, 2, np.random.default_rng(9))
    people = square(human, 16)
    for split, test in enumerate(held_out):
        scores = [
            [plain_r2(np.corrcoef(x[images, :size]), people[np.ix_(images, images)]) for size in sizes]
            for images in (np.flatnonzero(~test), np.flatnonzero(test))
        ]
        best = int(np.argmax(scores[0]))
        assert result.chosen.ravel()[split] == sizes[best]
        for name, expected in (
            ("train_r2", scores[0][best]),
            ("held_out", scores[1][best]),
            ("held_out_full", scores[1][-1]),
        ):
            assert getattr(result, name).ravel()[split] == pytest.approx(expected, abs=1e-10)


def test_each_image_is_held_out_once_per_repeat_in_folds_of_nearly_equal_size():
    held_out = inference._deal(14, 3, 5, np.random.default_rng(0)).reshape(5, 3, 14)
    assert (held_out.sum(axis=1) == 1).all() and set(held_out.sum(axis=2).ravel()) == {4, 5}
    assert len({fold.tobytes() for fold in held_out[:, 0]}) > 1


def test_order_function_sees_training_images_only_and_can_equal_the_fixed_order():
    x, human = planted(1)
    seen = []

    def fixed(training):
        seen.append(training)
        return np.arange(60)

    sizes = np.arange(10, 61, 10)
    by_function, by_array = nested(x, human, fixed, sizes, n_repeats=2), nested(x, human, None, sizes, n_repeats=2)
    np.testing.assert_array_equal(by_function.chosen, by_array.chosen)
    assert by_function.difference == pytest.approx(by_array.difference)
    assert [len(training) for training in seen] == [32] * 6


def test_interval_is_the_corrected_resampled_t():
    result = nested(*planted(2), sizes=[10, 20, 60], n_folds=4, n_repeats=5, level=0.9)
    d = (result.held_out - result.held_out_full).ravel()
    error = np.sqrt((1 / 20 + 12 / 36) * d.var(ddof=1))
    np.testing.assert_allclose(result.interval, stats.t.interval(0.9, 19, loc=d.mean(), scale=error))
    assert result.p == pytest.approx(2 * stats.t.sf(d.mean() / error, 19))


def test_no_choice_means_no_difference_and_no_test():
    result = nested(post_relu(), judgments(), sizes=[F])
    assert result.difference == 0 and np.isnan(result.p) and (result.interval == 0).all()


def test_smallest_of_equal_sizes_is_chosen():
    x, human = planted(0, f=20, best=20)
    dead = np.column_stack([x, np.zeros((48, 5))])
    assert (nested(dead, human, sizes=np.arange(20, 26), similarity="cosine").chosen == 20).all()


def test_undefined_sizes_are_no_candidates():
    x, human = planted(0)
    x[3, :20] = 0
    assert nested(x, human, sizes=np.arange(5, 61, 5)).chosen.min() > 20


def test_nested_choice_drops_missing_pairs_and_is_deterministic():
    x, human = planted(4)
    human[[1, 100]] = np.nan
    a, b = (nested(x, human, sizes=[10, 20, 60]) for _ in range(2))
    assert a.n_missing_pairs == 2 and a.difference == b.difference and np.isfinite(a.held_out).all()


@pytest.mark.parametrize("n_folds", [1, 4])
def test_nested_choice_refuses_folds_too_few_or_too_small(n_folds):
    with pytest.raises(ValueError, match=r"n_folds must lie in 2..3, so that each holds 4 of 14 images"):
        nested(post_relu(), judgments(), n_folds=n_folds)


def test_nested_choice_refuses_sizes_that_are_all_undefined():
    x = post_relu()
    x[0, :5] = 0
    with pytest.raises(ValueError, match="sizes must hold a size with a defined R2"):
        nested(x, judgments(), sizes=[2, 3])


# ----------------------------------------------------------------------------------------------------- rules and sizes
def test_rules_count_features_in_the_poz_order():
    poz = np.array([0.0, 0.5, 0.9, 0.9, 0.95, 1, 1, 0.2, 0.3, 0.4])
    assert inference.rules(poz) == {"drop ghosts": 8, "drop PoZ > 90%": 7, "keep the 20% lowest": 2}


def test_rules_are_not_fooled_by_rounding():
    assert inference.rules(np.full(100, 0.3), share=0.07)["keep the 7% lowest"] == 7
    assert inference.rules(np.array([108 / 120]))["drop PoZ > 90%"] == 1


@pytest.mark.parametrize("settings", [{"poz": [0, 80]}, {"poz": [0.1], "threshold": 90}, {"poz": [0.1], "share": -1}])
def test_rules_refuse_percentages(settings):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        inference.rules(**settings)


def made(r2):
    return rsa.InsertionCurve(np.arange(1, len(r2) + 1) * 10, np.array(r2, float), np.zeros(len(r2), int))


@pytest.mark.parametrize(
    ("r2", "size"),
    [
        ([0.1, 0.3, 0.39, 0.4], 30),
        ([0.39, 0.3, 0.39, 0.4], 30),  # an early peak does not count
        ([0.5, 0.45, 0.4], 10),
        ([0.39, np.nan, 0.4], 30),
        ([0.4], 10),
        ([0, 0, 0], 10),
    ],
)
def test_enough_is_the_size_from_which_the_curve_stays_there(r2, size):
    assert inference.enough(made(r2)) == size


def test_enough_takes_a_bootstrap_curve():
    result = curve(post_relu(), judgments())
    assert inference.enough(result, 1e-9) == SIZES[0] and inference.enough(result, 1.0) in SIZES


def test_enough_refuses():
    with pytest.raises(ValueError, match="its last value is NaN"):
        inference.enough(made([0.1, np.nan]))
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\]; got 95"):
        inference.enough(made([0.1]), 95)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_spaced_sizes_increase_and_end_with_all(n_features, n_sizes):
    sizes = inference.spaced_sizes(n_features, n_sizes)
    assert sizes[0] >= 1 and sizes[-1] == n_features and all(a < b for a, b in pairwise(sizes))
    assert len(sizes) == min(n_features, n_sizes)
    assert np.ptp(np.diff(sizes)) <= 1 if len(sizes) > 1 else True
