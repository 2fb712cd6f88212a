"""axe-core on every page, light, dark and on a phone: no violation of the WCAG 2.1 rules of levels A and AA."""

from pathlib import Path

import axe_playwright_python
import pytest

import browser as tools

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
ALSO = ["heading-order", "page-has-heading-one", "empty-heading", "empty-table-header"]
LOOKS = {"light": (tools.WIDE, "light"), "dark": (tools.WIDE, "dark"), "phone": (tools.PHONE, "light")}
RUN = """([rules, also]) => axe.run(document, {runOnly: {type: "tag", values: [...rules, "best-practice"]},
    resultTypes: ["violations"]}).then(r => r.violations
    .filter(v => also.includes(v.id) || v.tags.some(t => rules.includes(t)))
    .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target} ${n.html.slice(0, 120)} ${n.failureSummary}`)))"""


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(look, open_page):
    page = open_page(*LOOKS[look])
    page.wait_for_function("() => !window.MathJax || MathJax.startup.promise.then(() => true)")
    page.evaluate(AXE)
    found = page.evaluate(RUN, [RULES, ALSO])
    assert not found, "\n".join(found)
