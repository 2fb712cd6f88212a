"""The page *Try your own* in a browser: the numbers of Python outside of it, bad files,
texts that stay texts, and no request to anyone.

Timeouts are generous: they tell a page that hangs from a busy machine.
"""

import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import browser as tools
import test_own
from pipeline import own_page

PAGE = "book/try_your_own.html"
IDLE = "document.getElementById('own-app').dataset.state === 'idle'"
N_IMAGES = 14
SOME_BAD = (
    "huge.npy",
    "objects.npy",
    "pickle.npy",
    "header.npy",
    "bomb.npz",
    "cut.npz",
)
SOME_BAD += ("nan.npy", "wide.npy", "words.csv", "model.pkl")
"""Those that another build of numpy or zipfile might take otherwise."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a reader: activations with hostile names, judgments, photographs."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("own")
    x = np.maximum(rng.normal(size=(N_IMAGES, 60)) - rng.uniform(-1, 2, 60), 0)
    x[5] = 0
    names = [f"{test_own.HOSTILE}{i}" for i in range(N_IMAGES)]
    pd.DataFrame(x, names).add_prefix("n").to_csv(path / "a.csv")
    square = rng.normal(size=(N_IMAGES, N_IMAGES))
    np.save(path / "j.npy", square + square.T)
    for i in range(4):
        pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


@pytest.fixture(scope="module")
def page(load, address):
    """The page, with one Python for all tests."""
    if not (tools.HTML / "live" / "runtime").is_dir():
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("the book has no Python: run `make book` with a network")
    page = load(f"{address}/{PAGE}")
    page.sent, page.dialogs = [], []
    page.on("request", lambda r: page.sent.append((r.method, r.post_data)))
    page.on("dialog", lambda d: (page.dialogs.append(d.message), d.dismiss()))
    yield page
    page.close()


def computed(page, files, judgments=(), kind="", **choices):
    """What the page says at the end, once it has computed with these files."""
    page.locator("#own-files").set_input_files(files)
    page.locator("#own-judgments").set_input_files(judgments)
    page.locator("#own-kind").select_option(kind)
    for name, value in choices.items():
        page.locator(f"#own-{name}").select_option(value)
    page.get_by_role("button", name="Compute").click()
    tools.until(page, IDLE, seconds=300)
    return page.locator(".own-state").inner_text()


def saved(page, name):
    """The bytes of a file that the page offers."""
    with page.expect_download() as download:
        page.locator(f"a[download='{name}']").click()
    return download.value.path().read_bytes()


def test_nothing_of_python_is_loaded_before_it_is_needed(page):
    assert not [url for url in page.asked if "/live/" in url]
    assert "Choose a file" in computed(page, [])


def test_files_give_the_numbers_of_python_and_every_file(page, folder):
    files = folder / "a.csv", folder / "j.npy"
    assert "Say whether" in computed(page, files[0], files[1])
    said = computed(page, files[0], files[1], "dissimilarity", similarity="spearman")
    assert said.startswith("Computed in")
    given = own_page.load(*files, "dissimilarity")
    found = own_page.analyse(given, "spearman")
    with zipfile.ZipFile(io.BytesIO(saved(page, "try_your_own.zip"))) as archive:
        for name, frame in own_page.frames(found).items():
            shown = pd.read_csv(io.BytesIO(archive.read(f"{name}.csv")))
            assert saved(page, f"{name}.csv") == archive.read(f"{name}.csv")
            pd.testing.assert_frame_equal(shown, frame, check_dtype=False, atol=1e-9)
        for name in ("poz", "matrix", "map", "curves"):
            assert saved(page, f"{name}.png") == archive.read(f"{name}.png")
        assert b"dissimilarity" in archive.read("try_your_own.ipynb")


def test_names_stay_texts(page, folder):
    computed(page, folder / "a.csv")
    assert test_own.HOSTILE in page.locator(".own-results").inner_text()
    assert page.locator("#own-app img:not(.plot, .photo)").count() == 0
    assert page.dialogs == []


def test_photographs_go_through_every_layer(page, folder):
    photographs = sorted(folder.glob("*.png"))
    assert computed(page, photographs, layer="fire8").startswith("Computed in")
    layers = page.locator(".own-results table").last.locator("tbody th")
    assert layers.all_inner_texts() == list(own_page.LAYERS)
    given = own_page.see(photographs, "fire8", say=lambda text: None)
    shown = pd.read_csv(io.BytesIO(saved(page, "layers.csv")))
    pd.testing.assert_frame_equal(shown, given.layers, check_dtype=False, rtol=1e-3)
    assert page.locator("#own-map img.photo").count() == 1


@pytest.mark.parametrize("name", SOME_BAD)
def test_bad_files_are_refused_and_show_nothing(page, name, tmp_path):
    content, said = test_own.BAD[name]
    path = test_own.saved(tmp_path, name, content)
    assert said in computed(page, path)
    assert page.locator(".own-results").inner_text() == ""


@pytest.mark.parametrize("name", test_own.BAD_PHOTOS)
def test_bad_photographs_are_refused(page, name, folder, tmp_path):
    content, said = test_own.BAD_PHOTOS[name]
    bad = test_own.saved(tmp_path, name, content)
    assert said in computed(page, [*folder.glob("*.png"), bad])


def test_mixtures_are_refused(page, folder):
    photographs = sorted(folder.glob("*.png"))
    assert "not both" in computed(page, [*photographs, folder / "j.npy"])
    assert "one file" in computed(page, [folder / "a.csv", folder / "j.npy"])
    assert "got 3" in computed(page, photographs[:3])


def test_a_dropped_file_is_chosen(page):
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(['1,2'], 'dropped.csv'));
            const about = {dataTransfer: data, bubbles: true, cancelable: true};
            const place = document.querySelector('.own-drop');
            place.dispatchEvent(new DragEvent('drop', about));
        }"""
    )
    assert page.locator(".own-chosen").inner_text() == "dropped.csv"
    assert page.locator(".own-state").inner_text() == "Ready to compute."


def test_stop_ends_python_and_the_page_goes_on(page, folder):
    page.locator("#own-files").set_input_files(sorted(folder.glob("*.png")))
    page.locator("#own-judgments").set_input_files([])
    page.get_by_role("button", name="Compute").click()
    tools.until(page, "document.querySelector('.own-progress').innerText !== ''")
    page.get_by_role("button", name="Stop").click()
    tools.until(page, IDLE)
    assert "Stopped" in page.locator(".own-state").inner_text()
    assert computed(page, folder / "a.csv").startswith("Computed in")


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(tools.WIDE, "light"), (tools.PHONE, "dark")],
    ids=["wide", "phone-dark"],
)
def test_results_are_accessible(page, folder, violations, viewport, scheme):
    page.set_viewport_size(viewport)
    page.emulate_media(color_scheme=scheme)
    computed(page, sorted(folder.glob("*.png")))
    found = violations(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(tools.WIDE)
    page.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)
    assert width <= viewport["width"]


def test_nothing_left_this_machine(page, address):
    """Runs last: all that the tests above have asked for."""
    own = (address, "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(own)] == []
    assert len(page.asked) > 20 and {*page.sent} == {("GET", None)}
    assert [url for url in page.asked if "a.csv" in url or "j.npy" in url] == []
    assert page.errors == []


def test_opened_from_a_file_the_page_says_how_to_serve_it(load):
    page = load((tools.HTML / PAGE).as_uri())
    assert "make serve" in page.locator(".own-state").inner_text()
    page.close()
