"""Getting about in the book: search, next page, links, downloads, from a folder."""

import re
import urllib.request
from pathlib import Path

import nbformat
import pytest

import browser as tools
import make_pdf
from test_pages import NAMES, ROOT

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
