"""Runs the cells of a page outside Jupyter, one by one, as a reader's browser does (``book/_static/live_worker.js``).

What a cell gives is sent as it comes: ("text", what was printed), ("html", a table), ("png", a figure in base64, its
width in pixels), ("error", a traceback).
"""

from __future__ import annotations

import ast
import base64
import builtins
import functools
import io
import linecache
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from types import ModuleType
from typing import Any

Send = Callable[..., object]

MOST = 200_000
"""Characters that a cell may print; what goes beyond is dropped, and said to be."""


class Text:
    """What ``IPython.display.Markdown`` stands for here: text shown without its marks for bold and code."""

    def __init__(self, data: str) -> None:
        self.data = data

    def __repr__(self) -> str:
        return self.data.replace("**", "").replace("`", "")


class Html(Text):
    """What ``IPython.display.HTML`` stands for here."""

    def _repr_html_(self) -> str:
        return self.data


def namespace(send: Send) -> dict[str, Any]:
    """An empty namespace for the cells of a page, with Jupyter's ``display``."""
    display = functools.partial(_display, send)
    return {"__name__": "__main__", "__builtins__": vars(builtins) | {"display": display}}


def stand_in_for_ipython(send: Send) -> None:
    """Let things be imported from ``IPython.display``, with what the book uses of it; for where there is no IPython.

    The package itself stays absent: matplotlib would take it for a running IPython.
    """
    sys.modules["IPython.display"] = module = ModuleType("IPython.display")
    vars(module).update(HTML=Html, Markdown=Text, display=functools.partial(_display, send))


def run(source: str, name: str, names: dict[str, Any], send: Send) -> str:
    """Run a cell in ``names`` and send what it gives. Returns the name of the exception that ended it, or "".

    The value of a last expression is shown, unless it is None or the line ends with a semicolon; then the figures that
    were drawn. ``name`` is that of the cell in tracebacks.
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
    except BaseException as error:  # noqa: BLE001 - an exit or an interrupt ends the cell, not the page
        send("error", trace(error), 0)
        return type(error).__name__
    finally:
        printed.flush()
        close_figures()
    return ""


class Printed(io.TextIOBase):
    """A text stream that sends what is written to it, line by line, up to `MOST` characters."""

    def __init__(self, send: Send) -> None:
        self._send, self._waiting, self._left = send, "", MOST

    def write(self, text: str) -> int:
        self._waiting += text
        if "\n" in text or len(self._waiting) > 4096:
            self.flush()
        return len(text)

    def flush(self) -> None:
        text, self._waiting = self._waiting[: self._left], ""
        if text:
            self._left -= len(text)
            self._send("text", text if self._left else f"{text}\n... (the rest is not shown)\n", 0)


def split(source: str, name: str) -> tuple[Any, Any]:
    """The compiled cell without its last expression, and that expression (None where there is nothing to show)."""
    tree = ast.parse(source, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = compile(ast.Expression(tree.body.pop().value), name, "eval")
    return compile(tree, name, "exec"), last


def show(value: Any, send: Send) -> None:
    """Send ``value`` as Jupyter would show it: a table as HTML, anything else as text."""
    html = getattr(value, "_repr_html_", None)
    content = html() if callable(html) and not isinstance(value, type) else None
    send(*(("html", content, 0) if content is not None else ("text", f"{value!r}\n", 0)))


def _display(send: Send, *values: Any) -> None:
    for value in values:
        show(value, send)


def send_figures(send: Send) -> None:
    """Send every open figure, at twice its resolution, as the book's own are."""
    plt = sys.modules.get("matplotlib.pyplot")
    for number in plt.get_fignums() if plt else ():
        figure, buffer = plt.figure(number), io.BytesIO()
        figure.savefig(buffer, format="png", dpi=2 * figure.dpi, bbox_inches="tight", facecolor=figure.get_facecolor())
        width = int.from_bytes(buffer.getvalue()[16:20], "big") // 2  # of the PNG header
        send("png", base64.b64encode(buffer.getvalue()).decode(), width)


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
