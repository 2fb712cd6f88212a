"""Bring the committed .ipynb in step with the text notebooks; execute where needed.

    python scripts/sync.py [NAME ...] [all]

Without a name, notebooks are executed if their code, parameters or the state of the
project have changed since. A name (02, explorer) or "all" executes them regardless.
"""

from __future__ import annotations

import shutil
import sys

import notebooks
from notebooks import EXECUTED, find, plan, sources


def main(names: list[str]) -> None:
    """Execute what needs it, and copy what differs."""
    texts = sources()
    chosen = texts if not names or "all" in names else [find(n, texts) for n in names]
    for job in plan({}, EXECUTED).values():
        notebooks.reuse(job, job.text.with_suffix(".ipynb"))
    stems = [text.stem for text in chosen]
    for job in notebooks.execute(stems, folder=EXECUTED, force=bool(names)):
        pair = job.text.with_suffix(".ipynb")
        if not pair.exists() or pair.read_bytes() != job.result.read_bytes():
            shutil.copy(job.result, pair)
            print(f"{pair.relative_to(notebooks.ROOT)}: written")


if __name__ == "__main__":
    with notebooks.alone():
        main(sys.argv[1:])
