"""One browser and one server for all page tests. Without a browser they are skipped, but not where CI is set."""

import os
from pathlib import Path

import axe_playwright_python
import pytest

import browser as tools

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
RUN_AXE = """only => axe.run(document, {runOnly: only, resultTypes: ["violations"], preload: false})
    .then(r => r.violations.flatMap(
    v => v.nodes.map(n => `${v.id}: ${n.target} ${n.html.slice(0, 120)} ${n.failureSummary}`)))"""


@pytest.fixture(scope="session")
def address():
    with tools.served() as served:
        yield served


@pytest.fixture(scope="session")
def chromium():
    if not tools.executable():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium found: `make browser`, or set CHROMIUM")
    with tools.launched() as launched:
        yield launched


@pytest.fixture(params=tools.pages() or ["none"])
def name(request):
    if not tools.pages():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there are no built pages: run `make book`")
    return request.param


@pytest.fixture(scope="session")
def opened():
    return {}


@pytest.fixture
def open_page(chromium, address, name, opened):
    """A page of the book in a look, loaded once for all tests."""

    def opener(viewport=tools.WIDE, scheme="light"):
        key = (name, viewport["width"], scheme)
        if key not in opened:
            opened[key] = load(chromium, f"{address}/{name}", viewport, scheme)
        return opened[key]

    return opener


def load(chromium, url, viewport=tools.WIDE, scheme="light"):
    """A loaded page that remembers what its console said and what it asked for."""
    page = chromium.new_page(viewport=viewport, color_scheme=scheme)
    page.said, page.asked = [], []
    page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url, wait_until="networkidle")
    return page


@pytest.fixture(scope="session")
def violations():
    """A function: what axe-core finds on a page, by the rules of WCAG 2.1 A and AA, or by those named."""

    def found(page, rules=()):
        page.wait_for_function("() => !window.MathJax || MathJax.startup.promise.then(() => true)")
        page.evaluate(AXE)
        return page.evaluate(RUN_AXE, {"type": "rule", "values": rules} if rules else WCAG)

    return found


@pytest.fixture
def visit(chromium, address):
    """A page of its own for a test that does something to it; closed afterwards."""
    pages = []

    def visitor(name, base=address, **look):
        pages.append(load(chromium, f"{base}/{name}", **look))
        return pages[-1]

    yield visitor
    for page in pages:
        page.close()
