"""A Sphinx extension: what the page *Try your own* (book/try_your_own.md) needs: its
script, and its limits and choices as JSON, from the code that keeps to them."""

from __future__ import annotations

import json

from helpers import rsa
from helpers.figures import NAMES
from pipeline import interop, own_page

PAGE = "book/try_your_own"


def setup(app) -> dict:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add(app, pagename, templatename, context, doctree) -> None:
    """Add the script and what it needs to know."""
    if doctree is None or pagename != PAGE:
        return
    record = {"reason": app.config.live_about["reason"]} | about()
    body = json.dumps(record).replace("</", "<\\/")
    app.add_js_file(None, body=body, type="application/json", id="own-about")
    app.add_js_file("own.js", defer="defer")


def about() -> dict:
    """Limits and choices."""
    similarities = [[name, NAMES[name]] for name in rsa.SIMILARITIES]
    return {
        "files": own_page.FILES,
        "photos": own_page.PHOTOS,
        "largestFile": own_page.LARGEST_FILE,
        "largestPhoto": own_page.LARGEST_PHOTO,
        "largestText": own_page.LARGEST_TEXT,
        "fewest": interop.MIN_IMAGES,
        "mostPhotos": own_page.MOST_PHOTOS,
        "mostImages": own_page.SETTINGS.max_images,
        "layers": own_page.LAYERS,
        "similarities": similarities,
        "kinds": interop.KINDS,
    }
