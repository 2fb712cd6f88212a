"""Take full-length pictures of the built pages, wide, phone and dark, to look at.

python scripts/screenshots.py [--preview FILE]    # FILE: only the picture of README.md
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from browser import HTML, PHONE, WIDE, launched, pages, served

LOOKS = {
    "wide": (WIDE, "light"),
    "phone": (PHONE, "light"),
    "dark": (WIDE, "dark"),
    "phone-dark": (PHONE, "dark"),
}
PREVIEW = ("notebooks/02_representational_geometry.html", "img.plot")


def opened(browser, address: str, viewport: dict, scheme: str):
    """A loaded page with its equations."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme)
    page.goto(address, wait_until="networkidle")
    page.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
    return page


def preview(browser, address: str, picture: Path) -> None:
    """The picture of the book for README.md."""
    name, element = PREVIEW
    page = opened(browser, f"{address}/{name}", WIDE, "light")
    page.locator(element).first.scroll_into_view_if_needed()
    page.screenshot(path=picture)
    print(os.path.relpath(picture))


def all_pages(browser, address: str) -> None:
    """Every page in every look."""
    for name in pages():
        for look, (viewport, scheme) in LOOKS.items():
            page = opened(browser, f"{address}/{name}", viewport, scheme)
            picture = HTML.parent / "screenshots" / f"{Path(name).stem}-{look}.png"
            page.screenshot(path=picture, full_page=True)
            page.close()
            print(os.path.relpath(picture), flush=True)


if __name__ == "__main__":
    with served() as address, launched() as browser:
        if sys.argv[1:2] == ["--preview"]:
            preview(browser, address, Path(sys.argv[2]))
        else:
            all_pages(browser, address)
