"""What a page needs from its surroundings: checked parameters, numbers for the prose,
findings for other pages, values behind a figure, and the provenance footer.

Whatever a page passes on is kept in its own outputs, as invisible records that nbval
compares and the book's builder reads (the format is that of ``myst_nb.glue``).
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple
from numbers import Integral, Real
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from helpers import claims, data

_START = time.perf_counter()
_SHELL = re.compile(r"_{1,3}|_i{1,3}|_[iod]h|_i?\d+|__\w+__|_exit_code")
"""What IPython itself keeps among a notebook's names, besides its functions."""
_PREFIX = "application/papermill.record/"


# ---------------------------------------------------------------------- parameters
def check_parameters(namespace: Mapping[str, Any], **rules) -> None:
    """Raise unless ``namespace`` holds exactly the parameters of ``rules``, in range.

    papermill only warns about a parameter it does not know, and checks no type. So the
    cell tagged ``parameters`` is followed by this call with ``globals()``; papermill
    injects its values between the two, and any other name is a misspelt parameter.

    A rule is ``bool``; ``(low, high)``, both included, for a whole number if both are
    int, else for any number; a list of allowed texts; or a compiled regular expression.
    NameError for an unknown parameter (with the one it resembles) or a missing one,
    ValueError for the wrong type or a value out of range.
    """
    names = namespace.items()
    given = {name for name, value in names if _is_parameter(name, value, namespace)}
    for name in sorted(given - rules.keys()):
        close = difflib.get_close_matches(name, rules, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(rules)}."
        raise NameError(f"unknown parameter {name!r}; {hint}")
    for name, rule in rules.items():
        if name not in given:
            raise NameError(f"parameter {name!r} is missing from the first cell.")
        if expected := _expected(rule, namespace[name]):
            raise ValueError(
                f"parameter {name} must be {expected}; got {namespace[name]!r}."
            )


def _is_parameter(name: str, value: Any, namespace: Mapping[str, Any]) -> bool:
    kept = {"In": "_ih", "Out": "_oh"}  # the same objects, in IPython
    of_shell = _SHELL.fullmatch(name) or value is namespace.get(kept.get(name), kept)
    return not (of_shell or isinstance(value, ModuleType) or callable(value))


def _expected(rule, value: Any) -> str:
    """What ``value`` should have been, or "" if it obeys ``rule``."""
    if rule is bool:
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(rule, list):
        return "" if value in rule else f"one of {', '.join(map(repr, rule))}"
    if isinstance(rule, re.Pattern):
        matches = isinstance(value, str) and rule.fullmatch(value)
        return "" if matches else f"text that matches {rule.pattern}"
    low, high = rule
    whole = isinstance(low, int) and isinstance(high, int)
    numeric = isinstance(value, Integral if whole else Real)
    valid = numeric and not isinstance(value, bool) and low <= value <= high
    kind = "a whole number" if whole else "a number"
    return "" if valid else f"{kind} from {low} to {high}"


# ------------------------------------------------------- what a page passes on
def glue(values: Mapping | pd.Series | pd.DataFrame | None = None, **more) -> None:
    """Make numbers available to the prose as ``{glue:text}`key:format```.

    A Series gives its index as keys; a DataFrame gives "<row>_<column>". Levels of an
    index are joined by "_", and every character other than letters, digits and "_"
    becomes "_". Floats are rounded to 6 significant digits.
    """
    if isinstance(values, pd.DataFrame):
        values = values.stack()
    if isinstance(values, pd.Series):
        values = {_key(label): value for label, value in values.items()}
    for name, value in (dict(values or {}) | more).items():
        value = value.item() if hasattr(value, "item") else value
        value = float(f"{value:.6g}") if isinstance(value, float) else value
        _record(name, {"text/plain": repr(value)})


