"""A Sphinx extension: how to cite the book, and the ways to its parts.

* CITATION.cff (`metadata`) has the public addresses: of the repository, which gives
  pages their buttons for Binder and Colab, and of the book, which gives them cards.
* Every page says in its head, as tags and as JSON-LD, what it is and what it is about.
* ``{cite-boxes}`` shows the BibTeX entries.
* ``{ways}`` links repository, Binder, Colab, paper and data, as far as they exist.
"""

from __future__ import annotations

import json
from html import escape
from textwrap import wrap
from urllib.parse import quote

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import metadata

FIRST = "notebooks/02_representational_geometry.ipynb"
"""What Colab opens."""


def setup(app) -> dict:
    app.connect("config-inited", find_addresses, priority=400)  # before the buttons
    app.connect("html-page-context", say_what_it_is, priority=600)  # after the cards
    app.add_directive("cite-boxes", CiteBoxes)
    app.add_directive("ways", Ways)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def find_addresses(app, config) -> None:
    """Take the addresses of book and repository from the citation file."""
    cff = metadata.citation()
    config.html_baseurl = config.html_baseurl or cff.get("url", "")
    options = config.html_theme_options
    options["repository_url"] = (
        options.get("repository_url") or cff.get("repository-code", "")
    ).rstrip("/")
    options["use_repository_button"] = bool(options["repository_url"])


def say_what_it_is(app, pagename, templatename, context, doctree) -> None:
    """Add tags for scholarly search and JSON-LD to the head of a page."""
    if doctree is None:
        return
    cff = metadata.citation()
    title = "" if pagename == app.config.root_doc else context["title"]
    base = app.config.html_baseurl.rstrip("/")
    address = f"{base}/{pagename}.html" if base else ""
    lines = [
        f'<meta name="{name}" content="{escape(content)}">'
        for name, content in metadata.tags(cff, title, address)
    ]
    about = json.dumps(metadata.json_ld(cff, title, address), ensure_ascii=False)
    about = about.replace("</", "<\\/")
    lines.append(f'<script type="application/ld+json">{about}</script>')
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


class CiteBoxes(SphinxDirective):
    """The BibTeX entries of the paper and of the book."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(metadata.SOURCE))
        return [
            nodes.literal_block(text, text, language="bibtex")
            for text in map(wrapped, metadata.bibtex(metadata.citation()))
        ]


def wrapped(entry: str, width: int = 72) -> str:
    """An entry whose long lines go on below, indented."""
    parts = [wrap(line, width, subsequent_indent="    ") for line in entry.split("\n")]
    return "\n".join(line for part in parts for line in part)


class Ways(SphinxDirective):
    """The ways in, as a list of links; what has no address is left out."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(metadata.SOURCE))
        options = self.config.html_theme_options
        up = "../" * self.env.docname.count("/")
        branch = options.get("repository_branch", "main")
        links = ways(metadata.citation(), options["repository_url"], branch, up)
        items = [f'<li><a href="{escape(url)}">{name}</a></li>' for name, url in links]
        entries = "\n\n".join(metadata.bibtex(metadata.citation()))
        button = f'<button type="button" hidden data-copy="{escape(entries)}">'
        items.append(f"<li>{button}Copy BibTeX</button></li>")
        html = f'<ul class="ways">{"".join(items)}</ul>'
        return [nodes.raw("", html, format="html")]


def ways(cff: dict, repository: str, branch: str, up: str) -> list[tuple[str, str]]:
    """Names and addresses; without a repository only the paper and the data page."""
    found = [("Paper (DOI)", metadata.doi(cff["preferred-citation"]))]
    if own := metadata.doi(cff):
        found.append(("This book (DOI)", own))
    if not repository:
        return [*found, ("Data", f"{up}book/data.html")]
    found.append(("Repository", repository))
    if repository.startswith(GITHUB := "https://github.com/"):
        place = quote(repository.removeprefix(GITHUB))
        binder = f"https://mybinder.org/v2/gh/{place}/{branch}?urlpath=lab/tree/"
        colab = f"https://colab.research.google.com/github/{place}/blob/{branch}/"
        found += [("Binder", f"{binder}{FIRST}"), ("Colab", f"{colab}{FIRST}")]
    return [*found, ("Download data", f"{repository}/tree/{branch}/data")]
