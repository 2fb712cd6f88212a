"""What page 04's recorder computes beside `helpers.ghosts`; its files."""

import numpy as np
import pandas as pd
import pytest

from helpers import data, ghosts
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
    names, above = recorder.read_synsets(tmp_path / "words", tmp_path / "data.noun")
    assert names.tolist() == ["puppy", "dog"]
    numbers = [sorted(map(int, synsets)) for synsets in above]
    assert numbers == [[1, 2, 3, 4], [1, 2]]


def test_a_label_belongs_to_the_first_group_it_falls_under():
    dog, animal = recorder.GROUPS["dogs"], recorder.GROUPS["other animals"]
    assert recorder.group_of({animal, dog}) == "dogs"
    assert recorder.group_of({animal}) == "other animals"
    assert recorder.group_of(set()) == "other"


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


def test_random_features_of_a_corpus_without_structure_mean_nothing(rng):
    corpus = np.maximum(rng.normal(size=(120, 60)), 0)
    labels = np.repeat(np.arange(4), 30)
    draws = recorder.random_feature_reference(corpus, 20, labels, labels == 0, rng, 8)
    labelled, share = draws["labelled components"], draws["category at the top"]
    assert labelled.shape == share.shape == (8,) and labelled.mean() < 1
    assert share.mean() == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_random_features_answer_a_query_only_where_activity_does(shift, rng):
    corpus = np.maximum(rng.normal(size=(200, 60)), 0)
    wanted = np.arange(200) < 100
    corpus[wanted] += shift
    areas = recorder.random_feature_areas(corpus, 20, wanted, 5)
    assert areas.index.name == "draw" and len(areas) == 5
    assert ((areas["low"] <= areas["value"]) & (areas["value"] <= areas["high"])).all()
    assert (areas["low"] > 0.5).all() == bool(shift)


def test_a_record_is_read_as_it_was_written(rng, tmp_path, monkeypatch):
    for name in ("N_SPLITS", "N_RANDOM", "N_RESAMPLES", "N_DRAWS"):
        monkeypatch.setattr(recorder, name, 4)
    monkeypatch.setattr(recorder, "CATEGORIES", {"a": "00000002", "b": "00000004"})
    active = np.maximum(rng.normal(size=(60, 80)) - 0.3, 0)
    corpus, labels = active[:40], np.arange(40) % 4
    names = np.array(["puppy", "dog", "young", "stone"])
    above = [{"00000002", "00000004"}, {"00000002"}, {"00000004"}, set()]
    sets = {"a": active[40:50].copy(), "b": active[50:].copy()}
    for x, first in zip(sets.values(), (0, 12), strict=True):
        x[:, first : first + 20] = 0
    record = recorder.record(sets, corpus, labels, names, above)
    recorder.save(record, tmp_path / "record.npz")
    back = ghosts.load(data.read_arrays(tmp_path / "record.npz"))
    for name, frame in vars(record).items():
        options = {"check_dtype": False, "rtol": 1e-6, "check_index_type": False}
        pd.testing.assert_frame_equal(getattr(back, name), frame, **options)
    assert (back.counts["ghosts"] >= 20).all() and (back.counts["dead"] == 0).all()
