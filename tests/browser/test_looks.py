"""Every built page, wide, on a phone and in dark mode: accessible, complete, legible,
without an error and without a request to anyone."""

import io

import numpy as np
import pytest
from PIL import Image

import browser as tools

LOOKS = {
    "wide": (tools.WIDE, "light"),
    "phone": (tools.PHONE, "light"),
    "dark": (tools.WIDE, "dark"),
}
CASES = [(name, look) for name in tools.pages() for look in LOOKS]


@pytest.fixture(scope="module", params=CASES or [("book/index.html", "wide")], ids=str)
def case(request, load, address):
    """A page in a look, loaded once for all tests, and the name of the look."""
    name, look = request.param
    viewport, scheme = LOOKS[look]
    page = load(f"{address}/{name}", viewport, scheme)
    yield page, look
    page.close()


def test_no_error_and_no_request_to_anyone(case, address):
    page, _ = case
    assert page.errors == []
    own = (address, "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(own)] == []
    assert len(page.asked) > 5


def test_axe_finds_nothing(case, violations):
    page, look = case
    found = violations(page, only_contrast=look == "dark")
    assert not found, "\n".join(found)


def test_equations_are_typeset(case):
    page, _ = case
    n = page.locator("article .math").count()
    typeset = "n => document.querySelectorAll('article mjx-container').length >= n"
    tools.until(page, typeset, n, seconds=10)
    assert page.locator("mjx-merror").count() == 0


def test_pages_are_light_and_a_phone_does_not_scroll_sideways(case):
    # before the next test, which loads every picture
    page, look = case
    transferred = (
        "performance.getEntries().reduce((n, e) => n + (e.transferSize ?? 0), 0)"
    )
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    if look == "wide":
        assert 1e5 < page.evaluate(transferred) < 2.5e6


def test_every_image_is_drawn_in_its_own_shape(case):
    page, _ = case
    shapes = page.evaluate(
        """() => Promise.all([...document.querySelectorAll('article img')].filter(
            i => getComputedStyle(i).display !== 'none').map(async i => {
                i.loading = 'eager'; await i.decode();
                return [i.src, i.naturalWidth / i.naturalHeight, i.width / i.height]; }
        ))"""
    )
    for source, natural, drawn in shapes:
        assert drawn == pytest.approx(natural, rel=0.03), source


def test_icons_come_from_the_font(case):
    """And not from the theme's file of drawings, which outweighs all else on a page."""
    page, _ = case
    icons = page.evaluate(
        "[...document.querySelectorAll('.article-header-buttons i')]"
        ".map(i => getComputedStyle(i, '::before').content)"
    )
    assert len(icons) >= 3 and not {"none", "normal", '""'} & set(icons)


def test_plots_are_legible(case):
    page, look = case
    scheme = "dark" if look == "dark" else "light"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    plots = page.locator("article img.plot:visible").all()
    for plot in plots if look != "phone" else ():  # there they are cut off
        picture = Image.open(io.BytesIO(plot.screenshot())).convert("L")
        brightness = np.asarray(picture, dtype=int)
        paper = np.median(brightness[[2, 2, -3, -3], [2, -3, 2, -3]])
        ink = (np.abs(brightness - paper) > 110).mean()
        assert paper > 200 if scheme == "light" else paper < 60, paper
        assert ink > 0.002, f"only {ink:.2%} of the picture stands out"
