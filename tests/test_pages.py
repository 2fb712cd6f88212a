"""The built pages: what a reader's browser is given (run `make book` first)."""

import json
import os
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup

HTML = Path(__file__).parents[1] / "_build" / "html"
PAGES = sorted(str(p.relative_to(HTML)) for part in ("book", "notebooks") for p in (HTML / part).glob("*.html"))
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]
LOADED = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}
LEFT_OVER = re.compile(r"\{glue|\{cite|\{numref|\{ref|\{eq\}|Traceback|WARNING|\bnan\b|\bNone\b|<Figure size")


@pytest.fixture(params=PAGES or ["none"])
def page(request):
    if not PAGES:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there are no built pages: run `make book`")
    return request.param


_soups = {}


def soup(name):
    if name not in _soups:
        _soups[name] = BeautifulSoup((HTML / name).read_text(), "html.parser")
    return _soups[name]


def article(name):
    return soup(name).find("article")


def is_external(address):
    return re.match(r"([a-z]+:)?//|mailto:|data:", address) is not None


def problem_of(name, address):
    """Why a link of page ``name`` leads nowhere, or nothing."""
    path, anchor = urldefrag(unquote(address))
    path = path.partition("?")[0]
    target = (HTML / name).parent / path if path else HTML / name
    if not target.resolve().is_file():
        return f"{address}: no such file"
    if anchor and target.suffix == ".html":
        relative = str(target.resolve().relative_to(HTML.resolve()))
        if soup(relative).find(id=anchor) is None and soup(relative).find(attrs={"name": anchor}) is None:
            return f"{address}: no such place on the page"
    return ""


def test_every_page_of_the_table_of_contents_was_built(page):
    toc = (HTML.parents[1] / "_toc.yml").read_text()
    assert {f"{name}.html" for name in re.findall(r"(?:root|file): (\S+)", toc)} == set(PAGES)


def test_every_image_says_what_it_shows(page):
    for image in soup(page).find_all("img"):
        alt = (image.get("alt") or "").strip()
        assert len(alt) > 20, f"{image['src']} has no alt text, or a very short one: {alt!r}"
        assert not re.search(r"\.(png|svg|jpe?g)$|/|[0-9a-f]{16}", alt), f"alt text is a file name: {alt!r}"


def test_every_figure_of_a_notebook_knows_what_dark_mode_may_do(page):
    if page in NOTEBOOKS:
        for image in article(page).find_all("img"):
            kinds = {"plot", "photo"} & {c for tag in [image, *image.parents] for c in tag.get("class", [])}
            assert len(kinds) == 1, f"{image['src']} needs the class plot or photo, has {kinds}"


def test_links_lead_somewhere(page):
    links = [a["href"] for a in soup(page).find_all("a", href=True)]
    problems = [problem_of(page, link) for link in links if not is_external(link)]
    assert not [problem for problem in problems if problem]


def test_everything_a_page_loads_is_in_the_book(page):
    addresses = [tag[key] for name, key in LOADED.items() for tag in soup(page).find_all(name) if tag.get(key)]
    assert not [a for a in addresses if is_external(a) and not a.startswith("data:")]
    assert not [p for p in (problem_of(page, a) for a in addresses if not is_external(a)) if p]


def test_nothing_was_left_over_from_making_the_page(page):
    text = article(page).get_text(" ")
    for code in article(page).find_all(["pre", "code"]):
        text = text.replace(code.get_text(" "), " ")
    assert not LEFT_OVER.findall(text)
    assert not article(page).select(".stderr, .output.error")
    objects = [output.get_text() for output in article(page).select(".output pre")]
    assert not [text for text in objects if re.search(r"<[\w.]+ at 0x[0-9a-f]+>", text)], (
        "end the cell with an assignment"
    )


def test_every_glued_number_is_one(page):
    for number in article(page).select(".pasted-text, .pasted-inline"):
        text = number.get_text().strip().strip("'\"")
        assert text, "an empty value was glued"
        assert text.lower() not in {"nan", "none", "inf", "-inf"}, (
            f"{text!r} was glued beside {number.parent.get_text()!r}"
        )


def test_one_title_and_a_language(page):
    assert len(article(page).find_all("h1")) == 1
    assert soup(page).html["lang"] == "en"


def test_every_notebook_ends_with_its_provenance(page):
    if page in NOTEBOOKS:
        items = [item.get_text() for item in article(page).find_all("li")[-12:]]
        for name in ("versions", "data", "machine", "time"):
            assert any(item.startswith(f"{name}:") for item in items), f"the last list lacks {name!r}: {items}"


def test_figures_offer_their_values(page):
    """Every plot on a notebook's page has a link in its caption to a table that is there and holds numbers."""
    if page in NOTEBOOKS:
        for plot in article(page).select("figure:has(img.plot)"):
            link = plot.select_one("figcaption a.values")
            assert link, f"{plot.get('id')} has no link to its values"
            lines = (HTML / page).parent.joinpath(link["href"]).read_text().splitlines()
            assert len(lines) > 1 and re.search(r"\d", lines[1]), link["href"]


def test_scoreboard_shows_each_row_of_the_claims_file_with_the_value_of_its_page():
    if not PAGES:
        pytest.skip("there are no built pages: run `make book`")
    rows = json.loads((HTML / "values" / "scoreboard.json").read_text())
    claimed = tomllib.loads((HTML.parents[1] / "book" / "claims.toml").read_text())["claim"]
    assert [row["key"] for row in rows] == [row["key"] for claim in claimed for row in claim["rows"]]
    for row in rows:
        name, _, place = row["computed_at"].partition("#")
        assert problem_of("notebooks/05_discussion.html", f"{name}.html#{place}") == ""
        lines = article(f"notebooks/{name}.html").find_all("tr")
        cells = next(cells for cells in ([cell.get_text() for cell in line(["th", "td"])] for line in lines)
                     if row["measure"] in cells)  # fmt: skip
        assert row["verdict"] in cells, f"{row['key']} has another verdict on its own page: {cells}"


def test_front_page_shows_the_summary_figure():
    if not PAGES:
        pytest.skip("there are no built pages: run `make book`")
    image = article("book/index.html").select_one("figure#the-paper-in-one-figure img.plot")
    assert image["alt"] and (HTML / "book" / image["src"]).is_file()


def test_mathjax_comes_with_the_book(page):
    if article(page).select(".math"):
        scripts = [script["src"] for script in soup(page).find_all("script", src=True)]
        assert any("mathjax" in script for script in scripts)
