"""Join the built pages into one document and print it to _build/book.pdf.

python scripts/make_pdf.py [FILE]

It has page numbers and an outline. Folded code and what needs a screen (buttons, the
explorer) are left out. The pages must have been built (`make book`).
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
    "script, noscript, button, .headerlink, .explorer, details.hide, .toggle-hidden, "
    ".prev-next-footer, .tocsection"
)
ADDRESSES = {"img": "src", "a": "href", "source": "src"}
STYLE = """
@page { size: A4; margin: 18mm 17mm 20mm; }
html, body { background: #fff; font-size: 10.5pt; }
body { padding: 0; }
article { break-before: page; }
h1, h2, h3 { break-after: avoid; }
figure:has(img), table.dataframe tr, .admonition, .highlight { break-inside: avoid; }
.bd-article figure img, .bd-article img { max-width: 100%; }
.bd-article pre { white-space: pre-wrap !important; font-size: 8.5pt; }
.bd-article .output.text_html, .pst-scrollable-table-container {
  overflow: visible !important; }
.bd-article table { font-size: 8.5pt; }
.bd-article table :is(td, th) { overflow-wrap: anywhere; }
"""
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center; color: #555">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)


def main() -> None:
    """Write the joined page beside the others, print it, remove it."""
    if not (HTML / "index.html").is_file() or not executable():
        sys.exit("Run `make book` and `make browser` first (or set CHROMIUM).")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML.parent / "book.pdf"
    page = HTML / "printed.html"
    page.write_text(joined(names_in_order()), encoding="utf-8")
    try:
        print_page(page, target)
    finally:
        page.unlink()
    print(os.path.relpath(target))


def print_page(page: Path, target: Path) -> None:
    """Print a page of the book with Chromium."""
    with served() as address, launched() as browser:
        tab = browser.new_page()
        tab.goto(f"{address}/{page.name}", wait_until="networkidle")
        tab.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
        tab.pdf(
            path=target,
            format="A4",
            prefer_css_page_size=True,
            print_background=True,
            outline=True,
            tagged=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
        )


def names_in_order() -> list[str]:
    """Pages in the order of the table of contents."""
    toc = yaml.safe_load((HTML.parents[1] / "_toc.yml").read_text("utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *(chapter["file"] for chapter in chapters)]


def joined(names: list[str]) -> str:
    """One HTML document of the articles of all pages."""
    texts = {name: (HTML / f"{name}.html").read_text("utf-8") for name in names}
    soups = {name: BeautifulSoup(t, "html.parser") for name, t in texts.items()}
    first = soups[names[0]]
    body = "\n".join(str(chapter(name, soup, names)) for name, soup in soups.items())
    sheets = "".join(map(str, first.select("link[rel=stylesheet]")))
    title = first.title.get_text().partition(" — ")[0]
    head = sheets + f"<style>{STYLE}</style>" + mathjax(soups.values())
    head = head.replace('href="../', 'href="').replace('src="../', 'src="')
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light" data-content_root="./">'
        f'<head><meta charset="utf-8"><title>{title}</title>{head}</head>'
        f'<body><main class="bd-content">{body}</main></body></html>'
    )


def mathjax(soups) -> str:
    """The scripts that typeset equations, from the first page that has them."""
    for soup in soups:
        tags = soup.find_all("script")
        if found := [str(tag) for tag in tags if "mathjax" in str(tag).lower()]:
            return "".join(found)
    return ""


def chapter(name: str, soup: BeautifulSoup, names: list[str]) -> Tag:
    """The article of a page, without what paper cannot show.

    Ids begin with the page's name, and addresses fit the joined document.
    """
    article = soup.find("article")
    for element in article.select(LEFT_OUT):
        element.decompose()
    for element in article.select("details"):
        element["open"] = ""
    for element in article.find_all(id=True):
        element["id"] = anchor(name, element["id"])
    article["id"] = anchor(name, "")
    for tag, key in ADDRESSES.items():
        for element in article.find_all(tag, attrs={key: True}):
            element[key] = relocated(name, element[key], names)
    return article


def anchor(name: str, place: str) -> str:
    return f"{name.replace('/', '-')}--{place}"


def relocated(name: str, address: str, names: list[str]) -> str:
    """An address on page ``name`` as seen from the joined document."""
    if re.match(r"[a-z]+:|//", address):
        return address
    path, place = urldefrag(address)
    folder = posixpath.dirname(name)
    path = posixpath.normpath(posixpath.join(folder, path)) if path else f"{name}.html"
    page = path.removesuffix(".html")
    return f"#{anchor(page, place)}" if page in names else path


if __name__ == "__main__":
    main()
