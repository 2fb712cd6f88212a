"""A walk through the parameters: each page finishes, without a warning, for every value
that it accepts, at its smallest sizes; with WALK=pairs, for each pair of values."""

import ast
import os
import re
import warnings
from itertools import combinations, product
from unittest import mock

import matplotlib.pyplot as plt
import pytest

import notebooks
from helpers import notebook

pytestmark = pytest.mark.slow
TOGETHER = 2 if os.environ.get("WALK") == "pairs" else 1
PAGES = sorted((notebooks.ROOT / "notebooks").glob("*.md"))
ELSEWHERE = {
    "data": "full data are downloaded: test_pipeline_datasets.py",
    "device": "needs a GPU; without one it is refused: test_training.py",
}


def cells(path, values=None):
    """The code cells of a page."""
    read = notebooks.read(path, values).cells
    return [cell.source for cell in read if cell.cell_type == "code"]


def rules(path):
    """What a page's `check_parameters` was told, and the default values."""
    told, namespace = {}, {}
    code = cells(path)
    check = next(n for n, source in enumerate(code) if "check_parameters(" in source)
    with mock.patch.object(
        notebook, "check_parameters", lambda defaults, **given: told.update(given)
    ):
        exec("\n".join(code[: check + 1]), namespace)
    return told, namespace


def choices(rule, default):
    """Every value where they are listed; the smallest of a range."""
    if rule is bool:
        return [False, True]
    if isinstance(rule, list):
        return rule
    return [default] if isinstance(rule, re.Pattern) else [rule[0]]


def walk(path):
    """Settings of a page in which each of its values occurs, or each pair of them."""
    told, defaults = rules(path)
    values = {
        name: [defaults[name]] if name in ELSEWHERE else choices(rule, defaults[name])
        for name, rule in told.items()
    }
    left = [dict(zip(values, some, strict=True)) for some in product(*values.values())]
    met = set()
    while left:
        best = max(left, key=lambda one: len(parts(one) - met))
        if parts(best) <= met:
            return
        met |= parts(best)
        left.remove(best)
        yield best


def parts(settings):
    return set(combinations(settings.items(), TOGETHER))


def shown(settings, told):
    """A name for a test: what is not the only choice."""
    kept = (str(v) for k, v in settings.items() if not isinstance(told[k], tuple))
    return "-".join(kept) or "smallest"


def steps():
    for path in PAGES:
        told, _ = rules(path)
        for settings in walk(path):
            name = f"{path.stem[:2]}-{shown(settings, told)}"
            yield pytest.param(path, settings, id=name)


def run(source, namespace):
    """Execute a cell, and show its last value as a kernel would."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), namespace)
    if last:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
        getattr(value, "_repr_html_", lambda: None)()


@pytest.mark.parametrize(("path", "settings"), list(steps()))
def test_a_page_finishes(path, settings, monkeypatch, capsys):
    monkeypatch.chdir(path.parent)
    namespace = {}
    with warnings.catch_warnings():
        for kind in (UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("error", kind)
        for source in cells(path, settings):
            run(source, namespace)
            plt.close("all")
    assert capsys.readouterr().err == ""
