"""Cells that run in the page: the numbers of the book, state, errors, endless loops, and copies without Python.

Timeouts are generous: they tell a page that hangs from one on a busy machine, and measure nothing.
"""

import os
import re
import shutil
from http.server import SimpleHTTPRequestHandler

import pytest

import browser as tools
import serve

FIGURES = "article figure:has(img)"
LONG = 400_000  # milliseconds
FIRST = "notebooks/01_introduction.html"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
RESULTS = """(live) => [...document.querySelectorAll('div.cell')].map(cell => {
    const root = cell.querySelector(live ? ':scope > .live-output' : '.cell_output');
    return [...(root?.querySelectorAll(live ? '.live-text, table' : '.stream pre, table') ?? [])]
        .map(e => e.textContent.trim()).filter(Boolean);
})"""


@pytest.fixture(scope="module", autouse=True)
def built():
    if not (tools.HTML / "live" / "runtime").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no live parts: run `make book` with a network")


def opened(chromium, url):
    """A page that remembers what it asked for and what went wrong in it."""
    page = chromium.new_page(viewport=tools.WIDE)
    page.set_default_timeout(30_000)
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("console", lambda message: page.said.append(message.text) if message.type == "error" else None)
    page.goto(url, wait_until="networkidle")
    page.evaluate("document.querySelectorAll('article details').forEach(d => d.open = true)")
    return page


@pytest.fixture(scope="module")
def first(chromium, address):
    page = opened(chromium, f"{address}/{FIRST}")
    yield page
    page.close()


def settled(page):
    """Wait until nothing runs; returns what the page says then."""
    page.wait_for_function("document.querySelector('.live-bar').dataset.state !== 'running'", timeout=LONG)
    return page.locator(".live-state").inner_text()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def run_cell(page, cell):
    page.get_by_role("button", name=re.compile(rf"^Run cell {cell} of")).click()


def code(page, cell):
    return page.get_by_role("textbox", name=re.compile(rf"^Code of cell {cell} of"))


def run_code(page, cell, source):
    """Replace the code of a cell, run it by keyboard, and return what the page says at the end."""
    code(page, cell).fill(source)
    code(page, cell).press("Shift+Enter")
    return settled(page)


def same(static, live):
    """Texts are equal but for their numbers, which differ by 1e-6 at most."""
    assert NUMBER.sub("#", live) == NUMBER.sub("#", static)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (static, live)]
    assert numbers[1] == pytest.approx(numbers[0], rel=0, abs=1e-6)


def test_nothing_of_python_is_loaded_before_a_cell_is_run(first):
    assert not [url for url in first.asked if "/live/" in url]
    assert "not loaded" in first.locator(".live-state").inner_text()


def test_the_first_page_gives_its_own_numbers(first, address):
    static = first.evaluate(RESULTS, False)
    press(first, "Run all cells of this page")
    assert settled(first).startswith("Ready. Ran cells 1 to")
    live = first.evaluate(RESULTS, True)
    compared = [pair for pair in zip(static, live, strict=True) if pair[0]]
    assert len(compared) >= 3
    for before, after in compared:
        for texts in zip(before, after, strict=True):
            same(*texts)
    assert first.locator(".live-figure img.plot").count() == first.locator(FIGURES).count()
    assert first.locator("article figure figcaption:visible").count() == first.locator("article figure").count()
    assert first.locator("article figure img:visible").count() == 0
    assert [url for url in first.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert first.said == []


def test_a_changed_cell_changes_the_figure_below_it(first):
    before = first.locator(".live-figure img").first.get_attribute("src")
    changed = code(first, 3).input_value().replace("0.91", "0.11")
    assert "Ran cell 3 of" in run_code(first, 3, changed)
    assert "not run since" in first.locator(".live-cell-note").all_inner_texts()
    run_cell(first, 5)
    assert "Ran cells 4 to 5 of" in settled(first)
    assert first.locator(".live-figure img").first.get_attribute("src") != before


def test_an_exception_shows_its_traceback_and_the_page_survives(first):
    assert "ZeroDivisionError" in run_code(first, 3, "kept = 41\nkept / 0")
    trace = first.locator(".live-error pre").inner_text()
    assert "kept / 0" in trace and "ZeroDivisionError" in trace
    assert "Ran cell 3" in run_code(first, 3, "print(kept + 1)")
    assert first.locator(".live-text", has_text="42").count() == 1
    assert first.locator(".live-error").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [tools.WIDE, tools.PHONE], ids=["wide", "phone"])
def test_live_results_and_controls_are_accessible(first, violations, viewport, scheme):
    run_code(first, 3, "print(1)\n1 / 0")
    first.set_viewport_size(viewport)
    first.emulate_media(color_scheme=scheme)
    first.wait_for_timeout(500)  # what scrolls at this width becomes reachable
    found = violations(first)
    sideways = first.evaluate("document.documentElement.scrollWidth")
    first.set_viewport_size(tools.WIDE)
    first.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)
    assert sideways <= viewport["width"]


