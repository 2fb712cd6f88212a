"""Verdicts follow the rules, and tables show every row of the file."""

import numpy as np
import pandas as pd
import pytest

from helpers import claims
from helpers.claims import Finding, exact

CLAIMS = claims.read()
ROWS = [row for claim in CLAIMS.values() for row in claim["rows"]]
ROW = {"key": "a", "at_least": 0.9}
WIDE = Finding(0.9, 0.1, 1)


# ---------------------------------------------------------------------- verdicts
@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (exact(0.9), "holds"),
        (exact(0.899), "fails"),
        (Finding(0.95, 0.91, 0.99), "holds"),
        (Finding(0.95, 0.89, 0.99), "open"),
        (Finding(0.85, 0.80, 0.91), "open"),
        (Finding(0.85, 0.80, 0.89), "fails"),
        (Finding(0.95, -np.inf, np.inf), "open"),
        (exact(np.nan), "undefined"),
        (None, "not run"),
    ],
)
def test_a_row_holds_only_with_its_whole_interval(finding, verdict):
    assert claims.row_verdict(ROW, finding) == verdict
    if finding:  # an upper bound mirrors a lower one
        mirrored = Finding(-finding.value, -finding.high, -finding.low)
        assert claims.row_verdict({"at_most": -0.9}, mirrored) == verdict


@pytest.mark.parametrize(
    ("quantifier", "findings", "verdict"),
    [
        ("all", [1, 1], "reproduced"),
        ("all", [1, 0], "partly reproduced"),
        ("all", [0, 0], "not reproduced"),
        ("all", [1, np.nan], "reproduced"),
        ("all", [np.nan, np.nan], "not tested"),
        ("all", [WIDE, WIDE], "undecided"),
        ("all", [WIDE, 1], "partly reproduced"),
        ("most", [1, 1, 0], "reproduced"),
        ("most", [1, 0, 0], "not reproduced"),
        ("most", [1, 0, np.nan], "partly reproduced"),
        ("most", [WIDE, WIDE, 1], "partly reproduced"),
    ],
)
def test_a_claim_is_judged_by_its_rows_with_a_value(quantifier, findings, verdict):
    found = {
        key: value if isinstance(value, Finding) else exact(value)
        for key, value in zip("abc", findings, strict=False)
    }
    claim = {"quantifier": quantifier, "rows": [ROW | {"key": key} for key in found]}
    assert claims.verdict(claim, found) == verdict


def test_rows_beyond_the_paper_do_not_count_and_untestable_rows_are_mentioned():
    beyond = ROW | {"key": "b", "beyond": True}
    untestable = ROW | {"key": "c", "untestable": "not public"}
    claim = {"rows": [ROW, beyond, untestable]}
    found = {"a": exact(1), "b": exact(0)}
    assert claims.verdict(claim, found) == "reproduced where testable"


# ---------------------------------------------------------------------- the file
def test_every_claim_of_the_file_is_complete_and_keys_are_unique():
    assert len({row["key"] for row in ROWS}) == len(ROWS)
    fields = {"id", "where", "computed", "says", "rows"}
    for claim in CLAIMS.values():
        assert claim.keys() - {"quantifier"} == fields
        assert claim.get("quantifier", "most") == "most"
    for row in ROWS:
        assert {"key", "what", "paper", "format"} <= row.keys()
        assert row.get("at_least", -np.inf) <= row.get("at_most", np.inf)
        assert "at_least" in row or "at_most" in row


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if isinstance(row["paper"], float)],
    ids=lambda row: row["key"],
)
def test_the_papers_own_numbers_satisfy_their_rows(row):
    assert claims.row_verdict(row, exact(row["paper"])) == "holds"


# ------------------------------------------------------------------------ findings
def test_findings_survive_the_way_through_text():
    found = {
        "a": Finding(1 / 3, -np.inf, np.inf),
        "b": exact(12),
        "c": exact(np.nan),
    }
    read = claims.from_json(claims.to_json(found))
    assert read["a"] == Finding(0.333333, -np.inf, np.inf)
    assert read["b"] == exact(12)
    assert np.isnan(read["c"].value)


def test_findings_are_what_the_rows_ask_of_tables():
    columns = ["value", "low", "high", "n_defined"]
    table = pd.DataFrame([[0.4, 0.3, 0.5, 7]] * 2, ["rare_mnist", "other"], columns)
    counts = pd.Series({"high20_some_cifar10_images": 3, "rare_cifar10": 1})
    found = claims.from_tables(["C2"], table, counts)
    assert found == {"rare_mnist": Finding(0.4, 0.3, 0.5), "rare_cifar10": exact(1)}


# -------------------------------------------------------------------------- tables
def test_rows_have_the_fields_of_the_file_and_what_was_found():
    table = claims.rows({"full_ab": Finding(0.6167, 0.6, 0.63)}).set_index("key")
    assert table.index.tolist() == [row["key"] for row in ROWS]
    shown = table.loc["full_ab", ["value", "low", "high", "verdict", "claim_verdict"]]
    assert shown.tolist() == [0.6167, 0.6, 0.63, "open", "undecided"]
    others = table.drop("full_ab")
    assert others["value"].isna().all()
    assert set(others["verdict"]) == {"not run"}
    assert table["computed"].str.fullmatch(r"0\d_\w+#[\w-]+").all()


def test_scoreboard_counts_the_rows_that_hold():
    bounds = {row["key"]: row["at_least"] for row in CLAIMS["C1"]["rows"]}
    found = {key: exact(bound) for key, bound in bounds.items()}
    found |= {"full_ab": exact(0), "full_bc": exact(np.nan), "rare_mnist": exact(0)}
    board = claims.scoreboard(found)
    assert board.loc["C1", "rows that hold"] == "4 of 5"
    for key, claim in CLAIMS.items():
        assert board.loc[key, "verdict"] == claims.verdict(claim, found)


def test_table_shows_values_and_links_and_refuses_unknown_findings():
    found = {"full_ab": exact(0.6167), "full_bc": Finding(0.56, 0.5, 0.6)}
    table = claims.table(["C1"], found)
    assert len(table) == len(CLAIMS["C1"]["rows"])
    row = table.loc[("C1: partly reproduced", "r(A, B), all nodes")]
    assert row.tolist() == ["0.62", "0.61 to 0.63", "0.62", "holds"]
    assert table["we find (95 % interval)"].iloc[1] == "0.56 (0.50 to 0.60)"
    with pytest.raises(ValueError, match="typo"):
        claims.table(["C1"], {"typo": exact(1)})
    linked = claims.table(list(CLAIMS), found, links=True).reset_index()["measure"]
    for measure, row in zip(linked, ROWS, strict=True):
        assert f">{row['what']}" in measure
    assert '<a href="01_introduction.html#fig-worked-example">' in linked[0]


def test_bounds_without_a_value_and_the_other_code_are_shown():
    table = claims.table(["C4", "C5", "C7", "C8"], {"foreign_fruits": exact(0.5)})
    table = table.reset_index("claim", drop=True)
    asked = dict(zip(table.index, table["the row asks"], strict=True))
    assert asked["ghosts of fruits"] == "≥ 1"
    assert "≤ 1" in asked.values()
    found = table["we find (95 % interval)"]
    assert "not testable: images not public" in found.tolist()
    assert "0.837" in table["their 2022 code"].tolist()


def test_numbers_for_the_prose():
    values = claims.paper_values({"low30_cifar10_images": exact(0.88), "other": WIDE})
    assert values == {"paper_low30_cifar10_images": 0.9}
