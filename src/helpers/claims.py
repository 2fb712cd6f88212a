"""The paper's claims, read from ``book/claims.toml``, against what is found; verdicts by rule, never by hand.

A row of a claim *holds* when the found value and the whole of its interval satisfy the row's bounds, *fails* when
none of the interval does, and is *open* otherwise. A claim is reproduced when all its rows hold (more than half of
them, where it speaks of "most"), not reproduced when all (more than half) fail, undecided when all are open, and partly
reproduced otherwise. Rows that were not run, are undefined or go beyond the paper do not count.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.datasets import data_folder

_VERDICTS = {"reproduced": "holds", "not reproduced": "fails", "undecided": "open"}


@dataclass(frozen=True)
class Finding:
    """A measured value with the ends of its 95 % interval (equal to the value where it is exact)."""

    value: float
    low: float
    high: float


def exact(value: float) -> Finding:
    """A value without sampling error."""
    return Finding(*3 * [float(value)])


def read(path: Path | None = None) -> dict[str, dict]:
    """The claims by id, in the file's order."""
    path = path or data_folder().parent / "book" / "claims.toml"
    return {claim["id"]: claim for claim in tomllib.loads(path.read_text("utf-8"))["claim"]}


def row_verdict(row: Mapping, found: Finding | None) -> str:
    """One of "holds", "fails", "open", "undefined" where NaN was found, or "not run" where nothing was."""
    if found is None:
        return "not run"
    if np.isnan(found.value):
        return "undefined"
    low, high = row.get("at_least", -np.inf), row.get("at_most", np.inf)
    if low <= min(found.low, found.value) and max(found.high, found.value) <= high:
        return "holds"
    return "fails" if found.high < low or found.low > high else "open"


def verdict(claim: Mapping, found: Mapping[str, Finding]) -> str:
    """One of "reproduced", "partly reproduced", "not reproduced", "undecided", or "not tested" where nothing was found.

    Where rows of the claim cannot be tested here, " where testable" is added.
    """
    rows = [row_verdict(row, found.get(row["key"])) for row in claim["rows"] if not row.get("beyond")]
    tested = [row for row in rows if row not in ("not run", "undefined")]
    if not tested:
        return "not tested"
    needed = dict.fromkeys(_VERDICTS, 0.5 if claim.get("quantifier") == "most" else 1 - 1e-9) | {"undecided": 1 - 1e-9}
    shares = {name: tested.count(verdict) / len(tested) for name, verdict in _VERDICTS.items()}
    found_in = next((name for name, share in shares.items() if share > needed[name]), "partly reproduced")
    return found_in + (" where testable" if any("untestable" in row for row in claim["rows"]) else "")


def table(ids: list[str], found: Mapping[str, Finding], path: Path | None = None) -> pd.DataFrame:
    """The paper says, we find: a line per row of the named claims.

    Raises
    ------
    ValueError : a finding that no row of these claims asks for.
    """
    claims = {key: claim for key, claim in read(path).items() if key in ids}
    known = {row["key"] for claim in claims.values() for row in claim["rows"]}
    if unknown := sorted(found.keys() - known):
        raise ValueError(f"found holds {unknown}, which no row of {ids} asks for; rows: {sorted(known)}.")
    lines = [_line(claim, row, found) for claim in claims.values() for row in claim["rows"]]
    table = pd.DataFrame(lines).set_index(["claim", "measure"])
    return table.loc[:, (table != "").any()]


def rows(found: Mapping[str, Finding], path: Path | None = None) -> pd.DataFrame:
    """Every row of every claim as plain values, for a machine: bounds, what was found (NaN where nothing), verdicts."""
    lines = []
    for claim in read(path).values():
        for row in claim["rows"]:
            finding = found.get(row["key"]) or exact(np.nan)
            lines.append({
                "claim": claim["id"], "key": row["key"], "short": row.get("short", ""), "measure": row["what"],
                "paper": row["paper"], "authors_2022": row.get("authors_2022", np.nan),
                "value": finding.value, "low": finding.low, "high": finding.high,
                "at_least": row.get("at_least", np.nan), "at_most": row.get("at_most", np.nan),
                "verdict": row_verdict(row, found.get(row["key"])), "untestable": row.get("untestable", ""),
                "beyond_the_paper": row.get("beyond", False), "computed_at": computed_at(claim, row),
                "claim_verdict": verdict(claim, found),
            })  # fmt: skip
    return pd.DataFrame(lines)


