"""No typed result in prose: a number that a reader sees comes through glue."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "notebooks").glob("*.md"), *(ROOT / "book").glob("*.md")])

NAMES = re.compile(
    # data, networks, the level of every interval
    r"CIFAR-10|92 objects|LeNet-?5|VGG-?1[69]|ResNet-(?:18|34)"
    r"|float(?:16|32|64)|sha256|fc[67]|C[1-9]|R2"
    r"|95 % (?:interval|band)"
    # settings: which nodes are kept or dropped, never how many turned out to be so
    r"|(?:[Tt]he|lowest|highest|rarest) (?:5|10|20|30|80) % of (?:the|its) "
    r"(?:live )?(?:nodes|features)"
    r"|(?:lowest|highest|rarest|random|-PoZ|-SD) (?:5|20|30|80) %"
    r"|PoZ (?:>|exceeds|above|of more than|of at least|up to) (?:80|90|95) %"
    r"|for more than 80 % of the images"
    # what a test or an interval promises, never what it turns out to do
    r"|nominal (?:5|95) %"
    # parts of the paper
    r"|(?:Fig\.|Figure|Figs\.)\s*\d[a-d]?(?:-[a-d])?|(?:Section|Table|Equation)\s+\d"
    # licences, versions, years
    r"|CC BY(?:-[A-Z]+)* \d\.\d|Python 3\.\d+|\b(?:19|20)\d\d\b"
)
NOT_PROSE = [
    r"(?s)\A---\n.*?\n---\n",  # front matter
    r"(?ms)^(`{3,}|~{3,})\{(?:code-cell|math|bibliography|code-block|figure|image)"
    r".*?^\1\s*$",
    r"(?ms)^(`{3,}|~{3,})(?!\{).*?^\1\s*$",  # plain code blocks
    r"(?m)^(?:`{3,}|~{3,}|:{3,}).*$",  # fences around prose
    r"(?m)^:[\w-]+:.*$",  # their options
    r"(?s)\$\$.*?\$\$|(?<!\\)\$[^$]+\$",  # equations
    r"\{[\w:.+-]+\}`[^`]*`",  # roles: glue, citations, references
    r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)",  # code
    r"<https?://[^>]*>|https?://\S+|\]\([^)]*\)",  # addresses
    r"(?m)^<\w+ [^>]*>",  # attributes of HTML
    r"(?m)^\(\S+\)=$|\{#[^}]*\}|<!--.*?-->",  # labels and comments
]
TYPED = re.compile(
    r"(?<![\w.])[-+−]?(?:\d+[.,]\d+|\.\d+|\d{2,})(?:\s*%)?"
    r"|(?<![\w.])\d+\s*(?:%|percent|per cent)"
)


def typed_numbers(text):
    """(line, number) of each decimal, percentage and number of two or more digits."""
    for pattern in [*NOT_PROSE, NAMES.pattern]:
        text = re.sub(pattern, lambda found: "\n" * found[0].count("\n") or " ", text)
    found = TYPED.finditer(text)
    return [(text[: number.start()].count("\n") + 1, number[0]) for number in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_number_is_typed_into(page):
    found = typed_numbers(page.read_text())
    assert not found, "these numbers should come through glue: " + ", ".join(
        f"line {n}: {word}" for n, word in found
    )


VERDICT = (
    r"(?:reproduced|replicated|undecided|undetermined|not tested|(?:holds|fails)\b)"
)
"""What a sentence may not say of a claim, unless it is glued."""


def typed_verdicts(text):
    """Claims that are followed, within their clause, by a verdict."""
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " ", text)
    return re.findall(rf"\bC[1-9]\b[^.;:\n]*?\b{VERDICT}", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_verdict_is_typed_into(page):
    assert not typed_verdicts(page.read_text()), "verdicts come through glue"


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("C3 is reproduced.", 1),
        ("C2, the share of nodes, is undetermined, and C7 holds.", 2),
        ("C3 is {glue:text}`verdict_C3`. A row holds when it lies within.", 0),
        ("C4 has six rows; one is open.", 0),
    ],
)
def test_a_typed_verdict_is_found(text, n):
    assert len(typed_verdicts(text)) == n


def test_there_is_something_to_read():
    assert len(PAGES) >= 3


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("The correlation is 0.62 between A and B.", "0.62"),
        ("About 40 % of the nodes are silent.", "40 %"),
        ("Some 5% remain.", "5%"),
        ("We find that 20 % of the nodes fire least.", "20 %"),
        ("Of the random sets, 5 % had more.", "5 %"),
        ("The test raises false alarms in 5 % of the studies.", "5 %"),
        ("It took 7 per cent.", "7 per cent"),
        ("We trained 50 models.", "50"),
        ("The value falls to -0.94.", "-0.94"),
        ("It was .442 in that figure.", ".442"),
        ("There were 10,000 images.", "10,000"),
        ("| animals | 0.328 |", "0.328"),
        ("*R²* = **0.997**", "0.997"),
        ("(0.5)", "0.5"),
        (":::{note}\nIt is 0.5 here.\n:::", "0.5"),
        ("````{admonition} A title\n:class: tip\n99 of them\n````", "99"),
        (
            "```{code-cell}\nx = 2.5\n```\n\nNow 1.5.\n\n```{code-cell}\ny = 2.5\n```",
            "1.5",
        ),
        ("`code` then 12 then `code`", "12"),
        ("The year 1850 nodes", "1850"),
    ],
)
def test_a_typed_number_is_found(sentence, number):
    assert [found for _, found in typed_numbers(sentence)] == [number]


@pytest.mark.parametrize(
    "sentence",
    [
        "Three of 6 nodes, and node 5 of the 2 sets.",
        "CIFAR-10 and MNIST, LeNet-5, VGG-19, Fig. 1a-c and C2 of 2023.",
        "It is {glue:text}`full_ab:.2f` in {numref}`fig-10` {cite:p}`hu2016network`.",
        "A cell: `x = 0.62` and ``y = 12``.",
        "```{code-cell} ipython3\n:tags: [hide-input]\nx = 0.62\n```",
        "```python\nx = 0.62\n```",
        "$$\nr = 0.62\n$$ {#eq-10}",
        "In line $n = 120$ too.",
        "---\nformat_version: 0.13\n---\nText.",
        "A [page](https://example.org/12/0.5) and <https://example.org/44>.",
        "Python 3.11, CC BY 4.0, sha256, float64.",
        "The 20 % of the nodes that fire least; nodes with a PoZ above 90 %.",
        "A random 80 %, the highest-PoZ 20 %, the rarest 20 % of the live nodes.",
        "The nominal 5 % of false alarms.",
    ],
)
def test_names_code_and_references_are_no_typed_numbers(sentence):
    assert typed_numbers(sentence) == []


def test_the_line_is_named():
    assert typed_numbers("---\na: 1\n---\n\nfine\n\nnow 0.5\n") == [(7, "0.5")]
