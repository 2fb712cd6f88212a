"""Create .venv and install everything from requirements.lock. Standard library only.

Everything there is verified by hash, as is uv, which installs it. torch and torchvision
are not in the lock: plain pip installs them, so that each machine gets its own build of
torch (CPU or CUDA), from wherever its pip looks for packages; pip compares them with
the hash that an index gives, if it gives one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

UV = "scripts/uv.txt"
OLDEST = (3, 11)
VENV = Path(".venv")
PYTHON = str(VENV / ("Scripts/python" if sys.platform == "win32" else "bin/python"))
TOO_OLD = "Python {}.{} is too old. Use 3.11 or newer: make install PYTHON=python3.12"
OFFLINE = """
The installation failed (see above). `make install` needs the package index once; after
that everything works without a network. Behind a mirror, set pip's index
(pip config set global.index-url ADDRESS). Then run the same command again."""


def run(title: str, *command: str) -> bool:
    """Run a step, and show what it is and how long it took."""
    print(f"  {title} ...", end=" ", flush=True)
    start = time.monotonic()
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, **options)
    took = f"{time.monotonic() - start:.0f} s"
    print(
        took if done.returncode == 0 else f"failed\n{done.stdout[-3000:]}", flush=True
    )
    return done.returncode == 0


def require(title: str, *command: str) -> None:
    """`run`, and exit with a remedy if it fails."""
    if not run(title, *command):
        sys.exit(OFFLINE)


def main() -> None:
    """Each step can be repeated."""
    if sys.version_info < OLDEST:
        sys.exit(TOO_OLD.format(*sys.version_info))
    project = Path("pyproject.toml").read_text("utf-8")
    torch, torchvision = re.findall(r'"(torch(?:vision)?==[^"]+)"', project)
    print(f"Installing into {VENV} with Python {sys.version.split()[0]}", flush=True)
    require("virtual environment", sys.executable, "-m", "venv", str(VENV))
    quiet = ("--disable-pip-version-check", "--progress-bar", "off")
    pip = (PYTHON, "-m", "pip", "install", *quiet)
    uv = (PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON)
    locked = ("--require-hashes", "-r", "requirements.lock")
    require("uv", *pip, "--require-hashes", "-r", UV)
    if not run("packages of requirements.lock", *uv, *locked):
        require("the same with pip (slower)", *pip, *locked)
    require(torch, *pip, torch)
    require(torchvision, *pip, "--no-deps", torchvision)
    this = ("--no-deps", "--no-build-isolation", "--editable", ".")
    require("this project", *pip, *this)
    (VENV / "installed").touch()


if __name__ == "__main__":
    main()
