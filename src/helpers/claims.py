"""The paper's claims, read from ``book/claims.toml``, and verdicts on them by rule.

A row of a claim *holds* when the value found and the whole of its interval lie within
the row's bounds, *fails* when none of the interval does, and is *open* otherwise. A
claim is reproduced when all its rows hold (more than half of them, where it speaks of
"most"), not reproduced when all (more than half) fail, undecided when all are open, and
partly reproduced otherwise. Rows without a value, or beyond the paper, do not count.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from helpers.data import data_folder

VERDICTS = {"reproduced": "holds", "not reproduced": "fails", "undecided": "open"}
"""Verdicts on a claim, each with the verdict on its rows that it needs."""


# ---------------------------------------------------------------------- findings
@dataclass(frozen=True)
class Finding:
    """A measured value with its 95 % interval."""

    value: float  # NaN where it is undefined
    low: float  # the ends of the interval: the value itself where it is exact
    high: float


def exact(value: float) -> Finding:
    """A value without sampling error."""
    return Finding(*3 * [float(value)])


def from_tables(
    ids: Sequence[str], *tables: pd.DataFrame | pd.Series
) -> dict[str, Finding]:
    """The findings that the rows of these claims ask for, by key.

    Each table has keys as its index: a DataFrame with the columns "value", "low" and
    "high", or a Series of exact values.
    """
    claims, found, columns = read(), {}, ["value", "low", "high"]
    wanted = {row["key"] for key in ids for row in claims[key]["rows"]}
    for table in tables:
        if isinstance(table, pd.Series):
            table = pd.DataFrame(dict.fromkeys(columns, table))
        for key, *numbers in table.loc[table.index.isin(wanted), columns].itertuples():
            found[key] = Finding(*map(float, numbers))
    return found


def to_json(found: Mapping[str, Finding]) -> str:
    """Findings as text, rounded to 6 significant digits; `from_json` reads it."""
    numbers = {key: asdict(finding).values() for key, finding in found.items()}
    return json.dumps({k: [float(f"{x:.6g}") for x in v] for k, v in numbers.items()})


def from_json(text: str) -> dict[str, Finding]:
    """Invert `to_json`."""
    return {key: Finding(*values) for key, values in json.loads(text).items()}


# ---------------------------------------------------------------------- verdicts
def read() -> dict[str, dict]:
    """The claims by id, in the order of the file."""
    text = (data_folder().parent / "book" / "claims.toml").read_text("utf-8")
    return {claim["id"]: claim for claim in tomllib.loads(text)["claim"]}


def row_verdict(row: Mapping, finding: Finding | None) -> str:
    """One of "holds", "fails" and "open", or, without a value, of "undefined" (NaN) and
    "not run".
    """
    if finding is None:
        return "not run"
    if np.isnan(finding.value):
        return "undefined"
    least, most = row.get("at_least", -np.inf), row.get("at_most", np.inf)
    low, high = min(finding.low, finding.value), max(finding.high, finding.value)
    if least <= low and high <= most:
        return "holds"
    return "fails" if high < least or low > most else "open"


def verdict(claim: Mapping, found: Mapping[str, Finding]) -> str:
    """One of `VERDICTS`, "partly reproduced", or "not tested" if no row has a value.

    " where testable" is added where a row cannot be tested with what is public.
    """
    judged = _row_verdicts(claim, found)
    if not judged:
        return "not tested"
    result = "partly reproduced"
    for name, needed in VERDICTS.items():
        share = judged.count(needed) / len(judged)
        by_majority = claim.get("quantifier") == "most" and needed != "open"
        if share == 1 or (by_majority and share > 0.5):
            result = name
    untestable = any("untestable" in row for row in claim["rows"])
    return result + " where testable" * untestable


def _row_verdicts(claim: Mapping, found: Mapping[str, Finding]) -> list[str]:
    """Verdicts of the rows that count and have a value."""
    counted = [row for row in claim["rows"] if not row.get("beyond")]
    judged = [row_verdict(row, found.get(row["key"])) for row in counted]
    return [verdict for verdict in judged if verdict in VERDICTS.values()]


# ------------------------------------------------------------------------ tables
def rows(found: Mapping[str, Finding], ids: Sequence[str] = ()) -> pd.DataFrame:
    """Every row of the claims (default: all): its fields in the file, the finding and
    the verdicts on the row and on its claim ("claim_verdict").
    """
    claims = read()
    return pd.DataFrame(
        {"claim": key, "short": "", "computed": claims[key]["computed"]}
        | row
        | asdict(found.get(row["key"]) or exact(np.nan))
        | {"verdict": row_verdict(row, found.get(row["key"]))}
        | {"claim_verdict": verdict(claims[key], found)}
        for key in ids or claims
        for row in claims[key]["rows"]
    )


def scoreboard(found: Mapping[str, Finding]) -> pd.DataFrame:
    """A row per claim: what the paper says, the verdict, and how many rows hold."""
    lines = {}
    for key, claim in read().items():
        judged = _row_verdicts(claim, found)
        holds = f"{judged.count('holds')} of {len(judged)}"
        lines[key] = claim["says"], verdict(claim, found), holds
    columns = ["the paper says", "verdict", "rows that hold"]
    return pd.DataFrame.from_dict(lines, "index", columns=columns).rename_axis("claim")


def table(
    ids: Sequence[str], found: Mapping[str, Finding], links: bool = False
) -> pd.DataFrame:
    """What the paper says and what we find: a line per row of the named claims.

    With ``links``, a measure leads to the code that computed it (as HTML).

    Raises
    ------
    ValueError : a finding that no row of these claims asks for.
    """
    judged = rows(found, ids)
    if unknown := sorted(found.keys() - set(judged["key"])):
        raise ValueError(f"{unknown}: no row of {ids} asks for these findings.")
    lines = [_line(row.dropna(), links) for _, row in judged.iterrows()]
    table = pd.DataFrame(lines).set_index(["claim", "measure"])
    return table.loc[:, (table != "").any()]


def paper_values(found: Mapping[str, Finding]) -> dict[str, float | str]:
    """What the paper says of each finding, as ``paper_<key>``, for the prose."""
    rows_of_all = (row for claim in read().values() for row in claim["rows"])
    asked = [row for row in rows_of_all if row["key"] in found]
    return {f"paper_{row['key']}": row["paper"] for row in asked}


def _line(row: Mapping, links: bool) -> dict[str, str]:
    measure = row["what"] + " (beyond the paper)" * row.get("beyond", False)
    if links:
        page, _, place = row["computed"].partition("#")
        measure = f'<a href="{page}.html#{place}">{measure}</a>'
    return {
        "claim": f"{row['claim']}: {row['claim_verdict']}",
        "measure": measure,
        "the paper says": _shown(row["paper"], row),
        "their 2022 code": _shown(row.get("authors_2022", ""), row),
        "the row asks": _bounds(row),
        "we find (95 % interval)": _result(row),
        "verdict": row["verdict"],
    }


def _shown(value: float | str, row: Mapping) -> str:
    return value if isinstance(value, str) else format(value, row["format"])


def _result(row: Mapping) -> str:
    if "value" not in row:
        return row.get("untestable", row["verdict"])
    value, low, high = (_shown(row[name], row) for name in ("value", "low", "high"))
    interval = row["low"] < row["high"] and np.isfinite(row["high"] - row["low"])
    return f"{value} ({low} to {high})" if interval else value


def _bounds(row: Mapping) -> str:
    spec = row["format"] if row["format"].endswith("%") else "g"
    bounds = [format(row[k], spec) for k in ("at_least", "at_most") if k in row]
    sign = "≥ " if "at_least" in row else "≤ "
    return " to ".join(bounds) if len(bounds) == 2 else sign + bounds[0]
