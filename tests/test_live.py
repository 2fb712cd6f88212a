"""Live cells without a browser: how a cell runs, what is fetched and verified, what
pages and the folder ``live/`` get, and how they are served."""

import base64
import gzip
import hashlib
import io
import json
import os
import re
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import psutil
import pytest
from myst_nb.core.variables import format_plain_text
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import browser
import live
import live_bytecode
import live_fetch
import live_runner
import notebooks
import serve

SECTIONS = sorted((notebooks.ROOT / "notebooks").glob("*.md"))
every_section = pytest.mark.parametrize("text", SECTIONS, ids=lambda path: path.stem)


# ---------------------------------------------------------------------------- cells
class Page:
    """A page's namespace, and what its cells have sent."""

    def __init__(self):
        self.sent = []
        self.names = live_runner.namespace(self.send)

    def send(self, kind, data, width):
        self.sent.append((kind, data, width))

    def run(self, source):
        self.sent.clear()
        return live_runner.run(source, "<cell 1>", self.names, self.send)

    def text(self, kind="text"):
        return "".join(data for k, data, _ in self.sent if k == kind)


@pytest.fixture
def page():
    return Page()


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("print('x')\nx + 1", "x\n21\n"),
        ("x + 1;", ""),
        ("None", ""),
        ("display(1, x)", "1\n20\n"),
        ("import pandas as pd\npd.DataFrame", "<class 'pandas.DataFrame'>\n"),
    ],
)
def test_cells_share_their_names_and_the_last_value_is_shown(source, printed, page):
    assert page.run("x = 20") == "" and page.sent == []
    assert page.run(source) == "" and page.text() == printed


def test_an_error_shows_the_line_of_the_cell_and_leaves_the_page_alive(page):
    assert page.run("x = 1\ny = x / 0") == "ZeroDivisionError"
    trace = page.text("error")
    assert "y = x / 0" in trace and '"<cell 1>", line 2' in trace
    assert "live_runner" not in trace
    assert page.run("print(x)") == "" and page.text() == "1\n"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("x = (", "SyntaxError"),
        ("import sys\nsys.exit()", "SystemExit"),
        ("import no_such", "ModuleNotFoundError"),
    ],
)
def test_whatever_ends_a_cell_is_named(source, name, page):
    assert page.run(source) == name
    assert name in page.text("error")


def test_tables_come_as_html(page):
    page.run("import pandas as pd\npd.DataFrame({'a': [3]})")
    ((kind, html, _),) = page.sent
    assert kind == "html" and "<table" in html


def test_figures_come_at_twice_their_width_and_are_closed(page):
    plt = "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt"
    page.run(plt)
    page.run("plt.figure(figsize=(3, 2), dpi=50)\nplt.plot([1, 2])\nprint(1);")
    (kind, text, _), (png, picture, width) = page.sent
    assert (kind, text, png) == ("text", "1\n", "png")
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert abs(image.width - 2 * width) <= 1
    page.run("print(plt.get_fignums())")
    assert page.text() == "[]\n"


def test_endless_printing_is_cut_off(page):
    limit = live_runner.MAX_CHARACTERS
    page.run(f"for _ in range(100): print('x' * {limit // 50})")
    assert limit <= len(page.text()) < limit + 100
    assert page.text().endswith("(the rest is not shown)\n")


