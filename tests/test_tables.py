"""Tables of results have one form, and numbers one way of being written."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

import tables


def shaped(frame):
    html = frame.to_html() if isinstance(frame, pd.DataFrame) else frame._repr_html_()
    return tables.shaped(BeautifulSoup(html, "html.parser").table)


def lines(table):
    return [[cell.get_text() for cell in tr(["th", "td"])] for tr in table("tr")]


GROUPED = pd.DataFrame(
    {"R²": [0.5, -0.25, np.nan, 1.0], "p": ["12%", "-0.000", "< 0.001", ""]},
    pd.MultiIndex.from_product([["a", "b"], ["x", "y"]], names=["set", "rule"]),
)


def test_groups_are_heading_rows_and_headings_one_line():
    plain, styled = shaped(GROUPED), shaped(GROUPED.style.format({"R²": "{:.2f}"}))
    for table in (plain, styled):
        assert [len(line) for line in lines(table)] == [3, 1, 3, 3, 1, 3, 3]
        assert lines(table)[:2] == [["rule", "R²", "p"], ["a"]]
        assert table.select_one("tr.group th")["colspan"] == "3"
    assert lines(styled)[2] == ["x", "0.50", "12\xa0%"]
    assert lines(styled)[3] == ["y", "−0.25", "0.000"]


def test_a_level_that_does_not_repeat_stays_a_column():
    frame = GROUPED.iloc[[0, 2]]
    assert lines(shaped(frame))[1][:2] == ["a", "x"]


def test_cells_name_their_column_and_empty_columns_go():
    frame = pd.DataFrame({"a": ["", ""], ("b"): [1, 2]})
    cells = shaped(frame).select("td[data-label]")
    assert [(cell["data-label"], cell.text) for cell in cells] == [
        ("b", "1"),
        ("b", "2"),
    ]


def test_headings_of_two_levels_are_joined_in_the_labels():
    columns = pd.MultiIndex.from_tuples([("R²", "all"), ("R²", "kept"), ("n", "")])
    table = shaped(pd.DataFrame([[1, 2, 3]], ["a"], columns))
    assert [c["data-label"] for c in table.select("tbody td")] == [
        "R² all",
        "R² kept",
        "n",
    ]
    assert table.thead.select_one("th[colspan]")["colspan"] == "2"


def test_intervals_are_drawn_on_the_scale_of_their_column():
    cells = ["0.10 (0.00 to 0.20)", "0.30 (0.20 to 0.40)", "none"]
    drawn = shaped(pd.DataFrame({"change": cells})).select("svg")
    assert len(drawn) == 2
    dots = [float(svg.circle["cx"]) for svg in drawn]
    width = tables.WIDTH - 8
    np.testing.assert_allclose(dots, [4 + width / 4, 4 + 3 * width / 4], atol=0.05)


def test_what_is_typed_into_a_cell_stays_escaped():
    table = shaped(pd.DataFrame({"<i>": ["<script>1</script>"]}, ["a & b"]))
    assert "<script" not in str(table) and "<i>" not in str(table)
    assert table.th.text == "<i>" and "a &amp; b" in str(table)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R² = -0.5 (-1 to +0.25), 26%", "R² = −0.5 (−1 to +0.25), 26\xa0%"),
        ("-0.000, +0.0 and +0.05 or -0.01", "0.000, 0.0 and +0.05 or −0.01"),
        ("CIFAR-10, VGG-19, 1-2, LeNet-5, 2022-11-24", None),
        ("80 % of them", None),
    ],
)
def test_numbers_are_written_one_way(text, expected):
    assert tables.written(text) == (text if expected is None else expected)
