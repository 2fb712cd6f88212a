"""What a notebook needs of its surroundings: gluing numbers into the prose, reading what other notebooks glued, values
of figures as files, and the provenance footer.

While the book is built, ``scripts/build_book.py`` sets two environment variables: ``BOOK_EXECUTED``, the folder of the
notebooks as executed in this build, and ``BOOK_VALUES``, a folder for tables that readers can download.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from helpers import datasets, provenance


def glue(values: Mapping[str, float | int | str] | None = None, **more: float | int | str) -> None:
    """Make numbers available to the prose as ``{glue:text}`key:format```, rounded to 6 significant digits.

    Outside Jupyter (for example in the browser) there is no prose to glue into, and nothing happens.
    """
    try:
        from myst_nb import glue as store
    except ImportError:
        return
    for name, value in ((values or {}) | more).items():
        store(name, float(f"{value:.6g}") if isinstance(value, float) else value, display=False)


def glued(notebook: str) -> dict[str, float | int | str]:
    """Everything ``notebook`` (such as "01_introduction") glued when it was executed: in this build, or as committed.

    Raises
    ------
    FileNotFoundError : the notebook has not been executed.
    """
    folder = Path(os.environ.get("BOOK_EXECUTED") or datasets.data_folder().parent / "notebooks")
    path = folder / f"{notebook}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"{notebook} has not been executed: there is no {path}. Run `make sync`.")
    outputs = [o for cell in json.loads(path.read_text("utf-8"))["cells"] for o in cell.get("outputs", ())]
    kept = [output for output in outputs if "scrapbook" in output.get("metadata", {})]
    return {output["metadata"]["scrapbook"]["name"]: _value(output["data"]) for output in kept}


def _value(data: Mapping[str, str | list[str]]) -> float | int | str:
    """The value of a glued output, stored as its representation."""
    text = "".join(next(value for mime, value in data.items() if mime.endswith("text/plain")))
    return float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)


def download(name: str, table: pd.DataFrame | None = None) -> None:
    """While the book is built, write ``table`` for readers as ``name``.csv and .json; or the values last drawn (.csv).

    The name of a figure puts a link to the file into that figure's caption.
    """
    if folder := os.environ.get("BOOK_VALUES"):
        if drawn_now := table is None:
            from helpers import drawn

            table = drawn.values()
        Path(folder).mkdir(parents=True, exist_ok=True)
        table.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.6g")
        if not drawn_now:
            table.to_json(Path(folder) / f"{name}.json", orient="records", double_precision=6, indent=1)


def footer(**about: str) -> None:
    """Display where this page's numbers come from: versions, machine, seconds, and whatever ``about`` adds."""
    from IPython.display import Markdown, display

    facts = {"versions": ", ".join(f"{k} {v}" for k, v in provenance.core_versions().items())} | about
    facts |= {"machine": provenance.machine(), "time": f"{provenance.seconds():.0f} s"}
    lines = [f"* **{name.replace('_', ' ')}:** {value}" for name, value in facts.items()]
    display(Markdown("\n".join(lines)))
