"""A Sphinx extension: what every page of the book gets beyond the theme.

* its executed notebook beside its source among the downloads;
* tables of cells are numbered as tables: ``mystnb: {figure: {name, caption, classes: table}}``;
* tables and references in the form that screen readers expect;
* a description; and, where the book's address is known (``html: baseurl`` in _config.yml), a card for social media.
"""

from __future__ import annotations

import re
from contextlib import suppress
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from jupyter_cache import get_cache

CARD = "_static/card.png"
CARD_ALT = "Insertion curves: R² with the full similarity matrix against the share of nodes, for three orders of nodes."


class captioned_table(nodes.figure):
    """A figure that holds a table and is counted as one."""


def setup(app) -> dict:
    html = (lambda writer, node: writer.visit_figure(node), lambda writer, node: writer.depart_figure(node))
    app.add_enumerable_node(captioned_table, "table", html=html)
    app.connect("doctree-read", count_tables)
    app.connect("html-page-context", offer_notebook)  # before the theme's buttons, whose priority is 501 ...
    app.connect("html-page-context", keep_notebook, priority=900)  # ... and after them
    app.connect("html-page-context", mend)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def count_tables(app, doctree) -> None:
    """Turn figures of the class "table" into captioned tables, before Sphinx numbers them."""
    for figure in [*doctree.findall(nodes.figure)]:
        if "table" in figure["classes"]:
            figure["classes"] = [name for name in figure["classes"] if name != "table"]
            table = captioned_table("", *figure.children, **figure.attributes)
            figure.replace_self(table)
            doctree.ids.update(dict.fromkeys(table["ids"], table))  # where references look


def offer_notebook(app, pagename, templatename, context, doctree) -> None:
    """Name the notebook of a page; the theme makes a download button for ``ipynb_source``."""
    if doctree is not None and (Path(app.outdir).parent / "jupyter_execute" / f"{pagename}.ipynb").is_file():
        context["ipynb_source"] = f"{pagename}.ipynb"


def keep_notebook(app, pagename, templatename, context, doctree) -> None:
    """Write the executed notebook, in whose place the theme's buttons for Binder and Colab put one without outputs; and
    take these buttons off pages of which the repository has no notebook.
    """
    if doctree is None or "ipynb_source" not in context:
        return
    target = Path(app.outdir) / "_sources" / context["ipynb_source"]
    target.parent.mkdir(parents=True, exist_ok=True)
    source = Path(app.outdir).parent / "jupyter_execute" / context["ipynb_source"]
    nbformat.write(executed(app, source), target)
    if not (Path(app.srcdir) / context["ipynb_source"]).is_file():
        buttons = context["header_buttons"]
        buttons[:] = [button for button in buttons if button.get("label") != "launch-buttons"]


def executed(app, source: Path) -> nbformat.NotebookNode:
    """The notebook ``source`` with its outputs, which MyST-NB leaves in the cache where it runs with one."""
    notebook, config = nbformat.read(source, as_version=4), app.env.mystnb_config
    if config.execution_mode == "cache":
        with suppress(KeyError):  # a page that is executed in every build is not in the cache, and has its outputs
            _, notebook = get_cache(config.execution_cache_path).merge_match_into_notebook(notebook)
    return notebook


EMPTY_HEADING = re.compile(r"<th(?P<about>[^>]*)>(?P<blank>(?:\s|&nbsp;|&#160;)*)</th>")


def mend(app, pagename, templatename, context, doctree) -> None:
    """The empty corner of a table of pandas heads nothing; an entry of the literature is an item of its list; the
    status of a page is a word, where not every computer has a sign for it.
    """
    body = EMPTY_HEADING.sub(r"<td\g<about>>\g<blank></td>", context.get("body", ""))
    context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"').replace("✅", "done")


def describe(app, pagename, templatename, context, doctree) -> None:
    """Add a page's description and, where the book has an address, its card to the head of the page."""
    if doctree is None:
        return
    about = description(doctree)
    tags = [("name", "description", about)]
    if app.config.html_baseurl:
        address = app.config.html_baseurl.rstrip("/")
        tags += card(context["title"], app.config.html_title, about, f"{address}/{pagename}.html", f"{address}/{CARD}")
    lines = [f'<meta {kind}="{name}" content="{escape(content)}">' for kind, name, content in tags]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def description(doctree: nodes.document, longest: int = 200) -> str:
    """The first paragraph of a page, cut after a whole word."""
    text = next((" ".join(one.astext().split()) for one in doctree.findall(nodes.paragraph)), "")
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0] + " …"


def card(title: str, book: str, about: str, address: str, picture: str) -> list[tuple[str, str, str]]:
    """The tags of Open Graph and of Twitter cards: (attribute, name, content)."""
    graph = {
        "title": title, "site_name": book, "description": about, "type": "article", "url": address, "image": picture,
        "image:width": "1200", "image:height": "630", "image:alt": CARD_ALT,
    }  # fmt: skip
    twitter = {"card": "summary_large_image", "title": title, "description": about, "image": picture}
    return [
        *(("property", f"og:{name}", content) for name, content in graph.items()),
        *(("name", f"twitter:{name}", content) for name, content in twitter.items()),
    ]
