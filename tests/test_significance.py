"""Tests of differences and reliability: formulas, slow references, bounds, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from helpers import significance

P_VALUE = st.one_of(st.floats(0, 1), st.just(np.nan))
P_VALUES = hnp.arrays(float, st.integers(0, 12), elements=P_VALUE)


def random(seed=0):
    return np.random.default_rng(seed)


# -------------------------------------------------------------------- resampled tests
@pytest.fixture
def differences():
    """Observed (5,), resampled (99, 5) and with each of 14 images left out (14, 5)."""
    rng = random(3)
    observed = np.array([0.03, -0.01, 0.2, 0.0, 0.05])
    scale = np.array([0.02, 0.02, 0.05, 0, 0.04])
    resampled, left_out = (
        observed + scale * width * rng.normal(size=(n, 5))
        for n, width in ((99, 1.0), (14, 0.3))
    )
    return observed, resampled, left_out


def test_p_is_two_sided_over_resampled_differences():
    resampled = np.ones((4, 4))
    resampled[0, 0], resampled[:, 2], resampled[3, 3] = -1, 0, np.nan
    expected = [2 * 2 / 5, 2 / 5, 1, np.nan]
    np.testing.assert_allclose(significance.two_sided_p(resampled), expected)


def test_a_value_is_set_against_draws_by_chance():
    draws = random().normal(size=999)
    low, high = np.quantile(draws, [0.025, 0.975])
    mean, least, most = significance.against_draws(high, draws)
    assert least == 0 < mean < most == pytest.approx(high - low)
    above = [significance.against_draws(x, draws)[1] > 0 for x in draws]
    assert np.mean(above) == pytest.approx(0.025, abs=1e-3)
    np.testing.assert_allclose(
        significance.against_draws(-high, -draws), [-mean, -most, 0], atol=1e-12
    )


def test_calibrated_variance_is_twice_the_jackknife_less_the_bootstrap(differences):
    observed, resampled, left_out = differences
    low, high, p = significance.calibrated_test(*differences).T
    n = len(left_out)
    deviation = left_out - left_out.mean(axis=0)
    jackknife = (n - 1) / n * (deviation**2).sum(axis=0)
    bootstrap = resampled.var(axis=0, ddof=1)
    variance = np.maximum(2 * jackknife - bootstrap, jackknife / 2)
    assert (variance > jackknife / 2).any() and (variance == jackknife / 2).any()
    varies = variance > 0
    error = np.sqrt(variance[varies])
    expected = stats.t.interval(0.95, n - 1, loc=observed[varies], scale=error)
    np.testing.assert_allclose([low[varies], high[varies]], expected)
    np.testing.assert_array_equal((low <= 0) & (high >= 0), p >= 0.05)
    assert (low[3], high[3], p[3]) == (0, 0, 1)


def test_two_factor_variance_is_that_of_rsatoolbox():
    from rsatoolbox.util.inference_util import extract_variances

    rng = random()
    images, raters = rng.random((2, 40)) + 0.1
    both = (images + raters) * (0.8 + 1.5 * rng.random(40))
    value, (n, m) = rng.normal(size=40), (30, 7)
    # independent "models" with these variances, from both, raters and images
    stacked = np.stack([np.diag(v) for v in (both, raters, images)])
    sizes = {"n_rdm": m, "n_pattern": n, "nc_included": False}
    variance, _, _ = extract_variances(stacked, **sizes)
    low, high, p = significance.two_factor_test(
        value, np.stack([images, raters, both]), n, m
    ).T
    expected = stats.t.interval(0.95, m - 1, loc=value, scale=np.sqrt(variance))
    np.testing.assert_allclose([low, high], expected)
    np.testing.assert_array_equal((low <= 0) & (high >= 0), p >= 0.05)
    assert len(np.unique(np.sign(variance - both))) == 2  # bounded there and not


def test_jackknife_test_is_a_t_test_with_the_variance_of_pseudovalues(differences):
    observed, _, left_out = differences
    low, high, p = significance.jackknife_test(observed, left_out).T
    pseudo = 14 * left_out.mean(axis=0) - 13 * left_out
    test = stats.ttest_1samp(pseudo[:, :3] - pseudo[:, :3].mean(axis=0), -observed[:3])
    np.testing.assert_allclose(p[:3], test.pvalue)
    np.testing.assert_array_equal((low <= 0) & (high >= 0), p >= 0.05)


def test_maximum_statistic_agrees_with_a_loop(differences):
    observed, resampled, _ = differences
    result = significance.simultaneous_test(observed, resampled)
    varies, error = [0, 1, 2, 4], resampled.std(axis=0, ddof=1)
    largest = [
        max(abs(row[k] - observed[k]) / error[k] for k in varies) for row in resampled
    ]
    for k in varies:
        half_width = np.quantile(largest, 0.95) * error[k]
        reached = sum(value >= abs(observed[k]) / error[k] for value in largest)
        band = observed[k] - half_width, observed[k] + half_width
        np.testing.assert_allclose(result[k], [*band, (1 + reached) / 100])
    assert tuple(result[3]) == (0, 0, 1)


def test_corrected_t_is_a_t_test_with_more_variance():
    d = random().normal(0.3, 1, size=20)
    error = np.sqrt((1 / 20 + 12 / 36) * d.var(ddof=1))
    mean, *ends, p = significance.corrected_t(d, 12 / 36)
    np.testing.assert_allclose(ends, stats.t.interval(0.95, 19, loc=mean, scale=error))
    assert mean == d.mean()
    assert p == pytest.approx(2 * stats.t.sf(abs(mean) / error, 19))
    assert np.isnan(significance.corrected_t(d[:1], 1)).all()


def test_jackknife_and_bootstrap_count_pair_noise_two_and_three_times():
    # models that are equally related to the judgments: only the noise of pairs is left
    n, rng = 40, random()
    i, j = np.triu_indices(n, 1)
    models = rng.normal(size=(2, len(i)))
    counts = significance.bootstrap_counts(n, 400, rng)
    gains = []
    for _ in range(200):
        y = models.sum(axis=0) + 2 * rng.normal(size=len(i))
        r2 = (
            significance.weighted_r2(models, y, weights, i, j)
            for weights in (np.ones((1, n)), counts, 1 - np.eye(n))
        )
        observed, bootstrap, jackknife = map(significance.minus_last, r2)
        gains.append((observed[0, 0], bootstrap.var(ddof=1), (n - 1) * jackknife.var()))
    observed, bootstrap, jackknife = np.transpose(gains)
    assert 2.3 < bootstrap.mean() / observed.var() < 3.9
    assert 1.5 < jackknife.mean() / observed.var() < 2.6


# ------------------------------------------------------------ many tests, paired tests
def slow_holm(p):
    """The level at which rejecting in ascending order, until one fails, reaches it."""
    defined = sorted(value for value in p if not np.isnan(value))
    steps = [(len(defined) - rank) * value for rank, value in enumerate(defined)]
    adjusted = []
    for value in p:
        reached = [s for s, v in zip(steps, defined, strict=True) if v <= value]
        adjusted.append(np.nan if np.isnan(value) else min(1, max(reached)))
    return adjusted


@given(P_VALUES)
def test_holm_agrees_with_a_slow_reference_and_bonferroni_bounds_it(p):
    adjusted, defined = significance.holm(p), ~np.isnan(p)
    np.testing.assert_allclose(adjusted, slow_holm(p), atol=1e-15)
    bound = np.minimum(1, p * defined.sum()) + 1e-15
    assert ((adjusted >= p) & (adjusted <= bound))[defined].all()


def test_holm_of_a_textbook_family():
    adjusted = significance.holm([0.01, 0.04, np.nan, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, np.nan, 0.06, 0.02])
    assert significance.holm(np.full((2, 3), 0.01)).shape == (2, 3)


# ------------------------------------------------------------ reliability of judgments
def raters(seed=0, n_subjects=6, n_pairs=400, noise=1.0):
    """The truth (n_pairs,) and judgments of it (n_subjects, n_pairs)."""
    rng = random(seed)
    truth = rng.normal(size=n_pairs)
    return truth, truth + noise * rng.normal(size=(n_subjects, n_pairs))


def r(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_lower_bound_is_the_mean_r2_with_the_mean_of_the_others():
    subjects = random().random((5, 91)) * np.arange(1, 6)[:, None]
    subjects += np.linspace(0, 1, 91)
    z = stats.zscore(subjects, axis=1)
    r2 = [r(z[s], np.delete(z, s, axis=0).mean(axis=0)) ** 2 for s in range(5)]
    assert significance.noise_ceiling(subjects)[0] == pytest.approx(np.mean(r2))
    np.testing.assert_allclose(significance.noise_ceiling(subjects[[0, 0, 0]]), 1)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_exceeds_the_upper_bound(seed):
    _, subjects = raters(seed, 4, 12, noise=3)
    (_, upper), rng = significance.noise_ceiling(subjects), random(seed)
    z = stats.zscore(subjects, axis=1)
    mixed = rng.normal(size=(300, 4)) @ z
    candidates = np.vstack([rng.normal(size=(300, 12)), mixed, z.mean(axis=0)])
    each = np.array([[r(subject, rdm) for subject in subjects] for rdm in candidates])
    assert (each**2).mean(axis=1).max() <= upper + 1e-12
    best = np.linalg.svd(z)[2][0]  # the first principal component reaches it
    reached = np.mean([r(subject, best) ** 2 for subject in subjects])
    assert reached == pytest.approx(upper)


@pytest.mark.parametrize("n_subjects", [8, 5])
def test_reliability_is_the_r2_of_the_truth_with_the_mean(n_subjects):
    truth, subjects = raters(n_subjects=n_subjects, n_pairs=20000, noise=2)
    reliability = significance.split_half_reliability(subjects, 200, rng=random())
    assert reliability == pytest.approx(1 / (1 + 4 / n_subjects), abs=0.02)
    r2 = r(truth, subjects.mean(axis=0)) ** 2
    assert r2 / reliability == pytest.approx(1, abs=0.03)


def test_halves_are_disjoint_and_their_plain_means_correlated():
    _, subjects = raters(n_subjects=4)
    splits = [([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2])]
    means = [[subjects[half].mean(axis=0) for half in split] for split in splits]
    expected = {significance.spearman_brown(r(*halves)) for halves in means}
    single = {
        significance.split_half_reliability(subjects, 1, rng=random(seed))
        for seed in range(30)
    }
    rounded = ({round(value, 10) for value in values} for values in (single, expected))
    assert len(set(map(frozenset, rounded))) == 1


def test_pairs_missing_for_a_subject_are_dropped():
    _, subjects = raters()
    holes, whole = subjects.copy(), np.delete(subjects, [3, 9], axis=1)
    holes[0, 3], holes[2, [3, 9]] = np.nan, np.nan
    a, b = (significance.noise_ceiling(s) for s in (holes, whole))
    np.testing.assert_allclose(a, b)
    a, b = (
        significance.split_half_reliability(s, 5, rng=random()) for s in (holes, whole)
    )
    assert a == pytest.approx(b)


def test_spearman_brown_of_published_and_of_impossible_halves():
    assert significance.spearman_brown(0.913) == pytest.approx(0.955, abs=5e-4)
    assert np.isnan(significance.spearman_brown(-0.6, 3))
    assert significance.spearman_brown(-0.2, 3) < 0


@given(st.floats(0, 1), st.floats(0.1, 10), st.floats(0.1, 10))
def test_spearman_brown_steps_compose(reliability, a, b):
    twice = significance.spearman_brown(significance.spearman_brown(reliability, a), b)
    once = significance.spearman_brown(reliability, a * b)
    assert twice == pytest.approx(once, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "values", "message"),
    [
        ("holm", [0.1, -0.2], r"p must lie in \[0, 1\]"),
        ("holm", [1.2, np.nan], r"p must lie in \[0, 1\]"),
        ("noise_ceiling", np.ones(5), r"must be \(n_subjects, n_pairs\)"),
        ("noise_ceiling", random().random((1, 9)), "at least 2 subjects"),
        ("noise_ceiling", [[1, 2, 3], [4, 4, 4]], "must vary"),
        ("noise_ceiling", [[1, 2, 3], [4, np.inf, 4]], "finite or NaN"),
    ],
)
def test_refuses(function, values, message):
    with pytest.raises(ValueError, match=message):
        getattr(significance, function)(values)


def test_reliability_refuses_no_splits():
    with pytest.raises(ValueError, match="n_splits must be at least 1"):
        significance.split_half_reliability(raters()[1], 0, rng=random())


def test_interval_of_a_share_is_that_of_scipy():
    k, n = np.array([0, 3, 60, 1000]), 1000
    expected = [stats.binomtest(int(one), n).proportion_ci() for one in k]
    assert np.allclose(significance.share_interval(k, n).T, expected, atol=1e-12)
