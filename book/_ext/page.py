"""A Sphinx extension: what the book adds to its theme.

* Figures of the class ``table`` are numbered as tables.
* Below each figure or table of a notebook are links to its code and data, to its
  values (the CSV file that `helpers.notebook.download` put into the outputs, written to
  ``values/``) and to its picture.
* The search knows the prose of the pages, not their code and formulas.
* The text of a notebook is offered for download beside the notebook.
* Pages have a description and, where the book's address is known (``html: baseurl`` in
  _config.yml), a card for social media.
* ``{notebook-figure} NOTEBOOK NAME`` shows a notebook's figure on another page.
* ``{execution-table}`` lists the executed pages with their cells and seconds.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import textwrap
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from helpers.notebook import records

ROOT = Path(__file__).resolve().parents[2]
CARD = "_static/card.png"
CARD_ALT = (
    "Insertion curves: R² with the full similarity matrix against the share of nodes, "
    "for three orders of nodes."
)
DOWNLOAD = re.compile(r"""\bdownload\(\s*["']([\w-]+)["']""")
EMPTY_HEADING = re.compile(r"<th([^>]*)>((?:\s|&nbsp;|&#160;)*)</th>")


log = logging.getLogger(__name__)


class captioned_table(nodes.figure):
    """A figure that holds a table and is counted as one."""


class repeated_figure(nodes.figure):
    """A figure that has its number on another page."""


def setup(app) -> dict:
    app.setup_extension("policy")
    as_figure = (
        lambda writer, node: writer.visit_figure(node),
        lambda writer, node: writer.depart_figure(node),
    )
    app.add_enumerable_node(captioned_table, "table", html=as_figure)
    app.add_node(repeated_figure, html=as_figure)
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_directive("notebook-figure", NotebookFigure)
    app.add_directive("execution-table", ExecutionTable)
    app.connect("autodoc-process-docstring", part_errors, priority=400)  # napoleon: 500
    app.connect("config-inited", drop_launch_buttons)
    app.connect("doctree-read", count_tables)
    app.connect("doctree-read", drop_empty_headings)
    app.connect("doctree-read", add_phone_forms, priority=400)  # images: 500
    app.connect("doctree-read", link_files, priority=900)  # after the downloads'
    app.connect("builder-inited", index_prose)
    app.connect("html-page-context", add_excerpts)
    app.connect("html-page-context", offer_text, priority=900)  # after the buttons
    app.connect("html-page-context", describe)
    app.connect("build-finished", write_values)
    app.connect("build-finished", write_root)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def notebook_of(env, docname: str) -> nbformat.NotebookNode | None:
    """The executed notebook that a page is made from, if any."""
    path = Path(env.doc2path(docname))
    return nbformat.read(path, as_version=4) if path.suffix == ".ipynb" else None


# -------------------------------------------------------------- figures and tables
def count_tables(app, doctree) -> None:
    """Turn figures of the class "table" into captioned tables, numbered as tables."""
    for figure in [*doctree.findall(nodes.figure)]:
        if "table" in figure["classes"]:
            figure["classes"].remove("table")
            table = captioned_table("", *figure.children, **figure.attributes)
            figure.replace_self(table)
            doctree.ids.update(dict.fromkeys(table["ids"], table))  # for references


def add_phone_forms(app, doctree) -> None:
    """Put the phone form of each plot beside it; the style sheet shows one of them."""
    notebook = notebook_of(app.env, docname := app.env.docname)
    forms = phone_forms(notebook) if notebook else {}
    for number, image in enumerate(doctree.findall(nodes.image)):
        if number > 1 or "photo" in image["classes"]:
            image["loading"] = "lazy"  # pictures of a long page are megabytes
    for figure in doctree.findall(nodes.figure):
        for name in [name for name in figure["ids"] if name in forms]:
            image = next(figure.findall(nodes.image), None)
            if image is not None and "plot" in image["classes"]:
                image.parent.insert(1, phone_image(app, docname, image, forms[name]))


def phone_forms(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Phone forms (base64) in a notebook's outputs, by the name of the figure."""
    return {
        cell.metadata.mystnb.figure.name: output.metadata.phone
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "phone" in output.get("metadata", {}) and "mystnb" in cell.metadata
    }


def phone_image(app, docname: str, image: nodes.image, form: str) -> nodes.image:
    """The phone form as an image like ``image``; marks both for the style sheet."""
    picture = base64.b64decode(form)
    path = Path(app.doctreedir) / f"{hashlib.sha256(picture).hexdigest()[:20]}.png"
    path.write_bytes(picture)
    uri = os.path.relpath(path, Path(app.env.doc2path(docname)).parent)
    image["classes"].append("on-wide")
    classes = ["plot", "on-phone"]
    return nodes.image(uri=uri, alt=image["alt"], classes=classes, loading="lazy")


def drop_empty_headings(app, doctree) -> None:
    """Make the empty corner of a pandas table, which heads nothing, a plain cell."""
    for raw in doctree.findall(nodes.raw):
        if raw.get("format") == "html" and "<th" in raw.astext():
            html = EMPTY_HEADING.sub(r"<td\1>\2</td>", raw.astext())
            raw.children = [nodes.Text(html)]


def visit_citation(writer, node) -> None:
    """Give an entry of the literature the role that its list requires."""
    type(writer).visit_citation(writer, node)
    writer.body[-1] = writer.body[-1].replace("doc-biblioentry", "listitem")


def depart_citation(writer, node) -> None:
    type(writer).depart_citation(writer, node)


def part_errors(app, what, name, described, options, lines: list[str]) -> None:
    """Put what raises an error below the error's name, where napoleon looks for it."""
    text = re.sub(r"(?m)^(\w+Error) : (.*)$", r"\1\n    \2", "\n".join(lines))
    lines[:] = text.split("\n")


# -------------------------------------------------------------------------- values
def tables(notebook: nbformat.NotebookNode | None) -> dict[str, str]:
    """The CSV files in a notebook's outputs, by file name."""
    found = records(notebook) if notebook else {}
    return {name: r["text/csv"] for name, r in found.items() if "text/csv" in r}


def offered(notebook: nbformat.NotebookNode | None) -> set[str]:
    """The files that the cells of a notebook offer, by name."""
    cells = notebook.cells if notebook else ()
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return {f"{name}.csv" for name in DOWNLOAD.findall(code)}


def pictures(notebook: nbformat.NotebookNode | None) -> dict[str, str]:
    """The pictures (PNG in base64) in a notebook's outputs, by file name."""
    return {
        f"{cell.metadata.mystnb.figure.name}.png": output.data["image/png"]
        for cell in (notebook.cells if notebook else ())
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
        and "figure" in cell.metadata.get("mystnb", {})
    }


def link_files(app, doctree) -> None:
    """Link, below each figure or table of a notebook, what it is made of."""
    docname = app.env.docname
    notebook = notebook_of(app.env, docname)
    made = tables(notebook) | pictures(notebook)
    for name in sorted(offered(notebook) - made.keys()):
        log.warning("%s is missing from the outputs; execute the page again", name)
    up = "../" * docname.count("/")
    for figure in doctree.findall(nodes.figure):
        code = code_of(figure)
        if code is None or not figure["ids"]:
            continue
        code["ids"].append(place := f"code-{figure['ids'][0]}")
        links = [
            nodes.reference("", "code", refuri=f"#{place}", internal=True),
            nodes.reference("", "data", refuri=f"{up}book/data.html", internal=True),
            *file_links(figure["ids"], made, f"{up}values/"),
        ]
        line = nodes.paragraph("", classes=["figure-files"])
        for link in links:
            line += [link, nodes.Text(" · ")]
        del line[-1]
        figure += line  # a legend would open a second figcaption after two images


def code_of(node: nodes.Node) -> nodes.Element | None:
    """The shown code of the cell that a node is an output of."""
    while node is not None and node.get("nb_element") != "cell_code":
        node = node.parent
    parts = node.children if node is not None else ()
    return next((n for n in parts if n.get("nb_element") == "cell_code_source"), None)


def file_links(ids: list[str], made: dict[str, str], folder: str) -> list[nodes.Node]:
    """Links to the values and to the picture of a figure, as far as there are any."""
    kinds = {".csv": ("values (CSV)", "values"), ".png": ("picture (PNG)", "picture")}
    return [
        addnodes.download_reference("", text, refuri=folder + name, classes=[kind])
        for suffix, (text, kind) in kinds.items()
        for name in [f"{i}{suffix}" for i in ids]
        if name in made
    ]


def write_values(app, exception) -> None:
    """Write the CSV files and the pictures of all pages to ``values/``."""
    if exception or app.builder.format != "html":
        return
    shutil.rmtree(folder := Path(app.outdir) / "values", ignore_errors=True)
    folder.mkdir()
    for docname in app.env.found_docs:
        notebook = notebook_of(app.env, docname)
        for name, content in tables(notebook).items():
            (folder / name).write_text(content, "utf-8")
        for name, picture in pictures(notebook).items():
            (folder / name).write_bytes(base64.b64decode(picture))


# -------------------------------------------------------------------------- search
def index_prose(app) -> None:
    """Leave code, printed outputs and formulas out of what the search knows."""
    if app.builder.format != "html":
        return
    index = app.builder.index_page

    def index_without_code(pagename, doctree, title) -> None:
        index(pagename, prose_of(doctree), title)

    app.builder.index_page = index_without_code


def prose_of(doctree: nodes.document) -> nodes.document:
    """A copy of a page without code and formulas."""
    prose = doctree.deepcopy()
    for kind in (nodes.literal_block, nodes.math, nodes.math_block):
        for node in [*prose.findall(kind)]:
            node.parent.remove(node)
    return prose


def add_excerpts(app, pagename, templatename, context, doctree) -> None:
    """Give the search page its own excerpts."""
    if pagename == "search":
        app.add_js_file("search.js", defer="defer")


# ----------------------------------------------------------------------- first page
ROOT_PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={page}">
<title>{title}</title>
<link rel="icon" href="_static/{icon}">
</head><body><p><a href="{page}">{title}</a></p></body></html>
"""


def write_root(app, exception) -> None:
    """Lead from the folder of the book to its first page, with the icon named."""
    if exception or app.builder.format != "html":
        return
    title, icon = escape(app.config.html_title), Path(app.config.html_favicon).name
    page = f"{app.config.root_doc}.html"
    text = ROOT_PAGE.format(page=page, title=title, icon=icon)
    (Path(app.outdir) / "index.html").write_text(text, "utf-8")


# ------------------------------------------------------------------------- buttons
def drop_launch_buttons(app, config) -> None:
    """Without the repository's address there is nothing for Binder or Colab to open."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def offer_text(app, pagename, templatename, context, doctree) -> None:
    """Offer the text of a notebook page among its downloads."""
    text = ROOT / f"{pagename}.md"
    if doctree is None or context.get("page_source_suffix") != ".ipynb":
        return
    target = Path(app.outdir) / "_sources" / text.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(text, target)
    button = {
        "type": "link",
        "url": context["pathto"](f"_sources/{pagename}.md", 1),
        "text": ".md",
        "tooltip": "Download as text",
        "icon": "fas fa-file-lines",
        "label": "download-text-button",
    }
    for group in context["header_buttons"]:
        if group.get("label") == "download-buttons":
            group["buttons"].insert(1, button)


# -------------------------------------------------------------------- descriptions
def describe(app, pagename, templatename, context, doctree) -> None:
    """Add the description and the card of a page to its head."""
    if doctree is None:
        return
    tags = {"description": (text := description(doctree))}
    if address := app.config.html_baseurl.rstrip("/"):
        tags |= {
            "og:title": context["title"],
            "og:site_name": app.config.html_title,
            "og:description": text,
            "og:type": "article",
            "og:url": f"{address}/{pagename}.html",
            "og:image": f"{address}/{CARD}",
            "og:image:alt": CARD_ALT,
            "twitter:card": "summary_large_image",
        }
    lines = [
        f'<meta {"property" if name[:3] == "og:" else "name"}="{name}" '
        f'content="{escape(content)}">'
        for name, content in tags.items()
    ]
    context["metatags"] = "\n".join([context.get("metatags", ""), *lines])


def description(doctree: nodes.document) -> str:
    """The first paragraph of a page, shortened to whole words."""
    paragraph = next(doctree.findall(nodes.paragraph), nodes.Text(""))
    return textwrap.shorten(paragraph.astext(), 200, placeholder=" …")


# ---------------------------------------------------------------------- directives
class NotebookFigure(SphinxDirective):
    """A notebook's figure on another page, without a number, its caption given here."""

    required_arguments = 2
    has_content = True

    def run(self) -> list[nodes.Node]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        notebook, name = nbformat.read(path, as_version=4), self.arguments[1]
        cell = figure_cell(notebook, name)
        output = next(o for o in cell.outputs if "image/png" in o.get("data", {}))
        picture = Path(self.env.app.doctreedir) / f"{name}.png"
        picture.write_bytes(base64.b64decode(output.data["image/png"]))
        here = Path(self.env.doc2path(self.env.docname)).parent
        about = cell.metadata.mystnb.image
        image = nodes.image(uri=os.path.relpath(picture, here), alt=about.alt)
        image["classes"] = about.classes.split()
        if width := output.metadata.get("image/png", {}).get("width"):
            image["width"] = f"{width}px"
        caption = nodes.caption("", "", *self.parse_content_to_nodes()[0].children)
        figure = repeated_figure("", image, caption)
        if form := phone_forms(notebook).get(name):
            app, docname = self.env.app, self.env.docname
            figure.insert(1, phone_image(app, docname, image, form))
        return [figure]


def figure_cell(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The cell that draws the figure ``name``."""
    for cell in notebook.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name:
            return cell
    raise ValueError(f"no cell of the notebook has a figure named {name!r}")


class ExecutionTable(SphinxDirective):
    """The executed pages: cells and seconds, as recorded in their notebooks."""

    def run(self) -> list[nodes.Node]:
        lines = ["| page | code cells | seconds |", "|---|---|---|"]
        names = sorted(self.env.found_docs, key=lambda name: ("book/" in name, name))
        for docname in names:
            if notebook := notebook_of(self.env, docname):
                self.env.note_dependency(self.env.doc2path(docname))
                about = notebook.metadata.get("execution", {})
                cells, seconds = about.get("cells", ""), about.get("seconds", "")
                lines.append(f"| {{doc}}`/{docname}` | {cells} | {seconds} |")
        return self.parse_text_to_nodes("\n".join(lines))
