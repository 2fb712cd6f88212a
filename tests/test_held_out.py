"""Held-out images: ridge against its primal form, and what methods may not see."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers import rsa
from pipeline import held_out, reweighting
from pipeline import held_out_methods as methods
from pipeline import specification_tables as tables
from pipeline.specifications import Judged


def simulated(rng):
    """Judgments of 24 images by unequal weights of 60 features, three ghosts."""
    latents = rng.normal(size=(24, 4))
    x = np.maximum(latents @ rng.normal(size=(4, 60)) - rng.uniform(-1, 1.5, 60), 0)
    x[:, [3, 17, 29]] = 0
    weights = rng.exponential(size=60) ** 2
    human = rsa.similarity_matrix(x * np.sqrt(weights), "cosine")
    noise = 0.05 * rng.normal(size=(24, 24))
    return Judged(x, human + noise + noise.T)


@pytest.fixture
def judged(rng):
    return simulated(rng)


@pytest.fixture(scope="module")
def frames():
    found = held_out.of_set(simulated(np.random.default_rng(2023)))
    return {key: frame.assign(set="a") for key, frame in found.items()}


@pytest.fixture(params=held_out.SIMILARITIES)
def split(request, judged, rng):
    return methods.splits(judged, request.param, rng)[0]


def whole_kernel(judged, similarity):
    z = reweighting.factors(judged.embeddings, similarity)
    return reweighting.pair_kernel(z, *judged.pairs)


def found(split):
    return methods.predictions(split, whole_kernel(split.judged, split.similarity))


# ------------------------------------------------------------------------------- ridge
@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_ridge_is_that_of_the_weights_of_features(split, penalty):
    z = reweighting.factors(split.judged.embeddings, split.similarity)
    (i, j), n, y = split.pairs, split.n_train, split.y
    products = z[i] * z[j]
    p, q = products[:n] - products[:n].mean(axis=0), y[:n] - y[:n].mean()
    scale = penalty * (products[:n] ** 2).sum(axis=1).mean()
    weights = np.linalg.solve(p.T @ p + scale * np.eye(p.shape[1]), p.T @ q)
    expected = y[:n].mean() + (products - products[:n].mean(axis=0)) @ weights
    kernel, at = products @ products.T, np.arange(len(y))
    (row,) = reweighting.paths(kernel, y, at[:n], at, [penalty])
    np.testing.assert_allclose(row, expected, atol=1e-9)


def test_products_of_factors_are_similarities_and_make_the_kernel(judged, split):
    z = reweighting.factors(judged.embeddings, split.similarity)
    gram = rsa.similarity_matrix(judged.embeddings, split.similarity)
    np.testing.assert_allclose(z @ z.T, gram, atol=1e-12)
    kernel, (i, j) = whole_kernel(judged, split.similarity), judged.pairs
    columns = [[(z[i] * z[j] * z[i[q]] * z[j[q]]).sum(1)] for q in (0, 9)]
    slow = np.concatenate(columns).T
    np.testing.assert_allclose(kernel[:, [0, 9]], slow, atol=1e-6)
    of_pairs = reweighting.pair_kernel(z, *split.pairs)
    np.testing.assert_allclose(methods.from_all(kernel, split), of_pairs, atol=1e-6)


def test_an_image_without_activations_is_undefined(judged):
    x = judged.embeddings * (np.arange(24) != 5)[:, None]
    for similarity in held_out.SIMILARITIES:
        z = reweighting.factors(x, similarity)
        assert np.isnan(z[5]).all() and np.isfinite(np.delete(z, 5, axis=0)).all()


# ---------------------------------------------------------------------- what is seen
def test_test_pairs_share_no_image_with_training_pairs(judged, rng):
    splits = methods.splits(judged, "cosine", rng)
    for split in splits:
        (i, j), n = split.pairs, split.n_train
        assert set(i[n:]) | set(j[n:]) == set(split.test)
        assert not np.isin(split.train, split.test).any()
        for fit, at in split.inner:
            assert np.isin(np.append(fit, at), split.train).all()
            assert not np.isin(fit, at).any()
    held_out_times = np.bincount(np.concatenate([s.test for s in splits]))
    assert (held_out_times == methods.N_REPEATS).all()


def test_no_method_looks_at_held_out_images(split, rng):
    """Neither at their judgments, nor, for what it does to others, at their zeros."""
    human, x = split.judged.human.copy(), split.judged.embeddings.copy()
    human[split.test] = human[:, split.test] = rng.normal()
    x[split.test] = np.maximum(rng.normal(size=x[split.test].shape), 0)
    before = found(split)
    judgments = found(replace(split, judged=Judged(split.judged.embeddings, human)))
    images = found(replace(split, judged=Judged(x, split.judged.human)))
    for method in methods.METHODS:
        n, (values, chosen) = split.n_train, before[method]
        np.testing.assert_allclose(judgments[method][0], values, atol=1e-9)
        np.testing.assert_allclose(images[method][0][:n], values[:n], atol=1e-6)
        np.testing.assert_equal(images[method][1], chosen)
        assert not np.allclose(images[method][0][n:], values[n:], atol=1e-3)


@pytest.mark.parametrize(
    ("names", "shift", "rounding"),
    [
        ((methods.ALL, methods.NO_GHOSTS, methods.BELOW_90, methods.RULE), 0, 1e-9),
        ((methods.RIDGE, methods.RIDGE_90), 0, 1e-4),  # kernels in single precision
        ((methods.ALL, methods.SUPERVISED), 0.1, 1e-9),  # no feature is silent
    ],
)
def test_the_order_of_features_does_not_matter(split, rng, names, shift, rounding):
    """Where no ties are cut."""
    x, human, order = split.judged.embeddings, split.judged.human, rng.permutation(60)
    x = x + shift * rng.random(x.shape)
    first, moved = (Judged(z, human) for z in (x, x[:, order]))
    before, after = (found(replace(split, judged=z)) for z in (first, moved))
    for method in names:
        np.testing.assert_allclose(after[method][0], before[method][0], atol=rounding)


# ------------------------------------------------------------------------------ choice
def test_r_without_a_feature_is_that_of_the_others(split):
    judged, images = split.judged, split.train
    x, human = judged.embeddings[images], judged.human[np.ix_(images, images)]
    z, pairs = reweighting.factors(x, split.similarity), np.triu_indices(len(x), 1)
    without = methods.r_without(x, human, split.similarity)
    for feature in range(60):
        others = np.delete(z, feature, axis=1)
        r = np.corrcoef((others @ others.T)[pairs], human[pairs])[0, 1]
        assert without[feature] == pytest.approx(r, abs=1e-10)


def test_the_size_behind_the_judgments_is_chosen(split):
    order, _ = methods.by_poz(split, split.train)
    x = split.judged.embeddings
    behind = rsa.similarity_matrix(x[:, order[:30]], split.similarity)
    split = replace(split, judged=Judged(x, behind))
    order, sizes = methods.by_poz(split, split.train)
    given = lambda split, images: (order, sizes)  # noqa: E731
    values, share = methods.chosen(split, given)
    assert share == 0.5
    np.testing.assert_allclose(values, split.y, atol=1e-9)


def test_fixed_rules_keep_what_they_are_named_after(split):
    x, (i, j) = split.judged.embeddings, split.pairs
    poz = (x[split.train] == 0).mean(axis=0)
    kept = {methods.ALL: poz <= 1, methods.NO_GHOSTS: poz < 1}
    kept[methods.BELOW_90] = poz <= 0.9
    values = found(split)
    for method, mask in kept.items():
        expected = rsa.similarity_matrix(x[:, mask], split.similarity)[i, j]
        np.testing.assert_allclose(values[method][0], expected, atol=1e-9)


# -------------------------------------------------------------------------- inference
def test_without_a_signal_only_the_leak_predicts(rng):
    """Judgments with effects of images that have nothing to do with activations."""
    x = np.maximum(rng.normal(size=(60, 400)), 0) * rng.exponential(size=400)
    effects, noise = rng.normal(size=60), rng.normal(size=(60, 60))
    nothing = Judged(x, effects[:, None] + effects + (noise + noise.T) / 4)
    frame = held_out.leak(nothing, whole_kernel(nothing, "pearson"))
    r2 = frame.set_index(["judgments", "folds", "method"])["r2"]
    for judgments in ("as given", "shuffled images"):
        assert r2[judgments, "images", methods.RIDGE] < 0.08
        assert r2[judgments, "pairs", methods.RIDGE] > 0.2
        assert r2[judgments, "pairs", methods.ALL] < 0.08


def test_intervals_are_the_outer_ends_of_both(rng):
    n_methods = len(methods.METHODS)
    scores = rng.uniform(0.2, 0.4, (9, 101, n_methods))
    scores[..., 1] = scores[..., 0] + 0.1
    scores[2, 0, 3] = np.nan
    frame = held_out.contrasts(scores)
    constant = frame.iloc[0]
    names = ["change", "low", "high", "boot_low", "t_high"]
    np.testing.assert_allclose(constant[names].astype(float), 0.1)
    np.testing.assert_array_equal(
        frame["low"], frame[["boot_low", "t_low"]].min(axis=1)
    )
    high = frame[["boot_high", "t_high"]].max(axis=1)
    np.testing.assert_array_equal(frame["high"], high)
    assert list(frame["n_undefined"].to_numpy().nonzero()[0]) == [2]
    assert np.isfinite(frame.loc[2, "change"])


def test_the_frames_hold_every_method_and_split(frames):
    n = len(held_out.SIMILARITIES) * methods.N_FOLDS * methods.N_REPEATS
    assert len(frames["splits"]) == n * len(methods.METHODS)
    assert not frames["splits"][["r2", "r", "train_r2"]].isna().any(axis=None)
    means = frames["splits"].groupby(["similarity", "method"])["r2"].mean()
    row = frames["contrasts"].iloc[0]
    change = means["pearson", row["method"]] - means["pearson", row["minus"]]
    assert row["change"] == pytest.approx(change, abs=1e-12)
    curve = frames["sizes"].query("similarity == 'pearson'").iloc[-1]
    assert curve["held_out"] == pytest.approx(means["pearson", methods.ALL], abs=1e-12)


def test_tables_of_the_page_follow_from_the_frames(frames):
    splits = frames["splits"].pivot_table("r2", ["similarity", "split"], "method")
    gain = (splits[methods.SIZE] - splits[methods.ALL]).groupby("similarity").mean()
    sizes = tables.chosen_sizes(frames).loc["a"]
    np.testing.assert_allclose(sizes["held_out"], gain[sizes.index])
    assert (sizes["largest"] >= 0).all() and (sizes["hindsight"] >= 0).all()
    assert sizes["median"].between(sizes["low"], sizes["high"]).all()
    changes = tables.held_out_changes(frames)
    ridge = changes.query("minus == 'ridge' and similarity == 'cosine'")
    np.testing.assert_allclose(ridge["all"], splits.loc["cosine", "ridge"].mean())


def test_a_conclusion_counts_the_similarity_with_fewer_sets():
    clear = ["clear improvement"] * 5 + ["neither", "clear loss", "clear loss"]
    similarities = ["pearson", "cosine"] * 2 + ["pearson"] * 2 + ["cosine"] * 2
    about = {"method": "x", "minus": "y", "similarity": similarities}
    found = tables.conclusions(pd.DataFrame(about | {"verdict": clear}))
    assert found.loc[("x", "y")].tolist() == [2, 0]


def test_pairs_that_were_not_judged_are_refused(judged):
    judged.human[3, 4] = np.nan
    with pytest.raises(ValueError, match="judged"):
        held_out.of_set(judged)