def test_ipython_display_has_a_stand_in(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    live_runner.stand_in_for_ipython(page.send)
    page.run("from IPython.display import HTML, Markdown, display")
    page.run("display(HTML('<b>x</b>'))\nMarkdown('**a** `b`')")
    assert page.text("html") == "<b>x</b>" and page.text() == "a b\n"


# ------------------------------------------------------------------------- fetching
CONTENTS = {"a.mjs": b"one", "b.whl": b"two"}


def wheel_of(folder, contents, inside="pkg/"):
    path = folder / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(inside + name, content)
    return path


def sha256(content):
    return hashlib.sha256(content).hexdigest()


PINS = {
    "package": "pkg==1",
    "inside": "pkg/",
    "files": {name: sha256(content) for name, content in CONTENTS.items()},
}


def test_files_are_taken_once_and_damage_in_the_cache_is_repaired(
    tmp_path, monkeypatch
):
    wheel = wheel_of(tmp_path, CONTENTS | {"other.txt": b"not wanted"})
    folder = live_fetch.fetch(PINS, tmp_path / "cache", wheel)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    downloads = []
    monkeypatch.setattr(live_fetch, "download", lambda *a: downloads.append(a) or wheel)
    assert live_fetch.fetch(PINS, tmp_path / "cache") == folder and not downloads
    (folder / "a.mjs").write_bytes(b"tampered")
    assert live_fetch.wrong(folder, PINS["files"]) == ["a.mjs"]
    live_fetch.fetch(PINS, tmp_path / "cache")
    assert (folder / "a.mjs").read_bytes() == b"one" and len(downloads) == 1


@pytest.mark.parametrize("changed", [{"b.whl": b"tampered"}, {}])
def test_a_changed_or_missing_file_is_refused_and_nothing_is_kept(changed, tmp_path):
    wheel = wheel_of(tmp_path, {"a.mjs": b"one"} | changed)
    with pytest.raises(live_fetch.Unavailable, match="b.whl"):
        live_fetch.fetch(PINS, tmp_path / "cache", wheel)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(live_fetch.Unavailable, match=r"pkg==1, .*Connect to the"):
        live_fetch.fetch(PINS, tmp_path / "cache")


def test_the_pinned_files_are_those_that_the_page_loads():
    pins = live_fetch.pinned()
    assert (pins["package"], pins["inside"]) == (live_fetch.PACKAGE, live_fetch.INSIDE)
    assert set(live_fetch.CORE) <= set(pins["files"])
    for package in live_fetch.WANTED:
        assert any(name.startswith(f"{package}-") for name in pins["files"])


def test_pinning_follows_dependencies_and_refuses_a_wheel_unlike_its_lock(
    tmp_path, monkeypatch
):
    packages = {
        name: {
            "file_name": f"{name}.whl",
            "sha256": sha256(name.encode()),
            "depends": needed,
        }
        for name, needed in {"a": ["b"], "b": ["a"], "c": []}.items()
    }
    lock = {"info": 1, "packages": packages}
    kept = live_fetch.trimmed(lock, {"c.whl": ""})
    assert kept == {"info": 1, "packages": {"c": packages["c"]}}
    monkeypatch.setattr(live_fetch, "WANTED", ("a",))
    files = dict.fromkeys(live_fetch.CORE, b"core")
    files |= {live_fetch.LOCK: json.dumps(lock).encode(), "a.whl": b"a", "b.whl": b"b"}
    pins = live_fetch.pin(wheel_of(tmp_path, files, live_fetch.INSIDE))
    assert set(pins["files"]) == set(files)
    wrong = wheel_of(tmp_path, files | {"b.whl": b"x"}, live_fetch.INSIDE)
    with pytest.raises(ValueError, match=r"b\.whl"):
        live_fetch.pin(wrong)


# ------------------------------------------------------------------------ compiling
def test_python_stays_as_it_is_where_it_cannot_be_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(live_bytecode, "node", lambda: str(tmp_path / "absent"))
    (source := tmp_path / "live-1").mkdir()
    assert live_bytecode.compiled(source, tmp_path) == source
    assert [path.name for path in tmp_path.iterdir()] == ["live-1"]


def test_the_lock_gets_the_hashes_of_what_was_compiled(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"compiled")
    packages = {n: {"file_name": f"{n}.whl", "sha256": "old"} for n in ("a", "absent")}
    lock = live_bytecode.with_hashes({"info": 1, "packages": packages}, tmp_path)
    assert lock["packages"]["a"]["sha256"] == sha256(b"compiled")
    assert lock["packages"]["absent"]["sha256"] == "old" and lock["info"] == 1


@pytest.mark.slow
def test_modules_in_the_page_are_compiled(tmp_path):
    try:
        pins = live_fetch.pinned()
        folder = live_fetch.fetch(pins, live.datasets.cache_folder())
        live_bytecode.node()
    except (ImportError, live_fetch.Unavailable) as error:
        pytest.skip(str(error))
    ready = live_bytecode.compiled(folder, tmp_path)
    assert {path.name for path in ready.iterdir()} == set(pins["files"])
    for path in [*ready.glob("*.whl"), ready / "python_stdlib.zip"]:
        names = zipfile.ZipFile(path).namelist()
        assert not [name for name in names if name.endswith(".py")], path.name
        assert any(name.endswith(".pyc") for name in names), path.name


# ---------------------------------------------------------------------------- pages
def test_what_cells_import_is_known_before_they_run():
    sources = [
        "import numpy as np\nimport torch\nfrom helpers import rsa, claims",
        "if x:\n    import scipy.stats\nfrom helpers.data import a\nimport numpy",
    ]
    assert live.modules([{"source": source} for source in sources]) == [
        *("numpy", "helpers.rsa", "helpers.claims", "helpers.data", "scipy.stats")
    ]


def test_importing_ahead_keeps_what_goes_wrong_for_the_cell():
    live_runner.import_ahead("no_such_module")
    live_runner.import_ahead("colorsys")
    assert "colorsys" in sys.modules


def test_a_page_holds_all_cells_in_order():
    cells = [new_code_cell("n = 1"), new_markdown_cell("text"), new_code_cell("n")]
    cells[2].metadata["tags"] = ["remove-cell"]
    assert live.cells_of(new_notebook(cells=cells)) == [
        {"source": "n = 1", "shown": True, "needs": ""},
        {"source": "n", "shown": False, "needs": ""},
    ]


@every_section
def test_quick_settings_are_parameters_and_change_nothing_else(text):
    cells = live.cells_of(notebooks.read(text))
    record = live.page_record(text.stem, cells)
    assert "check_parameters(" in cells[record["setup"] - 1]["source"]
    if not record["quick"]:
        return
    source, quick = cells[0]["source"], record["quick"]["source"]
    exec(source, before := {})
    exec(quick, after := {})
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed - {"__builtins__"} == set(live.QUICK[text.stem]["settings"])
    assert set(after) == set(before)
    assert quick.count("#") == source.count("#"), "a comment was lost"


def test_every_section_has_quick_settings_or_says_what_it_needs():
    assert set(live.QUICK) == {text.stem for text in SECTIONS}
    assert all(
        ("settings" in about) != ("needs" in about) for about in live.QUICK.values()
    )


def test_a_cell_that_needs_torch_is_known_before_it_runs():
    assert live.needs("import torch.nn") == "torch"
    assert live.needs("x = 1\nfrom pipeline import training") == "torch"
    assert live.needs("import numpy\nfrom helpers import data") == ""


@every_section
def test_every_parameter_has_a_control_at_its_value(text):
    cells = live.cells_of(notebooks.read(text))
    exec(cells[0]["source"], values := {})
    made = {control["name"]: control for control in live.parameters(cells)}
    assert made.keys() <= values.keys()
    absent = live.QUICK[text.stem].get("absent", [])
    assert set(absent) <= made.keys()
    for name, control in made.items():
        value = values[name]
        assert control["value"] == value and control["about"]
        if control["kind"] == "choice":
            assert value in control["choices"]
        elif control["kind"] == "number":
            assert control["low"] <= value <= control["high"]


@pytest.mark.parametrize(
    ("rule", "control"),
    [
        (bool, {"kind": "switch"}),
        (["a", "b"], {"kind": "choice", "choices": ["a", "b"]}),
        ((1, 2), {"kind": "number", "low": 1, "high": 2, "whole": True}),
        ((0, 0.5), {"kind": "number", "low": 0, "high": 0.5, "whole": False}),
        (re.compile("x"), {"kind": "text"}),
    ],
)
def test_controls_follow_the_rules(rule, control):
    assert live.as_control(rule) == control


@pytest.mark.parametrize(
    ("value", "form"),
    [("0.12345", ".2f"), ("-0.5", "+.1%"), ("'holds'", "s"), ("1234", ","), ("3", "s")],
)
def test_numbers_of_a_run_are_shown_as_in_the_book(value, form):
    assert live_runner.formatted(value, form) == format_plain_text(value, form)


def test_what_a_cell_hands_on_reaches_the_text(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    live_runner.stand_in_for_ipython(page.send, '{"n": [".1f", "s"]}')
    page.run(
        "import pandas as pd\nfrom helpers.notebook import download, glue\n"
        "glue(n=0.25, unseen=1)\ndownload('fig-a', pd.DataFrame({'x': [1]}))"
    )
    sent = [(kind, json.loads(data)) for kind, data, _ in page.sent]
    numbers = [("number", ["n", ".1f", "0.2"]), ("number", ["n", "s", "0.25"])]
    assert sent == [*numbers, ("values", ["fig-a.csv", "x\n1\n"])]
    assert live_runner.formatted("nan", ".2f") == "no value"


def test_quick_settings_that_a_page_does_not_have_are_refused(monkeypatch):
    monkeypatch.setitem(live.QUICK, "x", {"settings": {"no_such": 1}})
    with pytest.raises(ValueError, match="no_such"):
        live.quick("x", [{"source": "n = 1  # how many"}])


# ---------------------------------------------------------------------------- files
def test_the_archive_of_helpers_is_complete_and_always_the_same():
    content = live.helpers_zip()
    assert content == live.helpers_zip()
    names = set(zipfile.ZipFile(io.BytesIO(content)).namelist())
    expected = {"helpers/rsa.py", "live_runner.py", "jinja2/__init__.py"}
    assert expected <= names
    assert all(name.endswith((".py", "METADATA")) for name in names)


def test_notebooks_for_the_browser_hold_only_what_pages_hand_on():
    def record(name):
        return new_output("display_data", metadata={"scrapbook": {"name": name}})

    shown = new_output("stream", text="shown")
    outputs = [shown, record("findings"), record("fig-x.csv")]
    cells = [new_markdown_cell("text"), new_code_cell("1", outputs=outputs)]
    stripped = live.without_shown(new_notebook(cells=[*cells, new_code_cell("2")]))
    ((output,),) = [cell.outputs for cell in stripped.cells]
    assert output.metadata.scrapbook.name == "findings"
    assert stripped.cells[0].source == ""


def test_notebooks_for_the_browser_hold_what_other_pages_draw():
    about = {"scrapbook": {"name": "fig-x.csv"}}
    kept = [new_output("display_data", metadata=about)]
    notebook = new_notebook(cells=[new_code_cell("1", outputs=kept)])
    assert live.DRAWN.findall('a = drawn(page, "fig-x").query("b")') == ["fig-x"]
    assert live.without_shown(notebook, {"fig-x.csv"}).cells[0].outputs == kept


def test_folders_are_kept_equal_without_copying_again(tmp_path):
    (source := tmp_path / "a").mkdir()
    for name in ("x", "y"):
        (source / name).write_text(name)
    live.copy(source.iterdir(), tmp_path / "b")
    (tmp_path / "b" / "x").write_text("kept: same time")
    time = (source / "x").stat()
    os.utime(tmp_path / "b" / "x", ns=(time.st_atime_ns, time.st_mtime_ns))
    (source / "y").unlink()
    (source / "z").write_text("z")
    live.copy(source.iterdir(), tmp_path / "b")
    copied = {path.name: path.read_text() for path in (tmp_path / "b").iterdir()}
    assert copied == {"x": "kept: same time", "z": "z"}


# -------------------------------------------------------------------------- serving
def test_the_server_sends_types_and_the_headers_for_shared_memory(tmp_path):
    types = {"mjs": "text/javascript", "wasm": "application/wasm", "html": "text/html"}
    with browser.served(tmp_path) as address:
        for suffix, expected in types.items():
            Path(tmp_path, f"a.{suffix}").write_bytes(b"x")
            headers = urllib.request.urlopen(f"{address}/a.{suffix}").headers
            assert headers["Content-Type"] == expected
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_the_server_compresses_text_and_notices_changes(tmp_path):
    def get(**headers):
        request = urllib.request.Request(f"{address}/a.js?v=1", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.headers["Content-Encoding"], answer.read()

    gzipped = {"Accept-Encoding": "gzip, br"}
    (tmp_path / "a.js").write_bytes(b"text " * 1000)
    with browser.served(tmp_path) as address:
        encoding, content = get(**gzipped)
        assert encoding == "gzip" and len(content) < 200
        assert gzip.decompress(content) == b"text " * 1000
        assert get() == (None, b"text " * 1000)
        (tmp_path / "a.js").write_bytes(b"other")
        assert gzip.decompress(get(**gzipped)[1]) == b"other"


@pytest.mark.parametrize(
    "path", ["%00", "a%00.html", "folder/", "link.html", "out/x", "../x", "n" * 5000]
)
def test_the_server_gives_nothing_but_files_of_the_book(path, tmp_path):
    (html := tmp_path / "html" / "folder").mkdir(parents=True)
    (secret := tmp_path / "x").write_text("secret")
    (html.parent / "link.html").symlink_to(secret)
    (html.parent / "out").symlink_to(tmp_path)
    with browser.served(html.parent) as address:
        with pytest.raises(urllib.error.HTTPError, match="404|414"):
            urllib.request.urlopen(f"{address}/{path}")
        (html.parent / "a.html").write_text("still here")
        assert urllib.request.urlopen(f"{address}/a.html").read() == b"still here"


@pytest.mark.parametrize("port", ["", "x", "-1", "65536", "80.5"])
def test_the_server_refuses_bad_ports(port, tmp_path):
    (tmp_path / "index.html").write_text("")
    with pytest.raises(SystemExit, match="PORT must be a whole number from 0 to 65535"):
        serve.main(port, tmp_path)


def test_the_server_listens_on_this_machine_only(tmp_path):
    with browser.served(tmp_path) as address:
        port = int(address.rpartition(":")[2])
        opened = psutil.Process().net_connections("inet")
        listening = [c.laddr for c in opened if c.status == psutil.CONN_LISTEN]
        assert [laddr.ip for laddr in listening if laddr.port == port] == ["127.0.0.1"]
