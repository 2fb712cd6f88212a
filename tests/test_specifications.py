"""Every combination of choices on a small case, against the book's own bootstrap."""

import numpy as np
import pandas as pd
import pytest

from helpers import data, figures, inference, sparsity
from pipeline import specification_tables as tables
from pipeline import specifications as spec


@pytest.fixture
def judged(rng):
    latents = rng.normal(size=(12, 4))
    x = np.maximum(latents @ rng.normal(size=(4, 40)) - rng.uniform(-2, 2, 40), 0)
    x[:, [3, 17, 29, 30]] = 0
    x[:, 5] = 1
    human = np.corrcoef(latents + rng.normal(size=(12, 4)))
    return spec.Judged(x, human)


@pytest.fixture
def analysed(judged, rng):
    other = np.maximum(rng.normal(size=(30, 40)) - rng.uniform(-1, 1.5, 40), 0)
    return spec.analyse(judged, other, n_resamples=60)


def rows(frame, **choices):
    for column, value in choices.items():
        frame = frame[frame[column] == value]
    return frame


def test_every_combination_is_there_once(analysed):
    changes, _ = analysed
    assert not changes.duplicated(spec.CHOICES).any()
    removed = changes[changes["nodes"] == "removed"]
    n_poz, n_other_orders = 2 * 6 + 2 * 6, 2 * 6 * 3 + 6
    crossed = 6 * (4 * n_poz + 2 * n_other_orders)
    assert len(removed) == crossed + n_poz
    assert len(changes) - len(removed) == 3 * 2 * n_poz


def test_changes_are_those_of_the_bootstrap_curve(judged, analysed):
    changes, _ = analysed
    order = sparsity.poz_order(sparsity.percentage_of_zeros(judged.embeddings))
    sizes = np.array([8, 12, 20, 32])
    given = inference.prepare(judged.embeddings, order, judged.human, sizes)
    rng = np.random.default_rng(spec.SEED)
    curve = inference.bootstrap_curve(given, n_resamples=60, rng=rng)
    same = {"order": "PoZ", "PoZ from": spec.SAME, "comparator": "R²"}
    found = rows(changes, similarity="pearson", nodes="removed", **same)
    found = found[found["pruning"].str.contains("keep [2358]0%")]
    columns = ["difference", "difference_low", "difference_high"]
    assert len(found) == 4 and (curve["n_undefined"] == 0).all()
    np.testing.assert_allclose(
        found[["change", "low", "high"]], curve[columns], atol=1e-9
    )


def test_silent_nodes_do_not_matter_to_measures_that_ignore_them(analysed):
    changes, _ = analysed
    ghosts = rows(changes, pruning=spec.GHOSTS, **{"PoZ from": spec.SAME})
    moved = ghosts.groupby("similarity")["change"].agg(lambda x: np.abs(x).max())
    ignoring = ["cosine", spec.CENTRED, "euclidean", spec.INNER]
    assert moved[ignoring].max() < 1e-9
    assert moved[["pearson", "pearson_squared"]].min() > 1e-4


def test_silencing_ghosts_changes_nothing(analysed):
    changes, _ = analysed
    ghosts = rows(changes, pruning=spec.GHOSTS, nodes="silenced")
    ghosts = rows(ghosts, **{"PoZ from": spec.SAME})
    assert len(ghosts) == 6 and np.abs(ghosts["change"]).max() < 1e-12


@pytest.mark.parametrize("method", ["cosine", spec.CENTRED, "euclidean", spec.INNER])
def test_removing_is_silencing_where_silent_nodes_do_not_matter(judged, method, rng):
    x, kept = judged.embeddings, rng.random(40) < 0.6
    removed, silenced = (spec.similarity(z, method) for z in (x[:, kept], x * kept))
    np.testing.assert_allclose(removed, silenced, atol=1e-7)


def test_the_measures_are_what_they_are_called(judged):
    x = judged.embeddings
    centred = x - x.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1)
    cosine = centred @ centred.T / np.outer(norms, norms)
    np.testing.assert_allclose(spec.similarity(x, spec.CENTRED), cosine, atol=1e-12)
    squared = spec.similarity(x, "pearson_squared")
    np.testing.assert_allclose(squared, np.corrcoef(x) ** 2, atol=1e-12)


def test_orders_rank_by_what_they_are_named_after(judged):
    found = spec.statistics(judged.embeddings)
    assert list(found) == list(spec.ORDERS)
    ghosts = sparsity.ghost_features(judged.embeddings)
    assert len(ghosts) >= 4
    for name, worst in zip(spec.ORDERS, (1, 0, 0, 0), strict=True):
        np.testing.assert_array_equal(found[name][ghosts], worst)
    assert found["entropy"][5] == pytest.approx(np.log(12))  # all images alike
    assert found["entropy"].max() == pytest.approx(np.log(12))


