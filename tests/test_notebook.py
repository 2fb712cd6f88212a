import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from helpers import claims, notebook, provenance


def test_glue_stores_rounded_floats_and_leaves_counts_whole(monkeypatch):
    stored = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: stored.update({name: (value, display)}))
    notebook.glue({"r2": 1 / 3}, n=120)
    assert stored == {"r2": (0.333333, False), "n": (120, False)}


def test_glue_keeps_nan_as_nan(monkeypatch):
    stored = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: stored.update({name: value}))
    notebook.glue(missing=float("nan"))
    assert np.isnan(stored["missing"])


def test_glue_does_nothing_where_there_is_no_book(monkeypatch):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    notebook.glue(r2=0.5)


FOUND = {"a": claims.Finding(0.25, 0.125, 0.5), "none": claims.exact(np.nan)}


def test_findings_are_read_from_the_executed_notebook(tmp_path, monkeypatch):
    def record(name, text):
        return {"metadata": {"scrapbook": {"name": name}}, "data": {"application/papermill.record/text/plain": text}}

    first = {"outputs": [record("r2", "0.25"), {"output_type": "stream"}]}
    second = {"outputs": [record("findings", [repr(claims.to_json(FOUND))]), record("missing", "nan")]}
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_x.ipynb").write_text(json.dumps({"cells": [first, {}, second]}))
    monkeypatch.delenv("BOOK_VALUES", raising=False)
    monkeypatch.setattr(notebook.datasets, "data_folder", lambda: tmp_path / "data")
    read = notebook.findings("01_x")
    assert read["a"] == FOUND["a"] and np.isnan(read["none"].value)
    with pytest.raises(FileNotFoundError, match="02_y has not been executed"):
        notebook.findings("02_y")


def test_while_the_book_is_built_findings_are_those_of_that_build(tmp_path, monkeypatch):
    monkeypatch.setattr("myst_nb.glue", lambda *_, **__: None)
    monkeypatch.setenv("BOOK_VALUES", str(tmp_path / "values"))
    notebook.keep_findings("01_introduction", FOUND)
    assert notebook.findings("01_introduction")["a"] == FOUND["a"]
    with pytest.raises(FileNotFoundError, match="02_y"):
        notebook.findings("02_y")


def test_tables_are_written_only_while_the_book_is_built(tmp_path, monkeypatch):
    table = pd.DataFrame({"set": ["fruits"], "R2": [1 / 3]})
    monkeypatch.delenv("BOOK_VALUES", raising=False)
    notebook.download("nothing", table)
    monkeypatch.setenv("BOOK_VALUES", str(tmp_path / "values"))
    notebook.download("rows", table)
    assert sorted(path.name for path in (tmp_path / "values").iterdir()) == ["rows.csv", "rows.json"]
    assert pd.read_csv(tmp_path / "values" / "rows.csv")["R2"].item() == 0.333333
    assert json.loads((tmp_path / "values" / "rows.json").read_text()) == [{"set": "fruits", "R2": 0.333333}]


def test_footer_names_versions_machine_time_and_what_it_is_given(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    notebook.footer(random_numbers="seed 0")
    text = shown[0].data
    assert f"numpy {np.__version__}" in text and "**random numbers:** seed 0" in text
    assert re.search(r"\*\*time:\*\* \d+ s", text) and "Python 3" in text


def test_sha256_depends_on_values_not_on_memory_layout(rng):
    x = rng.normal(size=(4, 5))
    assert provenance.sha256(np.asfortranarray(x)) == provenance.sha256(x)
    assert provenance.sha256(x + 1) != provenance.sha256(x)


def test_versions_leave_out_what_is_not_installed():
    assert provenance.versions("numpy", "no-such-package") == {"numpy": np.__version__}
