"""A headless browser on the built pages: for the page tests and for pictures of them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import serve

HTML = serve.HTML
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"]  # fmt: skip
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def executable() -> str | None:
    """The installed Chromium (or the one named by CHROMIUM)."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def served(folder: Path = HTML) -> Iterator[str]:
    """The address at which ``folder`` is served, on the loopback interface of this machine."""
    with serve.server(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pages() -> list[str]:
    """Built pages of the book, relative to its folder."""
    return sorted(str(p.relative_to(HTML)) for part in ("book", "notebooks") for p in (HTML / part).glob("*.html"))
