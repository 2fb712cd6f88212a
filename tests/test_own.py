"""The page *Try your own* outside of a browser: its numbers against slow references,
what it refuses, and the notebook that it hands out."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist

import explorer
import live
import own
import own_runner
import reference
import test_project
from helpers import rsa, sparsity, squeezenet
from pipeline import formats, own_page
from pipeline.formats import Refused

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def x(sparse):
    return sparse[sparse.any(axis=1)].astype(np.float32)


def saved(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    return path


# --------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("similarity", rsa.SIMILARITIES)
@pytest.mark.parametrize("judged", [False, True])
def test_numbers_are_those_of_a_slow_reference(similarity, judged, x, rng, tmp_path):
    square = rng.normal(size=(len(x), len(x)))
    square += square.T
    judgments = saved(tmp_path, "j.npy", -square) if judged else ""
    kind = "dissimilarity" if judged else ""
    given = own_page.load(saved(tmp_path, "a.npy", x), judgments, kind)
    found = own_page.analyse(given, similarity)
    nodes = found.analysis.nodes
    np.testing.assert_allclose(nodes["poz"], (x == 0).mean(axis=0))
    assert (nodes["kind"] == "dead").sum() == (x == 0).all(axis=0).sum() >= 3
    full = reference.similarity_matrix(x.astype(float), similarity)
    np.testing.assert_allclose(found.matrix, full, atol=1e-9)
    target = square if judged else full
    curves = found.analysis.curves.set_index("order")
    for order, highest in (("lowest", False), ("highest", True)):
        rows = curves.loc[order]
        sizes = np.rint(rows["share"] * x.shape[1]).astype(int)
        entering = sparsity.poz_order(nodes["poz"], highest_first=highest)
        slow = reference.insertion_curve(
            x.astype(float), entering, target, sizes, similarity
        )
        np.testing.assert_allclose(rows["value"], slow[0], atol=1e-9)


def test_map_keeps_distances_in_a_plane_and_is_that_of_the_explorer(rng):
    points = rng.normal(size=(9, 2)) @ np.diag([3, 1])
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.testing.assert_allclose(
        pdist(own_page.classical_map(distances)), pdist(points), atol=1e-9
    )
    bent = distances + 0.3 * (distances > 1)
    ours, theirs = own_page.classical_map(bent), explorer.classical_map(bent)
    np.testing.assert_allclose(pdist(ours), pdist(theirs), atol=1e-9)


def test_photographs_give_what_the_network_makes_of_them(rng, tmp_path):
    pictures = rng.integers(0, 256, (4, 227, 227, 3), np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    given = own_page.see(paths, "conv10", say=lambda text: None)
    weights = squeezenet.load_weights()
    slow = np.stack(
        [squeezenet.activations(p, weights, ["conv10"])["conv10"] for p in pictures]
    )
    np.testing.assert_array_equal(given.inputs.values, slow.reshape(4, -1))
    last = given.layers.set_index("layer").loc["conv10"]
    poz = (slow.reshape(4, -1) == 0).mean(axis=0)
    assert last["dead"] == (poz == 1).sum() and last["nodes"] == poz.size
    assert last["mean PoZ"] == pytest.approx(poz.mean())
    assert given.pictures.shape == (4, own_page.THUMBNAIL, own_page.THUMBNAIL, 3)
    assert given.inputs.labels == ("0", "1", "2", "3")


def test_photographs_are_turned_upright(tmp_path):
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :30] = 255  # what is at the left of the file belongs at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    seen = own_page.picture(tmp_path / "a.png").astype(int)
    assert seen[:60].mean() > 200 > 50 > seen[120:].mean()


# --------------------------------------------------------------------------- refusals
def header(text, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


def of_shape(shape, kind="<f4"):
    return header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")


def packed(**members):
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def png(width, height):
    """A picture that says its size and holds nothing."""

    def chunk(kind, body):
        whole = kind + body
        return (
            struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


class Hostile:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def objects():
    file = io.BytesIO()
    np.save(file, np.array([[Hostile()] * 4] * 4, object), allow_pickle=True)
    return file.getvalue()


ROWS = np.eye(6, 8, dtype=np.float32) + 1
BAD = {
    "truncated.npy": (of_shape((6, 8)) + bytes(100), "holds 100"),
    "long.npy": (of_shape((6, 8)) + bytes(6 * 8 * 4 + 1), "holds"),
    "huge.npy": (of_shape((65536, 65536)) + bytes(64), "holds 64"),
    "objects.npy": (objects(), "Python objects"),
    "pickle.npy": (pickle.dumps(Hostile()), "no .npy"),
    "archive.npy": (packed(a=of_shape((1, 1)) + bytes(4)), "no .npy"),
    "page.npy": (f"<html>{HOSTILE}</html>", "no .npy"),
    "header.npy": (header("{" + " " * 60_000), "cannot be read"),
    "long_header.npy": (header("{" + " " * 10**6, 2), "cannot be read"),
    "code.npy": (header("__import__('os').mkdir('unpickled')"), "cannot be read"),
    "empty.npy": (b"", "is empty"),
    "bomb.npz": (packed(a=of_shape((2**14, 2**13)) + bytes(2**29)), "would unpack"),
    "small_bomb.npz": (packed(a=of_shape((10**6, 10**6)) + bytes(9)), "unpack"),
    "lies.npz": (packed(a=of_shape((6, 8)) + bytes(40)), "but holds"),
    "objects.npz": (packed(a=objects()), "Python objects"),
    "cut.npz": (packed(a=of_shape((6, 8)) + bytes(192))[:-40], "damaged"),
    "two.npz": (packed(a=b"", b=b""), "cannot be read"),
    "nan.npy": (ROWS * np.nan, "nan at image 0"),
    "negative.npy": (ROWS - 2, "ReLU"),
    "texts.npy": (np.full((6, 8), "a"), "no real numbers"),
    "one.npy": (np.float32(1), "shape ()"),
    "row.npy": (ROWS[0], "activations need a row"),
    "same.npy": (np.ones((6, 8)), "differ between nodes"),
    "wide.npy": (np.ones((5, 2_000_000), np.uint8), "too many"),
    "words.csv": (f"1,2\n3,{HOSTILE}\n", "no number"),
    "line.csv": ("1," * 3 * 2**20, "a line of more"),
    "binary.csv": (bytes(range(256)) * 20, "cannot be read"),
    "model.pkl": (pickle.dumps(Hostile()), "pickle"),
    "model.pt": (b"PK", "this page reads"),
    "run.exe": (b"MZ", "this page reads"),
}


def check_sentence(error):
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 400, text
    return text


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, said = BAD[name]
    path = saved(tmp_path, name, content)
    with pytest.raises(Refused) as error:
        own_page.analyse(own_page.load(path))
    assert said in check_sentence(error)
    assert not (tmp_path / "unpickled").exists()


def test_what_is_large_is_refused_before_it_is_read(tmp_path):
    for name, limit in (("a.npy", own_page.LARGEST_FILE), ("a.csv", 32 * 2**20)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(limit + 1)
        with pytest.raises(Refused, match="at most") as error:
            own_page.load(tmp_path / name)
        check_sentence(error)


BAD_JUDGMENTS = {
    "shape": (np.ones((3, 3)), "similarity", "shape"),
    "kind": (np.eye(6), "", "larger numbers mean"),
    "flat": (np.ones((6, 6)), "similarity", "does not vary"),
    "few": (None, "similarity", "hold 2 pairs"),
}


@pytest.mark.parametrize("name", BAD_JUDGMENTS)
def test_bad_judgments_are_refused(name, rng, tmp_path):
    square, kind, said = BAD_JUDGMENTS[name]
    if square is None:
        square = np.full((6, 6), np.nan)
        square[[0, 1, 0, 2], [1, 0, 2, 0]] = [1, 1, 2, 2]
    values = saved(tmp_path, "a.npy", rng.random((6, 8)))
    with pytest.raises(Refused, match=said) as error:
        own_page.analyse(own_page.load(values, saved(tmp_path, "j.npy", square), kind))
    check_sentence(error)


JPEG = io.BytesIO()
Image.new("RGB", (500, 400), "red").save(JPEG, "JPEG")
BAD_PHOTOS = {
    "bomb.png": (png(60_000, 60_000), "pixels"),
    "large.png": (png(9_000, 9_000), "pixels"),
    "hollow.png": (png(60, 60), "damaged"),
    "cut.jpg": (JPEG.getvalue()[:900], "damaged"),
    "drawing.png": (f"<svg xmlns='http://www.w3.org/2000/svg'>{HOSTILE}</svg>", "kind"),
    "script.jpg": ("%!PS\n(unpickled) (w) file", "kind"),
    "empty.webp": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_bad_photographs_are_refused_in_a_sentence(name, tmp_path):
    content, said = BAD_PHOTOS[name]
    with pytest.raises(Refused, match=said) as error:
        own_page.picture(saved(tmp_path, name, content))
    check_sentence(error)


def test_photographs_are_counted(tmp_path):
    with pytest.raises(Refused, match="got 3"):
        own_page.see(["a.jpg"] * 3)
    with pytest.raises(Refused, match="got 61"):
        own_page.see(["a.jpg"] * 61)


# ------------------------------------------------------------------------------ texts
def test_names_are_short_plain_and_no_formula():
    assert own_page.plain("a\x00\x1b[31m\n‮b") == "a [31m b"
    assert len(own_page.plain("x" * 999)) == own_page.LONGEST_NAME
    frame = pd.DataFrame({"=1": [1.0, -2.0], "item": ["=cmd()", "-3"]})
    kept = own_page.safe(frame)
    assert list(kept) == ["'=1", "item"] and list(kept["item"]) == ["'=cmd()", "'-3"]
    np.testing.assert_array_equal(kept["'=1"], [1, -2])


# ------------------------------------------------------------------------- the runner
def asked(**changes):
    return {
        "activations": "",
        "photographs": [],
        "layer": "fire9",
        "array": "",
        "reference": "",
        "kind": "",
        "reference_array": "",
        "similarity": "pearson",
        "width": 4,
    } | changes


def answered(folder, request):
    """The answer of the page's runner, and the folder of files that it names."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "request.json").write_text(json.dumps(request))
    own_runner.answer(str(folder / "in"), str(folder / "out"))
    return json.loads((folder / "out" / "answer.json").read_text()), folder / "out"


