"""Judgments belong to the images they were made of, on the scale that is stated."""

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from helpers import data, rsa
from pipeline import judgments
from pipeline.pickles import read_pickle

NAMES = ["ackee2", "ackee10", "plum1", "kiwi5"]
"""Not in alphabetical order."""


def similarities(n=4, seed=0):
    matrix = np.random.default_rng(seed).uniform(0, 1, (n, n)).round(6)
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    return matrix


def write_images(folder, names, suffix=".jpg"):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        image = Image.new("RGB", (4, 4), (i, 0, 0))
        image.save(folder / "images" / f"{name}{suffix}")
    return folder


@pytest.fixture
def fruits(tmp_path):
    """A set of four images whose matrix file is still to be written."""
    return write_images(tmp_path / "PETERSON" / "fruits", NAMES)


def store(folder, kind, matrix, names=NAMES, name="fruits"):
    """The matrix in each kind of file it is published in."""
    names = {} if names is None else {"fnames": [f"{name}.png" for name in names]}
    content = {"similarity": matrix} | names
    if kind == "npz":
        np.savez(folder / "human.npz", **content)
    elif kind == "npz of sets":
        arrays = {f"{name}_{key}": value for key, value in content.items()}
        np.savez(folder.parent / "all.npz", **arrays)
    elif kind == "mat":
        names = {f"{name}_big_names": value for value in names.values()}
        savemat(folder / "human.mat", {"simMatrix": matrix} | names)
    elif kind == "pkl":
        (folder / "human.pkl").write_bytes(pickle.dumps(content))
    elif kind == "pkl of sets":
        sets = {
            "animals": {"similarity": np.eye(2), "fnames": ["a", "b"]},
            name: content,
        }
        (folder.parent / "all.pkl").write_bytes(pickle.dumps(sets, protocol=2))


# ------------------------------------------------------------------- a set's folder
@pytest.mark.parametrize("kind", ["npz", "npz of sets", "mat", "pkl", "pkl of sets"])
def test_every_kind_of_file_gives_the_matrix_and_its_order_of_images(fruits, kind):
    store(fruits, kind, similarities())
    judged = judgments.load_set(fruits)
    assert judged.name == "fruits" and judged.halves.shape == (0, 6)
    np.testing.assert_array_equal(judged.matrix, similarities())
    assert [file.stem for file in judged.files] == NAMES


def test_names_with_accents_match_however_they_are_composed(tmp_path):
    folder = write_images(tmp_path, ["cre\u0300me"])
    (file,) = judgments.match_images(["cr\u00e8me.png"], folder / "images")
    assert file.name == "cre\u0300me.jpg"


@given(order=st.permutations(range(4)))
def test_matrix_and_images_stay_together_in_any_order(tmp_path_factory, order):
    folder = write_images(tmp_path_factory.mktemp("set") / "fruits", NAMES)
    matrix = similarities()[np.ix_(order, order)]
    store(folder, "npz", matrix, [NAMES[i] for i in order])
    judged = judgments.load_set(folder)
    place = [[file.stem for file in judged.files].index(name) for name in NAMES]
    np.testing.assert_array_equal(judged.matrix[np.ix_(place, place)], similarities())


def test_images_that_are_missing_extra_or_duplicated_are_named(fruits):
    store(fruits, "npz", similarities())
    (fruits / "images" / "plum1.jpg").rename(fruits / "images" / "fig1.jpg")
    with pytest.raises(ValueError, match=r"plum1\.png have no image"):
        judgments.load_set(fruits)
    write_images(fruits, ["plum1"])
    with pytest.raises(ValueError, match=r"fig1\.jpg are not in the matrix"):
        judgments.load_set(fruits)
    write_images(fruits, ["plum1"], ".png")
    with pytest.raises(ValueError, match=r"plum1\..* are the same image"):
        judgments.load_set(fruits)
    (fruits / "images" / "plum1.png").unlink()
    store(fruits, "npz", similarities(), [*NAMES[:3], NAMES[0]])
    with pytest.raises(ValueError, match=r"ackee2\.png are named twice"):
        judgments.load_set(fruits)


