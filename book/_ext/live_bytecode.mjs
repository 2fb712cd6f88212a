// node live_bytecode.mjs SOURCE TARGET: replaces the modules in the wheels and in the
// standard library of TARGET (a copy of SOURCE, Pyodide's files) by compiled ones.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const [source, target] = process.argv.slice(2).map((folder) => resolve(folder));
const { loadPyodide } = await import(pathToFileURL(`${source}/pyodide.mjs`));
const pyodide = await loadPyodide({ indexURL: `${source}/` });
pyodide.FS.mkdirTree("/target");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: target }, "/target");
pyodide.runPython(`
from _imp import source_hash
from importlib._bootstrap_external import _code_to_hash_pyc
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

UNUSED = (".pyi", ".pxd", ".h", ".hpp", ".c", ".mat", ".sav", ".wav")

def compiled(name, content):
    code = compile(content, name, "exec", dont_inherit=True)
    return _code_to_hash_pyc(code, source_hash(0, content), False)

for path in [*Path("/target").glob("*.whl"), Path("/target/python_stdlib.zip")]:
    with ZipFile(path) as archive:
        contents = {n: archive.read(n) for n in archive.namelist() if n[-1] != "/"}
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            if name.endswith(UNUSED):
                continue
            if name.endswith(".py"):
                name, content = f"{name}c", compiled(name, content)
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
`);
process.exit(0);
