"""The built pages in a real browser: silent console, no request to anyone, a phone's width, dark mode."""

import io

import numpy as np
import pytest
from PIL import Image

import browser as tools


def pixels(element):
    """(height, width) brightness of an element's picture, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("L"), dtype=int)


def test_the_page_says_no_error_and_asks_nobody_outside(open_page, address):
    page = open_page()
    assert page.said == []
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []


def test_the_first_view_weighs_little(open_page):
    transferred = "performance.getEntries().reduce((sum, e) => sum + (e.transferSize ?? 0), 0)"
    assert 1e5 < open_page().evaluate(transferred) < 2.5e6


def test_icons_come_from_the_font(open_page):
    """And not from the theme's file of drawings, which weighs more than all else on a page."""
    icons = (
        "[...document.querySelectorAll('.article-header-buttons i')].map(i => getComputedStyle(i, '::before').content)"
    )
    found = open_page().evaluate(icons)
    assert len(found) >= 3 and not {"none", "normal", '""'} & set(found)


def test_equations_are_set(open_page):
    page = open_page()
    n_math = page.locator("article .math").count()
    page.wait_for_function(
        "n => document.querySelectorAll('article mjx-container').length >= n", arg=n_math, timeout=10_000
    )
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("viewport", [tools.WIDE, tools.PHONE], ids=["wide", "phone"])
def test_every_image_is_drawn_in_its_own_shape(viewport, open_page):
    page = open_page(viewport)
    for image in page.locator("article img").all():
        image.scroll_into_view_if_needed()
        width, height = image.evaluate("i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])")
        box = image.bounding_box()
        assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.03)


def test_a_phone_does_not_scroll_sideways(open_page):
    page = open_page(tools.PHONE)
    page.wait_for_function("() => !window.MathJax || MathJax.startup.promise.then(() => true)")
    wider = """() => [...document.querySelectorAll('article *')]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .filter(e => !e.closest('pre, .math, table, .output, mjx-container')).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate("document.documentElement.scrollWidth") <= tools.PHONE["width"], page.evaluate(wider)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_are_legible_in(scheme, open_page):
    page = open_page(scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    for plot in page.locator("article img.plot, article .plot img").all():
        brightness = pixels(plot)
        paper = np.median(brightness[[2, 2, -3, -3], [2, -3, 2, -3]])
        ink = (np.abs(brightness - paper) > 110).mean()
        assert paper > 200 if scheme == "light" else paper < 60, f"the paper's brightness is {paper}"
        assert ink > 0.002, f"only {ink:.2%} of the picture stands out"
