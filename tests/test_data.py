"""What is read is what was shipped, or a clear refusal; all of it without torch."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers import data, rsa, sparsity
from pipeline import __main__ as pipeline
from pipeline import datasets, manifest

ENTRIES = data.manifest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with one registered file."""
    (tmp_path / "manifest.json").write_text("[]")
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    np.savez(tmp_path / "a.npz", values=np.arange(3))
    manifest.register(tmp_path / "a.npz", "a command", source="s", licence="l")
    return tmp_path


# ------------------------------------------------------------------ files, manifest
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_each_shipped_file_is_what_the_manifest_says(entry):
    path = data.shipped(entry["file"])
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors")
    assert path.stat().st_size == entry["bytes"]
    assert manifest.describe(path) == entry["arrays"]
    assert entry["source"].strip() and entry["licence"].strip()


def test_commands_of_the_manifest_exist():
    for entry in ENTRIES:
        words = entry["command"].split()
        assert words[:3] == ["python", "-m", "pipeline"], entry["file"]
        pipeline.parser().parse_args(words[3:])
        assert not any(word.startswith("/") for word in words)


def test_an_altered_file_is_refused_with_the_command_that_makes_it(folder):
    np.savez(folder / "a.npz", values=np.arange(4))
    with pytest.raises(ValueError, match=r"a\.npz is not the shipped file.*a command"):
        data.read_shipped("a.npz")


