"""Cells of the first section run in the page: the numbers of the book, state, errors,
endless loops, and copies of the book without Python.

Timeouts are generous: they tell a page that hangs from a busy machine.
"""

import os
import re
import shutil
from http.server import SimpleHTTPRequestHandler

import pytest
from live_page import LivePage

import browser as tools
import live
import serve

FIRST = "notebooks/01_introduction.html"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def first(load, address):
    """The first section, with one Python for all tests that share it."""
    page = LivePage(load(f"{address}/{FIRST}"))
    yield page
    page.tab.close()


def same(static, shown):
    """Words and numbers (to 1e-6) are the same; the book sets tables otherwise."""
    texts = [text.replace("\N{MINUS SIGN}", "-") for text in (static, shown)]
    words = [{*re.findall(r"[^\W\d_]{3,}", text)} for text in texts]
    assert words[0] <= words[1]
    numbers = [[float(n) for n in NUMBER.findall(text)] for text in texts]
    assert numbers[1] == pytest.approx(numbers[0], rel=0, abs=1e-6)


def test_a_page_that_nobody_touches_loads_nothing_of_python(first):
    assert not [url for url in first.tab.asked if "/live/" in url]
    assert not first.tab.locator(".live-bar").is_visible()


def test_the_page_gives_its_own_numbers(first, address):
    static = first.results(".cell_output", ".stream pre, table")
    first.press("Run all cells of this page")
    assert first.settled().startswith("Ready. Ran cells 1 to")
    shown = first.results(":scope > .live-output", ".live-text, table")
    compared = [pair for pair in zip(static, shown, strict=True) if pair[0]]
    assert len(compared) >= 2
    for texts in compared:
        for pair in zip(*texts, strict=True):
            same(*pair)
    assert first.count(".live-figure img.plot") == first.count(first.FIGURES)
    captions = first.count("article figure figcaption:visible")
    assert captions == first.count("article figure")
    assert first.count("article figure img:visible") == 0
    own = (address, "data:", "blob:")
    assert [url for url in first.tab.asked if not url.startswith(own)] == []
    assert first.tab.errors == []


def test_a_changed_cell_changes_what_cells_below_it_compute(first):
    first.run_code(3, "value = 1")
    first.run_code(4, "value + 1")
    assert first.count(".live-text:text-is('2')") == 1
    first.code(3).fill("value = 5")
    notes = first.tab.locator(".live-cell-note").all_inner_texts()
    assert "not run since" in notes and "changed, not run" in notes
    first.run_cell(4)
    assert "Ran cells 3 to 4 of" in first.settled()
    assert first.count(".live-text:text-is('6')") == 1


def test_an_exception_shows_its_traceback_and_the_page_survives(first):
    assert "ZeroDivisionError" in first.run_code(3, "kept = 41\nkept / 0")
    trace = first.tab.locator(".live-error pre").inner_text()
    assert "kept / 0" in trace and "ZeroDivisionError" in trace
    assert "Ran cell 3" in first.run_code(3, "print(kept + 1)")
    assert first.count(".live-text:text-is('42')") == 1
    assert first.count(".live-error") == 0


@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(tools.WIDE, "light"), (tools.PHONE, "dark")],
    ids=["wide", "phone-dark"],
)
def test_live_results_and_controls_are_accessible(first, violations, viewport, scheme):
    first.run_code(3, "print(1)\n1 / 0")
    first.tab.set_viewport_size(viewport)
    first.tab.emulate_media(color_scheme=scheme)
    first.tab.wait_for_timeout(500)  # until what scrolls at this width is reachable
    found = violations(first.tab)
    width = first.tab.evaluate("document.documentElement.scrollWidth")
    first.tab.set_viewport_size(tools.WIDE)
    first.tab.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)
    assert width <= viewport["width"]


def test_a_page_says_what_a_browser_lacks(first):
    first.run_code(3, "import torch")
    assert "This needs torch" in first.tab.locator(".live-note").inner_text()


def test_an_endless_loop_is_interrupted_and_state_is_kept(first):
    assert first.tab.evaluate("crossOriginIsolated")
    first.start(3, "kept = 43\nprint('begun')\nwhile True: pass")
    first.wait_for_text("begun")
    first.press("Stop the running cell")
    assert "KeyboardInterrupt" in first.settled()
    first.run_code(3, "print(kept)")
    assert first.count(".live-text:text-is('43')") == 1