def test_shares_keep_the_best_of_an_order(judged):
    kept = spec.shares(judged.embeddings, "here")
    for about, mask in kept:
        value = spec.statistics(judged.embeddings)[about["order"]]
        value = value if about["order"] == "PoZ" else -value
        assert value[mask].max() <= value[~mask].min()
        share = float(about["pruning"].removeprefix("keep ").removesuffix("%")) / 100
        assert mask.sum() == round(40 * share)


def test_levels_differ_from_pearson_by_the_difference_of_their_values(analysed):
    _, levels = analysed
    assert len(levels) == 4 * 6 + 1
    for comparator, part in levels.groupby("comparator"):
        if comparator != spec.CKA:
            first = rows(part, similarity="pearson")
            assert (first["difference"] == 0).all()
            expected = part["value"] - first["value"].item()
            np.testing.assert_allclose(part["difference"], expected, atol=1e-12)


def test_a_record_is_read_as_it_was_written(analysed, tmp_path):
    frames = dict(zip(("changes", "levels"), analysed, strict=True))
    spec.save(frames, tmp_path / "x.npz")
    found = spec.load(data.read_arrays(tmp_path / "x.npz"))
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(
            found[name][list(frame)],
            frame,
            check_dtype=False,
            rtol=1e-6,
            atol=1e-7,
        )


def test_changes_do_not_depend_on_the_number_of_resamples(judged):
    few, more = (spec.analyse(judged, n_resamples=n)[0] for n in (5, 20))
    pd.testing.assert_series_equal(few["change"], more["change"])


def test_nothing_kept_is_undefined_and_not_an_error(judged):
    x = np.where(np.arange(12)[:, None] < 3, judged.embeddings, 0)
    x[:, 5] = 1
    changes, _ = spec.analyse(spec.Judged(x, judged.human), n_resamples=20)
    lost = rows(changes, pruning="drop PoZ > 70%", similarity="pearson")
    assert len(lost) and lost["change"].isna().all()


# ------------------------------------------------------------------------------ tables
CHANGES = pd.DataFrame(
    {
        "set": ["a", "a", "a", "b"],
        "order": ["PoZ", "PoZ", "entropy", "PoZ"],
        "all": [0.5, 0.5, 0.5, 0.4],
        "change": [0.1, -0.1, 0.0, np.nan],
        "low": [0.05, -0.2, -0.1, np.nan],
        "high": [0.2, -0.05, 0.1, np.nan],
    }
)


def test_a_change_is_clear_where_its_interval_excludes_zero():
    found = tables.with_verdicts(CHANGES)
    expected = ["clear improvement", "clear loss", "neither", "undefined"]
    assert list(found["verdict"]) == expected
    np.testing.assert_allclose(found["ratio"], [1.2, 0.8, 1, np.nan])


def test_counts_are_of_each_group():
    changes = tables.with_verdicts(CHANGES)
    found = tables.counts(changes, "order", "set")
    assert found.loc[("PoZ", "a")].tolist() == [1, 1, 0, 2]
    assert found.loc[("PoZ", "b")].tolist() == [0, 0, 1, 1]
    table = tables.counts_table(changes, "order")
    assert list(table.columns) == ["a", "b"]
    assert table.loc["PoZ", "a"] == "+1 −1 of 2" and table.loc["entropy", "b"] == ""


def test_the_two_steps_of_pruning_add_up(analysed):
    changes = analysed[0].assign(set="a")
    found = tables.bending(changes)
    assert len(found) == 3 * 2 * 24
    steps = found["lost activity"] + found["fewer silent nodes"]
    np.testing.assert_allclose(steps, found["total"], atol=1e-12)
    ghosts = found[(found["pruning"] == spec.GHOSTS) & (found["PoZ from"] == spec.SAME)]
    np.testing.assert_allclose(ghosts["lost activity"], 0, atol=1e-12)
    assert (ghosts["fewer silent nodes"] != 0).any()


def test_specification_curve_ranks_changes_above_marks_of_their_choices():
    frame = pd.DataFrame(
        {
            "similarity": ["cosine", "pearson", "cosine"],
            "change": [0.2, -0.1, 0.0],
            "low": [0.1, -0.2, -0.1],
            "high": [0.3, -0.05, 0.1],
            "verdict": ["clear improvement", "clear loss", "neither"],
        }
    )
    top, grid = figures.panels(1, 2)[:, 0]
    choices = {"similarity": ["pearson", "cosine"]}
    tables.specification_curve(top, grid, frame, choices)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in top.lines}
    assert drawn["clear loss"] == [[0, -0.1]]
    assert drawn["neither"] == [[1, 0]] and drawn["clear improvement"] == [[2, 0.2]]
    marks = np.concatenate([line.get_xydata() for line in grid.lines])
    assert sorted(marks.tolist()) == [[0, 0], [1, 1], [2, 1]]
    named = [label.get_text() for label in grid.get_yticklabels()]
    assert named == ["Pearson", "cosine"]
