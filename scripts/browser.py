"""A headless browser on the built pages: for the page tests and for pictures."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import serve

HTML = serve.HTML
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def executable() -> str | None:
    """The installed Chromium, or the one that CHROMIUM names."""
    found = filter(None, map(shutil.which, NAMES))
    return os.environ.get("CHROMIUM") or next(found, None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium
        browser = chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(folder: Path = HTML, **options) -> Iterator[str]:
    """The address at which ``folder`` is served, on this machine only."""
    with serve.server(folder, **options) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def until(page, predicate: str, argument=None, seconds: float = 30) -> None:
    """Wait until a JavaScript predicate is true on a page.

    playwright's own `wait_for_function` evaluates text inside the page, which the
    policy of the pages forbids.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(predicate, argument):
        if time.monotonic() > end:
            raise TimeoutError(f"not true after {seconds} s: {predicate}")
        page.wait_for_timeout(50)


def pages() -> list[str]:
    """The built pages of the book, relative to its folder."""
    files = [*HTML.glob("book/*.html"), *HTML.glob("notebooks/*.html")]
    return sorted(path.relative_to(HTML).as_posix() for path in files)
