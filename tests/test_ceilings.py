"""Noise ceilings and split halves: agreement with rsatoolbox and with their definitions, bounds, error messages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helpers import ceilings


def raters(seed=0, n_subjects=6, n_pairs=400, noise=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n_pairs)
    return truth, truth + noise * rng.normal(size=(n_subjects, n_pairs))


def test_noise_ceiling_equals_rsatoolbox():
    pytest.importorskip("rsatoolbox", reason="the field's reference implementation, a test dependency")
    from rsatoolbox.inference.noise_ceiling import boot_noise_ceiling
    from rsatoolbox.rdm import RDMs

    subjects = np.random.default_rng(0).random((5, 91)) * np.arange(1, 6)[:, None] + np.linspace(0, 1, 91)
    ceiling = ceilings.noise_ceiling(subjects)
    np.testing.assert_allclose(
        [ceiling.lower_r, ceiling.upper_r], boot_noise_ceiling(RDMs(subjects), "corr"), atol=1e-10
    )


def test_noise_ceiling_equals_its_definition():
    _, subjects = raters()
    z = stats.zscore(subjects, axis=1)
    lower = [np.corrcoef(z[s], np.delete(z, s, axis=0).mean(axis=0))[0, 1] for s in range(6)]
    upper = [np.corrcoef(z[s], z.mean(axis=0))[0, 1] for s in range(6)]
    ceiling = ceilings.noise_ceiling(subjects)
    np.testing.assert_allclose(ceiling.lower_each, lower)
    np.testing.assert_allclose(ceiling.upper_each, upper)
    assert ceiling.lower_r == pytest.approx(np.mean(lower)) and ceiling.lower_r2 == pytest.approx(
        np.mean(np.square(lower))
    )


@pytest.mark.parametrize("seed", range(5))
def test_nothing_exceeds_the_upper_bounds(seed):
    _, subjects = raters(seed, 4, 12, noise=3)
    ceiling, rng = ceilings.noise_ceiling(subjects), np.random.default_rng(seed)
    z = stats.zscore(subjects, axis=1)
    candidates = [*rng.normal(size=(300, 12)), *(rng.normal(size=(300, 4)) @ z), z.mean(axis=0)]
    r = np.array([[np.corrcoef(subject, rdm)[0, 1] for subject in subjects] for rdm in candidates])
    assert r.mean(axis=1).max() <= ceiling.upper_r + 1e-12
    assert (r**2).mean(axis=1).max() <= ceiling.upper_r2 + 1e-12
    best = np.linalg.svd(z)[2][0]  # the first principal component reaches it
    assert np.mean([np.corrcoef(subject, best)[0, 1] ** 2 for subject in subjects]) == pytest.approx(ceiling.upper_r2)


def test_identical_subjects_have_a_ceiling_of_one():
    ceiling = ceilings.noise_ceiling(np.tile(np.random.default_rng(1).random(91), (3, 1)))
    np.testing.assert_allclose([ceiling.lower_r, ceiling.upper_r, ceiling.lower_r2, ceiling.upper_r2], 1)


def test_truth_lies_between_the_bounds():
    truth, subjects = raters(n_pairs=4000)
    ceiling = ceilings.noise_ceiling(subjects)
    r = np.mean([np.corrcoef(truth, subject)[0, 1] for subject in subjects])
    assert ceiling.lower_r < r < ceiling.upper_r


def test_reliability_is_the_r2_of_the_truth_with_the_mean():
    truth, subjects = raters(n_subjects=8, n_pairs=20000, noise=2)
    result = ceilings.split_half_reliability(subjects, 200, rng=np.random.default_rng(0))
    assert result.reliability == pytest.approx(1 / (1 + 4 / 8), abs=0.02)
    r2 = np.corrcoef(truth, subjects.mean(axis=0))[0, 1] ** 2
    assert ceilings.explainable_share(r2, result.reliability) == pytest.approx(1, abs=0.03)


def test_odd_number_of_subjects_is_stepped_up_to_all_of_them():
    _, subjects = raters(n_subjects=5, n_pairs=20000, noise=2)
    result = ceilings.split_half_reliability(subjects, 200, rng=np.random.default_rng(0))
    assert result.reliability == pytest.approx(1 / (1 + 4 / 5), abs=0.02)
    assert result.reliability == ceilings.spearman_brown(result.r, 2.5)


def test_two_subjects_have_one_split():
    _, subjects = raters(n_subjects=2)
    result = ceilings.split_half_reliability(subjects, 7, rng=np.random.default_rng(0))
    np.testing.assert_allclose(result.halves, np.corrcoef(subjects)[0, 1])


def test_halves_are_disjoint_and_their_plain_means_correlated():
    _, subjects = raters(n_subjects=4)
    result = ceilings.split_half_reliability(subjects, 50, rng=np.random.default_rng(0))
    splits = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    expected = [np.corrcoef(subjects[list(a)].mean(axis=0), subjects[list(b)].mean(axis=0))[0, 1] for a, b in splits]
    assert {round(r, 10) for r in result.halves} == {round(r, 10) for r in expected}


def test_pairs_missing_for_a_subject_are_dropped_and_counted():
    _, subjects = raters()
    holes = subjects.copy()
    holes[0, 3], holes[2, [3, 9]] = np.nan, np.nan
    whole = np.delete(subjects, [3, 9], axis=1)
    assert ceilings.noise_ceiling(holes).lower_r == pytest.approx(ceilings.noise_ceiling(whole).lower_r)
    a, b = (ceilings.split_half_reliability(s, 5, rng=np.random.default_rng(0)) for s in (holes, whole))
    assert a.n_missing_pairs == ceilings.noise_ceiling(holes).n_missing_pairs == 2 and a.r == pytest.approx(b.r)


def test_spearman_brown_of_the_published_halves():
    assert ceilings.spearman_brown(0.913) == pytest.approx(0.955, abs=5e-4)


def test_spearman_brown_of_impossible_halves_is_undefined():
    assert np.isnan(ceilings.spearman_brown(-0.6, 3)) and ceilings.spearman_brown(-0.2, 3) < 0


@given(st.floats(0, 1), st.floats(0.1, 10), st.floats(0.1, 10))
def test_spearman_brown_steps_compose(r, a, b):
    twice = ceilings.spearman_brown(ceilings.spearman_brown(r, a), b)
    assert twice == pytest.approx(ceilings.spearman_brown(r, a * b), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ceilings.noise_ceiling(np.ones(5)), r"subject_rdms must be \(n_subjects, n_pairs\)"),
        (lambda: ceilings.noise_ceiling(np.random.default_rng(0).random((1, 9))), "at least 2 subjects"),
        (lambda: ceilings.noise_ceiling([[1, 2, 3], [4, 4, 4]]), "must vary"),
        (lambda: ceilings.noise_ceiling([[1, 2, 3], [4, np.inf, 4]]), "must not be infinite"),
        (lambda: ceilings.split_half_reliability(raters()[1], 0, rng=np.random.default_rng(0)), "n_splits"),
        (lambda: ceilings.spearman_brown(1.2), r"r must lie in \[-1, 1\]"),
        (lambda: ceilings.spearman_brown(0.5, 0), "factor must be positive"),
        (lambda: ceilings.explainable_share(0.3, 0), r"reliability must lie in \(0, 1\]"),
        (lambda: ceilings.explainable_share(0.3, 95), r"reliability must lie in \(0, 1\]"),
    ],
)
def test_reliability_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
