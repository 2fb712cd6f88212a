"""What pages get beyond the theme: card, description, logo; and the joined document that is printed."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from PIL import Image

import book_page
import make_pdf
import make_pictures

STATIC = Path(__file__).parents[1] / "book" / "_static"


def tags_of(baseurl, text="One paragraph."):
    document = new_document("x")
    document += nodes.paragraph(text, text)
    context = {"title": 'A "title"', "metatags": ""}
    app = SimpleNamespace(config=SimpleNamespace(html_baseurl=baseurl, html_title="The book"))
    book_page.describe(app, "book/x", "page.html", context, document)
    soup = BeautifulSoup(context["metatags"], "html.parser")
    return {tag.get("property") or tag.get("name"): tag["content"] for tag in soup.find_all("meta")}


def test_without_an_address_a_page_has_a_description_and_no_card():
    assert tags_of("") == {"description": "One paragraph."}


@pytest.mark.parametrize("baseurl", ["https://example.org/book", "https://example.org/book/"])
def test_with_an_address_a_page_has_a_card_with_absolute_addresses(baseurl):
    tags = tags_of(baseurl)
    assert tags["og:url"] == "https://example.org/book/book/x.html"
    assert tags["og:image"] == tags["twitter:image"] == "https://example.org/book/_static/card.png"
    assert tags["og:title"] == 'A "title"' and tags["twitter:card"] == "summary_large_image"


def test_long_descriptions_end_after_a_word():
    text = "word " * 100
    about = tags_of("", text)["description"]
    assert len(about) <= 202 and about.endswith("word …")


def test_empty_corners_of_tables_are_no_headings():
    corner = '<table><tr><th></th><th class="blank">&nbsp;</th><th>a</th></tr></table>'
    context = {"body": corner}
    book_page.mend(None, "x", "page.html", context, None)
    soup = BeautifulSoup(context["body"], "html.parser")
    assert [th.get_text() for th in soup.find_all("th")] == ["a"]
    assert len(soup.find_all("td")) == 2 and soup.find("td", class_="blank")


def test_card_has_the_size_it_states_and_is_small():
    with Image.open(STATIC / "card.png") as image:
        assert image.size == make_pictures.CARD
    tags = tags_of("https://example.org")
    assert (int(tags["og:image:width"]), int(tags["og:image:height"])) == make_pictures.CARD
    assert (STATIC / "card.png").stat().st_size < 300_000


@pytest.mark.parametrize(
    ("file", "fires", "quiet"),
    [
        ("favicon.svg", make_pictures.ICON, "light"),
        ("logo.svg", make_pictures.LOGO, "light"),
        ("logo-dark.svg", make_pictures.LOGO, "dark"),
    ],
)
def test_pictures_are_those_of_the_script(file, fires, quiet):
    text = (STATIC / file).read_text()
    assert text == make_pictures.dots(fires, make_pictures.QUIET[quiet])
    circles = [e for e in ET.fromstring(text).iter() if e.tag.endswith("circle")]
    assert len(circles) == fires.size
    assert sum(c.get("fill") == make_pictures.FIRES for c in circles) == fires.sum()


def test_logo_goes_from_lowest_to_highest_poz_and_ends_in_a_ghost():
    rate = make_pictures.LOGO.mean(axis=0)
    assert (rate[1:] <= rate[:-1]).all() and rate[-1] == 0


# ------------------------------------------------------------------------------------------------------------ printing
NAMES = ["book/index", "notebooks/a"]


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("#top", "#book-index--top"),
        ("../notebooks/a.html", "#notebooks-a--"),
        ("../notebooks/a.html#here", "#notebooks-a--here"),
        ("../_images/x.png", "_images/x.png"),
        ("https://example.org/a.html#x", "https://example.org/a.html#x"),
        ("mailto:a@example.org", "mailto:a@example.org"),
        ("../values/a.csv", "values/a.csv"),
    ],
)
def test_addresses_lead_to_the_same_place_in_the_joined_document(address, there):
    assert make_pdf.moved("book/index", address, NAMES) == there


def test_a_joined_chapter_keeps_the_text_and_drops_what_paper_cannot_do():
    soup = BeautifulSoup(
        '<article><h1 id="t">Title<a class="headerlink" href="#t">#</a></h1><details class="hide"><pre>code</pre>'
        '</details><details><p id="p">shown</p></details><button>Copy</button><a href="#p">link</a></article>',
        "html.parser",
    )
    article = make_pdf.chapter("book/index", soup, NAMES)
    text = re.sub(r"\s+", " ", article.get_text(" "))
    assert "Title" in text and "shown" in text and "code" not in text and "Copy" not in text and "#" not in text
    assert article.find("a")["href"] == "#" + article.find("p")["id"]
    assert article.find("details").has_attr("open")
