"""axe-core on every page, light, dark and on a phone: no violation of the WCAG 2.1 rules of levels A and AA."""

import pytest

import browser as tools

ALSO = ["heading-order", "page-has-heading-one", "empty-heading", "empty-table-header"]


@pytest.mark.parametrize("viewport", [tools.WIDE, tools.PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing(viewport, open_page, violations):
    found = violations(open_page(viewport))
    assert not found, "\n".join(found)


def test_headings_follow_each_other_and_none_is_empty(open_page, violations):
    found = violations(open_page(), ALSO)
    assert not found, "\n".join(found)


def test_dark_mode_has_contrast(open_page, violations):
    found = violations(open_page(scheme="dark"), ["color-contrast", "link-in-text-block"])
    assert not found, "\n".join(found)
