"""Live cells without a browser: how a cell is run, what is fetched and verified, what a page is given."""

import base64
import gzip
import hashlib
import io
import json
import sys
import urllib.request
import zipfile
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

import live as build_live
import live_fetch as fetch_live
import serve
import live_runner as live
from notebook_text import parameters_of

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.md"))
every_notebook = pytest.mark.parametrize("text", NOTEBOOKS, ids=lambda path: path.stem)


# ---------------------------------------------------------------------------------------------------------------- cells
class Cells:
    """A page's namespace, and what its cells have sent."""

    def __init__(self):
        self.sent = []
        self.names = live.namespace(self.send)

    def send(self, kind, data, width):
        self.sent.append((kind, data, width))

    def run(self, source):
        self.sent.clear()
        return live.run(source, "<cell 1>", self.names, self.send)

    def text(self, kind="text"):
        return "".join(data for k, data, _ in self.sent if k == kind)


@pytest.fixture
def cells():
    return Cells()


def test_cells_share_their_names_and_the_last_value_is_shown(cells):
    assert cells.run("x = 20") == "" and cells.sent == []
    assert cells.run("print('x')\nx + 1") == "" and cells.text() == "x\n21\n"
    assert cells.run("x + 1;") == "" and cells.text() == ""
    assert cells.run("None") == "" and cells.text() == ""


def test_an_error_shows_the_line_of_the_cell_and_leaves_the_page_alive(cells):
    assert cells.run("x = 1\ny = x / 0") == "ZeroDivisionError"
    trace = cells.text("error")
    assert "y = x / 0" in trace and '"<cell 1>", line 2' in trace and "live.py" not in trace
    assert cells.run("print(x)") == "" and cells.text() == "1\n"


@pytest.mark.parametrize(
    ("source", "name"), [("x = (", "SyntaxError"), ("import sys\nsys.exit()", "SystemExit"), ("import no_such", None)]
)
def test_whatever_ends_a_cell_is_named(source, name, cells):
    assert cells.run(source) == (name or "ModuleNotFoundError")
    assert (name or "no_such") in cells.text("error")


def test_tables_come_as_html_and_display_shows_more_than_the_last(cells):
    cells.run("import pandas as pd\ndisplay(1, pd.Series([2]).to_frame())\npd.DataFrame({'a': [3]})")
    assert cells.text() == "1\n"
    assert [kind for kind, *_ in cells.sent] == ["text", "html", "html"]
    assert "<table" in cells.sent[2][1]
    cells.run("pd.DataFrame")
    assert "DataFrame" in cells.text() and not cells.text("html")


def test_figures_come_at_twice_their_width_and_are_closed(cells):
    cells.run("import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt")
    cells.run("_ = plt.figure(figsize=(3, 2), dpi=50)\nplt.gca().plot([1, 2])\nprint('before')")
    (kind, text, _), (png, picture, width) = cells.sent
    assert (kind, text, png) == ("text", "before\n", "png")
    assert abs(Image.open(io.BytesIO(base64.b64decode(picture))).width - 2 * width) <= 1
    cells.run("print(plt.get_fignums())")
    assert cells.text() == "[]\n"


def test_endless_printing_is_cut_off(cells):
    cells.run(f"for _ in range(100): print('x' * {live.MOST // 50})")
    assert live.MOST <= len(cells.text()) < live.MOST + 100
    assert cells.text().endswith("(the rest is not shown)\n")


