"""The slider of the front page gives the similarities that Python gives."""

import json

import numpy as np
import pytest

from helpers.rsa import similarity_matrix

PAIRS = [("A and B", 0, 1), ("B and C", 1, 2), ("A and C", 0, 2)]


@pytest.mark.parametrize("measure", ["pearson", "cosine"])
@pytest.mark.parametrize("n_silent", [0, 1, 30])
def test_slider_shows_what_python_computes(measure, n_silent, visit):
    page = visit("book/index.html")
    images = json.loads(page.get_attribute("#silent-app", "data-images"))
    page.select_option("#silent-measure", index=["pearson", "cosine"].index(measure))
    page.locator("#silent-n").fill(str(n_silent))
    expected = similarity_matrix(np.pad(images, ((0, 0), (0, n_silent))), measure)
    texts = page.locator(".silent-row").all_inner_texts()
    for text, (pair, i, j) in zip(texts, PAIRS, strict=True):
        name, value = text.split("\n")
        assert name == pair
        assert float(value.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
            expected[i, j], abs=0.005
        )
    best = max(PAIRS, key=lambda pair: expected[pair[1], pair[2]])[0]
    assert f"Most alike: {best}" in page.inner_text(".silent output")


def test_slider_is_used_by_keyboard(visit):
    page = visit("book/index.html")
    page.focus("#silent-n")
    before = page.inner_text(".silent output")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("label[for=silent-n]") == "1 silent node"
    assert page.inner_text(".silent output") != before
