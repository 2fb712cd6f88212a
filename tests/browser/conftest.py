"""One browser and one server for the tests of a process.

Without a browser or a built book the tests are skipped, but not where CI is set.
"""

import os
from pathlib import Path

import axe_playwright_python
import pytest

import browser as tools

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
RUN_AXE = """options => axe.run(document, {resultTypes: ["violations"], preload: false,
    ...options}).then(result => result.violations.flatMap(v => v.nodes.map(n =>
    `${v.id}: ${n.target} ${n.html.slice(0, 120)} ${n.failureSummary}`)))"""
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
MORE = ("heading-order", "page-has-heading-one", "empty-heading", "empty-table-header")
ALL_RULES = {"runOnly": WCAG, "rules": {rule: {"enabled": True} for rule in MORE}}
CONTRAST = {"runOnly": ["color-contrast", "link-in-text-block"]}


def missing(reason):
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def address():
    if not tools.pages():
        missing("there are no built pages: run `make book`")
    with tools.served() as served:
        yield served


@pytest.fixture(scope="session")
def chromium():
    if not tools.executable():
        missing("no Chromium found: `make browser`, or set CHROMIUM")
    with tools.launched() as launched:
        yield launched


@pytest.fixture(scope="session")
def load(chromium):
    """A function: a loaded page that remembers its errors and its requests."""

    def loaded(url, viewport=tools.WIDE, scheme="light"):
        page = chromium.new_page(viewport=viewport, color_scheme=scheme)
        page.errors, page.asked = [], []
        page.on("console", lambda m: page.errors.append(m.text) if is_error(m) else 0)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url, wait_until="networkidle")
        return page

    def is_error(message):
        return message.type == "error"

    return loaded


@pytest.fixture
def visit(load, address):
    """The same, for a page of the book that is closed after the test."""
    pages = []

    def visitor(name, base=address, **look):
        pages.append(load(f"{base}/{name}", **look))
        return pages[-1]

    yield visitor
    for page in pages:
        page.close()


@pytest.fixture(scope="session")
def violations():
    """A function: what axe-core finds on a page, or only on its contrast."""

    def found(page, only_contrast=False):
        options = CONTRAST if only_contrast else ALL_RULES
        page.evaluate("() => window.MathJax?.startup.promise.then(() => true)")
        page.evaluate(AXE)
        return page.evaluate(RUN_AXE, options)

    return found