def scoreboard(found: Mapping[str, Finding], path: Path | None = None) -> pd.DataFrame:
    """A line per claim: what it says, its verdict, and how many of its rows hold, fail, are open or undecided."""
    lines = {}
    for key, claim in read(path).items():
        judged = [row_verdict(row, found.get(row["key"])) for row in claim["rows"] if not row.get("beyond")]
        counts = {name: judged.count(name) for name in ("holds", "fails", "open")}
        counts["no value"] = len(judged) - sum(counts.values())
        lines[key] = {"the paper says": claim["says"], "in": claim["where"], "verdict": verdict(claim, found)} | counts
    return pd.DataFrame(lines).T.rename_axis("claim")


def page(found: Mapping[str, Finding], path: Path | None = None) -> str:
    """The scoreboard's rows as an HTML table, under a heading per claim; a measure links to the code behind it."""
    columns = ("the paper says", "their 2022 code", "the row asks", "we find (95 % interval)", "verdict")
    lines = ["<table class='dataframe scoreboard'>", _cells("th", "measure", *columns)]
    for claim in read(path).values():
        lines.append(f"<tr><th colspan='6' scope='rowgroup'>{claim['id']}: {verdict(claim, found)}</th></tr>")
        for row in claim["rows"]:
            notebook, _, place = computed_at(claim, row).partition("#")
            line = _line(claim, row, found)
            link = f"<a href='{notebook}.html#{place}'>{row['what']}</a>"
            lines.append(_cells("td", link + " (beyond the paper)" * row.get("beyond", False), *map(line.get, columns)))
    return "\n".join([*lines, "</table>"])


def _cells(kind: str, *contents: str) -> str:
    return "<tr>" + "".join(f"<{kind}>{content}</{kind}>" for content in contents) + "</tr>"


def computed_at(claim: Mapping, row: Mapping) -> str:
    """Page and place whose code computes a row: "notebook#anchor"."""
    return row.get("computed", claim["computed"])


def to_json(found: Mapping[str, Finding]) -> str:
    """Findings as text, rounded to 6 significant digits, to be glued and read by another notebook."""
    return json.dumps({
        key: [float(f"{value:.6g}") for value in (finding.value, finding.low, finding.high)]
        for key, finding in found.items()
    })  # fmt: skip


def from_json(text: str) -> dict[str, Finding]:
    """Invert `to_json`."""
    return {key: Finding(*values) for key, values in json.loads(text).items()}


def _line(claim: Mapping, row: Mapping, found: Mapping[str, Finding]) -> dict[str, str]:
    finding, spec, judged = found.get(row["key"]), row["format"], row_verdict(row, found.get(row["key"]))

    def shown(value) -> str:
        return "" if value is None else value if isinstance(value, str) else format(value, spec)

    here = row.get("untestable", judged) if judged in ("not run", "undefined") else shown(finding.value)
    if finding and finding.low < finding.high and np.isfinite(finding.high - finding.low):
        here += f" ({shown(finding.low)} to {shown(finding.high)})"
    return {
        "claim": f"{claim['id']}: {verdict(claim, found)}", "measure": row["what"],
        "the paper says": shown(row["paper"]), "the row asks": _asked(row), "we find (95 % interval)": here,
        "verdict": judged, "their 2022 code": shown(row.get("authors_2022")),
    }  # fmt: skip


def _asked(row: Mapping) -> str:
    """The row's bounds in words."""
    spec = row["format"] if row["format"].endswith("%") else "g"
    low, high = (format(row[key], spec) if key in row else "" for key in ("at_least", "at_most"))
    return f"{low} to {high}" if low and high else f"≥ {low}" if low else f"≤ {high}"


def paper_values(ids: list[str], path: Path | None = None) -> dict[str, float | str]:
    """The paper's own numbers, as ``paper_<key>`` and ``authors_<key>``, to be glued into prose."""
    rows = [row for key, claim in read(path).items() if key in ids for row in claim["rows"]]
    authors = {f"authors_{row['key']}": row["authors_2022"] for row in rows if "authors_2022" in row}
    return {f"paper_{row['key']}": row["paper"] for row in rows} | authors
