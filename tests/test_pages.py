"""The built pages: what a reader's browser gets (run `make book` first).

Each test looks at all pages and lists what is wrong with any of them.
"""

import os
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
CHAPTERS = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
NAMES = [TOC["root"], *CHAPTERS]
LOADED = {"script": "src", "img": "src", "link": "href", "source": "src"}
LEFT_OVER = re.compile(
    r"\{glue|\{cite|\{numref|\{ref|\{eq\}|Traceback|WARNING|<Figure"
    r"|\bnan\b|\bNone\b(?! of)"
)


@pytest.fixture(scope="module")
def soups():
    """Every built page, parsed, by name."""
    files = [*HTML.glob("book/*.html"), *HTML.glob("notebooks/*.html")]
    if not files:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("there are no built pages: run `make book`")
    return {
        file.relative_to(HTML).with_suffix("").as_posix(): BeautifulSoup(
            file.read_text("utf-8"), "html.parser"
        )
        for file in files
    }


@pytest.fixture(scope="module")
def articles(soups):
    return {name: soup.find("article") for name, soup in soups.items()}


@pytest.fixture(scope="module")
def sections(articles):
    """The articles of the notebooks."""
    return {n: a for n, a in articles.items() if n.startswith("notebooks/")}


@pytest.fixture(scope="module")
def places(soups):
    """The anchors of every page."""
    return {
        name: {tag.get("id") or tag.get("name") for tag in soup.find_all(True)}
        for name, soup in soups.items()
    }


def is_external(address):
    return re.match(r"([a-z]+:)?//|mailto:|data:", address) is not None


def problem_of(places, name, address):
    """Why a link of page ``name`` leads nowhere, or ""."""
    path, anchor = urldefrag(unquote(address))
    path = path.partition("?")[0]
    page = HTML / f"{name}.html"
    target = (page.parent / path).resolve() if path else page
    if not target.is_file():
        return f"{name}: {address}: no such file"
    other = target.resolve().relative_to(HTML.resolve()).with_suffix("").as_posix()
    if anchor and other in places and anchor not in places[other]:
        return f"{name}: {address}: no such place on the page"
    return ""


def test_pages_are_those_of_the_table_of_contents(soups):
    assert sorted(soups) == sorted(NAMES)


def test_every_image_has_alt_text_that_describes_it(soups):
    images = [image for soup in soups.values() for image in soup.find_all("img")]
    assert len(images) > 40
    alts = [(image.get("alt") or "").strip() for image in images]
    file_names = re.compile(r"\.(png|svg|jpe?g)$|/|[0-9a-f]{16}")
    assert not [alt for alt in alts if len(alt) <= 20 or file_names.search(alt)]


def test_every_figure_says_what_dark_mode_may_do(sections):
    images = [image for page in sections.values() for image in page.find_all("img")]
    assert len(images) > 20
    for image in images:
        classes = [
            name for tag in [image, image.parent] for name in tag.get("class", [])
        ]
        assert len({"plot", "photo"} & set(classes)) == 1, image["src"]


def test_links_lead_somewhere(soups, places):
    links = [
        (n, a["href"]) for n, s in soups.items() for a in s.find_all("a", href=True)
    ]
    inner = [(name, link) for name, link in links if not is_external(link)]
    assert len(inner) > 500
    assert not list(filter(None, [problem_of(places, *link) for link in inner]))


def test_pages_load_nothing_from_elsewhere(soups):
    tags = [t for s in soups.values() for kind in LOADED for t in s.find_all(kind)]
    addresses = [tag[LOADED[tag.name]] for tag in tags if tag.get(LOADED[tag.name])]
    assert len(addresses) > 100
    assert not [a for a in addresses if is_external(a) and "data:" not in a]


def test_nothing_is_left_over_from_making_the_pages(articles):
    for name, article in articles.items():
        text = article.get_text(" ")
        for code in [*article.select("dl.py"), *article.select("pre, code")]:
            text = text.replace(code.get_text(" "), " ")
        assert not LEFT_OVER.findall(text), name
        assert not article.select(".stderr, .output.error"), name
        outputs = "".join(output.get_text() for output in article.select(".output pre"))
        assert not re.search(r"<[\w.]+ at 0x[0-9a-f]+>", outputs), name


def test_pages_have_a_title_a_language_and_a_description_of_their_own(soups, articles):
    assert {len(article.find_all("h1")) for article in articles.values()} == {1}
    assert {soup.html["lang"] for soup in soups.values()} == {"en"}
    metas = [
        soup.find("meta", attrs={"name": "description"}) for soup in soups.values()
    ]
    descriptions = {meta["content"] for meta in metas}
    assert len(descriptions) == len(soups) and all(descriptions)


def test_every_notebook_ends_with_its_provenance(sections):
    assert len(sections) == len(list((ROOT / "notebooks").glob("*.md"))) > 5
    for name, article in sections.items():
        items = [item.get_text() for item in article.find_all("li")[-12:]]
        for fact in ("versions", "machine", "time"):
            assert any(item.startswith(f"{fact}:") for item in items), f"{name}: {fact}"


def test_figures_offer_their_values(sections):
    """Every plot of a notebook has a link in its caption to a table with numbers."""
    plots = [p for a in sections.values() for p in a.select("figure:has(img.plot)")]
    assert len(plots) > 15
    for plot in plots:
        link = plot.select_one("figcaption a.values")
        assert link, f"{plot.get('id')} has no link to its values"
        table = pd.read_csv(HTML / "notebooks" / link["href"])
        assert len(table) and not table.select_dtypes("number").empty, link["href"]


def test_rows_of_the_scoreboard_have_the_verdicts_of_their_pages(places, articles):
    rows = pd.read_csv(HTML / "values" / "tab-scoreboard.csv")
    claims = tomllib.loads((ROOT / "book" / "claims.toml").read_text("utf-8"))["claim"]
    assert list(rows["key"]) == [
        row["key"] for claim in claims for row in claim["rows"]
    ]
    for row in rows.itertuples():
        page, _, place = row.computed.partition("#")
        link = f"{page}.html#{place}"
        assert problem_of(places, "notebooks/05_discussion", link) == ""
        lines = articles[f"notebooks/{page}"].find_all("tr")
        cells = [[cell.get_text() for cell in line(["th", "td"])] for line in lines]
        shown = [line for line in cells if row.what in "".join(line)]
        assert any(row.verdict in line for line in shown), row.key


def test_the_front_page_shows_the_summary_figure(articles):
    image = articles["book/index"].select_one("figure img.plot")
    assert (HTML / "book" / image["src"]).is_file()
    assert "summary" in image["src"]


def test_the_status_page_lists_every_executed_page(articles):
    lines = articles["book/status"].find("table").find_all("tr")[1:]
    cells = [[cell.get_text(strip=True) for cell in line("td")] for line in lines]
    with_code = [n for n in NAMES if (ROOT / f"{n}.ipynb").is_file()]
    assert len(cells) == len(with_code) > 9
    assert all(int(n_cells) > 0 and float(seconds) > 0 for _, n_cells, seconds in cells)
