"""The explorer in a browser shows what was computed, for slider, pointer, keyboard."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import squareform

import browser as tools
import explorer
import test_explorer

PAGE, DATA = "book/explorer.html", tools.HTML / "explorer"
LAST = len(explorer.SHARES) - 1
CELLS = """n => {
    const canvas = document.getElementById('explorer-matrix');
    const pen = canvas.getContext('2d'), step = canvas.width / n;
    const at = p => Math.floor((p + .5) * step);
    return [...Array(n * n).keys()].map(p => [...pen.getImageData(
        at(p % n), at(Math.floor(p / n)), 1, 1).data]);
}"""
"""The colour in the middle of each cell of the drawn matrix."""
POINT = """() => {
    const svg = document.getElementById('explorer-curve');
    const point = svg.querySelector('circle');
    if (point.style.display === 'none') return null;
    const y = [...svg.querySelectorAll('line.grid')].map(l => +l.getAttribute('y1'));
    const top = +[...svg.querySelectorAll('text.level')].at(-1).textContent;
    return top * (y[0] - point.getAttribute('cy')) / (y[0] - y.at(-1));
}"""
"""R2 where the point is, read against the grid; null where there is no point."""


@pytest.fixture(scope="module")
def opened(load, address):
    page = ready(load(f"{address}/{PAGE}"), "objects92 lowest")
    yield page
    page.close()


@pytest.fixture
def page(opened):
    """The explorer with its first scene and order, nothing highlighted."""
    choose(opened, "objects92", "lowest")
    opened.locator("#explorer-item").select_option("-1")
    return opened


def ready(page, what):
    is_ready = "what => document.getElementById('explorer-app').dataset.ready === what"
    tools.until(page, is_ready, what)
    settle(page)
    return page


def settle(page):
    """Wait until everything is drawn and the images stand still."""
    tools.until(page, "() => explorer.still()")


def slide(page, k):
    page.locator("#explorer-size").fill(str(k))
    arrived = "k => document.getElementById('explorer-app').dataset.k === String(k)"
    tools.until(page, arrived, k)
    settle(page)


def choose(page, scene, order):
    page.locator("#explorer-scene").select_option(scene)
    page.locator(f"#explorer-{order}").check()
    return ready(page, f"{scene} {order}")


def read(name):
    """What `explorer_data.script` wrote."""
    text = (DATA / f"{name}.js").read_text(encoding="utf-8")
    return json.loads(text.partition("]=")[2].removesuffix(";\n"))


class Computed:
    """The files of the explorer, read as arrays."""

    def __init__(self, scene, order):
        self.about = read(scene)
        steps = read(f"{scene}-{order}")
        self.n, n_sizes = len(self.about["labels"]), len(self.about["sizes"])
        self.r2 = self.about["orders"][order]["r2"]
        self.undefined = self.about["orders"][order]["undefined"]
        shape = (n_sizes, self.n * (self.n - 1) // 2)
        self.matrices = test_explorer.decoded(steps["matrices"], shape)
        self.maps = test_explorer.decoded(steps["maps"], (n_sizes, self.n, 2))


def places(page):
    """(n, 2) places of the images as shown, NaN where missing."""
    shown = page.evaluate("explorer.shown().map(x => Number.isNaN(x) ? null : x)")
    return np.array(shown, dtype=float).reshape(-1, 2)


@pytest.mark.parametrize(
    ("scene", "order"),
    [
        ("objects92", "lowest"),
        ("cifar10-images", "highest"),
        ("mnist-classes", "random"),
    ],
)
def test_slider_moves_matrix_map_curve_and_text_as_computed(scene, order, page):
    choose(page, scene, order)
    computed = Computed(scene, order)
    palette, (low, high) = np.array(computed.about["palette"]), computed.about["limits"]
    lower = np.tril_indices(computed.n, -1)
    for k in (2, 12, LAST):
        slide(page, k)
        values = squareform(computed.matrices[k], checks=False)[lower]
        colours = np.array(page.evaluate(CELLS, computed.n))
        drawn = colours.reshape(computed.n, computed.n, 4)[lower]
        blank = np.isnan(values)
        level = np.floor((values[~blank] - low) / (high - low) * 255 + 0.5)
        expected = palette[np.clip(level, 0, 255).astype(int)]
        assert (drawn[blank, 3] == 0).all(), "an undefined similarity is blank"
        np.testing.assert_array_equal(drawn[~blank, :3], expected)
        np.testing.assert_allclose(places(page), computed.maps[k], atol=2e-3)

        text = page.locator("#explorer-numbers").text_content()
        assert f"Undefined items: {computed.undefined[k]} of {computed.n}" in text
        r2, shown = computed.r2[k], page.evaluate(POINT)
        assert ("not defined" if r2 is None else f"{r2:.3f}") in text
        assert shown is None if r2 is None else shown == pytest.approx(r2, abs=1e-3)


def test_a_screen_reader_hears_share_r2_and_undefined_items(page):
    slide(page, 20)
    spoken = page.locator(".explorer-spoken")
    spoken.filter(has_text="50 %").wait_for()
    assert spoken.get_attribute("aria-live") == "polite"
    assert "R²" in spoken.text_content()
    assert "Undefined items: 0 of 92" in spoken.text_content()
    value = page.locator("#explorer-size").get_attribute("aria-valuetext")
    assert value.startswith("50 %, R²")


def test_pointing_at_a_cell_marks_its_two_items(page):
    slide(page, LAST)
    before = page.locator("#explorer-map").screenshot()
    cell = page.locator("#explorer-matrix").bounding_box()["width"] / 92
    position = {"x": 30.5 * cell, "y": 60.5 * cell}
    page.locator("#explorer-matrix").hover(position=position)
    settle(page)
    assert page.evaluate("[explorer.state.item, explorer.state.other]") == [60, 30]
    computed = Computed("objects92", "lowest")
    labels, r = computed.about["labels"], squareform(computed.matrices[LAST])[60, 30]
    words = page.locator(".explorer-pointed").text_content()
    assert words.startswith(f"{labels[60]} and {labels[30]}")
    assert f"{r:.2f}".replace("-", "−") in words
    assert page.locator("#explorer-map").screenshot() != before


def test_pointing_at_an_image_marks_its_row(page):
    slide(page, LAST)
    place = places(page)
    apart = np.sort(np.linalg.norm(place[:, None] - place, axis=2), axis=1)[:, 1]
    lonely = int(np.argmax(apart))
    side = page.locator("#explorer-map").bounding_box()["width"]
    tile = max(18, min(64, 0.75 * side / 92**0.5 / 1.4))
    x, y = side / 2 + np.array([1, -1]) * place[lonely] * (side - tile) / 2
    page.locator("#explorer-map").hover(position={"x": x, "y": y})
    settle(page)
    assert page.evaluate("explorer.state.item") == lonely
    picture = Image.open(io.BytesIO(page.locator("#explorer-matrix").screenshot()))
    pixels = np.asarray(picture.convert("RGB"), int)
    marked = (np.abs(pixels - [208, 32, 144]).sum(axis=2) < 60).sum(axis=1)
    assert abs(marked.argmax() / len(pixels) * 92 - lonely) < 1.6


def test_pointing_at_the_curve_goes_to_that_size(page):
    width = page.locator("#explorer-curve").bounding_box()["width"]
    x = 46 + 0.5 * (width - 62)
    page.locator("#explorer-curve").hover(position={"x": x, "y": 50})
    settle(page)
    assert page.evaluate("explorer.state.k") == 20
    assert page.locator("#explorer-size").input_value() == "20"


def test_every_control_is_reached_and_used_by_keyboard(page):
    slide(page, 8)
    page.locator("#explorer-scene").focus()
    for name in ("lowest", "item", "size", "play"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == f"explorer-{name}"
    page.keyboard.press("Enter")
    tools.until(page, "() => explorer.state.k > 9")
    page.keyboard.press("Enter")
    assert page.locator("#explorer-play").text_content() == "Play"
    k = page.evaluate("explorer.state.k")
    page.locator("#explorer-size").press("ArrowRight")
    assert page.evaluate("explorer.state.k") == k + 1
    page.locator("#explorer-lowest").press("ArrowRight")
    ready(page, "objects92 highest")
    page.locator("#explorer-item").select_option("5")
    assert page.evaluate("explorer.state.item") == 5
    controls = page.locator("#explorer-app :is(input, select, button)")
    assert controls.count() > 5
    assert controls.evaluate_all(
        "all => all.every(e => e.labels.length || e.innerText)"
    )


def test_a_view_can_be_shared_by_its_address(visit, page):
    choose(page, "cifar10-classes", "highest")
    slide(page, 25)
    page.locator("#explorer-item").select_option("3")
    tools.until(page, "location.hash.includes('item=4')")
    view = page.evaluate("location.hash")
    shown = page.locator("#explorer-numbers").text_content()
    other = ready(visit(PAGE + view), "cifar10-classes highest")
    assert other.evaluate("[explorer.state.k, explorer.state.item]") == [25, 3]
    assert other.locator("#explorer-numbers").text_content() == shown
    other.evaluate("location.hash = '#set=objects92&order=random&share=1&item=2'")
    ready(other, "objects92 random")
    assert other.evaluate("[explorer.state.k, explorer.state.item]") == [LAST, 1]


@pytest.mark.parametrize(
    "view",
    ["set=<b>&order=random", "explorer", "set=objects92&order=x&share=-1&item=93"],
)
def test_an_address_of_no_view_shows_the_first(visit, view):
    opened = ready(visit(f"{PAGE}#{view}"), "objects92 lowest")
    assert opened.evaluate("[explorer.state.k, explorer.state.item]") == [8, -1]


def test_works_from_a_folder_and_on_a_phone(visit):
    ready(visit(PAGE, base=tools.HTML.as_uri()), "objects92 lowest")
    page = ready(visit(PAGE, viewport=tools.PHONE), "objects92 lowest")
    phone = tools.PHONE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= phone
    assert page.locator("#explorer-matrix").bounding_box()["width"] > 0.75 * phone


def test_without_its_data_or_scripts_the_still_figure_tells_the_story(
    chromium, address
):
    page = chromium.new_page()
    page.route("**/explorer/**", lambda route: route.abort())
    page.goto(f"{address}/{PAGE}")
    page.get_by_text("data are missing").wait_for()
    assert page.locator("#fig-explorer img").is_visible()
    page.close()
    bare = chromium.new_context(java_script_enabled=False)
    page = bare.new_page()
    page.goto(f"{address}/{PAGE}")
    assert page.get_by_text("needs JavaScript").is_visible()
    assert page.locator("#fig-explorer img").is_visible()
    bare.close()


def test_other_pages_load_nothing_of_the_explorer(visit):
    asked = [url for url in visit("book/index.html").asked if "explorer" in url]
    assert not [url for url in asked if not url.endswith(".html")]