def test_a_wrong_parameter_stops_at_the_check_and_a_right_one_starts_afresh(first):
    first.run_code(1, "n_silent = 0")
    first.run_cell(3)
    assert re.search(r"Cell 2 of \d+ stopped: ValueError", first.settled())
    first.run_code(
        1, first.code(1).input_value().replace("n_silent = 0", "n_silent = 7")
    )
    first.run_cell(2)
    assert "Ran cells 1 to 2" in first.settled()
    assert "NameError" in first.run_code(3, "kept")


def test_reset_restores_the_book(first):
    original = first.tab.evaluate(
        "JSON.parse(document.getElementById('live-cells').textContent).cells[0].source"
    )
    first.press("Reset page: code and results of the book")
    assert first.count(".live-output") == 0
    assert first.code(1).input_value() == original
    shown = first.tab.locator("article .cell_input pre").first.inner_text()
    assert shown.strip() == original.strip()
    assert first.count("article figure img:visible") == first.count(first.FIGURES)


# ---------------------------------------------------------------------- other copies
class Plain(SimpleHTTPRequestHandler):
    """A server like most: without the headers for shared memory."""

    log_message = serve.Handler.log_message


@pytest.fixture
def copy(tmp_path):
    """The built book without Python for the browser (links instead of copies)."""
    folder = tmp_path / "html"
    ignored = shutil.ignore_patterns("runtime", "files")
    return shutil.copytree(tools.HTML, folder, copy_function=os.link, ignore=ignored)


def test_without_shared_memory_stopping_ends_python_and_says_so(load):
    with tools.served(handler=Plain) as plain:
        page = LivePage(load(f"{plain}/{FIRST}"))
        assert not page.tab.evaluate("crossOriginIsolated")
        page.start(1, "print('begun')\nwhile True: pass")
        page.wait_for_text("begun")
        page.press("Stop the running cell")
        assert "is lost" in page.settled()
        assert page.tab.locator(".live-bar").get_attribute("data-state") == "off"
        page.tab.close()


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("runtime/pyodide.mjs", "is missing"),
        ("runtime/pyodide.asm.wasm", "is not the file that was built"),
        ("runtime/pandas-*.whl", "is missing"),
        ("runtime/six-*.whl", "is missing or altered"),
        ("helpers.zip", "is not the file that was built"),
    ],
)
def test_a_missing_or_altered_file_of_python_is_named(load, tmp_path, pattern, said):
    folder = shutil.copytree(tools.HTML, tmp_path / "html", copy_function=os.link)
    (path,) = (folder / "live").glob(pattern)
    content = path.read_bytes()
    path.unlink()
    if not said.endswith("missing"):
        path.write_bytes(content[:-100] + bytes(100))
    with tools.served(folder) as address:
        page = LivePage(load(f"{address}/{FIRST}"))
        page.run_cell(3)
        assert f"{path.name} {said}" in page.settled()
        assert page.tab.locator(".live-bar").get_attribute("data-state") == "off"
        page.tab.close()


def test_altered_activations_are_named_even_if_they_can_be_read(load, tmp_path):
    folder = shutil.copytree(tools.HTML, tmp_path / "html", copy_function=os.link)
    path = folder / "live" / "files" / "data" / "lenets_mnist_00.npz"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with tools.served(folder) as address:
        page = LivePage(load(f"{address}/{FIRST}"))
        read = "print(len(open('/book/data/lenets_mnist_0{}.npz', 'rb').read()))"
        assert "not the file" not in page.run_code(1, read.format(1))
        said = page.run_code(1, read.format(0))
        assert "data/lenets_mnist_00.npz is not the file that was built" in said
        page.tab.close()


def test_where_the_files_of_python_are_missing_the_page_says_so(load, copy):
    with tools.served(copy) as address:
        page = LivePage(load(f"{address}/{FIRST}"))
        page.run_cell(3)
        assert "could not be loaded" in page.settled()
        assert page.count("article figure img:visible") == page.count(page.FIGURES)
        page.tab.close()


def test_a_book_built_without_python_says_so(load, copy):
    path = copy / FIRST
    text = path.read_text("utf-8")
    path.unlink()
    path.write_text(text.replace('"reason": ""', f'"reason": "{live.NOT_OBTAINED}"'))
    with tools.served(copy) as address:
        page = LivePage(load(f"{address}/{FIRST}"))
        assert "could not be obtained" in page.tab.locator(".live-reason").inner_text()
        assert page.count(".live-button") == 0
        assert not [url for url in page.tab.asked if "/live/" in url]
        page.tab.close()


def test_opened_from_a_file_the_page_reads_well_and_says_how_to_serve_it(load):
    page = LivePage(load((tools.HTML / FIRST).as_uri()))
    page.run_cell(3)
    assert "make serve" in page.state()
    assert page.count("article figure img:visible") == page.count(page.FIGURES)
    page.tab.close()
