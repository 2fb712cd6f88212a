"""Runs the cells of a page outside Jupyter, as in a reader's browser (live_worker.js).

What a cell produces is sent as it comes: ("text", what was printed), ("html", a table),
("png", a figure in base64, with its width in pixels), ("error", a traceback), and what
it hands on to the text of the page (`record`).
"""

from __future__ import annotations

import ast
import base64
import builtins
import functools
import importlib
import io
import json
import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from types import ModuleType
from typing import Any

Send = Callable[..., object]

MAX_CHARACTERS = 200_000
"""How much a cell may print; the rest is dropped, with a note."""


class Text:
    """`IPython.display.Markdown` here: text without the marks of bold and code."""

    def __init__(self, data: str) -> None:
        self.data = data

    def __repr__(self) -> str:
        return self.data.replace("**", "").replace("`", "")


class Html(Text):
    """`IPython.display.HTML` here."""

    def _repr_html_(self) -> str:
        return self.data


def namespace(send: Send) -> dict[str, Any]:
    """An empty namespace for the cells of a page, with Jupyter's ``display``."""
    known = vars(builtins) | {"display": functools.partial(display, send)}
    return {"__name__": "__main__", "__builtins__": known}


def stand_in_for_ipython(send: Send, formats: str = "{}") -> None:
    """Provide what the book imports from ``IPython.display``, where IPython is missing.

    ``formats`` is JSON: in which formats the text of the page shows the number of a
    name. The package itself stays absent: matplotlib would take it for a running
    IPython.
    """
    sys.modules["IPython.display"] = module = ModuleType("IPython.display")
    module.HTML, module.Markdown = Html, Text
    module.display = functools.partial(display, send)
    module.publish_display_data = functools.partial(record, send, json.loads(formats))


def record(send: Send, formats: dict[str, list[str]], data: dict, about: dict) -> None:
    """Send what a cell hands on (`helpers.notebook`) and the page shows.

    That is ("number", [name, format, text]) as JSON, for each format, and ("values",
    [file, CSV]).
    """
    name = about["scrapbook"]["name"]
    for mime, text in data.items():
        if mime.endswith("text/csv"):
            send("values", json.dumps([name, text]), 0)
        for form in formats.get(name, ()) if mime.endswith("text/plain") else ():
            send("number", json.dumps([name, form, formatted(text, form)]), 0)


def formatted(text: str, form: str) -> str:
    """A glued value as MyST-NB shows it in the text."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text  # "nan"
    if form[-1] in "bcdoxX":
        value = int(value)
    elif form[-1] in "eEfFgGn%":
        value = float(value)
    elif form[-1] == "s":
        value = str(value)
    return "no value" if value != value else format(value, form)


def import_ahead(module: str) -> None:
    """Import what a cell will need; where that fails, the cell will say so."""
    with suppress(BaseException):  # an interrupt that is meant for a cell too
        importlib.import_module(module)


def run(source: str, name: str, names: dict[str, Any], send: Send) -> str:
    """Run a cell in ``names`` and send its output.

    The value of a last expression is shown, unless it is None or the line ends with a
    semicolon; then the figures that were drawn. ``name`` is that of the cell in
    tracebacks. Returns the name of the exception that ended the cell, or "".
    """
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    printed = Printed(send)
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            body, last = split(source, name)
            exec(body, names)  # the reader's own code, on the reader's own machine
            if last is not None and (value := eval(last, names)) is not None:
                show(value, send)
            send_figures(send)
    except BaseException as error:  # noqa: BLE001 - an exit or interrupt ends the cell
        send("error", trace(error), 0)
        return type(error).__name__
    finally:
        printed.flush()
        close_figures()
    return ""


class Printed(io.TextIOBase):
    """A text stream that sends what is written to it, line by line, up to a limit."""

    def __init__(self, send: Send) -> None:
        self._send, self._waiting, self._left = send, "", MAX_CHARACTERS

    def write(self, text: str) -> int:
        self._waiting += text
        if "\n" in text or len(self._waiting) > 4096:
            self.flush()
        return len(text)

    def flush(self) -> None:
        text, self._waiting = self._waiting[: self._left], ""
        if text:
            self._left -= len(text)
            note = "" if self._left else "\n... (the rest is not shown)\n"
            self._send("text", text + note, 0)


def split(source: str, name: str) -> tuple[Any, Any]:
    """The compiled cell without its last expression, and that expression (or None)."""
    tree = ast.parse(source, name)
    last, is_silent = None, source.rstrip().endswith(";")
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not is_silent:
        last = compile(ast.Expression(tree.body.pop().value), name, "eval")
    return compile(tree, name, "exec"), last


def show(value: Any, send: Send) -> None:
    """Send ``value`` as Jupyter would show it: a table as HTML, all else as text."""
    html = getattr(value, "_repr_html_", None)
    if callable(html) and not isinstance(value, type):
        send("html", html(), 0)
    else:
        send("text", f"{value!r}\n", 0)


def display(send: Send, *values: Any) -> None:
    """IPython's ``display``."""
    for value in values:
        show(value, send)


def send_figures(send: Send) -> None:
    """Send every open figure, at twice its resolution, as in the book."""
    plt = sys.modules.get("matplotlib.pyplot")
    for number in plt.get_fignums() if plt else ():
        figure, buffer = plt.figure(number), io.BytesIO()
        figure.savefig(
            buffer,
            format="png",
            dpi=2 * figure.dpi,
            bbox_inches="tight",
            facecolor=figure.get_facecolor(),
        )
        png = buffer.getvalue()
        width = int.from_bytes(png[16:20], "big") // 2  # from the header
        send("png", base64.b64encode(png).decode(), width)


def close_figures() -> None:
    """Forget all figures."""
    if plt := sys.modules.get("matplotlib.pyplot"):
        plt.close("all")


def trace(error: BaseException) -> str:
    """The traceback from the cell inwards."""
    inner = error.__traceback__
    while inner and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error))
    return "".join(traceback.format_exception(type(error), error, inner))
