import numpy as np
import pytest

from helpers import claims
from helpers.claims import Finding, exact

ROW = {"key": "a", "what": "a", "paper": 0.9, "at_least": 0.9, "format": ".2f"}


@pytest.mark.parametrize(
    ("found", "verdict"),
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
def test_a_row_holds_only_with_its_whole_interval(found, verdict):
    assert claims.row_verdict(ROW, found) == verdict


def test_an_upper_bound_mirrors_a_lower_one():
    assert claims.row_verdict({"at_most": 0.5}, exact(0.6)) == "fails"
    assert claims.row_verdict({"at_least": 0.1, "at_most": 0.5}, exact(0.3)) == "holds"


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [(1, 1, "reproduced"), (1, 0, "partly reproduced"), (0, 0, "not reproduced"), (1, np.nan, "reproduced"),
     (np.nan, np.nan, "not tested")],
)  # fmt: skip
def test_a_claim_is_judged_by_its_defined_rows(a, b, verdict):
    claim = {"rows": [ROW, ROW | {"key": "b"}]}
    assert claims.verdict(claim, {"a": exact(a), "b": exact(b)}) == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1, 1, 0), "reproduced"), ((1, 0, 0), "not reproduced"), ((1, 0, np.nan), "partly reproduced")],
)
def test_most_means_more_than_half_of_the_tested_rows(values, verdict):
    claim = {"quantifier": "most", "rows": [ROW | {"key": key} for key in "abc"]}
    assert claims.verdict(claim, dict(zip("abc", map(exact, values), strict=True))) == verdict


def test_a_claim_whose_rows_are_all_open_is_undecided_and_one_row_that_holds_makes_it_partly_reproduced():
    claim, wide = {"rows": [ROW, ROW | {"key": "b"}]}, Finding(0.9, 0.1, 1)
    assert claims.verdict(claim, {"a": wide, "b": wide}) == "undecided"
    assert claims.verdict(claim, {"a": wide, "b": exact(1)}) == "partly reproduced"
    assert claims.verdict(claim | {"quantifier": "most"}, {"a": wide, "b": exact(1)}) == "partly reproduced"


def test_rows_beyond_the_paper_do_not_count_and_untestable_ones_are_told():
    claim = {"rows": [ROW, ROW | {"key": "b", "beyond": True}, ROW | {"key": "c", "untestable": "not public"}]}
    assert claims.verdict(claim, {"a": exact(1), "b": exact(0)}) == "reproduced where testable"


def test_every_claim_of_the_file_is_complete_and_keys_are_unique():
    rows = [row for claim in claims.read().values() for row in claim["rows"]]
    assert len({row["key"] for row in rows}) == len(rows)
    for claim in claims.read().values():
        assert claim.keys() - {"quantifier"} == {"id", "where", "computed", "says", "rows"}
        assert claim.get("quantifier", "most") == "most"
    for row in rows:
        assert {"key", "what", "paper", "format"} <= row.keys()
        assert row.get("at_least", -np.inf) <= row.get("at_most", np.inf)
        assert "at_least" in row or "at_most" in row


def test_the_papers_own_numbers_satisfy_their_rows():
    for claim in claims.read().values():
        for row in claim["rows"]:
            if isinstance(row["paper"], float):
                assert claims.row_verdict(row, exact(row["paper"])) == "holds", row["key"]


def test_findings_survive_the_way_through_text():
    found = {"a": Finding(1 / 3, -np.inf, np.inf), "b": exact(np.nan), "c": exact(12)}
    read = claims.from_json(claims.to_json(found))
    assert read["a"] == Finding(0.333333, -np.inf, np.inf) and np.isnan(read["b"].value) and read["c"] == exact(12)


def test_scoreboard_counts_the_rows_of_each_claim_and_judges_as_the_pages_do():
    found = {row["key"]: exact(row.get("at_least", row.get("at_most"))) for row in claims.read()["C1"]["rows"][1:]}
    board = claims.scoreboard(found)
    assert board.index.tolist() == list(claims.read())
    assert board.loc["C1", ["holds", "fails", "open", "no value"]].tolist() == [5, 0, 0, 1]
    for key, claim in claims.read().items():
        assert board.loc[key, "verdict"] == claims.verdict(claim, found)
        rows = sum(not row.get("beyond") for row in claim["rows"])
        assert board.loc[key, ["holds", "fails", "open", "no value"]].sum() == rows


def test_rows_are_those_of_the_file_with_what_was_found():
    table = claims.rows({"full_ab": Finding(0.6167, 0.6, 0.63)}).set_index("key")
    assert table.index.tolist() == [row["key"] for claim in claims.read().values() for row in claim["rows"]]
    assert table.loc["full_ab", ["value", "low", "high", "verdict"]].tolist() == [0.6167, 0.6, 0.63, "open"]
    assert table["value"].isna().sum() == len(table) - 1 and (table["verdict"] == "not run").sum() == len(table) - 1
    assert table["computed_at"].str.fullmatch(r"0\d_\w+#[\w-]+").all()


def test_page_has_each_claim_and_row_with_a_link_to_its_code():
    html = claims.page({"full_ab": exact(0.6167)})
    for claim in claims.read().values():
        assert f"{claim['id']}: {claims.verdict(claim, {'full_ab': exact(0.6167)})}" in html
        for row in claim["rows"]:
            name, place = claims.computed_at(claim, row).split("#")
            assert f"<a href='{name}.html#{place}'>{row['what']}</a>" in html
    assert "<td>0.62</td><td></td><td>0.61 to 0.63</td><td>0.62</td><td>holds</td>" in html


def test_table_has_a_line_per_row_and_refuses_what_no_row_asks_for():
    table = claims.table(["C1"], {"full_ab": exact(0.6167)})
    assert len(table) == len(claims.read()["C1"]["rows"])
    assert table.loc[("C1: reproduced", "r(A, B), all nodes"), "we find (95 % interval)"] == "0.62"
    assert (table["verdict"] == "not run").sum() == len(table) - 1
    with pytest.raises(ValueError, match="typo"):
        claims.table(["C1"], {"typo": exact(1)})
