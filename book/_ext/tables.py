"""A Sphinx extension: one form for tables and for numbers.

* Tables that pandas made, plain or styled, get the same form: one line of headings
  where one says it all, a heading row for each group in place of a repeated column, no
  empty columns, and in each cell the name of its column, for cards on a phone
  (book.css).
* An interval, "0.015 (0.007 to 0.023)", has a small picture of itself beside it, on a
  scale that it shares with its column.
* In text and tables, numbers have minus signs instead of hyphens, zero has no sign, and
  a percentage is written "26 %".
"""

from __future__ import annotations

import re
from html import escape
from itertools import groupby

from bs4 import BeautifulSoup, NavigableString, Tag
from docutils import nodes
from sphinx import addnodes

ZERO = re.compile(r"(?<![\w.,])[-+](0(?:\.0+)?)(?![\d.,]*\d)")
HYPHEN = re.compile(r"(?<![\w.\N{EN DASH}-])-(?=\.?\d)")
PERCENT = re.compile(r"(?<=\d)%")
NUMBER = r"[+\N{MINUS SIGN}]?[\d,]*\.?\d+"
INTERVAL = re.compile(
    rf"({NUMBER})(?: %)? \(({NUMBER})(?: %)? to ({NUMBER})(?: %)?\)".replace(
        " %", "\xa0%"
    )
)
AS_WRITTEN = (
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    addnodes.desc_signature,
)
WIDE = 44
"""Characters in a line of a table on a phone; what is wider becomes cards there."""
WIDTH, HEIGHT = 84, 12
"""Of an interval, in pixels."""