def test_there_is_one_matrix_with_similarities_and_names(fruits):
    with pytest.raises(ValueError, match="in it or beside it; it has none"):
        judgments.load_set(fruits)
    store(fruits, "mat", similarities(), names=None)
    with pytest.raises(ValueError, match=r"human\.mat must hold one of .*simMatrix"):
        judgments.load_set(fruits)
    store(fruits, "pkl", similarities())
    with pytest.raises(ValueError, match=r"it has human\.mat, human\.pkl"):
        judgments.load_set(fruits)
    for path in fruits.glob("human.*"):
        path.unlink()
    store(fruits, "pkl of sets", similarities(), name="vegetables")
    with pytest.raises(ValueError, match="it holds animals, vegetables"):
        judgments.load_set(fruits)


# --------------------------------------------------------------------- bad matrices
def changed(i, j, value, both=True):
    matrix = similarities()
    matrix[i, j] = value
    if both:
        matrix[j, i] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (changed(0, 1, 0.123, both=False), "must be symmetric"),
        (changed(0, 1, np.nan, both=False), "must be symmetric"),
        (changed(0, 1, -0.2), r"from -0\.2 to .*Divide it"),
        (similarities() * 10, r"must lie in 0\.\.1; .* to 7"),
        (changed(0, 1, np.inf), "to inf"),
        (np.where(np.eye(4), 1, np.nan), r"must lie in 0\.\.1"),
        (1 - similarities(), "must hold similarities; its diagonal is 0"),
        (similarities(5), r"\(4, 4\) numbers for 4 images; .*\(5, 5\)"),
        (similarities().astype(str), "numbers"),
    ],
)
def test_bad_matrices_are_refused(fruits, matrix, message):
    store(fruits, "npz", matrix)
    with pytest.raises(ValueError, match=message):
        judgments.load_set(fruits)


def test_pairs_that_were_not_judged_stay_nan(fruits):
    store(fruits, "npz", changed(0, 2, np.nan))
    judged = judgments.load_set(fruits)
    np.testing.assert_array_equal(judged.matrix, changed(0, 2, np.nan))


# -------------------------------------------------------------- the published files
def test_a_folder_of_published_sets_is_read_with_halves_of_the_animals(fruits):
    """Numbers as names, judgments in 0..10, and their halves."""
    animals, numbers = fruits.parent / "animals", [189, 7, 19, 1536, 35, 78]
    write_images(animals, [f"stim-{number:04d}" for number in numbers], ".png")
    whole, *halves = (similarities(6, seed) * 10 for seed in range(3))
    content = {"simMatrix": whole} | dict(zip(judgments.HALVES, halves, strict=True))
    content["animals_big_names"] = np.array([f"{number:4d}" for number in numbers])
    savemat(animals / "turkResults_CogSci2016.mat", content)
    store(fruits, "pkl of sets", similarities())
    sets = judgments.load_peterson(fruits.parent)
    assert list(sets) == ["animals", "fruits"]
    stems = [file.stem for file in sets["animals"].files]
    assert stems == [f"stim-{number:04d}" for number in numbers]
    np.testing.assert_allclose(sets["animals"].matrix, whole / 10, rtol=1e-15)
    expected = [rsa.upper_triangle(half) / 10 for half in halves]
    np.testing.assert_allclose(sets["animals"].halves, expected, rtol=1e-15)
    content["simMatrix"] = whole / 10  # on another scale than the published file
    savemat(animals / "turkResults_CogSci2016.mat", content)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.10"):
        judgments.load_peterson(fruits.parent)
    with pytest.raises(ValueError, match="a folder for one of animals, automobiles"):
        judgments.load_peterson(fruits)


# -------------------------------------------------------------------------- pickles
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_survive_every_protocol(tmp_path, protocol):
    content = {
        "similarity": similarities(),
        "fnames": np.array(NAMES),
        "objects": np.array(NAMES, dtype=object),
        "scalar": np.float64(0.5),
        "more": [1, (2.5, None), {"a": True}],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    back = read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(back["similarity"], content["similarity"])
    assert list(back["fnames"]) == list(back["objects"]) == NAMES
    assert back["scalar"] == 0.5 and back["more"] == content["more"]


def test_an_array_pickled_by_python_2_is_read(tmp_path):
    text = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n"
        b"(I2\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x05\\x07'\ntb."
    )
    (tmp_path / "a.pkl").write_bytes(text)
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl"), [5, 7])