def test_what_a_browser_cannot_do_is_said(first):
    run_code(first, 3, "import torch")
    assert "This needs torch" in first.locator(".live-note").inner_text()


def test_an_endless_loop_is_interrupted_and_state_is_kept(first):
    assert first.evaluate("crossOriginIsolated")
    code(first, 3).fill("kept = 43\nprint('begun')\nwhile True: pass")
    code(first, 3).press("Shift+Enter")
    first.locator(".live-text", has_text="begun").wait_for(timeout=LONG)
    press(first, "Stop the running cell")
    assert "KeyboardInterrupt" in settled(first)
    run_code(first, 3, "print(kept)")
    assert first.locator(".live-text", has_text="43").count() == 1


def test_a_wrong_parameter_stops_at_the_check_and_a_right_one_starts_afresh(first):
    run_code(first, 1, "n_silent = 0")
    run_cell(first, 3)
    assert "Cell 2 of 8 stopped: ValueError" in settled(first)
    run_code(first, 1, "n_silent = 7")
    run_cell(first, 2)
    assert "Ran cells 1 to 2" in settled(first)
    assert "NameError" in run_code(first, 3, "kept")


def test_reset_brings_the_book_back(first):
    press(first, "Reset page: code and results of the book")
    assert first.locator(".live-output").count() == 0
    assert "0.91" in code(first, 3).input_value()
    assert "0.91" in first.locator("article .cell_input pre").nth(2).inner_text()
    assert first.locator("article figure img:visible").count() == first.locator(FIGURES).count()
    assert "60" in code(first, 1).input_value()


@pytest.mark.parametrize(
    "name", ["02_representational_geometry", "03_human_similarity", "04_ghost_features", "05_discussion"]
)
def test_the_page_runs_to_its_end_with_quick_settings(chromium, address, name):
    page = opened(chromium, f"{address}/notebooks/{name}.html")
    before = code(page, 1).input_value()
    press(page, "Quick settings, for the cell of the parameters")
    assert code(page, 1).input_value() != before
    press(page, "Run all cells of this page")
    assert settled(page).startswith("Ready. Ran cells 1 to")
    assert page.locator(".live-figure img").count() == page.locator(FIGURES).count()
    assert page.said == []
    page.close()


class Plain(SimpleHTTPRequestHandler):
    """A server such as most are: without headers for shared memory."""

    log_message = serve.Handler.log_message


@pytest.fixture
def copy(tmp_path):
    """The built book without Python for the browser (links instead of copies)."""
    folder = tmp_path / "html"
    ignore = shutil.ignore_patterns("runtime", "files")
    return shutil.copytree(tools.HTML, folder, copy_function=os.link, ignore=ignore)


def test_without_shared_memory_stopping_ends_python_and_says_so(chromium, monkeypatch):
    monkeypatch.setattr(serve, "Handler", Plain)
    with tools.served() as plain:
        page = opened(chromium, f"{plain}/{FIRST}")
        assert not page.evaluate("crossOriginIsolated")
        code(page, 1).fill("n_silent = 5\nprint('begun')\nwhile True: pass")
        code(page, 1).press("Shift+Enter")
        page.locator(".live-text", has_text="begun").wait_for(timeout=LONG)
        press(page, "Stop the running cell")
        assert "is gone" in settled(page)
        assert "Ran cell 1 of" in run_code(page, 1, "n_silent = 5\nprint('again')")
        assert page.locator(".live-text", has_text="again").count() == 1
        page.close()


def test_where_the_files_of_python_are_missing_the_page_says_so(chromium, copy):
    with tools.served(copy) as address:
        page = opened(chromium, f"{address}/{FIRST}")
        run_cell(page, 3)
        assert "could not be loaded" in settled(page)
        assert page.locator("article figure img:visible").count() == page.locator(FIGURES).count()
        page.close()


def test_a_book_built_without_python_says_so(chromium, copy):
    import live as build_live

    path = copy / FIRST
    page_text = build_live.with_cells(
        path.read_text(), build_live.ROOT / "notebooks" / "01_introduction.md",
        {"version": "", "reason": build_live.NOT_OBTAINED, "bytes": 0},
    )  # fmt: skip
    path.unlink()
    path.write_text(page_text)
    with tools.served(copy) as address:
        page = opened(chromium, f"{address}/{FIRST}")
        assert "could not be obtained" in page.locator(".live-state").inner_text()
        run_cell(page, 3)
        assert "could not be obtained" in page.locator(".live-state").inner_text()
        assert not [url for url in page.asked if "/live/" in url]
        page.close()


def test_opened_from_a_file_the_page_reads_well_and_says_how_to_serve_it(chromium):
    page = opened(chromium, (tools.HTML / FIRST).as_uri())
    assert "make serve" in page.locator(".live-state").inner_text()
    run_cell(page, 3)
    assert page.locator("article figure img:visible").count() == page.locator(FIGURES).count()
    page.close()
