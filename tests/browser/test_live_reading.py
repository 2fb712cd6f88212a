"""What a reader meets besides the cells: Python that is loaded while they read, folds
that say what is inside, parameters as controls, numbers that follow a run."""

import json
import re
from pathlib import Path

import pytest
from live_page import LivePage

import browser as tools

FIRST = "notebooks/01_introduction.html"


@pytest.fixture
def opened(load, address):
    """A function: a page as a `LivePage`, closed after the test."""
    pages = []

    def opener(name, **look):
        pages.append(LivePage(load(f"{address}/{name}", **look)))
        return pages[-1]

    yield opener
    for page in pages:
        page.tab.close()


def ask_for_less(tab):
    tab.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'connection',"
        " {value: {saveData: true, effectiveType: '4g'}})"
    )
    tab.reload(wait_until="networkidle")


@pytest.mark.parametrize("thrifty", [False, True])
def test_python_is_loaded_once_a_reader_points_at_a_cell_and_saves_no_data(
    thrifty, opened
):
    tab = opened(FIRST).tab
    if thrifty:
        ask_for_less(tab)
    tab.locator("div.cell .live-controls").nth(2).scroll_into_view_if_needed()
    tab.locator("div.cell").nth(2).hover()
    with_python = "() => document.querySelector('.live-bar').hidden"
    tab.wait_for_timeout(3000)
    loaded = [url for url in tab.asked if "pyodide.asm.wasm" in url]
    assert len(loaded) == (0 if thrifty else 1)
    assert tab.evaluate(with_python), "what is loaded ahead is not reported"


def test_folds_say_what_is_inside_and_no_button_shows_before_it_is_wanted(opened):
    page = opened("notebooks/05_discussion.html")
    titles = page.tab.locator("div.cell summary p").all_inner_texts()
    assert "Parameters as code" in titles
    assert any(re.fullmatch(r"Code for (Fig\.|Table) \d+", title) for title in titles)
    assert not [title for title in titles if "code cell" in title]
    shown = page.tab.evaluate(
        "[...document.querySelectorAll('.live-controls .live-button')]"
        ".filter(b => +getComputedStyle(b).opacity && !b.disabled).length"
    )
    assert shown == 0
    notes = page.tab.locator(".live-cell-note").all_inner_texts()
    assert sum("needs torch" in note for note in notes) == 1


def test_a_page_without_runnable_cells_has_no_buttons(visit):
    page = visit("notebooks/06_beyond_one_machine.html")
    assert page.locator(".live-button, .live-bar").count() == 0


def test_a_control_edits_its_line_and_the_address_which_opens_the_page_like_that(
    opened, address
):
    page = opened(FIRST)
    field = page.tab.get_by_label("n_silent", exact=True)
    slider = page.tab.get_by_role("slider")
    field.fill("7")
    assert page.code(1).input_value().startswith("n_silent = 7  # ")
    assert page.tab.url.endswith("#?n_silent=7")
    field.fill("0")  # not allowed
    assert page.code(1).input_value().startswith("n_silent = 7  # ")
    slider.fill("1000")
    assert page.code(1).input_value().startswith("n_silent = 1000  # ")
    page.code(1).fill("n_silent = 9  # typed")
    assert field.input_value() == "9" and page.tab.url.endswith("#?n_silent=9")
    page.tab.goto(f"{address}/book/index.html")
    page.tab.goto(f"{address}/{FIRST}")
    page = LivePage(page.tab)
    assert page.code(1).input_value() == "n_silent = 9  # typed", "edits are kept"
    other = opened(f"{FIRST}#?n_silent=12&no_such=1")
    assert other.code(1).input_value().startswith("n_silent = 12  # ")
    wrong = opened(f"{FIRST}#?n_silent=-3")
    assert wrong.code(1).input_value().startswith("n_silent = 60  # ")
    assert page.tab.errors == other.tab.errors == wrong.tab.errors == []


def test_numbers_in_the_text_follow_a_run_which_can_be_taken_along(opened):
    page = opened(FIRST)
    tab = page.tab
    number = tab.locator("figcaption [data-glue=full_ab]").first
    assert number.inner_text() == "0.62"
    source = page.code(5).input_value()
    assert "0.91, 0.76" in source
    page.code(5).fill(source.replace("0.91, 0.76", "0.11, 0.06"))
    page.press("Run all cells of this page")
    assert "Underlined numbers" in page.settled(), page.error()
    shown = float(number.inner_text().replace("\N{MINUS SIGN}", "-"))
    assert shown != 0.62 and "the book has 0.62" in number.get_attribute("title")
    all_live = "e => e.every(n => n.classList.contains('live-number'))"
    assert tab.locator("article [data-glue]").evaluate_all(all_live)
    with tab.expect_download() as download:
        page.press("Download my run as a notebook")
    notebook = json.loads(Path(download.value.path()).read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "0.11, 0.06" in "".join(code[4]["source"])
    mimes = {m for c in code for o in c["outputs"] for m in o.get("data", ())}
    assert {"image/png", "text/html"} <= mimes
    page.code(5).fill(source)
    assert "live-old" in number.get_attribute("class")
    page.press("Reset page: code and results of the book")
    assert number.inner_text() == "0.62" and not number.get_attribute("title")
    assert tab.errors == []


def test_the_bar_covers_no_code_that_is_being_changed(opened):
    page = opened(FIRST, viewport=tools.PHONE)
    page.run_code(1, "n_silent = 3")
    page.code(9).click(position={"x": 30, "y": 30})
    above = """field => {
        const {top, bottom} = field.getBoundingClientRect();
        const end = document.querySelector('.live-bar').getBoundingClientRect().top;
        return top >= 0 && Math.min(bottom, top + 40) < end; }"""
    tools.until(page.tab, f"() => ({above})(document.activeElement)", seconds=5)
    bar = page.tab.locator(".live-bar").bounding_box()
    assert bar["height"] < tools.PHONE["height"] / 5