class Asks:
    def __init__(self, function, *arguments):
        self.ask = function, arguments

    def __reduce__(self):
        return self.ask


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["alone", "in a dict", "in an array"])
def test_a_pickle_that_asks_for_anything_else_is_not_run(tmp_path, protocol, where):
    evil = Asks(Path.touch, tmp_path / "ran")
    content = {
        "alone": evil,
        "in a dict": {"similarity": evil},
        "in an array": np.array([evil, 1], dtype=object),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content[where], protocol=protocol))
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle of arrays.*asks for"):
        read_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Asks(eval, "1")),
        pickle.dumps(Asks(getattr, {}, "keys")),
        pickle.dumps(Asks(np.load, "x")),
        pickle.dumps(Asks(np.ndarray.tofile, 1)),
        b"c_codecs\nencode\n(Vab\nVzlib\ntR.",
        b"",
        b"text",
        pickle.dumps(similarities())[:60],
    ],
    ids=["eval", "getattr", "load", "tofile", "zlib", "empty", "text", "cut"],
)
def test_other_functions_and_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle"):
        read_pickle(tmp_path / "a.pkl")


class Forged:
    """Pickles like an array, with a state that no array has."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        make = np._core.multiarray._reconstruct  # noqa: SLF001
        return make, (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Forged(1, (2**40,), np.dtype("f8"), False, b"12345678")),
        pickle.dumps(Forged(1, (3,), np.dtype("f8"), False, b"1234")),
        pickle.dumps(Forged(1, (-1, -1), np.dtype("f8"), False, b"12345678")),
        pickle.dumps(Forged(1, (1,), np.dtype("O"), False, b"12345678")),
        pickle.dumps(Forged(1, (1,), np.dtype("O"), False, [1.0])),
        pickle.dumps(Forged(1, (1,), np.dtype("i4,O"), False, b"12345678abcd")),
        pickle.dumps(Forged(1, (1,), np.dtype("U1"), False, b"\xff" * 4)),
        pickle.dumps(Forged(1, (1,), "f8", False, b"12345678")),
        pickle.dumps(Forged()),
        pickle.dumps(np.array([{}, []], dtype=object)),
        pickle.dumps(np.dtype("f8")),
        b"cnumpy\ndtype\n(V10000000000f8\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n}Vx\nI1\nsb.",
        b"(cnumpy\nndarray\no.",
    ],
)
def test_forged_arrays_are_refused(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle"):
        read_pickle(tmp_path / "a.pkl")


@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_gives_plain_values_or_a_refusal(
    tmp_path_factory, position, value
):
    content = bytearray(pickle.dumps({"a": similarities(), "b": np.array(NAMES)}))
    content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "changed.pkl"
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        stored = read_pickle(path)
        for part in stored.values() if isinstance(stored, dict) else ():
            assert isinstance(part, np.ndarray | int | str | float | None | bytes)


# ---------------------------------------------------------- makers of the 92 objects
def test_the_shipped_judgments_are_made_again_byte_by_byte(tmp_path):
    objects92 = pytest.importorskip("pipeline.objects92")
    stored = data.read_shipped("objects92.npz")
    brain = {"hit_rdms": stored["brain_rdms"], "hit_names": stored["brain_names"]}
    contents = []
    for _ in range(2):
        objects92.make_judgments(stored | brain, tmp_path, "command")
        contents.append((tmp_path / "objects92.npz").read_bytes())
    again = data.read_arrays(tmp_path / "objects92.npz")
    assert contents[0] == contents[1] and again.keys() == stored.keys()
    for key, array in again.items():
        np.testing.assert_array_equal(array, stored[key])


def test_embeddings_are_packed_with_exact_zeros(tmp_path, monkeypatch, rng):
    objects92 = pytest.importorskip("pipeline.objects92")
    exact = np.maximum(rng.normal(size=(50, 30)), 0).astype(np.float32)
    exact[3, 5] = 1e-9  # half precision would make this a zero
    monkeypatch.setattr(objects92.extraction, "embed", lambda *_, **__: exact)
    objects92.make_embeddings(None, None, tmp_path, "command")
    stored = data.read_arrays(tmp_path / "objects92_vgg16_pool5.npz")
    back = data.unpack_sparse(stored["nonzero"], stored["values"], (50, 30))
    np.testing.assert_array_equal(back == 0, exact == 0)
    np.testing.assert_allclose(back, exact, rtol=5e-4, atol=1e-7)
    (tmp_path / "vgg16.ckpt").write_bytes(b"other")
    with pytest.raises(ValueError, match="LPIPS_WEIGHTS must have sha256 2ecbe4ce"):
        objects92.read_vgg16(tmp_path / "vgg16.ckpt")