def test_ipython_display_has_a_stand_in(cells, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    live.stand_in_for_ipython(cells.send)
    assert not cells.run("from IPython.display import HTML, Markdown, display\ndisplay(Markdown('*a*'))\nHTML('<p>b')")
    assert [(kind, data) for kind, data, _ in cells.sent] == [("text", "*a*\n"), ("html", "<p>b")]


# -------------------------------------------------------------------------------------------------- fetching, verifying
def wheel_of(folder, contents, inside="pkg/"):
    path = folder / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(inside + name, content)
    return path


def pins(contents):
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return {"package": "pkg==1", "inside": "pkg/", "files": files}


CONTENTS = {"a.mjs": b"one", "b.whl": b"two"}


def test_files_are_taken_once_and_damage_in_the_cache_is_repaired(tmp_path, monkeypatch):
    wheel = wheel_of(tmp_path, CONTENTS | {"other.txt": b"not wanted"})
    folder = fetch_live.fetch(pins(CONTENTS), tmp_path / "cache", wheel)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENTS
    monkeypatch.setattr(fetch_live, "download", lambda *_: wheel)
    (folder / "a.mjs").write_bytes(b"tampered")
    assert fetch_live.wrong(folder, pins(CONTENTS)["files"]) == ["a.mjs"]
    assert (fetch_live.fetch(pins(CONTENTS), tmp_path / "cache") / "a.mjs").read_bytes() == b"one"
    monkeypatch.setattr(fetch_live, "download", lambda *_: pytest.fail("asked for what is in the cache"))
    assert fetch_live.fetch(pins(CONTENTS), tmp_path / "cache") == folder


@pytest.mark.parametrize("changed", [{"b.whl": b"tampered"}, {}])
def test_another_file_or_a_missing_one_is_refused_and_nothing_is_kept(changed, tmp_path):
    wheel = wheel_of(tmp_path, {"a.mjs": b"one"} | changed)
    with pytest.raises(fetch_live.Unavailable, match="b.whl"):
        fetch_live.fetch(pins(CONTENTS), tmp_path / "cache", wheel)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(fetch_live.Unavailable, match=r"pkg==1, .*Connect to the network .*--wheel"):
        fetch_live.fetch(pins(CONTENTS), tmp_path / "cache")


def test_the_pinned_files_are_what_pyodide_s_lock_asks_for():
    pinned = json.loads(fetch_live.PINNED.read_text())
    assert (pinned["package"], pinned["inside"]) == (fetch_live.PACKAGE, fetch_live.INSIDE)
    assert set(fetch_live.CORE) <= set(pinned["files"])
    assert all(any(name.startswith(wanted) for name in pinned["files"]) for wanted in fetch_live.WANTED)


def test_pinning_follows_dependencies_and_refuses_a_wheel_that_differs_from_its_lock(tmp_path):
    files = {"a.whl": b"a", "b.whl": b"b", "c.whl": b"c"}
    packages = {
        name: {"file_name": f"{name}.whl", "sha256": hashlib.sha256(name.encode()).hexdigest(), "depends": depends}
        for name, depends in {"a": ["b"], "b": ["a"], "c": []}.items()
    }
    assert fetch_live.needed(packages, ("a",)) == ["a", "b"]
    lock = {"info": 1, "packages": packages}
    assert fetch_live.trimmed(lock, {"c.whl": ""}) == {"info": 1, "packages": {"c": packages["c"]}}

    core = dict.fromkeys(fetch_live.CORE, b"core") | {fetch_live.LOCK: json.dumps(lock).encode()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch_live, "WANTED", ("a",))
        pinned = fetch_live.pin(wheel_of(tmp_path, core | files, fetch_live.INSIDE))
        assert set(pinned["files"]) == {*fetch_live.CORE, "a.whl", "b.whl"}
        with pytest.raises(ValueError, match="b.whl"):
            fetch_live.pin(wheel_of(tmp_path, core | files | {"b.whl": b"x"}, fetch_live.INSIDE))


# ---------------------------------------------------------------------------------------------------------------- pages
PAGE = "<html><body><article><h1>T</h1>{cells}</article></body></html>"
CELL = '<div class="cell"><div class="cell_input"><pre>{}</pre></div></div>'
TEXT = """---
kernelspec:
  name: python3
  display_name: Python 3
---

```{code-cell} ipython3
n = 1  # how many
```

```{code-cell} ipython3
:tags: [remove-cell]

hidden = "</script>"
```

```{code-cell} ipython3
n + 1
```
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    return path


def record_of(page):
    raw = page.partition('id="live-cells">')[2].partition("</script>")[0]
    return json.loads(raw)


def test_a_page_holds_all_cells_in_order_and_is_written_once(text):
    page = PAGE.format(cells=CELL.format("n = 1  # how many\n") + CELL.format("n + 1"))
    added = build_live.with_cells(page, text, {"version": "v"})
    record = record_of(added)
    assert [cell["source"] for cell in record["cells"]] == ["n = 1  # how many", 'hidden = "</script>"', "n + 1"]
    assert [cell["shown"] for cell in record["cells"]] == [True, False, True]
    assert build_live.with_cells(added, text, {"version": "v"}) == added
    assert added.count("live.js") == 1


def test_a_page_that_is_not_that_of_the_text_is_refused(text):
    with pytest.raises(ValueError, match=r"page\.md.*build the book again"):
        build_live.with_cells(PAGE.format(cells=CELL.format("n = 2")), text, {})


@every_notebook
def test_quick_settings_are_settings_of_the_page_and_change_nothing_else(text):
    assert {"settings"} == set(build_live.QUICK[text.stem]) or build_live.QUICK[text.stem]["needs"]
    if "needs" in build_live.QUICK[text.stem]:
        return
    cells = build_live.cells_of(text)
    quick = build_live.quick(text.stem, cells)
    names = {"before": {}, "after": {}}
    exec(cells[0]["source"], names["before"])
    exec(quick["source"], names["after"])
    changed = {key for key in names["after"] if names["after"][key] != names["before"].get(key)} - {"__builtins__"}
    assert changed == set(build_live.QUICK[text.stem]["settings"])
    assert set(parameters_of(text)) == set(names["after"]) - {"__builtins__"}
    assert quick["source"].count("#") == cells[0]["source"].count("#"), "a comment was lost"


@every_notebook
def test_the_cells_that_start_afresh_end_with_the_check(text):
    cells = build_live.cells_of(text)
    assert "parameters.check(" in cells[build_live.n_setup(cells) - 1]["source"]


def test_a_page_that_no_browser_can_run_says_what_it_needs(text, monkeypatch):
    monkeypatch.setitem(build_live.QUICK, text.stem, {"needs": "a cluster"})
    page = PAGE.format(cells=CELL.format("n = 1  # how many\n") + CELL.format("n + 1"))
    record = record_of(build_live.with_cells(page, text, {"reason": ""}))
    assert "need a cluster" in record["reason"] and record["quick"] is None


def test_quick_settings_that_a_page_does_not_have_are_refused(monkeypatch):
    monkeypatch.setitem(build_live.QUICK, "x", {"settings": {"no_such": 1}})
    with pytest.raises(ValueError, match="no_such"):
        build_live.quick("x", [{"source": "n = 1  # how many"}])


def test_helpers_zip_runs_by_itself_and_is_the_same_every_time(tmp_path):
    content = build_live.helpers_zip()
    assert content == build_live.helpers_zip()
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert {"helpers/rsa.py", "helpers/live.py", "jinja2/__init__.py", "markupsafe/_native.py"} <= set(names)
    assert all(name.endswith((".py", "METADATA")) for name in names)


def test_the_server_gives_types_and_the_headers_for_shared_memory(tmp_path):
    for name in ("a.mjs", "a.wasm", "a.html"):
        (tmp_path / name).write_bytes(b"x")
    with serve.server(tmp_path) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        heads = {
            kind: urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/a.{kind}").headers
            for kind in ("mjs", "wasm", "html")
        }
        server.shutdown()
    assert heads["mjs"]["Content-Type"] == "text/javascript" and heads["wasm"]["Content-Type"] == "application/wasm"
    for head in heads.values():
        assert head["Cross-Origin-Opener-Policy"] == "same-origin"
        assert head["Cross-Origin-Embedder-Policy"] == "require-corp"


def test_the_server_compresses_text_and_sends_it_anew_when_it_has_changed(tmp_path):
    def got(**headers):
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.headers["Content-Encoding"], answer.read()

    (tmp_path / "a.js").write_bytes(b"text " * 1000)
    with serve.server(tmp_path) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.js?digest=1"
        encoding, content = got(**{"Accept-Encoding": "gzip, br"})
        assert encoding == "gzip" and gzip.decompress(content) == b"text " * 1000 and len(content) < 200
        assert got() == (None, b"text " * 1000)
        (tmp_path / "a.js").write_bytes(b"other")
        assert gzip.decompress(got(**{"Accept-Encoding": "gzip"})[1]) == b"other"
        server.shutdown()


def test_launch_buttons_wait_for_the_address_of_the_repository():
    import yaml
    from jupyter_book.config import get_final_config

    from build_book import ROOT, SERVICES, settings

    def theme(url):
        config = yaml.safe_load((ROOT / "_config.yml").read_text())
        config["repository"]["url"] = url
        return get_final_config(
            user_yaml=settings(config, ROOT), cli_config={"latex_individualpages": False}, sourcedir=ROOT
        )[0]["html_theme_options"]

    assert not theme("").get("launch_buttons")
    options = theme("https://github.com/example/book")
    assert options["launch_buttons"] == SERVICES
    assert options["repository_url"] == "https://github.com/example/book" and options["repository_branch"] == "main"
