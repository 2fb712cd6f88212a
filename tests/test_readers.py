"""Files of other tools: what they hold is what is read, and bad ones are refused in one
sentence."""

import pickle
import tracemalloc
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from safetensors.numpy import save_file
from scipy import io

from helpers import sparsity
from pipeline import census, formats, interop, readers
from pipeline.formats import Refused


@pytest.fixture
def x(sparse):
    return sparse.astype(np.float32)


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name, data=values, compression="gzip")


def write_parquet(path, x):
    pytest.importorskip("pyarrow")
    pd.DataFrame(x).rename(columns=str).to_parquet(path)


def named_frame(x):
    return pd.DataFrame(x, [f"i{k}" for k in range(len(x))]).add_prefix("node")


WRITERS = {
    "a.npy": np.save,
    "fortran.npy": lambda path, x: np.save(path, np.asfortranarray(x)),
    "a.npz": lambda path, x: np.savez(path, x),
    "packed.npz": lambda path, x: np.savez_compressed(path, x=np.asfortranarray(x)),
    "a.pt": lambda path, x: torch.save(torch.tensor(x), path),
    "old.pt": lambda path, x: torch.save(
        torch.tensor(x), path, _use_new_zipfile_serialization=False
    ),
    "state.pth": lambda path, x: torch.save({"fc": torch.tensor(x)}, path),
    "a.safetensors": lambda path, x: save_file({"fc": x}, path),
    "a.mat": lambda path, x: io.savemat(path, {"fc": x}, do_compression=True),
    "v73.mat": lambda path, x: write_h5(path, fc=x.T),
    "a.h5": lambda path, x: write_h5(path, fc=x),
    "a.csv": lambda path, x: pd.DataFrame(x).to_csv(path),
    "bare.csv": lambda path, x: pd.DataFrame(x).to_csv(path, header=False, index=False),
    "named.csv": lambda path, x: named_frame(x).to_csv(path),
    "a.tsv": lambda path, x: named_frame(x).to_csv(path, sep="\t"),
    "a.txt": np.savetxt,
    "a.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_read_is_what_was_written(name, x, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "BLOCK", 500)  # several blocks
    WRITERS[name](tmp_path / name, x)
    found = readers.read(tmp_path / name)
    assert found.values.shape == x.shape and found.source.startswith(name)
    np.testing.assert_allclose(found.values, x, rtol=1e-6)
    if name in ("named.csv", "a.tsv"):
        assert found.labels == tuple(f"i{k}" for k in range(len(x)))


def test_half_precision_and_missing_cells(x, tmp_path):
    torch.save(torch.tensor(x).bfloat16(), tmp_path / "a.pt")
    assert np.abs(readers.read(tmp_path / "a.pt").values - x).max() < 0.02
    (tmp_path / "a.csv").write_text("1,,3\n4,NA,nan\n")
    expected = [[1, np.nan, 3], [4, np.nan, np.nan]]
    np.testing.assert_array_equal(readers.read(tmp_path / "a.csv").values, expected)


# ------------------------------------------------------------------- folders of tools
def test_folders_of_thingsvision(x, tmp_path):
    """Layout of thingsvision 2.7: a folder per module, pieces <start>-<stop>."""
    (tmp_path / "file_names.txt").write_text("".join(f"{k}.jpg\n" for k in range(12)))
    for name, values in (("relu", x), ("fc", 2 * x)):
        (tmp_path / name).mkdir()
        for start in (8, 0, 4):
            file = tmp_path / name / f"features_{start}-{start + 4}.npy"
            np.save(file, values[start : start + 4])
    found = readers.read(tmp_path, "fc")
    np.testing.assert_array_equal(found.values, 2 * x)
    assert found.labels[10] == "10.jpg"
    with pytest.raises(Refused, match="has 2 layers; name one of: fc, relu"):
        readers.read(tmp_path)
    (tmp_path / "fc" / "features_4-8.npy").unlink()
    with pytest.raises(Refused, match="lacks a piece"):
        readers.read(tmp_path, "fc")


def test_splits_of_thingsvision(x, tmp_path):
    """Its `split_features`: ten pieces, numbered; in HDF5 ten data sets."""
    for k, rows in enumerate(np.array_split(x, 10), 1):
        torch.save(torch.tensor(rows), tmp_path / f"features_{k:02d}.pt")
    np.testing.assert_array_equal(readers.read(tmp_path).values, x)
    parts = {f"features_{k:02d}": v for k, v in enumerate(np.array_split(x, 10), 1)}
    write_h5(tmp_path / "features.hdf5", **parts)
    np.testing.assert_array_equal(readers.read(tmp_path / "features.hdf5").values, x)
    with pytest.raises(Refused, match="holds several results"):
        readers.read(tmp_path)


def test_thingsvision_itself(x, tmp_path):
    storing = pytest.importorskip("thingsvision.utils.storing")
    for file_format in ("npy", "hdf5", "mat", "pt", "txt"):
        folder = tmp_path / file_format
        storing.save_features(x, str(folder), file_format)
        np.testing.assert_allclose(readers.read(folder).values, x, rtol=1e-6)


def test_folders_of_net2brain(x, tmp_path):
    """An .npz per image, or one per layer; images are sorted by name."""
    maps = x.reshape(12, 5, 3, 2)
    images, layers = tmp_path / "images", tmp_path / "layers"
    images.mkdir(), layers.mkdir()
    order = np.random.default_rng(1).permutation(12)
    for k in order:
        np.savez(images / f"im{k:02d}.npz", **{"fc": x[k][None], "conv": maps[k][None]})
    for name, values in (("fc", x), ("conv", maps)):
        arrays = {f"im{k:02d}": values[k][None] for k in order}
        np.savez_compressed(layers / f"consolidated_{name}.npz", **arrays)
    for folder in (images, layers):
        for layer in ("fc", "conv"):
            found = readers.read(folder, layer)
            np.testing.assert_array_equal(found.values, x)
            assert found.labels[11] == "im11"
        with pytest.raises(Refused, match="2 layers"):
            readers.read(folder)


# ------------------------------------------------------------------------ bad files
class Bomb:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def zip_with(path, header, n_zeros, compression=zipfile.ZIP_DEFLATED):
    """An .npz whose header says what it likes."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        text = str(header).encode().ljust(118) + b"\n"
        magic = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        with archive.open("x.npy", "w", force_zip64=True) as file:
            file.write(magic + text)
            for _ in range(n_zeros // 2**20):
                file.write(bytes(2**20))
            file.write(bytes(n_zeros % 2**20))


def header(shape):
    return {"descr": "<f4", "fortran_order": False, "shape": shape}


def huge_header(path):
    path.write_bytes(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{" * 9)


def truncated(path):
    np.save(path, np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:-100])


def truncated_zip(path):
    np.savez(path, x=np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:-200])


def expanded(path):
    torch.save(torch.zeros(1).expand(10**5, 10**5), path)


def compressed_pt(path):
    torch.save(torch.ones(4, 4), path.with_suffix(".zip"))
    old = zipfile.ZipFile(path.with_suffix(".zip"))
    with old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))


def empty_chunks(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**5, 10**5), "f4", chunks=(100, 100))


def external(path):
    secret = path.with_suffix(".secret")
    secret.write_bytes(bytes(400))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10, 10), "f4", external=[(str(secret), 0, 400)])


def soft_links(path):
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "x")


def cells(path):
    io.savemat(path, {"x": np.array([[1, "a"]], dtype=object)})


def sparse_mat(path):
    from scipy.sparse import eye

    io.savemat(path, {"x": eye(5).tocsc()})


BAD = {
    "objects.npy": (lambda p: np.save(p, np.array([{}])), "Python objects"),
    "objects.npz": (lambda p: np.savez(p, x=np.array([{}])), "Python objects"),
    "pickle.npy": (lambda p: p.write_bytes(pickle.dumps([1])), "cannot be read"),
    "texts.npy": (lambda p: np.save(p, np.array(["a"])), "no real numbers"),
    "complex.npy": (lambda p: np.save(p, np.ones((4, 4), complex)), "no real numbers"),
    "empty.npy": (lambda p: np.save(p, np.ones((0, 4))), "is empty"),
    "nothing.npy": (lambda p: p.write_bytes(b""), "cannot be read"),
    "huge.npy": (huge_header, "cannot be read"),
    "truncated.npy": (truncated, "cannot be read"),
    "truncated.npz": (truncated_zip, "cannot be read"),
    "lies.npz": (lambda p: zip_with(p, header((50, 50)), 400), "but holds 400"),
    "more.npz": (lambda p: zip_with(p, header((5, 5)), 400), "is 100 bytes, but"),
    "bomb.npz": (lambda p: zip_with(p, header((9000, 9000)), 4_000_000), "unpack"),
    "evil.npz": (lambda p: zip_with(p, "__import__('os')", 4), "cannot be read"),
    "two.npz": (lambda p: np.savez(p, a=[1], b=[2]), r"name one of: a \(1,\), b"),
    "expanded.pt": (expanded, "holds fewer numbers"),
    "compressed.pt": (compressed_pt, "as torch never writes"),
    "noise.pt": (lambda p: p.write_bytes(bytes(100)), "cannot be read"),
    "list.pt": (lambda p: torch.save([1], p), "no dense tensor"),
    "noise.safetensors": (lambda p: p.write_bytes(b"\xff" * 100), "cannot be read"),
    "empty_chunks.h5": (empty_chunks, "would unpack"),
    "external.h5": (external, "lies in other files"),
    "links.h5": (soft_links, "0 arrays"),
    "noise.h5": (lambda p: p.write_bytes(bytes(100)), "cannot be read"),
    "cells.mat": (cells, "cell array"),
    "sparse.mat": (sparse_mat, r"save full\(x\)"),
    "noise.mat": (lambda p: p.write_bytes(bytes(200)), "cannot be read"),
    "words.csv": (lambda p: p.write_text("1,2\n3,<b>x</b>\n"), "is no number"),
    "ragged.csv": (lambda p: p.write_text("1,2\n3,4\n5,6,7\n"), "cannot be read"),
    "counted.csv": (lambda p: p.write_text("0,1,2\n5,6,7\n"), "header=False"),
    "nothing.csv": (lambda p: p.write_text(""), "cannot be read"),
    "binary.csv": (lambda p: p.write_bytes(b"\xff\xfe\x00" * 9), "cannot be read"),
    "acts.pkl": (lambda p: p.write_bytes(pickle.dumps([1])), "could run code"),
    "acts.xlsx": (lambda p: p.write_bytes(b""), "is unknown; save as one of .npy"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_a_sentence(name, tmp_path):
    write, message = BAD[name]
    write(tmp_path / name)
    with pytest.raises(Refused, match=message) as refused:
        readers.read(tmp_path / name)
    text = str(refused.value)
    assert text.startswith(name) and text.endswith(".")
    assert len(text) < 400 and text.isprintable()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "old.pt", "a.pkl"])
def test_nothing_is_unpickled(name, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / name
    objects = np.empty(1, dtype=object)
    objects[0] = Bomb(trace)
    {
        "a.npy": lambda: np.save(path, objects),
        "a.npz": lambda: np.savez(path, x=objects),
        "a.pt": lambda: torch.save(Bomb(trace), path),
        "old.pt": lambda: torch.save(
            Bomb(trace), path, _use_new_zipfile_serialization=False
        ),
        "a.pkl": lambda: path.write_bytes(pickle.dumps(Bomb(trace))),
    }[name]()
    with pytest.raises(Refused):
        readers.read(path)
    assert not trace.exists()


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(Refused, match="acts.npy does not exist"):
        readers.read(tmp_path / "acts.npy")
    with pytest.raises(Refused, match="no output folder"):
        readers.read(tmp_path)
    np.savez(tmp_path / "a.npz", relu=np.ones((4, 4)))
    with pytest.raises(Refused, match=r"no array 'fc'; name one of: relu \(4, 4\)"):
        readers.read(tmp_path / "a.npz", "fc")


# ------------------------------------------------------------------------- counting
def test_zeros_are_counted_in_bounded_memory(rng, tmp_path):
    """A fiftieth of 50,000 x 25,088: memory is a few blocks, not the matrix."""
    x = np.maximum(rng.normal(size=(2000, 4000)), 0).astype(np.float32)
    expected = sparsity.percentage_of_zeros(x)
    np.save(tmp_path / "a.npy", x)
    np.savez_compressed(tmp_path / "a.npz", x=x)
    save_file({"x": x}, tmp_path / "a.safetensors")
    write_h5(tmp_path / "a.h5", x=x)
    size = x.nbytes
    del x
    for name in ("a.npy", "a.npz", "a.safetensors", "a.h5"):
        tracemalloc.start()
        formats.BLOCK, before = 2**20, formats.BLOCK
        zeros = census.count(interop.as_activations(tmp_path / name))
        formats.BLOCK = before
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_allclose(zeros.poz, expected, atol=1e-15)
        assert peak < size / 4, name


def test_kinds_and_silent_images(sparse):
    sparse[7] = 0
    zeros = census.count(sparse)
    np.testing.assert_array_equal(zeros.silent_images, [7])
    dead = sparsity.ghost_features(sparse)
    np.testing.assert_array_equal(np.flatnonzero(zeros.kinds == "dead"), dead)
    np.testing.assert_array_equal(zeros.kinds == "live", zeros.poz <= 0.9)
    frame = zeros.histogram()
    assert frame["nodes"].sum() == 30 and frame["nodes"].iloc[-1] == len(dead)
    missed = (1 - zeros.largest_rate) ** 12
    assert missed == pytest.approx(0.05)


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_a_bad_activation_is_named(value, sparse, monkeypatch):
    monkeypatch.setattr(formats, "BLOCK", 500)
    sparse[9, 3] = value
    with pytest.raises(Refused, match=r"acts of shape \(12, 30\).*image 9, node 3;"):
        census.count(sparse, "acts")


def test_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('name,kind\n"a",1\nb,2\nc,3\n')
    assert readers.read_labels(path, 3) == ("a", "b", "c")
    with pytest.raises(Refused, match="names 4 images, the activations have 7"):
        readers.read_labels(path, 7)
