"""The project agrees with itself: its rooms and their budgets, notebooks and their
pairs, lock and dependencies, data and manifest, papermill."""

import ast
import json
import os
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

import install
import lock
import notebooks

ROOT = Path(__file__).parents[1]
HELPERS = sorted((ROOT / "src" / "helpers").glob("*.py"))
TEXTS = sorted([*(ROOT / "notebooks").glob("*.md"), *(ROOT / "book").glob("*.md")])
TEXTS = [text for text in TEXTS if "{code-cell}" in text.read_text("utf-8")]
SECTIONS = sorted((ROOT / "notebooks").glob("0[1-5]*.md"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
SECOND = ROOT / "notebooks" / "02_representational_geometry.ipynb"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
every_page = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)


def n_lines(source):
    """Lines that hold something."""
    return sum(bool(line.strip()) for line in source.splitlines())


def code_cells(text):
    return [cell for cell in notebooks.read(text).cells if cell.cell_type == "code"]


# ------------------------------------------------------------------------- a thin house
def test_helpers_stay_thin():
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in HELPERS}
    assert len(set(lengths) - {"__init__.py"}) <= 14
    assert max(lengths.values()) <= 350, lengths
    assert sum(lengths.values()) <= 3450, lengths


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.stem)
def test_public_functions_of_helpers_say_what_they_do(path):
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
            assert ast.get_docstring(node), node.name


@every_page
def test_cells_are_short_and_define_nothing(text):
    for cell in code_cells(text):
        assert n_lines(cell.source) <= 15, cell.source
        tree = ast.parse(cell.source)
        defined = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(tree) if isinstance(node, defined)]


@pytest.mark.parametrize("text", SECTIONS, ids=lambda path: path.stem)
def test_half_of_the_code_is_visible_without_a_click(text):
    cells = code_cells(text)
    shown = [c for c in cells if not HIDDEN & set(c.metadata.get("tags", ()))]
    lines = [sum(n_lines(cell.source) for cell in part) for part in (shown, cells)]
    assert lines[0] >= 0.5 * lines[1], f"{lines[0]} of {lines[1]} lines"


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
EXTRAS = "torch torchvision safetensors joblib filelock platformdirs pooch numba dask"
EXTRAS += " IPython sklearn"


def test_helpers_import_what_a_browser_has_and_no_more():
    modules = [path.stem for path in HELPERS if path.stem != "__init__"]
    imports = "\n".join(f"import helpers.{module}" for module in modules)
    subprocess.run([sys.executable, "-c", WITHOUT + imports, EXTRAS], check=True)


@pytest.mark.slow
def test_without_torch_all_tests_run_or_are_skipped_by_its_name():
    options = ["--collect-only", "-q", "-p", "no:cacheprovider"]
    options += ["--ignore=tests/browser", "tests"]  # which has another test_live
    code = f"{WITHOUT}import pytest; sys.exit(pytest.main({options}))"
    command = [sys.executable, "-c", code, "torch torchvision"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    skipped = re.findall(r"(?m)^SKIPPED .*", done.stdout)
    unnamed = [line for line in skipped if "import 'torch" not in line]
    assert len(skipped) > 5 and not unnamed


# ---------------------------------------------------------------------------- notebooks
@every_page
def test_pair_is_in_step_and_executed(text):
    assert notebooks.difference(text) == "", "run `make sync`"


@pytest.mark.parametrize(
    "text", sorted((ROOT / "notebooks").glob("*.md")), ids=lambda path: path.stem
)
def test_every_parameter_says_what_it_does(text):
    parameters = notebooks.parameters_of(text)
    assert parameters, "there is no cell tagged 'parameters'"
    assert not [name for name, about in parameters.items() if not about["help"]]


def test_table_of_contents_and_pages_agree():
    toc = (ROOT / "_toc.yml").read_text("utf-8")
    listed = re.findall(r"(?:root|file): (\S+)", toc)
    folders = ("notebooks", "book")
    pages = [path for folder in folders for path in (ROOT / folder).glob("*.md")]
    assert sorted(listed) == sorted(f"{p.parent.name}/{p.stem}" for p in pages)


def test_every_promise_is_kept_by_tests_that_exist():
    text = (ROOT / "book" / "promises.md").read_text("utf-8")
    promises = re.findall(r"(?m)^(?![:#(]).+\n((?:: .+\n)+)", text)
    kept = [re.findall(r"(?m)^: `(tests/\S+\.py)::(test_\w+)`$", by) for by in promises]
    assert len(promises) > 15 and all(kept)
    assert sum(map(len, kept)) == text.count("\n: ")
    for file, name in (test for tests in kept for test in tests):
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), f"{file}::{name}"


def test_pairs_differ_when_text_changes(tmp_path):
    text = tmp_path / "x.md"
    kernel = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
    text.write_text(f"{kernel}\n```{{code-cell}} ipython3\n1 + 1\n```\n")
    assert "no .ipynb" in notebooks.difference(text)
    notebook = notebooks.read(text)
    notebook.cells[0].execution_count, notebook.cells[0].outputs = 1, []
    nbformat.write(notebook, text.with_suffix(".ipynb"))
    assert notebooks.difference(text) == ""
    text.write_text(text.read_text("utf-8").replace("1 + 1", "1 + 2"))
    assert "differ" in notebooks.difference(text)


