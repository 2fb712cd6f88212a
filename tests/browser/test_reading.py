"""Getting about in the book: search, next page, links, downloads, from a folder."""

import re
import urllib.request
from pathlib import Path

import nbformat
import pytest

import browser as tools
import make_pdf
from test_pages import NAMES, ROOT

SECTION = "02_representational_geometry"
every_page = pytest.mark.parametrize("name", NAMES)


def test_search_finds_a_word_and_its_result_opens(visit):
    page = visit("book/index.html")
    page.locator("button.search-button__button:visible").first.click()
    page.locator("#pst-search-dialog input[type=search]").fill("ghost")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?*")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    results.first.click()
    page.wait_for_url(re.compile(r"/(notebooks|book)/\w+\.html"))
    assert "ghost" in page.locator("article").text_content().lower()


def test_next_leads_through_the_whole_book_and_previous_back(visit):
    page, seen = visit("book/index.html"), []
    for _ in NAMES:
        seen.append(re.search(r"\w+/\w+(?=\.html)", page.url)[0])
        following = page.locator("a.right-next")
        if following.count():
            following.click()
            page.wait_for_load_state()
    assert seen == NAMES
    page.locator("a.left-prev").click()
    page.wait_for_url(f"**/{NAMES[-2]}.html")


@every_page
def test_downloads_are_complete(name, visit):
    page = visit(f"{name}.html")
    downloads = ".dropdown-download-buttons a[href]"
    links = page.locator(downloads).evaluate_all("links => links.map(a => a.href)")
    by_type = {Path(link).suffix: link for link in links}
    text = (ROOT / f"{name}.md").read_text("utf-8")
    with urllib.request.urlopen(by_type[".md"]) as answer:
        assert answer.read().decode() == text
    assert (".ipynb" in by_type) == ("{code-cell}" in text)
    if ".ipynb" in by_type:
        with urllib.request.urlopen(by_type[".ipynb"]) as answer:
            notebook = nbformat.reads(answer.read().decode(), as_version=4)
        assert any(cell.get("outputs") for cell in notebook.cells)


@every_page
def test_opened_from_a_folder_everything_is_found(name, chromium):
    page, failed = chromium.new_page(), []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((tools.HTML / f"{name}.html").as_uri(), wait_until="load")
    page.evaluate(
        "() => Promise.all([...document.querySelectorAll('article img')]"
        ".map(i => (i.loading = 'eager', i.decode())))"
    )
    assert failed == []
    page.close()


def test_pages_are_joined_into_one_document_for_printing(visit, address):
    page, names = visit("book/index.html"), ["book/references", make_pdf.FIRST]
    make_pdf.join(page, address, names)
    assert page.locator("article").count() == 2
    assert page.locator("article :is(button, script, .headerlink)").count() == 0
    assert page.locator("mjx-container").count() > 5
    state = page.evaluate(
        """() => [...document.querySelectorAll('article a[href^="#"]')].map(
            link => !!document.getElementById(link.getAttribute('href').slice(1)))"""
    )
    assert len(state) > 10 and all(state)
    assert page.evaluate(
        "() => Promise.all([...document.images].map(i => (i.loading = 'eager',"
        " i.decode())))"
    )
    assert page.locator("article a[href^='../']").count() == 0


# -------------------------------------------------------------------- previews, search
def preview_of(page, selector):
    """What opens beside the first link that matches, when the mouse is on it."""
    link = page.locator(selector).first
    link.scroll_into_view_if_needed()
    page.mouse.move(2, 2)
    page.keyboard.press("Escape")
    link.hover()
    tip = page.locator(".preview")
    tip.wait_for()
    assert link.get_attribute("aria-describedby") == tip.get_attribute("id")
    return tip


def test_links_show_what_they_lead_to(visit, address, violations):
    page = visit(f"notebooks/{SECTION}.html")
    figure = page.locator("#fig-poz .caption-text").text_content()
    assert figure in preview_of(page, "article a[href='#fig-poz']").text_content()
    page.locator(".preview img:visible").evaluate("image => image.decode()")
    tip = preview_of(page, "article a[href*='01_introduction.html#equation-eq-poz']")
    assert tip.locator("mjx-container").count() == 1
    tip = preview_of(page, "article .bibtex-citation a")
    assert re.search(r"\b(?:19|20)\d\d\b", tip.text_content())
    assert violations(page) == []
    page.keyboard.press("Escape")
    assert page.locator(".preview").count() == 0 and page.errors == []
    assert all(url.startswith((address, "data:")) for url in page.asked)


def test_tiles_of_claims_show_what_the_verdict_rests_on(visit):
    page = visit("book/index.html")
    assert len(preview_of(page, "article .tile a").text_content()) > 80


def test_previews_follow_the_keyboard(visit):
    page = visit(f"notebooks/{SECTION}.html")
    page.locator("article a[href='#fig-poz']").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.locator(".preview").wait_for()


def test_the_code_of_a_figure_is_unfolded_by_its_link(visit):
    page = visit(f"notebooks/{SECTION}.html")
    assert not page.locator("#code-fig-poz").is_visible()
    page.locator("a[href='#code-fig-poz']").click()
    page.locator("#code-fig-poz").wait_for()


def test_excerpts_of_the_search_are_prose(visit):
    page = visit("search.html?q=PoZ+threshold")
    page.locator("#search-results p.context").first.wait_for()
    excerpts = page.locator("#search-results p.context").all_inner_texts()
    assert any("threshold" in text and "PoZ" in text for text in excerpts)
    assert not re.search(r"\\[a-z(\[]|\bimport \w|\$", " ".join(excerpts))


def test_the_root_leads_to_the_first_page_and_misses_nothing(visit, address):
    page = visit("")
    page.wait_for_url("**/book/index.html")
    assert page.errors == [] and f"{address}/favicon.ico" not in page.asked