def labelled(x):
    """A CSV with names that try to be HTML, mathematics and a formula."""
    names = [HOSTILE, "$\\frac{", "=1+1", *map(str, range(len(x) - 3))]
    return pd.DataFrame(x, names).add_prefix("n").to_csv()


def test_runner_answers_with_every_file_and_the_notebook_makes_them_again(
    x, rng, tmp_path, monkeypatch
):
    square = rng.normal(size=(len(x), len(x)))
    files = {
        "given/<b>a.csv": labelled(x),
        "judgments/j.npy": square + square.T,
    }
    for name, content in files.items():
        saved(tmp_path / "in", name, content)
    request = asked(
        activations="<b>a.csv",
        reference="j.npy",
        kind="similarity",
        similarity="cosine",
    )
    made, out = answered(tmp_path, request)
    assert "refused" not in made, made
    assert not (tmp_path / "in").exists()
    assert all((out / name).stat().st_size for name in made["files"])
    assert {f["name"] for f in made["figures"]} == {"poz", "matrix", "map", "curves"}
    assert pd.read_csv(out / "map.csv")["item"][0] == HOSTILE

    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        saved(tmp_path, name.split("/")[1], content)
    notebook = json.loads((out / own_runner.NOTEBOOK).read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(cell["source"], names)
    for name in own_page.frames(names["found"]):
        assert (tmp_path / f"{name}.csv").read_bytes() == (
            out / f"{name}.csv"
        ).read_bytes()
    (tmp_path / "<b>a.csv").write_text("1,2")
    with pytest.raises(AssertionError, match="another file"):
        exec(own_runner.CHECK, names)


def test_runner_says_what_it_refuses_and_what_fails(tmp_path, monkeypatch):
    saved(tmp_path / "in", "given/a.npy", ROWS - 2)
    made, _ = answered(tmp_path, asked(activations="a.npy"))
    assert "ReLU" in made["refused"]
    monkeypatch.setattr(own_page, "load", lambda *_, **__: 1 / 0)
    made, _ = answered(tmp_path, asked())
    assert made == {
        "refused": "This could not be computed (ZeroDivisionError: division by zero)."
    }


def test_example_is_the_books_and_limits_are_handed_to_the_page():
    given = own_page.load()
    assert len(given.inputs.values) == len(given.pictures) == 92
    about = own.about()
    assert json.loads(json.dumps(about))["layers"] == list(own_page.LAYERS)
    assert set(about["files"]) <= set(formats.READERS)


def test_the_archive_runs_on_what_a_browser_has(tmp_path):
    (tmp_path / "helpers.zip").write_bytes(live.helpers_zip())
    code = f"{test_project.WITHOUT}sys.path[:0] = [{str(tmp_path / 'helpers.zip')!r}]"
    code += "\nimport own_runner\n"
    code += "import pipeline; assert 'helpers.zip' in pipeline.__path__[0]"
    command = [sys.executable, "-P", "-c", code, f"{test_project.EXTRAS} h5py"]
    subprocess.run(command, check=True, cwd=tmp_path)