# ------------------------------------------------------------------------- dependencies
def test_lock_holds_every_direct_dependency_in_a_version_that_is_asked_for():
    versions = lock.pins(PROJECT, LOCK)
    extras = PROJECT["optional-dependencies"].values()
    for requirement in map(Requirement, sum(extras, PROJECT["dependencies"])):
        assert versions[requirement.name.lower()] in requirement.specifier, requirement


def test_lock_has_hashes_and_neither_addresses_nor_torch():
    assert not re.search(
        r"://|^-|--(index|find|extra)|^torch|^nvidia|^cuda", LOCK, flags=re.MULTILINE
    )
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)


def test_uv_is_verified_by_hash():
    text = (ROOT / install.UV).read_text("utf-8")
    assert list(lock.locked(text)) == ["uv"] and text.count("--hash=sha256:") > 10
    assert (ROOT / "scripts" / "uv.in").read_text().strip() == text.split(" ")[0]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_of_a_workflow_are_pinned_by_commit(path):
    used = re.findall(r"uses: (\S+)", path.read_text("utf-8"))
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name) for name in used)


def test_publishing_waits_for_the_address_and_for_the_tests():
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    assert jobs["book"]["if"] == "needs.where.outputs.address != ''"
    assert {jobs[name]["needs"] for name in ("pages", "release")} == {"book"}
    assert any(step.get("run") == "bash .ci/run" for step in jobs["book"]["steps"])
    read = jobs["where"]["steps"][-1]["run"].split(" CITATION")[0]
    said = {
        "title: x": "",
        "# url: https://a": "",
        "url: https://a/": "address=https://a/",
    }
    for line, address in said.items():
        run = subprocess.run(
            read, shell=True, input=line, capture_output=True, text=True
        )
        assert run.stdout.strip() == address


def test_conda_environment_pins_the_same_versions():
    assert (ROOT / "environment.yml").read_text() == lock.environment(PROJECT, LOCK), (
        "run `make lock`"
    )


def test_lock_rules_name_the_torch_of_the_project():
    rules = tomllib.loads((ROOT / "scripts" / "lock.toml").read_text())
    pins = lock.pins(PROJECT, LOCK)
    for rule in rules["dependency-metadata"]:
        assert rule["version"] == pins[rule["name"]]


def test_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["preferred-citation"]["doi"] == "10.32470/CCN.2023.1505-0"


def test_oldest_python_is_the_same_everywhere():
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(
        ">=" + ".".join(map(str, install.OLDEST))
    )


def test_binder_installs_the_lock_and_then_the_project():
    folder = ROOT / "binder"
    oldest = ".".join(map(str, install.OLDEST))
    assert (folder / "runtime.txt").read_text().strip() == f"python-{oldest}"
    lines = (folder / "requirements.txt").read_text("utf-8").splitlines()
    files = [line[3:] for line in lines if line.startswith("-r ")]
    assert [(folder / file).resolve() for file in files] == [ROOT / "requirements.lock"]
    script = (folder / "postBuild").read_text("utf-8")
    extras = re.search(r'"\.\[(.+)\]"', script)[1].split(",")
    assert set(extras) <= PROJECT["optional-dependencies"].keys()
    assert os.access(folder / "postBuild", os.X_OK)


def test_neurolibre_finds_the_book_where_it_looks():
    names = ["_config.yml", "_toc.yml", "book", "notebooks"]
    links = sorted((ROOT / "content").iterdir())
    assert [link.name for link in links] == names
    assert [link.resolve() for link in links] == [ROOT / name for name in names]


# ----------------------------------------------------------------------- data and files
def tracked():
    """The files of the project as git sees them, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_manifest_covers_every_data_file():
    listed = json.loads((ROOT / "data" / "manifest.json").read_text())
    files = {path.name for path in (ROOT / "data").iterdir() if path.is_file()}
    assert files == {"manifest.json", *(entry["file"] for entry in listed)}


def test_no_file_names_a_folder_of_somebodys_machine():
    folders = re.compile(rb"/(?:home|Users|root|tmp|work|opt)/[\w.]|[A-Z]:\\\\Users")
    binary = {".npz", ".safetensors", ".webp", ".png"}
    texts = {path for path in tracked() if path.suffix not in binary} - {Path(__file__)}
    assert not [path for path in texts if folders.search(path.read_bytes())]


# ---------------------------------------------------------------------------- papermill
SMALL = {"dataset": "mnist", "n_models": 2, "n_images": 60}


@pytest.mark.slow
def test_papermill_from_another_folder(tmp_path):
    papermill.execute_notebook(
        SECOND, tmp_path / "out.ipynb", SMALL, cwd=tmp_path, progress_bar=False
    )
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert all(c.execution_count for c in done.cells if c.cell_type == "code")


@pytest.mark.slow
def test_a_wrong_parameter_stops_papermill_before_anything_is_computed(tmp_path):
    out = tmp_path / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="datset.*dataset"):
        papermill.execute_notebook(SECOND, out, {"datset": 1}, progress_bar=False)
    cells = nbformat.read(out, as_version=4).cells
    executed = [cell for cell in cells if cell.get("execution_count")]
    assert len(executed) <= 3, "the defaults, the given values and the check"
