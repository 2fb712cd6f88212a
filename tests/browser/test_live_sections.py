"""The other sections run in the page, from their first cell to their last."""

import pytest
from live_page import LivePage

SECTIONS = (
    "02_representational_geometry",
    "03_human_similarity",
    "04_ghost_features",
    "05_discussion",
)


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_runs_to_its_end_with_quick_settings(name, load, address):
    page = LivePage(load(f"{address}/notebooks/{name}.html"))
    before = page.code(1).input_value()
    page.press("Quick settings, for the cell of the parameters")
    assert page.code(1).input_value() != before
    page.press("Run all cells of this page")
    assert page.settled().startswith("Ready. Ran cells 1 to"), page.error()
    assert page.count(".live-figure img") == page.count(page.FIGURES)
    assert page.tab.errors == []
    page.tab.close()
