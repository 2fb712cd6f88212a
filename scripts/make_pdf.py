"""Join the built pages into one document and print it to _build/book.pdf, with page numbers and an outline.

python scripts/make_pdf.py [FILE]

Folded code and what needs a screen (buttons, the explorer) are left out; the pages must have been built (`make book`).
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from bs4 import BeautifulSoup, Tag

from browser import HTML, executable, launched, served

LEFT_OUT = (
    "script, noscript, button, .headerlink, .explorer, details.hide, .toggle-hidden, .prev-next-footer, .tocsection"
)
LINKED = {"img": "src", "a": "href", "source": "src"}
STYLE = """
@page { size: A4; margin: 18mm 17mm 20mm; }
html, body { background: #fff; font-size: 10.5pt; }
body { padding: 0; }
article { break-before: page; }
h1, h2, h3 { break-after: avoid; }
figure:has(img), table.dataframe tr, .admonition, .highlight { break-inside: avoid; }
.bd-article figure img, .bd-article img { max-width: 100%; }
.bd-article pre { white-space: pre-wrap !important; font-size: 8.5pt; }
.bd-article .output.text_html, .pst-scrollable-table-container { overflow: visible !important; }
.bd-article table { font-size: 8.5pt; }
.bd-article table td, .bd-article table th { overflow-wrap: anywhere; }
"""
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center; color: #555">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)


def main() -> None:
    """Write the joined page beside the others, print it, remove it."""
    if not (HTML / "index.html").is_file() or not executable():
        sys.exit("Printing needs the built book (`make book`) and Chromium (`make browser`, or set CHROMIUM).")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML.parent / "book.pdf"
    joined_page = HTML / "printed.html"
    joined_page.write_text(joined(names_in_order()), encoding="utf-8")
    try:
        with served() as address, launched() as browser:
            page = browser.new_page()
            page.goto(f"{address}/{joined_page.name}", wait_until="networkidle")
            page.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
            page.pdf(
                path=target, format="A4", prefer_css_page_size=True, print_background=True, outline=True, tagged=True,
                display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
            )  # fmt: skip
    finally:
        joined_page.unlink()
    print(os.path.relpath(target))


def names_in_order() -> list[str]:
    """Pages in the order of the table of contents."""
    toc = yaml.safe_load((HTML.parents[1] / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def joined(names: list[str]) -> str:
    """One HTML document of the articles of all pages, its anchors and addresses made to fit."""
    soups = {name: BeautifulSoup((HTML / f"{name}.html").read_text("utf-8"), "html.parser") for name in names}
    first = soups[names[0]]
    body = "\n".join(str(chapter(name, soup, names)) for name, soup in soups.items())
    sheets = "".join(str(link) for link in first.select("link[rel=stylesheet]")).replace('href="../', 'href="')
    title = first.title.get_text().partition(" — ")[0]
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-content_root="./"><head><meta charset="utf-8">'
        f"<title>{title}</title>{sheets}<style>{STYLE}</style>{mathjax(soups.values())}</head>"
        f'<body><main class="bd-content">{body}</main></body></html>'
    )


def mathjax(soups) -> str:
    """The scripts that set equations, of the first page that has them."""
    for soup in soups:
        scripts = [s for s in soup.find_all("script") if re.search("mathjax", s.get("src", "") + s.get_text(), re.I)]
        if scripts:
            return "".join(map(str, scripts)).replace('src="../', 'src="')
    return ""


def chapter(name: str, soup: BeautifulSoup, names: list[str]) -> Tag:
    """The article of a page without what paper cannot do; ids begin with the page's name."""
    article = soup.find("article")
    for element in article.select(LEFT_OUT):
        element.decompose()
    for element in article.select("details"):
        element["open"] = ""
    for element in article.find_all(id=True):
        element["id"] = anchor(name, element["id"])
    article["id"] = anchor(name, "")
    for tag, key in LINKED.items():
        for element in article.find_all(tag, attrs={key: True}):
            element[key] = moved(name, element[key], names)
    return article


def anchor(name: str, place: str) -> str:
    return f"{name.replace('/', '-')}--{place}"


def moved(name: str, address: str, names: list[str]) -> str:
    """An address on page ``name`` as seen from the folder of the book; of another page, the place in this document."""
    path, place = urldefrag(address)
    if re.match(r"[a-z]+:|//", address):
        return address
    path = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else f"{name}.html"
    page = path.removesuffix(".html")
    return f"#{anchor(page, place)}" if page in names else path


if __name__ == "__main__":
    main()
