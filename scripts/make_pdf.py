"""Join the built pages into one document and print it to _build/book.pdf.

python scripts/make_pdf.py [FILE]

It has page numbers and an outline. Folded code and what needs a screen (buttons, the
explorer) are left out. The pages must have been built (`make book`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from browser import HTML, executable, launched, served

LEFT_OUT = (
    "script, noscript, button, .headerlink, .explorer, details.hide, .toggle-hidden, "
    ".prev-next-footer, .tocsection, .figure-files, ul.ways"
)
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
FIRST = "notebooks/01_introduction"
"""A page with MathJax, which becomes the document."""
JOIN = """async ([names, leftOut]) => {
  const anchor = (name, place) => `${name.replaceAll("/", "-")}--${place}`;
  const chapter = async (name) => {
    const at = new URL(`/${name}.html`, location);
    const text = await (await fetch(at)).text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const article = page.querySelector("article");
    const all = (selector) => [...article.querySelectorAll(selector)];
    all(leftOut).forEach((element) => element.remove());
    all("details").forEach((element) => (element.open = true));
    all("[id]").forEach((element) => (element.id = anchor(name, element.id)));
    article.id = anchor(name, "");
    for (const image of all("[src]"))
      image.src = new URL(image.getAttribute("src"), at);
    for (const link of all("a[href]")) {
      const url = new URL(link.getAttribute("href"), at);
      const inside = names.find((other) => url.pathname === `/${other}.html`);
      if (url.origin !== location.origin) link.href = url;
      else if (inside) link.href = `#${anchor(inside, url.hash.slice(1))}`;
      else link.removeAttribute("href"); // a file of the served book
    }
    return article;
  };
  const main = document.createElement("main");
  main.className = "bd-content";
  main.append(...(await Promise.all(names.map(chapter))));
  for (const image of main.querySelectorAll("img")) image.loading = "eager";
  document.body.replaceChildren(main);
  document.title = document.title.split(" — ").at(-1);
  await MathJax.typesetPromise([main]);
}"""
"""Replaces a page by the articles of all ``names``: ids begin with the page's name,
links between pages lead to places in the document."""


def main() -> None:
    """Print the book, and say where it is."""
    if not (HTML / "index.html").is_file() or not executable():
        sys.exit("Run `make book` and `make browser` first (or set CHROMIUM).")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML.parent / "book.pdf"
    with served() as address, launched() as browser:
        tab = browser.new_page(color_scheme="light")
        join(tab, address, names_in_order())
        tab.add_style_tag(content=STYLE)
        tab.wait_for_load_state("networkidle")
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
    print(os.path.relpath(target))


def join(tab, address: str, names: list[str]) -> None:
    """Open one document with all pages."""
    tab.goto(f"{address}/{FIRST}.html", wait_until="networkidle")
    tab.evaluate("() => MathJax.startup.promise.then(() => true)")
    tab.evaluate(JOIN, [names, LEFT_OUT])


def names_in_order() -> list[str]:
    """Pages in the order of the table of contents."""
    toc = yaml.safe_load((HTML.parents[1] / "_toc.yml").read_text("utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *(chapter["file"] for chapter in chapters)]


if __name__ == "__main__":
    main()
