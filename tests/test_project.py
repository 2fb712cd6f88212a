"""The project agrees with itself: notebooks and their pairs, lock and dependencies, data and manifest, papermill."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import lock
import sync
from notebook_text import parameters_of, read

ROOT = Path(__file__).parents[1]
TEXTS = sorted((ROOT / "notebooks").glob("*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
SECOND = ROOT / "notebooks" / "02_representational_geometry.ipynb"
every_notebook = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)


# ------------------------------------------------------------------------------------------------------------ notebooks
@every_notebook
def test_pair_is_in_step_and_executed(text):
    assert sync.difference(text) == "", "run `make sync`"


@every_notebook
def test_stored_outputs_hold_no_error_and_no_stderr(text):
    for cell in nbformat.read(text.with_suffix(".ipynb"), as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", output.ename
            assert output.get("name") != "stderr", output.text


@every_notebook
def test_every_parameter_says_what_it_does(text):
    parameters = parameters_of(text)
    assert parameters, "there is no cell tagged 'parameters'"
    assert not [name for name, about in parameters.items() if not about["help"]]


@every_notebook
def test_every_figure_has_alt_text_in_its_source(text):
    for cell in read(text).cells:
        if "axes" in cell.source and "figure" in cell.metadata.get("mystnb", {}):
            assert cell.metadata["mystnb"]["image"]["alt"]


def test_table_of_contents_and_notebooks_agree():
    listed = re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text())
    assert all((ROOT / f"{name}.md").exists() for name in listed)
    written = {f"{folder}/{path.stem}" for folder in ("notebooks", "book") for path in (ROOT / folder).glob("*.md")}
    assert written == set(listed)


def test_pairs_differ_when_text_changes(tmp_path):
    text = tmp_path / "x.md"
    text.write_text(
        "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n```{code-cell} ipython3\n1 + 1\n```\n"
    )
    assert "no .ipynb" in sync.difference(text)
    notebook = read(text)
    notebook.cells[0].execution_count, notebook.cells[0].outputs = 1, []
    nbformat.write(notebook, text.with_suffix(".ipynb"))
    assert sync.difference(text) == ""
    text.write_text(text.read_text().replace("1 + 1", "1 + 2"))
    assert "differ" in sync.difference(text)


# --------------------------------------------------------------------------------------------------------- dependencies
def test_lock_holds_every_direct_dependency_in_a_version_that_is_asked_for():
    versions = lock.pins(PROJECT, LOCK)
    wanted = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, wanted):
        assert versions[requirement.name.lower()] in requirement.specifier, requirement


def test_lock_has_hashes_and_neither_addresses_nor_torch():
    assert not re.search(r"://|^-|--(index|find|extra)|^torch|^nvidia|^cuda", LOCK, flags=re.MULTILINE)
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)


def test_conda_environment_pins_the_same_versions():
    assert (ROOT / "environment.yml").read_text() == lock.environment(PROJECT, LOCK), "run `make lock`"


def test_lock_rules_name_the_torch_of_the_project():
    rules = tomllib.loads((ROOT / "scripts" / "lock.toml").read_text())["dependency-metadata"]
    assert {rule["name"]: rule["version"] for rule in rules} == {
        name: version for name, version in lock.pins(PROJECT, LOCK).items() if name.startswith("torch")
    }


def test_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["preferred-citation"]["doi"] == "10.32470/CCN.2023.1505-0"


def test_boxes_to_copy_say_what_the_citation_file_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = " ".join((ROOT / "book" / "references.md").read_text().split())
    paper = citation["preferred-citation"]
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    pages = f"{paper['start']}--{paper['end']}"
    for said in (paper["title"], authors, paper["doi"], pages, citation["title"], citation["version"]):
        assert said in text
    assert f"{{{{{citation['authors'][0]['name']}}}}}" in text


def test_oldest_python_is_the_same_everywhere():
    import install

    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(">=" + ".".join(map(str, install.OLDEST)))


# ------------------------------------------------------------------------------------------------------- data and files
def tracked():
    """The files of the project, as git sees them (new ones included), or all of them outside a clone."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_manifest_covers_every_data_file():
    entries = {entry["file"]: entry for entry in json.loads((ROOT / "data" / "manifest.json").read_text())}
    files = {path.name for path in (ROOT / "data").iterdir() if path.is_file()} - {"manifest.json"}
    assert files == set(entries)
    for name, entry in entries.items():
        assert hashlib.sha256((ROOT / "data" / name).read_bytes()).hexdigest() == entry["sha256"], name
        assert all(entry.get(key) for key in ("source", "licence", "command", "arrays")), name


def test_no_file_names_a_folder_of_somebodys_machine():
    folders = re.compile(rb"/(?:home|Users|root|tmp|work|opt)/[\w.]|[A-Z]:\\\\Users")
    texts = [path for path in tracked() if path.suffix not in {".npz", ".safetensors", ".webp", ".png"}]
    assert not [path for path in texts if path != Path(__file__) and folders.search(path.read_bytes())]


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "safetensors", "joblib", "filelock", "platformdirs"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("module", ["sparsity", "rsa", "inference", "figures", "claims", "provenance", "parameters"])
def test_numerical_core_works_without_torch(module):
    if not (ROOT / "src" / "helpers" / f"{module}.py").exists():
        pytest.skip("not written yet")
    subprocess.run([sys.executable, "-c", f"{WITHOUT_TORCH}\nimport helpers.{module}"], check=True)


# ------------------------------------------------------------------------------------------------------------ papermill
SMALL = {"dataset": "mnist", "n_models": 2, "n_images": 60}


def run_elsewhere(folder, **parameters):
    """Run notebook 02 from ``folder`` with papermill's Python interface."""
    return papermill.execute_notebook(SECOND, folder / "out.ipynb", parameters, cwd=folder, progress_bar=False)


@pytest.mark.slow
def test_papermill_from_another_folder(tmp_path):
    command = [sys.executable, "-m", "papermill", str(SECOND), "out.ipynb", "--no-progress-bar"]
    options = [part for name, value in SMALL.items() for part in ("-p", name, str(value))]
    subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert all(cell.execution_count for cell in done.cells if cell.cell_type == "code")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"datset": "mnist"}, ["datset", "dataset"]),
        ({"n_models": "ten"}, ["n_models", "ten"]),
        ({"n_models": 0}, ["n_models", "0"]),
        ({"dataset": "imagenet"}, ["dataset", "imagenet"]),
    ],
    ids=["misspelt", "wrong type", "out of range", "unknown value"],
)
def test_wrong_parameters_stop_before_anything_is_computed(wrong, words, tmp_path):
    with pytest.raises(papermill.PapermillExecutionError) as error:
        run_elsewhere(tmp_path, **wrong)
    assert all(word in str(error.value.evalue) for word in words)
    executed = [
        cell for cell in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells if cell.get("execution_count")
    ]
    assert len(executed) <= 3, "the defaults, the given values and the check"


def test_book_refuses_unknown_notebooks_and_parameters():
    from build_book import checked

    assert checked({SECOND.stem: {"n_models": 3}})
    for wrong in ({"no_such": {}}, {SECOND.stem: {"n_modls": 3}}, {SECOND.stem: 3}):
        with pytest.raises(SystemExit, match="no_such|n_modls|mapping"):
            checked(wrong)


def test_parameters_are_injected_after_the_defaults():
    from notebook_text import injected

    text = injected(SECOND.with_suffix(".md"), {"n_models": 3})
    assert text.index("[parameters") < text.index("injected-parameters") < text.index("n_models = 3")
    assert text.index("n_models = 3") < text.index("parameters.check(")