def publish(found: Mapping[str, claims.Finding]) -> None:
    """Hand the findings of a page to other pages and to the prose.

    Glues, for each finding, ``<key>``, ``<key>_low`` and ``<key>_high`` (the ends of
    its interval), ``<key>_chance`` and, of all, `claims.in_words`.
    """
    numbers = {k: [float(f"{x:.6g}") for x in astuple(v)] for k, v in found.items()}
    _record("findings", {"text/plain": repr(json.dumps(numbers))})
    table = pd.DataFrame({key: vars(finding) for key, finding in found.items()}).T
    glue(table["value"])
    glue(table[["low", "high", "chance"]])
    judged = claims.rows(found)
    of = judged.loc[judged["key"].isin(found), "claim"].unique()
    glue(claims.in_words(found, of))


def findings(page: str) -> dict[str, claims.Finding]:
    """What another page found when it was last executed, by key.

    It is looked up in the working directory, where the builder executes all pages, and
    then among the notebooks of the repository; FileNotFoundError where it is missing.
    """
    return findings_in(_executed(page))


def findings_in(path: Path) -> dict[str, claims.Finding]:
    """What an executed notebook found, by key; KeyError if it published nothing."""
    recorded = records(json.loads(path.read_text("utf-8")))
    numbers = json.loads(ast.literal_eval(recorded["findings"]["text/plain"]))
    return {key: claims.Finding(*values) for key, values in numbers.items()}


def drawn(page: str, name: str) -> pd.DataFrame:
    """The frame that another page offers for download beside its figure ``name``."""
    recorded = records(json.loads(_executed(page).read_text("utf-8")))
    return pd.read_csv(io.StringIO(recorded[f"{name}.csv"]["text/csv"]))


def _executed(page: str) -> Path:
    """The notebook of a page, executed."""
    for folder in (Path.cwd(), data.data_folder().parent / "notebooks"):
        if (path := folder / f"{page}.ipynb").is_file():
            return path
    raise FileNotFoundError(
        f"{page} has not been executed: there is no {page}.ipynb. Run `make sync`."
    )


def download(name: str, table: pd.DataFrame) -> None:
    """Offer ``table`` as a CSV file beside the figure or table called ``name``."""
    _record(f"{name}.csv", {"text/csv": table.to_csv(index=False, float_format="%.5g")})


def records(notebook: Mapping) -> dict[str, dict[str, str]]:
    """All records in a notebook's outputs: MIME type -> text, by name."""
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", ())]
    kept = [o for o in outputs if "scrapbook" in o.get("metadata", {})]
    return {
        output["metadata"]["scrapbook"]["name"]: {
            mime.removeprefix(_PREFIX): "".join(text)
            for mime, text in output["data"].items()
        }
        for output in kept
    }


def _key(label) -> str:
    levels = label if isinstance(label, tuple) else (label,)
    return "_".join(re.sub(r"\W+", "_", str(level)) for level in levels)


def _record(name: str, content: Mapping[str, str]) -> None:
    """Put a record into the outputs; where there is no IPython, nothing happens."""
    with suppress(ImportError):  # in the browser there is no prose to glue into
        from IPython.display import publish_display_data

        about = {"scrapbook": {"name": name, "mime_prefix": _PREFIX}}
        publish_display_data({_PREFIX + m: t for m, t in content.items()}, about)


# ---------------------------------------------------------------------- provenance
def footer(files: tuple[str, ...] = (), **about: str) -> None:
    """Display where this page's numbers come from.

    ``files`` are prefixes of names of shipped data files, shown with their hash;
    ``about`` adds further facts. Versions, code, machine and time are always given.
    """
    from IPython.display import Markdown, display

    used = [entry for entry in data.manifest() if entry["file"].startswith(files)]
    shown = ", ".join(f"`{e['file']}` {e['sha256'][:12]}" for e in used)
    facts = about | ({"data": shown} if files else {})
    facts["versions"] = ", ".join(f"{k} {v}" for k, v in data.versions().items())
    facts["code"] = f"sha256 {data.code_hash()[:12]}"
    facts["machine"] = data.machine()
    facts["time"] = f"{time.perf_counter() - _START:.0f} s"
    lines = [f"* **{k.replace('_', ' ')}:** {value}" for k, value in facts.items()]
    display(Markdown("\n".join(lines)))
