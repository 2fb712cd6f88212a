"""What a notebook needs of its surroundings: gluing numbers into the prose, reading what other notebooks glued, values
of figures as files, and the provenance footer.

While the book is built, the environment variable ``BOOK_VALUES`` (`scripts/build_book.py`) names a folder that lives as
long as the cache of executed cells: for tables that readers can download, and for what each notebook found.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from helpers import claims, datasets, provenance


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


def keep_findings(notebook: str, found: Mapping[str, claims.Finding]) -> None:
    """Keep what ``notebook`` (such as "01_introduction") found for its claims, for `findings` of another notebook."""
    glue(findings=claims.to_json(found))
    if folder := _values_folder():
        (folder / f"{notebook}.json").write_text(claims.to_json(found))


def findings(notebook: str) -> dict[str, claims.Finding]:
    """What ``notebook`` found when it was executed: for the book that is being built, else as committed.

    Raises
    ------
    FileNotFoundError : the notebook has not been executed.
    """
    folder = _values_folder()
    path = folder / f"{notebook}.json" if folder else datasets.data_folder().parent / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"{notebook} has not been executed: there is no {path}. Run `make sync`.")
    stored = path.read_text("utf-8")
    return claims.from_json(stored if folder else _glued(stored)["findings"])


def _values_folder() -> Path | None:
    if not (folder := os.environ.get("BOOK_VALUES")):
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def _glued(stored: str) -> dict[str, float | int | str]:
    """Everything that was glued in an executed notebook."""
    outputs = [output for cell in json.loads(stored)["cells"] for output in cell.get("outputs", ())]
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
    if folder := _values_folder():
        if drawn_now := table is None:
            from helpers import drawn

            table = drawn.values()
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        if not drawn_now:
            table.to_json(folder / f"{name}.json", orient="records", double_precision=6, indent=1)


def footer(**about: str) -> None:
    """Display where this page's numbers come from: versions, machine, seconds, and whatever ``about`` adds."""
    from IPython.display import Markdown, display

    facts = {"versions": ", ".join(f"{k} {v}" for k, v in provenance.core_versions().items())} | about
    facts |= {"code": f"sha256 of `helpers` {provenance.code()[:12]}"}
    facts |= {"machine": provenance.machine(), "time": f"{provenance.seconds():.0f} s"}
    lines = [f"* **{name.replace('_', ' ')}:** {value}" for name, value in facts.items()]
    display(Markdown("\n".join(lines)))
