"""Run one notebook with other parameters: make run NB=02 P="dataset=mnist seed=1"."""

from __future__ import annotations

import asyncio
import os
import sys

import yaml

from notebooks import ROOT, Job, check, find, read, run


def main(name: str, *settings: str) -> None:
    """Check the names, execute, and say where the result is."""
    for setting in settings:
        if "=" not in setting:
            sys.exit(f"P takes name=value, separated by spaces; got {setting!r}.")
    text = find(name, sorted((ROOT / "notebooks").glob("*.md")))
    given = dict(setting.split("=", 1) for setting in settings)
    values = {name: yaml.safe_load(value) for name, value in given.items()}
    check(text, values)
    file = "_".join([text.stem, *settings]).replace("/", "-") + ".ipynb"
    result = ROOT / "_build" / "runs" / file
    if failure := asyncio.run(run(Job(text, result, read(text, values), key=""))):
        sys.exit(failure)
    print(f"The executed notebook is {os.path.relpath(result)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
