"""Parameters, records in a page's outputs, and the provenance footer."""

import json
import re
import types
from dataclasses import astuple

import nbformat
import numpy as np
import pandas as pd
import pytest

from helpers import claims, notebook
from helpers.notebook import check_parameters

RULES = {
    "dataset": ["mnist", "cifar10"],
    "n_models": (1, 50),
    "level": (0.0, 1.0),
    "train": bool,
    "scheduler": re.compile(r"local|tcp://\S+:\d+"),
}
VALID = {
    "dataset": "mnist",
    "n_models": 10,
    "level": 0.5,
    "train": False,
    "scheduler": "tcp://host:1",
}


# ---------------------------------------------------------------------- parameters
def test_valid_parameters_pass_among_what_a_notebook_defines():
    cells, outputs = [], {}
    shell = {"In": cells, "_ih": cells, "Out": outputs, "_oh": outputs, "exit": print}
    shell |= {"_": 1, "_i1": "x", "__name__": "x", "open": open}
    imported = {"np": types.ModuleType("np"), "check_parameters": check_parameters}
    check_parameters(VALID | shell | imported, **RULES)


def test_bounds_are_included_and_a_whole_number_is_a_number():
    check_parameters(VALID | {"level": 1, "n_models": 50}, **RULES)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"datset": "mnist"}, NameError, "'datset'; did you mean 'dataset'"),
        ({"zzz": 1}, NameError, "'zzz'; known: dataset, n_models"),
        ({"_n_models": 5}, NameError, "'_n_models'; did you mean 'n_models'"),
        ({"open": 5}, NameError, "unknown parameter 'open'"),
        ({"In": [1], "_ih": []}, NameError, "unknown parameter 'In'"),
        ({"parameters": 5}, NameError, "unknown parameter 'parameters'"),
        ({"n_models": "10"}, ValueError, "n_models must be a whole number .* got '10'"),
        ({"n_models": 2.0}, ValueError, "whole number from 1 to 50; got 2.0"),
        ({"n_models": True}, ValueError, "whole number from 1 to 50; got True"),
        ({"n_models": 0}, ValueError, "whole number from 1 to 50; got 0"),
        ({"level": float("nan")}, ValueError, "level must be a number from 0.0 to 1.0"),
        ({"level": None}, ValueError, "level must be a number"),
        ({"train": 1}, ValueError, "train must be true or false; got 1"),
        ({"dataset": "MNIST"}, ValueError, "one of 'mnist', 'cifar10'; got 'MNIST'"),
        (
            {"scheduler": "http://a:1"},
            ValueError,
            "scheduler must be text that matches",
        ),
        ({"scheduler": 3}, ValueError, "scheduler must be text that matches"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(change, error, message):
    with pytest.raises(error, match=message):
        check_parameters(VALID | change, **RULES)


def test_a_missing_parameter_is_named():
    given = {name: value for name, value in VALID.items() if name != "level"}
    with pytest.raises(NameError, match="'level' is missing"):
        check_parameters(given, **RULES)


# ------------------------------------------------------------------------- records
@pytest.fixture
def published(monkeypatch):
    """What a page hands on, as the outputs of a notebook with one cell."""
    outputs = []

    def publish(content, metadata):
        outputs.append({"data": content, "metadata": metadata})

    monkeypatch.setattr("IPython.display.publish_display_data", publish)
    return {"cells": [{"cell_type": "markdown"}, {"outputs": outputs}]}


def texts(published):
    recorded = notebook.records(published)
    return {name: mime["text/plain"] for name, mime in recorded.items()}


def test_glue_rounds_floats_and_keeps_counts_whole(published):
    notebook.glue({"r2": 1 / 3, "name": "fruits"}, n=np.int64(120), undefined=np.nan)
    assert texts(published) == {
        "r2": "0.333333",
        "name": "'fruits'",
        "n": "120",
        "undefined": "nan",
    }


def test_glue_flattens_a_frame_to_row_and_column(published):
    index = pd.MultiIndex.from_tuples([("mnist", "class means")])
    notebook.glue(pd.DataFrame({"lowest 80%": [0.5]}, index))
    notebook.glue(pd.Series({"a-b": 2}))
    assert texts(published) == {"mnist_class_means_lowest_80_": "0.5", "a_b": "2"}


def test_myst_nb_reads_the_records_and_leaves_nothing_to_display(published):
    from myst_nb.ext.glue import extract_glue_data_cell

    notebook.glue(r2=1 / 3)
    cell = nbformat.from_dict(published["cells"][1])
    ((name, output),) = extract_glue_data_cell(cell)
    assert (name, output["data"]) == ("r2", {"text/plain": "0.333333"})
    assert cell.outputs == []


FOUND = {
    "without_ab": claims.Finding(-0.0625, -0.25, np.inf, chance=0.5),
    "none": claims.exact(np.nan),
}


def test_findings_travel_to_other_pages_and_into_the_prose(
    published, tmp_path, monkeypatch
):
    notebook.publish(FOUND)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "01_x.ipynb").write_text(json.dumps(published))
    received = notebook.findings("01_x")
    for key, finding in FOUND.items():
        np.testing.assert_equal(astuple(received[key]), astuple(finding))
    glued = texts(published)
    assert glued["without_ab"] == "-0.0625" and glued["without_ab_low"] == "-0.25"
    assert glued["without_ab_chance"] == "0.5"
    assert glued["paper_without_ab"] == "-0.06"
    assert glued["rows_C1"] == "'1 open, 5 not run'"


def test_a_page_that_was_not_executed_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="02_y has not been executed"):
        notebook.findings("02_y")


def test_the_values_of_a_figure_are_a_csv_of_five_digits(published):
    notebook.download("fig-x", pd.DataFrame({"set": ["fruits"], "R2": [1 / 3]}))
    recorded = notebook.records(published)
    assert recorded == {"fig-x.csv": {"text/csv": "set,R2\nfruits,0.33333\n"}}


def test_without_ipython_nothing_is_recorded(monkeypatch):
    monkeypatch.delattr("IPython.display.publish_display_data")
    notebook.glue(r2=0.5)


# ---------------------------------------------------------------------- provenance
def test_footer_names_data_versions_machine_time_and_what_it_is_given(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    notebook.footer(files=("objects92",), random_numbers="seed 0")
    text = shown[0].data
    assert f"numpy {np.__version__}" in text and "**random numbers:** seed 0" in text
    assert re.search(r"\*\*time:\*\* \d+ s", text) and "Python 3" in text
    assert re.search(r"`objects92\.npz` [0-9a-f]{12}", text) and "mnist" not in text
