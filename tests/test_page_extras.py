"""What pages get beyond the theme: cards, tables, pictures, the printed document."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

import make_card
import page
import policy

STATIC = Path(__file__).parents[1] / "book" / "_static"


def tags_of(baseurl, text="One paragraph."):
    document = new_document("x")
    document += nodes.paragraph(text, text)
    context = {"title": 'A "title"', "metatags": ""}
    config = SimpleNamespace(html_baseurl=baseurl, html_title="The book")
    page.describe(SimpleNamespace(config=config), "book/x", "", context, document)
    metas = BeautifulSoup(context["metatags"], "html.parser").find_all("meta")
    return {tag.get("property") or tag.get("name"): tag["content"] for tag in metas}


def test_without_an_address_a_page_has_a_description_and_no_card():
    assert tags_of("") == {"description": "One paragraph."}


@pytest.mark.parametrize("baseurl", ["https://example.org/b", "https://example.org/b/"])
def test_with_an_address_a_page_has_a_card_with_absolute_addresses(baseurl):
    tags = tags_of(baseurl)
    assert tags["og:url"] == "https://example.org/b/book/x.html"
    assert tags["og:image"] == "https://example.org/b/_static/card.png"
    assert tags["og:title"] == 'A "title"'


def test_long_descriptions_end_after_a_word():
    about = tags_of("", "word " * 100)["description"]
    assert len(about) <= 200 and about.endswith("word …")


def test_empty_corners_of_tables_are_no_headings():
    html = '<table><tr><th></th><th class="blank">&nbsp;</th><th>a</th></tr></table>'
    document = new_document("x")
    document += nodes.raw("", html, format="html")
    page.drop_empty_headings(None, document)
    soup = BeautifulSoup(document[0].astext(), "html.parser")
    assert [th.get_text() for th in soup.find_all("th")] == ["a"]
    assert len(soup.find_all("td")) == 2 and soup.find("td", class_="blank")


def test_figures_of_the_class_table_are_counted_as_tables():
    document = new_document("x")
    document += nodes.figure("", ids=["tab-x"], classes=["table", "wide"])
    document += nodes.figure("", ids=["fig-x"], classes=["plot"])
    page.count_tables(None, document)
    assert isinstance(document[0], page.captioned_table)
    assert document[0]["classes"] == ["wide"] and document.ids["tab-x"] is document[0]
    assert type(document[1]) is nodes.figure


def test_buttons_of_services_wait_for_the_address_of_the_repository():
    for address, expected in (("", set()), ("https://example.org/x", {"binder"})):
        options = {"repository_url": address, "launch_buttons": {"binder": "..."}}
        page.drop_launch_buttons(None, SimpleNamespace(html_theme_options=options))
        assert set(options.get("launch_buttons", ())) == expected


def test_tables_are_found_in_outputs_and_figures_by_their_name():
    record = {"scrapbook": {"name": "fig-x.csv", "mime_prefix": "p/"}}
    content = {"application/papermill.record/text/csv": "a\n1\n"}
    output = new_output("display_data", content, metadata=record)
    cell = new_code_cell("1", outputs=[output])
    cell.metadata["mystnb"] = {"figure": {"name": "fig-x"}}
    notebook = new_notebook(cells=[new_code_cell("0"), cell])
    assert page.tables(notebook) == {"fig-x.csv": "a\n1\n"}
    assert page.tables(None) == {}
    assert page.figure_cell(notebook, "fig-x") is notebook.cells[1]
    with pytest.raises(ValueError, match="fig-y"):
        page.figure_cell(notebook, "fig-y")


def test_a_table_that_is_offered_and_missing_is_a_warning(monkeypatch):
    cell = new_code_cell('download("fig-x", frame)\ndownload(\n    "tab-y", frame)')
    monkeypatch.setattr(page, "notebook_of", lambda *_: new_notebook(cells=[cell]))
    warned = []
    monkeypatch.setattr(page.log, "warning", lambda text, name: warned.append(name))
    app = SimpleNamespace(env=SimpleNamespace(docname="notebooks/x"))
    page.link_files(app, new_document("x"))
    assert warned == ["fig-x.csv", "tab-y.csv"]


def test_the_policy_names_every_inline_script_and_stays_the_same():
    html = (
        '<head><meta charset="utf-8"><script>let a = 1;</script><script src="x.js">'
        '</script></head><button onclick="f(&quot;x&quot;)"></button>'
        '<script type="application/json">{}</script>'
    )
    protected = policy.with_policy(html, policy.policy_of([html]))
    meta = BeautifulSoup(protected, "html.parser").find(
        "meta", attrs={"http-equiv": True}
    )
    scripts = meta["content"].split("script-src ")[1].split(";")[0].split()
    expected = [f"'sha256-{policy.digest(code)}'" for code in ("let a = 1;", 'f("x")')]
    assert sorted(scripts) == sorted(["'self'", "'unsafe-hashes'", *expected])
    assert policy.with_policy(protected, policy.policy_of([html])) == protected


# ------------------------------------------------------------------------- pictures
def test_the_card_has_its_size_and_is_small():
    with Image.open(STATIC / "card.png") as image:
        assert image.size == make_card.CARD
    assert (STATIC / "card.png").stat().st_size < 300_000


def test_errors_of_a_docstring_are_parted_from_their_reason():
    lines = ["Raises", "------", "ValueError : not finite,", "    or negative.", "x"]
    page.part_errors(None, "function", "f", None, None, lines)
    expected = ["ValueError", "    not finite,", "    or negative.", "x"]
    assert lines == ["Raises", "------", *expected]


# ------------------------------------------------------------------- files and search
def cell_with(figure):
    code = nodes.container("", nb_element="cell_code_source")
    output = nodes.container("", figure, nb_element="cell_code_output")
    return nodes.container("", code, output, nb_element="cell_code")


def test_a_figure_links_its_code_data_values_and_picture(monkeypatch):
    made = {"fig-x.csv": "a\n1\n", "fig-x.png": "", "fig-y.csv": "b\n"}
    monkeypatch.setattr(page, "notebook_of", lambda *_: new_notebook())
    monkeypatch.setattr(page, "tables", lambda _: made)
    document = new_document("x")
    document += cell_with(nodes.figure("", ids=["fig-x"]))
    document += nodes.figure("", ids=["fig-elsewhere"])
    page.link_files(
        SimpleNamespace(env=SimpleNamespace(docname="notebooks/x")), document
    )
    links = {
        n.astext(): n["refuri"]
        for n in document.findall(nodes.Element)
        if "refuri" in n
    }
    assert links == {
        "code": "#code-fig-x",
        "data": "../book/data.html",
        "values (CSV)": "../values/fig-x.csv",
        "picture (PNG)": "../values/fig-x.png",
    }
    assert document[0][0]["ids"] == ["code-fig-x"]
    assert not document[1].children


def test_the_search_knows_prose_but_no_code_and_no_formula():
    document = new_document("x")
    document += nodes.paragraph(
        "", "", nodes.Text("PoZ of "), nodes.math("", r"\mathbf x")
    )
    document += nodes.literal_block("import numpy", "import numpy")
    prose = page.prose_of(document)
    assert prose.astext().split() == ["PoZ", "of"]
    assert "numpy" in document.astext(), "the page itself stays"
