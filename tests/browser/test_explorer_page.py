"""The explorer in a browser: what it shows is what was computed, for the slider, the pointer and the keyboard."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import squareform

import browser as tools
import explorer_data
import explorer

PAGE, DATA = "book/explorer.html", tools.HTML / "explorer"
LAST = len(explorer.SHARES) - 1


@pytest.fixture
def page(visit):
    return ready(visit(PAGE), "objects92 lowest")


def ready(page, what):
    page.wait_for_function("what => document.getElementById('explorer-app').dataset.ready === what", arg=what)
    settled(page)
    return page


def settled(page):
    """Wait until everything is drawn and the images stand still."""
    page.wait_for_function("() => explorer.still()")


def slide(page, k):
    page.locator("#explorer-size").fill(str(k))
    page.wait_for_function("k => document.getElementById('explorer-app').dataset.k === String(k)", arg=k)
    settled(page)


def choose(page, scene, order):
    page.locator("#explorer-scene").select_option(scene)
    page.locator(f"#explorer-{order}").check()
    return ready(page, f"{scene} {order}")


class Computed:
    """The files of the explorer, read as arrays."""

    def __init__(self, scene, order):
        self.about, steps = explorer_data.read(DATA, scene), explorer_data.read(DATA, f"{scene}-{order}")
        self.n, n_sizes = len(self.about["labels"]), len(self.about["sizes"])
        self.r2 = self.about["orders"][order]["r2"]
        self.undefined = self.about["orders"][order]["undefined"]
        self.matrices = explorer.decoded(steps["matrices"], (n_sizes, self.n * (self.n - 1) // 2))
        self.maps = explorer.decoded(steps["maps"], (n_sizes, self.n, 2))


def colours_of_cells(page, n):
    """(n, n, 4) colour in the middle of each cell of the drawn matrix."""
    pixels = page.evaluate(
        """n => { const c = document.getElementById('explorer-matrix'), step = c.width / n, g = c.getContext('2d');
            return [...Array(n * n).keys()].map(p => [...g.getImageData(
                Math.floor((p % n + .5) * step), Math.floor((Math.floor(p / n) + .5) * step), 1, 1).data]); }""",
        n,
    )
    return np.array(pixels).reshape(n, n, 4)


def r2_of_the_point(page):
    """R2 where the point stands, read against the grid; None where there is no point."""
    return page.evaluate(
        """() => { const svg = document.getElementById('explorer-curve'), point = svg.querySelector('circle');
            if (point.style.display === 'none') return null;
            const lines = [...svg.querySelectorAll('line.grid')].map(l => +l.getAttribute('y1'));
            const top = +[...svg.querySelectorAll('text.level')].at(-1).textContent;
            return top * (lines[0] - point.getAttribute('cy')) / (lines[0] - lines.at(-1)); }"""
    )


@pytest.mark.parametrize(
    ("scene", "order"), [("objects92", "lowest"), ("cifar10-images", "highest"), ("mnist-classes", "random")]
)
def test_slider_moves_matrix_map_curve_and_text_as_computed(scene, order, visit):
    page, computed = choose(ready(visit(PAGE), "objects92 lowest"), scene, order), Computed(scene, order)
    palette, (low, high) = np.array(computed.about["palette"]), computed.about["limits"]
    lower = np.tril_indices(computed.n, -1)
    for k in (2, 12, LAST):
        slide(page, k)
        values = squareform(computed.matrices[k], checks=False)[lower]
        drawn, blank = colours_of_cells(page, computed.n)[lower], np.isnan(values)
        level = np.clip(np.floor((values[~blank] - low) / (high - low) * 255 + 0.5), 0, 255).astype(int)
        assert (drawn[blank, 3] == 0).all(), "an undefined similarity is blank"
        np.testing.assert_array_equal(drawn[~blank, :3], palette[level])

        shown = np.array(page.evaluate("explorer.shown().map(x => Number.isNaN(x) ? null : x)"), dtype=float)
        np.testing.assert_allclose(shown.reshape(-1, 2), computed.maps[k], atol=2e-3)

        text = page.locator("#explorer-numbers").text_content()
        assert f"Undefined items: {computed.undefined[k]} of {computed.n}" in text
        if computed.r2[k] is None:
            assert "not defined" in text and r2_of_the_point(page) is None
        else:
            assert f"{computed.r2[k]:.3f}" in text
            assert r2_of_the_point(page) == pytest.approx(computed.r2[k], abs=1e-3)


def test_what_is_said_aloud_names_share_r2_and_undefined_items(page):
    slide(page, 20)
    page.wait_for_function("() => document.querySelector('.explorer-spoken').textContent.startsWith('50 %')")
    spoken = page.locator(".explorer-spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    assert "R²" in spoken.text_content() and "Undefined items: 0 of 92" in spoken.text_content()
    assert page.locator("#explorer-size").get_attribute("aria-valuetext").startswith("50 %, R²")


def test_pointing_marks_the_same_items_in_matrix_and_map(page):
    slide(page, LAST)
    before = page.locator("#explorer-map").screenshot()
    box = page.locator("#explorer-matrix").bounding_box()
    cell = box["width"] / 92
    page.locator("#explorer-matrix").hover(position={"x": 30.5 * cell, "y": 60.5 * cell})
    settled(page)
    assert page.evaluate("[explorer.state.item, explorer.state.other]") == [60, 30]
    labels, r = explorer_data.read(DATA, "objects92")["labels"], Computed("objects92", "lowest").matrices[LAST]
    words = page.locator(".explorer-pointed").text_content()
    assert (
        words.startswith(f"{labels[60]} and {labels[30]}") and f"{squareform(r)[60, 30]:.2f}".replace("-", "−") in words
    )
    assert page.locator("#explorer-map").screenshot() != before

    place = np.array(page.evaluate("explorer.shown()")).reshape(-1, 2)
    lonely = int(np.argmax(np.sort(np.linalg.norm(place[:, None] - place, axis=2), axis=1)[:, 1]))
    side = page.locator("#explorer-map").bounding_box()["width"]
    tile = page.evaluate("side => Math.max(18, Math.min(64, .75 * side / Math.sqrt(92) / 1.4))", side)
    x, y = (side / 2 + sign * z * (side - tile) / 2 for sign, z in zip((1, -1), place[lonely], strict=True))
    page.locator("#explorer-map").hover(position={"x": x, "y": y})
    settled(page)
    assert page.evaluate("explorer.state.item") == lonely
    row = np.asarray(Image.open(io.BytesIO(page.locator("#explorer-matrix").screenshot())).convert("RGB"), int)
    marked = (np.abs(row - [208, 32, 144]).sum(axis=2) < 60).sum(axis=1)
    assert abs(marked.argmax() / len(row) * 92 - lonely) < 1.6


def test_pointing_at_the_curve_goes_to_that_size(page):
    box = page.locator("#explorer-curve").bounding_box()
    x = 46 + 0.5 * (box["width"] - 62)
    page.locator("#explorer-curve").hover(position={"x": x, "y": 50})
    settled(page)
    assert page.evaluate("explorer.state.k") == 20
    assert page.locator("#explorer-size").input_value() == "20"


def test_every_control_is_reached_and_worked_by_keyboard(page):
    page.locator("#explorer-scene").focus()
    reached = ["explorer-scene"]
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["explorer-scene", "explorer-lowest", "explorer-item", "explorer-size", "explorer-play"]
    page.keyboard.press("Enter")
    page.wait_for_function("() => explorer.state.k > 9")
    page.keyboard.press("Enter")
    assert page.locator("#explorer-play").text_content() == "Play"
    k = page.evaluate("explorer.state.k")
    page.locator("#explorer-size").press("ArrowRight")
    assert page.evaluate("explorer.state.k") == k + 1
    page.locator("#explorer-lowest").press("ArrowRight")
    ready(page, "objects92 highest")
    page.locator("#explorer-item").select_option("5")
    assert page.evaluate("explorer.state.item") == 5
    assert page.evaluate("[...document.querySelectorAll('#explorer-app :is(input, select, button)')].every("
                         "e => e.labels?.length || e.textContent)")  # fmt: skip


def test_works_from_a_folder_and_on_a_phone(visit):
    ready(visit(PAGE, base=tools.HTML.as_uri()), "objects92 lowest")
    page = ready(visit(PAGE, viewport=tools.PHONE), "objects92 lowest")
    assert page.evaluate("document.documentElement.scrollWidth") <= tools.PHONE["width"]
    assert page.locator("#explorer-matrix").bounding_box()["width"] > 0.75 * tools.PHONE["width"]


def test_without_its_data_or_scripts_the_still_figure_tells_the_story(chromium, address):
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
    assert not [url for url in visit("book/index.html").asked if "explorer" in url and not url.endswith(".html")]