def test_a_missing_or_unknown_file_is_named(folder, tmp_path_factory, monkeypatch):
    np.testing.assert_array_equal(data.read_shipped("a.npz")["values"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"file must be one of \['a.npz'\]; got 'b"):
        data.shipped("b.npz")
    elsewhere = tmp_path_factory.mktemp("data")
    shutil.copy(folder / "manifest.json", elsewhere)
    monkeypatch.setenv("HELPERS_SHIPPED", str(elsewhere))
    with pytest.raises(FileNotFoundError, match=r"a\.npz is missing"):
        data.shipped("a.npz")
    (elsewhere / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json.*HELPERS_SHIPPED"):
        data.load_sample("mnist")


def test_reading_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        data.read_arrays(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_what_pages_read_needs_only_what_a_browser_has():
    code = (
        "import sys; from helpers import data as d\n"
        "d.load_sample('mnist'); d.load_sample('cifar10'); d.load_alexnet_fc7()\n"
        "d.load_objects92(); d.code_hash(); d.versions()\n"
        "absent = {'torch', 'safetensors', 'joblib', 'filelock', 'pooch', 'pipeline'}\n"
        "assert not absent & set(sys.modules), sorted(absent & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------- packing and drawing
def test_sheets_invert_and_keep_tiles_whole(rng):
    images = rng.integers(0, 256, (92, 4, 6, 3), dtype=np.uint8)
    sheet = manifest.to_sheet(images)
    assert sheet.shape == (2 * 4, 50 * 6, 3)
    np.testing.assert_array_equal(sheet[4:8, 6:12], images[51])
    np.testing.assert_array_equal(data.from_sheet(sheet, 92), images)


positive = st.floats(2.0**-20, 60000.0, width=32) | st.just(0.0)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=positive)
)
def test_packing_keeps_every_zero_and_rounds_to_half_precision(embeddings):
    back = data.unpack_sparse(*manifest.pack_sparse(embeddings), embeddings.shape)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back == 0, embeddings == 0)
    np.testing.assert_array_equal(back, embeddings.astype(np.float16))


@pytest.mark.parametrize("value", [1e-9, 1e6, -1.0])
def test_packing_refuses_what_half_precision_cannot_hold(value):
    with pytest.raises(ValueError, match="half precision"):
        manifest.pack_sparse(np.array([[0.0, value]], np.float32))


def test_stratified_draws_evenly_reproducibly_and_in_order(rng):
    labels = rng.permutation(np.repeat([3, 5, 8], 20))
    first, again = (
        data.stratified(labels, 7, np.random.default_rng(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(np.bincount(labels[first])[[3, 5, 8]], [7, 7, 7])
    with pytest.raises(ValueError, match="at most 20, the smallest class; got 21"):
        data.stratified(labels, 21, rng)


# ------------------------------------------------------------------ what is shipped
@pytest.mark.parametrize(
    ("name", "shape", "n_test", "n_train_all"),
    [("mnist", (28, 28), 10_000, 60_000), ("cifar10", (32, 32, 3), 2_000, 50_000)],
)
def test_samples_are_stratified_parts(name, shape, n_test, n_train_all):
    sample = data.load_sample(name)
    assert sample.x_train.shape == (2_000, *shape)
    assert sample.x_test.shape == (n_test, *shape)
    assert {sample.x_train.dtype, sample.y_test.dtype} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.bincount(sample.y_train), [200] * 10)
    if name == "cifar10":
        np.testing.assert_array_equal(np.bincount(sample.y_test), [200] * 10)
    for index, n_all in (
        (sample.index_train, n_train_all),
        (sample.index_test, 10_000),
    ):
        assert (np.diff(index) > 0).all() and 0 <= index[0] <= index[-1] < n_all
    with pytest.raises(ValueError, match="name must be one of .*'fashion'"):
        data.load_sample("fashion")


def test_the_mnist_sample_has_the_whole_test_set():
    sample = data.load_sample("mnist")
    hashes = [data.sha256(part) for part in (sample.x_test, sample.y_test)]
    assert hashes == list(datasets.SHA256["mnist"][2:])


@pytest.mark.parametrize("name", data.CLASSES)
def test_samples_are_parts_of_the_whole_sets(name):
    if not (datasets.cache_folder() / f"{name}.npz").exists():
        pytest.skip(f"{name} is not in the cache (pipeline.datasets.load downloads it)")
    sample, full = data.load_sample(name), datasets.load(name)
    for part in ("train", "test"):
        index = getattr(sample, f"index_{part}")
        for key in (f"x_{part}", f"y_{part}"):
            whole = getattr(full, key)
            np.testing.assert_array_equal(getattr(sample, key), whole[index])


def test_alexnet_features_are_a_part_of_those_of_all_images():
    x, stored = data.load_alexnet_fc7(), data.read_shipped("alexnet_fc7.npz")
    assert (x.shape, x.dtype) == ((400, 4096), np.float32) and (x >= 0).all()
    n_zero, n_zero_all = (x == 0).sum(axis=0), stored["n_zero_all"].astype(int)
    assert (n_zero <= n_zero_all).all()  # not more often zero in a part
    assert (400 - n_zero <= 2400 - n_zero_all).all()  # nor more often non-zero
    assert (n_zero_all == 2400).sum() == 111  # dead nodes, as in the source
    assert 0.85 < np.mean(n_zero_all / 2400) < 0.86


@pytest.fixture(scope="module")
def objects():
    return data.load_objects92()


def test_the_92_objects_are_whole_and_their_flags_agree(objects):
    assert objects.images.shape == (92, 175, 175, 3)
    assert len(np.unique(objects.images.reshape(92, -1), axis=0)) == 92
    np.testing.assert_array_equal(objects.images[:, 0, 0], np.full((92, 3), 128))
    faces = (objects.human & objects.face).sum()
    assert [faces, objects.animal.sum(), objects.natural.sum()] == [12, 48, 71]
    for name, human, face in zip(
        objects.category, objects.human, objects.face, strict=True
    ):
        assert human == name.startswith("human") and face == name.endswith(" face")


def test_similarities_of_the_92_objects_agree(objects):
    assert objects.raters.shape == (16, 4186) and objects.brain.shape == (8, 4186)
    np.testing.assert_array_equal(objects.mean, objects.mean.T)
    mean = rsa.upper_triangle(objects.mean)
    np.testing.assert_allclose(mean, objects.raters.mean(axis=0), rtol=1e-12)
    same = rsa.upper_triangle(objects.category[:, None] == objects.category)
    for similarity in (*objects.raters, objects.brain.mean(axis=0)):
        assert similarity[same].mean() > similarity[~same].mean()
    odd, even = objects.raters[::2].mean(axis=0), objects.raters[1::2].mean(axis=0)
    assert 0.82 < np.corrcoef(odd, even)[0, 1] < 0.9


def test_embeddings_belong_to_these_images_and_judgments(objects, rng):
    """R2 of .31 with the raters' mean; in another order of images none."""
    poz = sparsity.percentage_of_zeros(objects.embeddings)
    assert objects.embeddings.shape == (92, 25088)
    assert 0.82 < (poz > 0.8).mean() < 0.84 and 0 < (poz == 1).sum() < 2000
    similarity, mean = rsa.similarity_matrix(objects.embeddings), objects.mean
    r = np.corrcoef(rsa.upper_triangle(similarity), rsa.upper_triangle(mean))[0, 1]
    assert r > 0 and r**2 == pytest.approx(0.311, abs=0.01)
    order = rng.permutation(92)
    shuffled = rsa.upper_triangle(similarity[np.ix_(order, order)])
    assert np.corrcoef(shuffled, rsa.upper_triangle(mean))[0, 1] ** 2 < 0.05


# ---------------------------------------------------------- what numbers depend on
def test_hashes_tell_contents_apart(tmp_path):
    x = np.arange(6.0).reshape(2, 3)
    assert data.sha256(np.asfortranarray(x)) == data.sha256(x) != data.sha256(x + 1)
    (tmp_path / "a").write_bytes(x.tobytes())
    assert data.file_sha256(tmp_path / "a") == data.sha256(x)


def test_versions_leave_out_what_is_not_installed():
    assert data.versions("numpy", "no-such-package") == {"numpy": np.__version__}
    assert {"rarely-firing-nodes", "numpy", "scipy"} <= data.versions().keys()
