"""Verdicts follow the rules, and tables show every row of the file."""

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest

from helpers import claims
from helpers.claims import Finding, exact

CONTENTS = claims.contents()
CLAIMS = claims.read()
ROWS = [row for claim in CLAIMS.values() for row in claim["rows"]]
ROW = {"key": "a", "at_least": 0.9}
WIDE = Finding(0.9, 0.1, 1)
EASY = replace(exact(1), chance=1)
CROSSES = replace(exact(1), least=0, most=1)


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
    ("value", "chance", "verdict"),
    [
        (0.95, CONTENTS["severe_up_to"], "holds"),
        (0.95, CONTENTS["severe_up_to"] + 1e-6, "not severe"),
        (0.95, np.nan, "holds"),
        (0.85, 1, "fails"),  # what even chance passes
        (np.nan, 1, "undefined"),
    ],
)
def test_a_row_that_chance_would_satisfy_holds_for_nothing(value, chance, verdict):
    finding = replace(exact(value), chance=chance)
    assert claims.row_verdict(ROW, finding) == verdict
    is_open = replace(WIDE, chance=chance)
    expected = {"holds": "open", "not severe": "not severe"}
    if verdict in expected:
        assert claims.row_verdict(ROW, is_open) == expected[verdict]


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [
        (0.91, 0.99, "holds"),
        (0.5, 0.89, "holds"),  # does not cross the bound
        (0.89, 0.95, "undetermined"),
    ],
)
def test_choices_that_cross_a_bound_leave_a_row_undetermined(least, most, verdict):
    finding = replace(exact(0.95), least=least, most=most)
    assert claims.row_verdict(ROW, finding) == verdict


def test_severity_is_the_share_of_draws_that_would_hold(rng):
    draws = rng.uniform(size=2000)
    assert claims.chance({"at_least": -np.inf}, draws) == 1
    assert claims.chance({"at_least": 2}, draws) == 0
    assert claims.chance({"at_least": 0.9}, draws) == np.mean(draws >= 0.9)
    with_intervals = draws[:, None] + [0, -0.05, 0.05]
    expected = np.mean(draws - 0.05 >= 0.9)
    assert claims.chance({"at_least": 0.9}, with_intervals) == expected
    assert claims.chance({"at_least": 0}, [0.5, np.nan]) == 0.5
    assert np.isnan(claims.chance({"at_least": 0}, []))


@pytest.mark.parametrize(
    ("quantifier", "findings", "verdict"),
    [
        ("all", [1, 1], "reproduced"),
        ("all", [1, 0], "partly reproduced"),
        ("all", [0, 0], "not reproduced"),
        ("all", [1, np.nan], "partly reproduced"),
        ("all", [0, np.nan], "partly reproduced"),
        ("all", [np.nan, np.nan], "undecided"),
        ("all", [WIDE, WIDE], "undecided"),
        ("all", [WIDE, np.nan], "undecided"),
        ("all", [WIDE, 1], "partly reproduced"),
        ("all", [CROSSES, CROSSES], "undetermined"),
        ("all", [1, CROSSES], "undetermined"),  # reproduced or partly
        ("all", [1, 0, CROSSES], "partly reproduced"),  # whichever way it falls
        ("all", [1, EASY], "reproduced"),
        ("all", [EASY, EASY], "not severely tested"),
        ("most", [1, 1, CROSSES], "reproduced"),
        ("most", [1, 1, 0], "reproduced"),
        ("most", [1, 0, 0], "not reproduced"),
        ("most", [1, 0, np.nan], "partly reproduced"),
        ("most", [1, 1, np.nan], "reproduced"),
        ("most", [WIDE, WIDE, 1], "partly reproduced"),
    ],
)
def test_a_claim_is_judged_by_its_rows(quantifier, findings, verdict):
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
    fields = {"id", "title", "where", "computed", "says", "rows"}
    for claim in CLAIMS.values():
        assert claim.keys() - {"quantifier", "severity", "under"} == fields
        assert claim.get("quantifier", "most") == "most"
    for row in ROWS:
        assert {"key", "what", "paper", "format"} <= row.keys()
        assert row.get("at_least", -np.inf) <= row.get("at_most", np.inf)
        assert "at_least" in row or "at_most" in row
        assert not (row.get("beyond") and "untestable" in row)
    for claim in CLAIMS.values():  # extra tests are shown last
        beyond = [row.get("beyond", False) for row in claim["rows"]]
        assert beyond == sorted(beyond) and not all(beyond)


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if isinstance(row["paper"], float)],
    ids=lambda row: row["key"],
)
def test_the_papers_own_numbers_satisfy_their_rows(row):
    assert claims.row_verdict(row, exact(row["paper"])) == "holds"


# ------------------------------------------------------------------------ findings
def test_findings_are_what_the_rows_ask_of_tables():
    columns = ["value", "low", "high", "n_defined"]
    table = pd.DataFrame([[0.4, 0.3, 0.5, 7]] * 2, ["rare_mnist", "other"], columns)
    counts = pd.Series({"high20_cifar10_images_above": 3, "rare_cifar10": 1})
    found = claims.from_tables(["C2"], table, counts)
    np.testing.assert_equal(
        {key: astuple(finding) for key, finding in found.items()},
        {
            "rare_mnist": (0.4, 0.3, 0.5, *3 * [np.nan]),
            "rare_cifar10": (1, 1, 1, *3 * [np.nan]),
        },
    )
    found = claims.from_tables(["C4"], counts)
    assert found["high20_some_cifar10_images"].value == 3


