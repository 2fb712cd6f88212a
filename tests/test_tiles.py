"""The front page: a tile for each claim, and the slider's three images."""

import json
import re
from pathlib import Path

import numpy as np
from bs4 import BeautifulSoup

import tiles
from helpers import claims

ROOT = Path(__file__).parents[1]


def tiles_of(found):
    html = "".join(tiles.tiles(found, "d.html"))
    return BeautifulSoup(html, "html.parser").find_all("li")


def test_each_claim_has_a_tile_with_its_verdict_that_leads_to_its_rows():
    rows = claims.read()["C1"]["rows"]
    found = {row["key"]: claims.exact(row["paper"]) for row in rows}
    first, *others = tiles_of(found)
    assert first.a["href"] == "d.html#claim-c1"
    assert first.find(class_="tile-verdict").text == "reproduced"
    assert first["class"] == ["tile", "reproduced"]
    wrong = found | {rows[0]["key"]: claims.exact(-1.0)}
    assert tiles_of(wrong)[0]["class"] == ["tile", "partly-reproduced"]
    assert len(others) == len(claims.read()) - 1
    assert {tile.find(class_="tile-verdict").text for tile in others} == {"not run"}


def test_text_of_the_claims_is_escaped(monkeypatch):
    odd = claims.read() | {"C1": claims.read()["C1"] | {"title": "<b>&"}}
    monkeypatch.setattr(claims, "read", lambda: odd)
    assert "&lt;b&gt;&amp;" in tiles.tiles({}, "d.html")[0]


def test_the_discussion_has_a_place_for_every_tile():
    text = (ROOT / "notebooks" / "05_discussion.md").read_text("utf-8")
    for claim in claims.read():
        assert f"{{#claim-{claim.lower()}}}" in text


def test_the_slider_shows_the_images_of_the_introduction():
    page = (ROOT / "book" / "index.md").read_text("utf-8")
    text = (ROOT / "notebooks" / "01_introduction.md").read_text("utf-8")
    rows = re.findall(r"^ +\[(.*?)\],  # image", text, re.MULTILINE)
    images = np.array([[float(x) for x in row.split(",")] for row in rows])
    given = json.loads(re.search(r'data-images="(.*?)"', page)[1])
    assert np.array_equal(images[:, :-1], given)
    assert not images[:, -1].any()
