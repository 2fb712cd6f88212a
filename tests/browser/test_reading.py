"""Getting about in the book: search, next page, links, downloads; from a server and from a folder."""

import re
import urllib.error
import urllib.request

import nbformat
import yaml

import browser as tools

TOC = yaml.safe_load((tools.HTML.parents[1] / "_toc.yml").read_text())
NAMES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


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
    for name in NAMES:
        assert page.url.partition("?")[0].partition("#")[0].endswith(f"/{name}.html")
        seen.append(name)
        following = page.locator("a.right-next")
        if following.count():
            following.click()
            page.wait_for_load_state()
    assert seen == NAMES
    page.locator("a.left-prev").click()
    page.wait_for_url(f"**/{NAMES[-2]}.html")


def test_every_address_of_the_page_answers(open_page, address):
    page = open_page()
    found = page.evaluate(
        "() => [...document.querySelectorAll('a[href], link[href], img, script[src]')].map(e => e.href || e.src)"
    )
    inside = {url.partition("#")[0] for url in found if url.startswith(address)}
    assert len(inside) > 10
    assert not [url for url in sorted(inside) if status(url) != 200]


def status(url):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_opened_from_a_folder_everything_is_found(chromium, name):
    page, failed = chromium.new_page(), []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto((tools.HTML / name).as_uri(), wait_until="load")
    images = (
        "() => Promise.all([...document.querySelectorAll('article img')].map(i => (i.loading = 'eager', i.decode())))"
    )
    page.evaluate(images)
    assert failed == []
    page.close()


def test_page_is_downloaded_as_text_and_as_executed_notebook(open_page, name):
    page = open_page()
    links = {
        suffix: page.locator(f".dropdown-download-buttons a[href$='{suffix}']").evaluate_all("l => l.map(a => a.href)")
        for suffix in (".md", ".ipynb")
    }
    assert len(links[".md"]) == 1
    with urllib.request.urlopen(links[".md"][0]) as answer:
        text = answer.read().decode()
    has_code = "{code-cell}" in text
    assert len(links[".ipynb"]) == has_code
    if has_code:
        with urllib.request.urlopen(links[".ipynb"][0]) as answer:
            notebook = nbformat.reads(answer.read().decode(), as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert cells and any(cell.outputs for cell in cells)
