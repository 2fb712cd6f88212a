"""A page with live cells, as a reader uses it."""

import os
import re

import pytest

import browser as tools

LONG = 400_000  # milliseconds


class LivePage:
    """Buttons, cells and results of a loaded page (``tab``)."""

    FIGURES = "article figure:has(img)"

    def __init__(self, tab):
        if not (tools.HTML / "live" / "runtime").is_dir():
            missing = pytest.fail if os.environ.get("CI") else pytest.skip
            missing("the book has no Python: run `make book` with a network")
        self.tab = tab
        tab.set_default_timeout(30_000)
        tab.evaluate(
            "document.querySelectorAll('article details').forEach(d => d.open = true)"
        )

    def press(self, name):
        self.tab.get_by_role("button", name=name, exact=True).click()

    def run_cell(self, cell):
        name = re.compile(rf"^Run cell {cell} of")
        self.tab.get_by_role("button", name=name).click()

    def code(self, cell):
        """The text field of a cell."""
        name = re.compile(rf"^Code of cell {cell} of")
        return self.tab.get_by_role("textbox", name=name)

    def start(self, cell, source):
        """Replace the code of a cell and run it by keyboard."""
        self.code(cell).fill(source)
        self.code(cell).press("Shift+Enter")

    def run_code(self, cell, source):
        """The same; waits, and returns what the page says at the end."""
        self.start(cell, source)
        return self.settled()

    def settled(self):
        """What the page says when no cell is running any more."""
        idle = "document.querySelector('.live-bar').dataset.state !== 'running'"
        tools.until(self.tab, idle, seconds=LONG / 1000)
        return self.state()

    def state(self):
        return self.tab.locator(".live-state").inner_text()

    def error(self):
        """The tracebacks on the page."""
        return "\n".join(self.tab.locator(".live-error pre").all_inner_texts())

    def wait_for_text(self, text):
        self.tab.locator(".live-text", has_text=text).wait_for(timeout=LONG)

    def count(self, selector):
        return self.tab.locator(selector).count()

    def results(self, root, texts):
        """Printed texts and tables of each cell, below ``root``."""
        return self.tab.evaluate(
            """([root, texts]) => [...document.querySelectorAll('div.cell')].map(cell =>
                [...(cell.querySelector(root)?.querySelectorAll(texts) ?? [])]
                    .map(e => e.innerText.trim()).filter(Boolean))""",
            [root, texts],
        )
