"""axe-core on every page, light, dark and on a phone: no violation of the WCAG 2.1 rules of levels A and AA."""

from pathlib import Path

import axe_playwright_python
import pytest

import browser as tools

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
ALSO = ["heading-order", "page-has-heading-one", "empty-heading", "empty-table-header"]
RUN = """only => axe.run(document, {runOnly: only, resultTypes: ["violations"], preload: false})
    .then(r => r.violations.flatMap(
    v => v.nodes.map(n => `${v.id}: ${n.target} ${n.html.slice(0, 120)} ${n.failureSummary}`)))"""


@pytest.fixture
def violations(open_page):
    """A function: what axe finds on the page in a look, by tags or by rules."""

    def found(viewport, scheme, kind, values):
        page = open_page(viewport, scheme)
        page.wait_for_function("() => !window.MathJax || MathJax.startup.promise.then(() => true)")
        page.evaluate(AXE)
        return page.evaluate(RUN, {"type": kind, "values": values})

    return found


@pytest.mark.parametrize("viewport", [tools.WIDE, tools.PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing(viewport, violations):
    found = violations(viewport, "light", "tag", WCAG)
    assert not found, "\n".join(found)


def test_headings_follow_each_other_and_none_is_empty(violations):
    found = violations(tools.WIDE, "light", "rule", ALSO)
    assert not found, "\n".join(found)


def test_dark_mode_has_contrast(violations):
    found = violations(tools.WIDE, "dark", "rule", ["color-contrast", "link-in-text-block"])
    assert not found, "\n".join(found)
