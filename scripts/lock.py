"""Write requirements.lock, uv.txt and environment.yml from pyproject.toml and uv.in.

    python scripts/lock.py [--upgrade]

The lock has hashes but no addresses, and neither torch nor torchvision. Versions in the
lock are kept where they still fit; ``--upgrade`` takes the newest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNLOCKED = ("torch", "torchvision")
"""Installed by plain pip, which finds the build for this machine: CPU, CUDA, ..."""

SOURCES = {"pyproject.toml": "requirements.lock", "scripts/uv.in": "scripts/uv.txt"}
"""uv is installed first, and installs the rest."""

ENVIRONMENT = """\
# Made by `make lock`. conda env create -f environment.yml
name: rarely-firing-nodes
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
{pins}
      - -e .
"""


def direct(project: dict) -> list[str]:
    """Names of the packages that pyproject.toml asks for, extras included, in order."""
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    names = [re.match(r"[\w.-]+", line)[0].lower() for line in wanted]
    return list(dict.fromkeys(names))


def locked(text: str) -> dict[str, str]:
    """Name and version of every package in a lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def pins(project: dict, lock: str) -> dict[str, str]:
    """Exact versions of the direct dependencies: from the lock, of torch from ours."""
    extras = str(project["optional-dependencies"])
    versions = locked(lock) | dict(re.findall(r"(torch\w*)==([\d.]+)", extras))
    return {name: versions[name] for name in direct(project)}


def environment(project: dict, lock: str) -> str:
    """The text of environment.yml."""
    lines = [f"      - {name}=={v}" for name, v in pins(project, lock).items()]
    return ENVIRONMENT.format(pins="\n".join(lines))


def main() -> None:
    """Compile, then write the conda file."""
    options = [f"--no-emit-package={name}" for name in UNLOCKED]
    options += ["--config-file=scripts/lock.toml", "--universal"]
    options += ["--python-version=3.11", "--generate-hashes", "--no-header"]
    options += ["--no-annotate", "--quiet", *sys.argv[1:]]
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile"]
    for source, target in SOURCES.items():
        extras = ["--all-extras"] * (source == "pyproject.toml")
        command = [*uv, source, "-o", target, *options, *extras]
        subprocess.run(command, cwd=ROOT, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    (ROOT / "environment.yml").write_text(environment(project, lock), "utf-8")
    print(f"requirements.lock: {len(locked(lock))} packages")


if __name__ == "__main__":
    main()
