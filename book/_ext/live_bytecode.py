"""Python for the browser with its modules compiled, which halves the time of imports.

Compiling takes the very Python that is to run them. Pyodide runs in the Node.js that
playwright brings along; where there is none, the modules stay as they are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

LOCK = "pyodide-lock.json"
PROGRAM = Path(__file__).with_suffix(".mjs")


def compiled(source: Path, cache: Path) -> Path:
    """The folder, inside ``cache``, with the files of ``source`` compiled.

    ``source`` itself where that is not possible.
    """
    version = sha256(PROGRAM.read_bytes()).hexdigest()[:8]
    folder = cache / f"{source.name}-{version}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        shutil.copytree(source, ready := Path(temporary) / "ready")
        try:
            command = [node(), PROGRAM, source, ready]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
        except (ImportError, OSError, subprocess.SubprocessError):
            return source
        lock = json.loads((ready / LOCK).read_text("utf-8"))
        (ready / LOCK).write_text(json.dumps(with_hashes(lock, ready)), "utf-8")
        ready.rename(folder)
    return folder


def node() -> str:
    """Node.js, as it comes with playwright. ImportError without it."""
    from playwright._impl._driver import compute_driver_executable

    return compute_driver_executable()[0]


def with_hashes(lock: dict, folder: Path) -> dict:
    """Pyodide's ``lock`` with the hashes of the files in ``folder``."""
    for package in lock["packages"].values():
        if (path := folder / package["file_name"]).is_file():
            package["sha256"] = sha256(path.read_bytes()).hexdigest()
    return lock
