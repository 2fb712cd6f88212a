"""Comparators against scipy, rsatoolbox and their definitions."""

import numpy as np
import pytest
import rsatoolbox
from scipy import stats

from helpers import inference
from pipeline import comparators

N = 14
I, J = np.triu_indices(N, 1)


@pytest.fixture
def judged(rng):
    """Three rows of similarities, one with ties, and tied judgments, over the pairs."""
    y = np.round(rng.normal(size=len(I)), 1)
    rows = y + rng.normal(size=(3, len(I)))
    rows[1] = np.round(rows[1])
    return rows, y


@pytest.fixture
def points(rng):
    return rng.normal(size=(N, 6)), rng.normal(size=(N, 4))


def repeated(counts):
    """Position of each pair, as often as its images were drawn."""
    return np.repeat(np.arange(len(I)), counts[I] * counts[J])


def test_weighted_spearman_is_scipys_over_the_repeated_pairs(judged, rng):
    rows, y = judged
    counts = inference.bootstrap_counts(N, 70, rng)
    found = comparators.weighted_spearman(rows, y, counts, I, J)
    drawn = [repeated(one) for one in counts]
    slow = [[stats.spearmanr(r[k], y[k]).statistic for r in rows] for k in drawn]
    np.testing.assert_allclose(found, slow, atol=1e-12)


def test_weighted_spearman_is_undefined_where_a_side_is(judged):
    rows, y = judged
    rows = np.stack([rows[0], np.where(I == 0, np.nan, rows[0]), np.ones_like(y)])
    found = comparators.weighted_spearman(rows, y, np.ones((1, N), int), I, J)[0]
    assert np.isfinite(found[0]) and np.isnan(found[1:]).all()


def test_tau_a_counts_concordant_and_discordant_pairs(judged):
    rows, y = judged
    p, q = np.triu_indices(len(y), 1)
    for row in rows:
        signs = np.sign(row[p] - row[q]) * np.sign(y[p] - y[q])
        assert comparators.tau_a(row, y) == pytest.approx(signs.mean(), abs=1e-12)


def test_tau_a_is_that_of_rsatoolbox_and_without_ties_of_scipy(judged, rng):
    rows, y = judged
    models = rsatoolbox.rdm.RDMs(rows)
    theirs = rsatoolbox.rdm.compare(models, rsatoolbox.rdm.RDMs(y[None]), "tau-a")
    found = [comparators.tau_a(row, y) for row in rows]
    np.testing.assert_allclose(found, theirs[:, 0], atol=1e-12)
    z = rng.normal(size=len(y))
    tau_b = stats.kendalltau(rows[0], z).statistic
    assert comparators.tau_a(rows[0], z) == pytest.approx(tau_b, abs=1e-12)


def test_linear_cka_is_that_of_its_definition(points):
    x, y = (z - z.mean(axis=0) for z in points)
    norm = np.linalg.norm  # Kornblith et al. 2019, for features
    slow = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert comparators.linear_cka(x @ x.T, y @ y.T) == pytest.approx(slow, abs=1e-12)


def test_linear_cka_ignores_scale_rotation_shift_and_silent_nodes(points, rng):
    x, y = points
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    moved = np.pad(3 * x @ rotation + 2, ((0, 0), (0, 5)))
    first, second = (comparators.linear_cka(z @ z.T, y @ y.T) for z in (x, moved))
    assert first == pytest.approx(second, abs=1e-10)
    assert comparators.linear_cka(x @ x.T, x @ x.T) == pytest.approx(1)


@pytest.mark.parametrize("squared_distances", [False, True])
def test_linear_cka_is_the_whitened_cosine_of_rsatoolbox(points, squared_distances):
    kernels = [z @ z.T for z in points]
    if not squared_distances:
        kernels = [np.corrcoef(z) for z in points]
    distances = [np.add.outer(np.diag(k), np.diag(k)) - 2 * k for k in kernels]
    rdms = [rsatoolbox.rdm.RDMs(d[I, J][None]) for d in distances]
    theirs = rsatoolbox.rdm.compare(*rdms, "cosine_cov")[0, 0]
    assert comparators.linear_cka(*kernels) == pytest.approx(theirs, abs=1e-6)


def test_left_out_images_leave_row_and_column(points):
    a, b = (z @ z.T for z in points)
    found = comparators.left_out(comparators.matrix_tau_a, a, b)
    k = np.arange(N) != 3
    slow = comparators.matrix_tau_a(a[k][:, k], b[k][:, k])
    assert len(found) == N + 1 and found[4] == slow
    assert found[0] == comparators.tau_a(a[I, J], b[I, J])


def test_undefined_similarities_are_undefined_for_every_comparator(points):
    a, b = (z @ z.T for z in points)
    a[2] = a[:, 2] = np.nan
    assert np.isnan(comparators.matrix_tau_a(a, b))
    assert np.isnan(comparators.linear_cka(a, b))


def test_jackknife_of_a_mean_is_the_t_interval(rng):
    x = rng.normal(size=(20, 3))
    means = np.stack(
        [x.mean(axis=0), *(np.delete(x, k, 0).mean(axis=0) for k in range(20))]
    )
    value, low, high = comparators.jackknife_interval(means)
    slow = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    np.testing.assert_allclose([value, low, high], [x.mean(axis=0), *slow], atol=1e-12)
