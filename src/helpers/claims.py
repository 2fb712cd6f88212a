"""The paper's claims, read from ``book/claims.toml``, and verdicts on them by rule.

A row *holds* when the value found and the whole of its interval lie within the row's
bounds, *fails* when none of the interval does, and is *open* otherwise. It is
*undetermined* where a choice that the paper leaves open moves the value across a bound,
*undefined* without a value, and *not severe* where it does not fail but would hold by
chance more often than the file allows.

A claim is reproduced when all its rows hold (more than half, where it says "most"), not
reproduced when all (more than half) fail, undecided when none does either, partly
reproduced otherwise, and undetermined where that depends on an undetermined row. Rows
that are not severe, untestable or beyond the paper are not among "all". Where a page's
parameters left out some of its rows, a claim is "run in part", and not judged.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import pandas as pd

from helpers.data import data_folder

JUDGED = ("holds", "fails", "open", "undetermined", "undefined")
"""Verdicts on a row that count in that of its claim."""
APART = ("not severe", "untestable", "not run")


@dataclass(frozen=True)
class Finding:
    """A measured value with its 95 % interval."""

    value: float  # NaN where it is undefined
    low: float  # the ends of the interval: the value itself where it is exact
    high: float
    chance: float = np.nan  # probability that the row would hold by chance
    least: float = np.nan  # the range of the value under choices
    most: float = np.nan  # that the paper leaves open


def exact(value: float) -> Finding:
    """A value without sampling error."""
    return Finding(*3 * [float(value)])


def from_tables(
    ids: Sequence[str],
    *tables: pd.DataFrame | pd.Series,
    by_chance: Mapping[str, np.ndarray] | None = None,
    choices: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Finding]:
    """The findings that the rows of these claims ask for, by key.

    Each table has names of measures as its index: a DataFrame with the columns "value",
    "low" and "high", or a Series of exact values. By the same names, ``by_chance`` has
    draws for `chance`, and ``choices`` values under choices that the paper leaves open.
    """
    claims, columns = read(), ["value", "low", "high"]
    frames = [
        pd.DataFrame(t if t.ndim > 1 else dict.fromkeys(columns, t)) for t in tables
    ]
    measured = pd.concat(frames)[columns]
    found = {}
    for row in (row for key in ids for row in claims[key]["rows"]):
        if (name := row.get("of", row["key"])) in measured.index:
            p = chance(row, (by_chance or {}).get(name, ()))
            values = (choices or {}).get(name, [np.nan])
            numbers = *measured.loc[name], p, np.min(values), np.max(values)
            found[row["key"]] = Finding(*map(float, numbers))
    return found


def chance(row: Mapping, draws: np.ndarray) -> float:
    """Share of draws by chance for which a row would hold; NaN without draws.

    ``draws`` are exact, (n_draws,), or value, low and high, (n_draws, 3).
    """
    findings = [Finding(*np.broadcast_to(draw, 3)) for draw in np.asarray(draws)]
    n_holds = sum(row_verdict(row, finding) == "holds" for finding in findings)
    return n_holds / len(findings) if findings else np.nan


@cache
def contents() -> dict:
    """The file: a list "claim" and, for verdicts on rows, the number "severe_up_to"."""
    return tomllib.loads((data_folder().parent / "book/claims.toml").read_text("utf-8"))


def read() -> dict[str, dict]:
    """The claims by id, in the order of the file."""
    return {claim["id"]: claim for claim in contents()["claim"]}


def row_verdict(row: Mapping, finding: Finding | None) -> str:
    """One of `JUDGED` and `APART`; "not run" where nothing was computed."""
    if finding is None:
        return "untestable" if "untestable" in row else "not run"
    if np.isnan(finding.value):
        return "undefined"
    if _within(row, finding.least, finding.most) == "open":
        return "undetermined"
    low, value, high = finding.low, finding.value, finding.high
    verdict = _within(row, min(low, value), max(value, high))
    by_chance = finding.chance > contents()["severe_up_to"] and verdict != "fails"
    return "not severe" if by_chance else verdict


def _within(row: Mapping, low: float, high: float) -> str:
    """ "holds" for an interval within the bounds, "fails" outside, else "open"."""
    least, most = row.get("at_least", -np.inf), row.get("at_most", np.inf)
    if least <= low and high <= most:
        return "holds"
    return "fails" if np.isnan(low) or high < least or low > most else "open"


def verdict(claim: Mapping, found: Mapping[str, Finding]) -> str:
    """The verdict on a claim (see above), "not severely tested" or "not run"."""
    count, most = counts(claim, found), claim.get("quantifier") == "most"
    if count["not run"]:
        n_rows = sum(count.values()) - count["untestable"]
        return "not run" if count["not run"] == n_rows else "run in part"
    if not any(count[name] for name in JUDGED):
        return "not severely tested" if count["not severe"] else "not tested"
    either = {_by_rule(count, name, most) for name in ("holds", "fails")}
    result = either.pop() if len(either) == 1 else "undetermined"
    return result + " where testable" * bool(count["untestable"])


def _by_rule(count: Mapping[str, int], undetermined: str, most: bool) -> str:
    """The verdict if the undetermined rows had this one."""
    judged = {name: count[name] for name in JUDGED}
    judged[undetermined] += judged.pop("undetermined")
    n = sum(judged.values())
    for name, result in (("holds", "reproduced"), ("fails", "not reproduced")):
        if judged[name] == n or (most and judged[name] > n / 2):
            return result
    return "partly reproduced" if judged["holds"] + judged["fails"] else "undecided"


def counts(claim: Mapping, found: Mapping[str, Finding]) -> dict[str, int]:
    """How many rows have each verdict; those beyond the paper are left out."""
    rows = [row for row in claim["rows"] if not row.get("beyond")]
    verdicts = [row_verdict(row, found.get(row["key"])) for row in rows]
    return {name: verdicts.count(name) for name in (*JUDGED, *APART)}


def in_words(
    found: Mapping[str, Finding], ids: Sequence[str] | None = None
) -> dict[str, float | str]:
    """For the prose, of the claims (default: all): verdict_<claim>, rows_<claim> (such
    as "2 hold, 1 open"), paper_<key> and authors_<key>; <key>_verdict of rows found.
    """
    judged = rows(found, ids).set_index("key")
    words = judged.set_index("claim")["claim_verdict"].add_prefix("verdict_").to_dict()
    for name in judged["claim"].unique():
        count = [(n, v) for v, n in counts(read()[name], found).items() if n]
        parts = [f"{n} {v.removesuffix('s') if n > 1 else v}" for n, v in count]
        words[f"rows_{name}"] = ", ".join(parts)
    for column, name in (("paper", "paper"), ("authors_2022", "authors")):
        words |= judged.get(column, pd.Series()).dropna().add_prefix(f"{name}_")
    verdicts = judged.loc[judged.index.isin(found), "verdict"]
    return words | verdicts.add_suffix("_verdict").to_dict()


def rows(
    found: Mapping[str, Finding], ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """Every row of the claims (default: all), the finding, and both verdicts."""
    claims = read()
    return pd.DataFrame(
        {"claim": key, "short": "", "beyond": False}
        | {name: claims[key].get(name, "") for name in ("computed", "severity")}
        | row
        | asdict(found.get(row["key"]) or exact(np.nan))
        | {"verdict": row_verdict(row, found.get(row["key"]))}
        | {"claim_verdict": verdict(claims[key], found)}
        for key in (claims if ids is None else ids)
        for row in claims[key]["rows"]
    )


def scoreboard(found: Mapping[str, Finding]) -> pd.DataFrame:
    """By claim: what the paper says, the verdict, how many rows have each verdict."""
    judged = {key: counts(claim, found) for key, claim in read().items()}
    board = pd.DataFrame.from_dict(judged, "index").rename_axis("claim")
    board.insert(0, "the paper says", [claim["says"] for claim in read().values()])
    board.insert(1, "verdict", [verdict(claim, found) for claim in read().values()])
    return board


def table(ids: Sequence[str], found: Mapping[str, Finding]) -> pd.DataFrame:
    """What the paper says and what we find, a line per row; ValueError for findings
    of other claims than the named ones.
    """
    judged = rows(found, ids)
    if unknown := sorted(found.keys() - set(judged["key"])):
        raise ValueError(f"{unknown}: no row of {ids} asks for these findings.")
    lines = [_line(row.dropna()) for _, row in judged.iterrows()]
    table = pd.DataFrame(lines).set_index(["claim", "measure"])
    return table.loc[:, (table != "").any()]


def _line(row: Mapping) -> dict[str, str]:
    by_chance = f"{row['chance']:.0%}" if "chance" in row else row["severity"]
    verdict = "our extra test" if row["beyond"] else row["claim_verdict"]
    return {
        "claim": f"{row['claim']}: {verdict}",
        "measure": row["what"],
        "the paper says": _said(row),
        "the row asks": _bounds(row),
        "we find (95 % interval)": _result(row),
        "by chance": by_chance,
        "verdict": row["verdict"],
    }


def _shown(value: float | str, row: Mapping) -> str:
    return value if isinstance(value, str) else format(value, row["format"])


def _said(row: Mapping) -> str:
    paper = _shown(row["paper"], row)
    if "authors_2022" not in row:
        return paper
    return f"{paper} (in 2022: {_shown(row['authors_2022'], row)})"


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