def setup(app) -> dict:
    app.connect(
        "doctree-read", shape_tables, priority=300
    )  # before others look at them
    app.connect("doctree-resolved", write_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def written(text: str) -> str:
    """Text with its numbers as the book writes them."""
    text = HYPHEN.sub("\N{MINUS SIGN}", ZERO.sub(r"\1", text))
    return PERCENT.sub("\xa0%", text)


def write_numbers(app, doctree, docname: str) -> None:
    """Rewrite the numbers in a page's text, captions and glued values."""
    for text in [*doctree.findall(nodes.Text)]:
        parent = text.parent
        while parent is not None and not isinstance(parent, AS_WRITTEN):
            parent = parent.parent
        if parent is None and (new := written(str(text))) != str(text):
            text.parent.replace(text, nodes.Text(new))


def shape_tables(app, doctree) -> None:
    """Give every pandas table of a page the book's form."""
    for raw in doctree.findall(nodes.raw):
        if raw.get("format") == "html" and "<table" in raw.astext():
            soup = BeautifulSoup(raw.astext(), "html.parser")
            for style in soup("style"):
                style.decompose()
            for table in soup("table"):
                if table.find("thead") or table.find("tbody"):
                    table.replace_with(shaped(table))
            raw.children = [nodes.Text(str(soup))]


# ------------------------------------------------------------------------ one table
def shaped(table: Tag) -> BeautifulSoup:
    """A pandas table in the book's form."""
    for text in table.find_all(string=True):
        text.replace_with(NavigableString(written(text)))
    head, body = (grid(table.find(part)) for part in ("thead", "tbody"))
    n_index = sum(cell.name == "th" for cell in body[0])
    n_groups = levels_of_groups(body, n_index)
    labels = column_labels(head, body, n_index)
    shown = [
        j
        for j in range(n_groups, len(body[0]))
        if j < n_index or any(text_of(row[j]) for row in body)
    ]
    columns = {
        j: (labels[j], scale(labels[j], [row[j] for row in body])) for j in shown
    }
    lines = []
    for group, rows in groupby(body, lambda row: [id(cell) for cell in row[:n_groups]]):
        rows = list(rows)
        if group:
            title = ", ".join(filter(None, map(text_of, rows[0][:n_groups])))
            heading = (
                f'<th colspan="{len(shown)}" scope="rowgroup">{escape(title)}</th>'
            )
            lines.append(f'<tr class="group">{heading}</tr>')
        lines += [body_row(row, columns, n_index) for row in rows]
    top = "".join(head_rows(head, columns, n_index))
    classes = "dataframe cards" if is_wide(body, columns) else "dataframe"
    html = f"<thead>{top}</thead><tbody>{''.join(lines)}</tbody>"
    return BeautifulSoup(f'<table class="{classes}">{html}</table>', "html.parser")


def text_of(cell: Tag) -> str:
    return cell.get_text().strip()


def grid(part: Tag | None) -> list[list[Tag]]:
    """The cells of a part of a table by row and column, repeated where they span."""
    rows = part.find_all("tr") if part else []
    places: dict[tuple[int, int], Tag] = {}
    for i, row in enumerate(rows):
        j = 0
        for cell in row.find_all(["th", "td"]):
            while (i, j) in places:
                j += 1
            for down in range(int(cell.get("rowspan", 1))):
                for right in range(int(cell.get("colspan", 1))):
                    places[i + down, j + right] = cell
    n_columns = 1 + max((j for _, j in places), default=-1)
    return [[places[i, j] for j in range(n_columns)] for i in range(len(rows))]


def levels_of_groups(body: list[list[Tag]], n_index: int) -> int:
    """How many leading levels of the index become heading rows: those that repeat."""
    for n in range(n_index - 1, 0, -1):
        runs = groupby(body, lambda row, n=n: [id(cell) for cell in row[:n]])
        if sum(1 for _ in runs) <= len(body) / 2:
            return n
    return 0


def names_index(row: list[Tag], n_index: int) -> bool:
    """Whether a row of headings does nothing but name the index."""
    return n_index > 0 and not any(map(text_of, row[n_index:]))


def column_labels(
    head: list[list[Tag]], body: list[list[Tag]], n_index: int
) -> list[str]:
    """What each column holds, its headings joined."""
    labels = []
    for j in range(len(body[0])):
        rows = [row for row in head if names_index(row, n_index) == (j < n_index)]
        labels.append(
            " ".join(dict.fromkeys(filter(None, (text_of(r[j]) for r in rows))))
        )
    return labels


def head_rows(head: list[list[Tag]], columns: dict, n_index: int) -> list[str]:
    """Lines of headings; the last one names the index as well."""
    lines = []
    kept = [row for row in head if not names_index(row, n_index)]
    kept = [row for row in kept if any(map(text_of, row))]
    for number, row in enumerate(kept, 1):
        cells = []
        for (_, j), run in groupby(
            columns, lambda j, row=row: (id(row[j]), j if j < n_index else -1)
        ):
            places = list(run)
            is_index, is_last = j >= 0, number == len(kept)
            text = columns[j][0] * is_last if is_index else text_of(row[places[0]])
            span = f' colspan="{len(places)}"' if len(places) > 1 else ""
            name = f'th scope="col"{span}' if text else f"td{span}"
            cells.append(f"<{name}>{escape(text)}</{name[:2]}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return lines


def body_row(row: list[Tag], columns: dict, n_index: int) -> str:
    """A row; each cell of it says which column it is in."""
    cells = []
    for j, (label, span) in columns.items():
        content = row[j].decode_contents().strip()
        if j < n_index:
            cells.append(f'<th scope="row">{content}</th>')
            continue
        if found := INTERVAL.fullmatch(text_of(row[j])):
            drawn = picture(ends(found), span) if span else ""
            content = f'<span class="interval">{content}</span> {drawn}'
        cells.append(f'<td data-label="{escape(label)}">{content}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def is_wide(body: list[list[Tag]], columns: dict) -> bool:
    """Whether a table needs more than a phone's width."""
    lengths = [max(len(text_of(row[j])) + 2 for row in body) for j in columns]
    return sum(min(length, 24) for length in lengths) > WIDE


# ------------------------------------------------------------------------- intervals
def ends(found: re.Match) -> tuple[float, float, float]:
    """The value, the low and the high end of an interval."""
    value, low, high = (
        float(part.replace("\N{MINUS SIGN}", "-").replace(",", ""))
        for part in found.groups()
    )
    return value, low, high


def scale(label: str, cells: list[Tag]) -> tuple[float, float] | None:
    """The range of a column of intervals; None where they have no common scale."""
    found = [INTERVAL.fullmatch(text_of(cell)) for cell in cells]
    numbers = [number for match in found if match for number in ends(match)]
    if label.startswith("we find") or len(numbers) < 6 or min(numbers) == max(numbers):
        return None
    signed = any("\N{MINUS SIGN}" in match[0] for match in found if match)
    return min(numbers + [0] * signed), max(numbers + [0] * signed)


def picture(interval: tuple[float, float, float], span: tuple[float, float]) -> str:
    """A dot with its interval, and a line at zero if the scale includes it."""
    least, most = span
    x, low, high, zero = (
        round(4 + (WIDTH - 8) * (number - least) / (most - least), 1)
        for number in (*interval, 0)
    )
    mark = f'<path class="zero" d="M{zero} 0V{HEIGHT}"/>' if least <= 0 <= most else ""
    middle = HEIGHT / 2
    drawn = f'<path d="M{low} {middle}H{high}"/><circle cx="{x}" cy="{middle}" r="3"/>'
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg class="interval" {size} aria-hidden="true">{mark}{drawn}</svg>'
