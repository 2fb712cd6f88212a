"""What page 04's recorders compute beside `helpers.ghosts`; their files; the measures
of pixels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers import data, ghosts

pytest.importorskip("torch")
from pipeline import descriptions, ghost_controls, wordnet
from pipeline import ghosts as recorder

WORDNET = """  1 a line of the licence
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | what is
00000002 05 n 02 dog 0 domestic_dog 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | barks
00000003 05 n 01 puppy 0 002 @ 00000002 n 0000 @i 00000004 n 0000 | young
00000004 05 n 01 young 0 001 @ 00000001 n 0000 | not old
"""


def test_labels_fall_under_all_their_hypernyms(tmp_path):
    (tmp_path / "data.noun").write_text(WORDNET)
    (tmp_path / "words").write_text("n00000003 puppy, whelp\nn00000002 dog\n")
    names, above = wordnet.read_synsets(tmp_path / "words", tmp_path / "data.noun")
    assert names.tolist() == ["puppy", "dog"]
    numbers = [sorted(map(int, synsets)) for synsets in above]
    assert numbers == [[1, 2, 3, 4], [1, 2]]


def test_a_label_belongs_to_the_first_group_it_falls_under():
    dog, animal = wordnet.GROUPS["dogs"], wordnet.GROUPS["other animals"]
    assert wordnet.group_of({animal, dog}) == "dogs"
    assert wordnet.group_of({animal}) == "other animals"
    assert wordnet.group_of(set()) == "other"


def test_missing_images_are_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    (tmp_path / "dataset.txt").write_text("a.jpg, 7\n")
    files, labels = recorder.read_labels(tmp_path)
    assert [file.name for file in files] == ["a.jpg"] and labels.tolist() == [7]
    (tmp_path / "dataset.txt").write_text("a.jpg, 7\nb.jpg, 8\n")
    with pytest.raises(ValueError, match="1 are missing, such as b.jpg"):
        recorder.read_labels(tmp_path)


def test_rounding_keeps_zeros_and_five_bits(rng):
    x = np.append(rng.uniform(size=1000) ** 4, [0, 1e-9])
    y = recorder.rounded(x)
    assert ((x == 0) == (y == 0)).all()
    np.testing.assert_allclose(y[x > 1e-3], x[x > 1e-3], rtol=1 / 32)
    assert len(np.unique(np.frexp(y[x > 1e-3])[0])) <= 17


# ---------------------------------------------------------------------------- controls
@pytest.fixture
def corpus(rng):
    """(200, 900), features of different firing rates; the first 40 are ghosts."""
    shift = np.append(np.full(40, -1.2), rng.uniform(-2, 1, 860))
    scale = np.append(np.full(40, 1.0), rng.uniform(0.5, 2, 860))
    corpus = scale * np.maximum(rng.normal(size=(200, 900)) + shift, 0)
    poz = np.append(np.ones(40), rng.uniform(0, 0.99, 860))
    return poz, corpus


@pytest.mark.parametrize("control", ghost_controls.CONTROLS)
def test_controls_are_as_many_other_features_like_ghosts_in_what_they_say(
    control, corpus, rng
):
    poz, x = corpus
    drawn = ghost_controls.draw(ghost_controls.pools(control, poz, x), rng)
    assert len(set(drawn)) == len(drawn) and (np.diff(drawn) > 0).all()
    if control != "random features":
        assert (poz[drawn] < 1).all()
    if control == "rare but live":
        assert (poz[drawn] >= 0.95).all()
    if control in ghost_controls.STATISTICS:
        statistic = ghost_controls.STATISTICS[control](x)
        others = np.delete(statistic, np.arange(40))
        away = statistic[drawn].mean() - statistic[:40].mean()
        assert len(drawn) > 25 and abs(away) < 0.2 * others.std()
    else:
        assert len(drawn) == min(40, (poz[40:] >= 0.95).sum()) or "random" in control


def test_random_features_of_a_corpus_without_structure_mean_nothing(corpus, rng):
    poz, x = corpus
    labels = np.repeat(np.arange(4), 50)
    table = ghost_controls.compare(poz, x, labels, labels == 0, rng, 6)
    assert table.groupby("features").size()["random features"] == 6
    mean = table.groupby("features").mean()
    assert (mean["labelled components"] < 1.5).all()
    assert mean["category at the top"].between(0.6, 1.4).all()
    assert mean["response"].between(0.8, 1.25).all()


def test_response_falls_with_poz_where_the_set_and_the_corpus_agree(rng):
    rate = rng.uniform(0, 1, 400) ** 2
    own, other = rng.uniform(size=(2, 300, 400)) < [[rate], [np.full(400, 0.3)]]
    poz = 1 - own[:150].mean(axis=0)
    table = ghost_controls.graded(
        poz, np.vstack([own[150:], other]), np.arange(450) < 150
    )
    assert table["n_features"].sum() == 400 and list(table.index)[-1] == "1"
    assert (np.diff(table["value"].dropna()) < 0).all()
    assert (table["low"].dropna() <= table["value"].dropna()).all()


def test_relative_share_is_one_by_chance_and_undefined_without_a_category():
    in_category = np.arange(1000) < 200
    assert ghost_controls.relative_share(np.arange(180, 380), in_category) == 0.5
    assert ghost_controls.relative_share(np.arange(1000), in_category) == 1
    assert np.isnan(ghost_controls.relative_share(np.arange(4), np.zeros(4, bool)))


def test_labels_that_are_named_and_at_the_top_are_counted(rng):
    labels = np.arange(90) % 3
    scores = rng.normal(size=(90, 2)) + np.outer(labels == 1, [9, 0])
    found = ghost_controls.at_the_top(scores, labels, labels == 1, 15)
    assert found["labelled components"] == 1 and found["category at the top"] > 1.5


def test_relative_response_does_not_depend_on_scale_and_inverts(rng):
    x, member = rng.gamma(2, size=(60, 5)), np.arange(60) < 14
    x[member] *= 3
    found = np.array(ghost_controls.relative_response(x, member))
    assert found[0] == pytest.approx(x[member].mean() / x[~member].mean())
    assert found[1] < found[0] < found[2]
    assert ghost_controls.relative_response(9 * x, member) == pytest.approx(found)
    inverse = np.array(ghost_controls.relative_response(x, ~member))
    assert 1 / inverse[[0, 2, 1]] == pytest.approx(found)
    assert np.isnan(ghost_controls.relative_response(x * member[:, None], member)).all()


def test_interval_of_the_response_covers_the_true_ratio(rng):
    member, inside = np.arange(114) < 14, []
    for _ in range(400):
        x = rng.gamma(2, size=(114, 1)) * np.where(member, 0.3, 1)[:, None]
        _, low, high = ghost_controls.relative_response(x, member)
        inside.append(low <= 0.3 <= high)
    assert 0.9 < np.mean(inside) < 1


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_random_features_answer_a_query_only_where_activity_does(shift, rng):
    corpus = np.maximum(rng.normal(size=(200, 60)), 0)
    wanted = np.arange(200) < 100
    corpus[wanted] += shift
    areas = ghost_controls.query_areas(corpus, 20, wanted, 5, rng)
    assert areas.index.name == "draw" and len(areas) == 5
    assert ((areas["low"] <= areas["value"]) & (areas["value"] <= areas["high"])).all()
    assert (areas["low"] > 0.5).all() == bool(shift)


# ------------------------------------------------------------------ measures of pixels
def stripes(cycles, angle):
    """Stripes (227, 227) with so many cycles per image, tilted from the vertical."""
    y, x = np.mgrid[:227, :227] / 227
    return 0.5 + 0.5 * np.sin(
        2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle))
    )


def test_vertical_stripes_are_vertical_and_noise_is_a_quarter(rng):
    shares = [
        descriptions.spectral_measures(stripes(20, angle))["vertical pattern"]
        for angle in (0, 0.2, np.pi / 4, np.pi / 2)
    ]
    assert shares[0] > 0.99 and shares[1] > 0.95 and max(shares[2:]) < 0.05
    noise = [
        descriptions.spectral_measures(rng.normal(size=(227, 227)))["vertical pattern"]
        for _ in range(5)
    ]
    assert np.mean(noise) == pytest.approx(0.25, abs=0.01)


def test_stripes_repeat_and_noise_does_not_and_octaves_are_counted(rng):
    coarse, fine = (descriptions.spectral_measures(stripes(n, 0.7)) for n in (12, 48))
    noise = descriptions.spectral_measures(rng.normal(size=(227, 227)))
    assert coarse["repetition"] > 0.8 and noise["repetition"] < 0.2
    octaves = fine["spatial frequency"] - coarse["spatial frequency"]
    assert octaves == pytest.approx(2, abs=0.05)


def test_contrast_and_inversion_change_no_spectral_measure(rng):
    image = rng.uniform(size=(60, 60)).cumsum(axis=1)
    before = descriptions.spectral_measures(image)
    after = descriptions.spectral_measures(3 - 2 * image)
    assert after == pytest.approx(before)
    even = descriptions.spectral_measures(np.ones((60, 60)))
    assert np.isnan([*even.values()]).all()


def test_a_plain_disc_on_noise_has_a_patterned_background_and_stands_out(rng):
    image = np.round(rng.uniform(size=(80, 80, 3)))
    image[20:60, 20:60] = 0.9 + 0.01 * rng.uniform(size=(40, 40, 3))
    found = descriptions.centre_measures(image)
    swapped = descriptions.centre_measures(np.roll(image, (40, 40), (0, 1)))
    assert found["patterned background"] > 1 > swapped["patterned background"]
    assert found["centre stands out"] > 0.5
    even = descriptions.centre_measures(np.ones((80, 80, 3)))
    assert np.isnan([*even.values()]).all()


def test_comparison_of_looks_is_the_rank_sum_test(rng):
    scores = rng.normal(size=(90, 2))
    looks = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"])
    looks["a"] += scores[:, 0]
    table = descriptions.compare(scores, looks, 15)
    for (component, measure), row in table.iterrows():
        top = np.argsort(-scores[:, component - 1])[:15]
        values = looks[measure].to_numpy()
        arrays = values[top], np.delete(values, top)
        options = {"use_continuity": False, "method": "asymptotic"}
        assert row["p"] == pytest.approx(stats.mannwhitneyu(*arrays, **options).pvalue)
        z = stats.zscore(values)[top].mean()
        assert row["value"] == pytest.approx(z)
    assert table.loc[(1, "a"), "adjusted_p"] < 0.01
    assert descriptions.summary(table)["a"] == table.loc[(1, "a"), "value"]


# ------------------------------------------------------------------------------- files
def test_a_record_is_read_as_it_was_written(rng, tmp_path, monkeypatch):
    for name in ("N_SPLITS", "N_RANDOM", "N_DRAWS"):
        monkeypatch.setattr(recorder, name, 4)
    monkeypatch.setattr(recorder, "CATEGORIES", {"a": "00000002", "b": "00000004"})
    active = np.maximum(rng.normal(size=(60, 80)) - 0.3, 0)
    corpus, labels = active[:40], np.arange(40) % 4
    names = np.array(["puppy", "dog", "young", "stone"])
    above = [{"00000002", "00000004"}, {"00000002"}, {"00000004"}, set()]
    sets = {"a": active[40:50].copy(), "b": active[50:].copy()}
    for x, first in zip(sets.values(), (0, 12), strict=True):
        x[:, first : first + 20] = 0
    looks = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    record = recorder.record(sets, corpus, labels, names, above, looks)
    np.savez(tmp_path / "record.npz", **recorder.as_arrays(record))
    back = ghosts.load(data.read_arrays(tmp_path / "record.npz"))
    for name, frame in record.items():
        options = {"check_dtype": False, "rtol": 1e-6, "check_index_type": False}
        pd.testing.assert_frame_equal(getattr(back, name), frame, **options)
    assert (back.counts["ghosts"] >= 20).all() and (back.counts["dead"] == 0).all()