def test_two_rows_about_one_finding_differ_in_severity():
    low80 = pd.Series({"low80_mnist_images": 0.999})
    draws = {"low80_mnist_images": np.array([0.98, 0.991, 0.994, 0.999])}
    choices = {"low80_mnist_images": [0.9, 0.995]}
    found = claims.from_tables(["C3"], low80, by_chance=draws, choices=choices)
    wide, close = found["low80_mnist_images"], found["low80_mnist_images_close"]
    assert (wide.chance, close.chance) == (0.75, 0.25)
    assert (wide.least, wide.most) == (0.9, 0.995)


# -------------------------------------------------------------------------- tables
def test_rows_have_the_fields_of_the_file_and_what_was_found():
    table = claims.rows({"full_ab": Finding(0.6167, 0.6, 0.63)}).set_index("key")
    assert table.index.tolist() == [row["key"] for row in ROWS]
    shown = table.loc["full_ab", ["value", "low", "high", "verdict", "claim_verdict"]]
    assert shown.tolist() == [0.6167, 0.6, 0.63, "open", "run in part"]
    others = table.drop("full_ab")
    assert others["value"].isna().all()
    assert set(others["verdict"]) == {"not run", "untestable"}
    assert table["computed"].str.fullmatch(r"0\d_\w+#[\w-]+").all()


def test_scoreboard_counts_every_row_of_the_paper_once():
    rows_of_paper = [row for row in ROWS if not row.get("beyond")]
    testable = [row["key"] for row in rows_of_paper if "untestable" not in row]
    found = {key: exact(np.nan) for key in testable} | {"rare_mnist": exact(0)}
    found |= {"full_ab": exact(0), "full_bc": exact(0.555), "rare_cifar10": CROSSES}
    found |= {"high20_some_cifar10_classes": EASY, "query_fruits": Finding(0.5, 0, 1)}
    board = claims.scoreboard(found)
    judged = board[[*claims.JUDGED, *claims.APART]]
    assert judged.sum().sum() == len(rows_of_paper)
    assert judged.loc["C1"].tolist() == [1, 1, 0, 0, 4, 0, 0, 0]
    assert judged.loc["C2"].tolist() == [0, 1, 0, 1, 0, 0, 0, 0]
    assert judged.loc["C4", ["undefined", "not severe"]].tolist() == [5, 1]
    assert judged.loc["C6", ["undefined", "untestable"]].tolist() == [3, 3]
    assert judged.loc["C9", "open"] == 1
    for key, claim in CLAIMS.items():
        assert board.loc[key, "verdict"] == claims.verdict(claim, found)


def test_table_shows_values_and_refuses_unknown_findings():
    found = {"full_ab": exact(0.6167), "full_bc": Finding(0.56, 0.5, 0.6)}
    table = claims.table(["C1"], found)
    assert len(table) == len(CLAIMS["C1"]["rows"])
    row = table.loc[("C1: run in part", "r(A, B), all nodes")]
    exactly = CLAIMS["C1"]["severity"]
    assert row.tolist() == ["0.62", "0.61 to 0.63", "0.62", exactly, "holds"]
    assert table["we find (95 % interval)"].iloc[1] == "0.56 (0.50 to 0.60)"
    with pytest.raises(ValueError, match="typo"):
        claims.table(["C1"], {"typo": exact(1)})


def test_bounds_chances_and_the_other_code_are_shown_and_extra_tests_apart():
    found = {"foreign_fruits": replace(exact(-0.5), chance=0.04)}
    table = claims.table(["C4", "C5", "C6", "C7", "C8"], found)
    assert table.loc["C6: our extra test"].index.str.contains("92 objects").all()
    table = table.reset_index("claim", drop=True)
    asked = dict(zip(table.index, table["the row asks"], strict=True))
    assert asked["R² of the 30 % lowest-PoZ nodes, CIFAR-10, images"] == "≥ 0.9"
    assert "≤ 0.05" in asked.values()
    result = table["we find (95 % interval)"]
    assert "not testable: images not public" in result.tolist()
    said = set(table["the paper says"])
    assert {"0.900 (in 2022: 0.837)", "about 1 (in 2022: 1.13)", "0.900"} <= said
    assert set(table["by chance"]) == {"", "4%"}


def test_words_for_the_prose():
    found = {"low30_cifar10_images": exact(0.88), "other": WIDE}
    both = found | {"low30_cifar10_classes": exact(0.93)}
    words = claims.in_words(both, ["C5"])
    assert words == {
        "verdict_C5": "partly reproduced",
        "rows_C5": "1 holds, 1 fails",
        "low30_cifar10_images_verdict": "fails",
        "low30_cifar10_classes_verdict": "holds",
        "paper_low30_cifar10_images": 0.9,
        "paper_low30_cifar10_classes": 0.9,
        "authors_low30_cifar10_classes": 0.837,
    }
    twice = {key: exact(0) for key in ("low30_cifar10_images", "low30_cifar10_classes")}
    assert claims.in_words(twice)["rows_C5"] == "2 fail"


def test_a_claim_with_rows_that_were_not_run_says_so_and_has_no_verdict():
    found = {"low30_cifar10_images": exact(0.93)}
    words = claims.in_words(found)
    assert words["verdict_C5"] == "run in part"
    assert words["rows_C5"] == "1 holds, 1 not run"
    assert words["verdict_C2"] == "not run" and words["rows_C2"] == "2 not run"
    assert words["verdict_C6"] == "not run"
    assert words["paper_low30_cifar10_classes"] == 0.9
    board = claims.scoreboard(found)
    assert board.loc["C5", ["holds", "not run"]].tolist() == [1, 1]
