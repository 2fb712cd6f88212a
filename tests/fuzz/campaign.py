"""Run the properties of `test_fuzz` on new examples for some minutes, and record it.

``python tests/fuzz/campaign.py MINUTES``; with ``--record`` what was tried and found is
written to ``results.json`` beside this file. Exit status 1 where a property failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from pathlib import Path

from hypothesis import seed

HERE = Path(__file__).parent
os.environ["FUZZ"] = "1"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import test_fuzz  # noqa: E402
from helpers import data  # noqa: E402


def properties() -> dict:
    """The tests by name, without "test_"."""
    found = vars(test_fuzz).items()
    return {k[5:].replace("_", " "): v for k, v in found if k.startswith("test_")}


def attempt(test, number: int) -> tuple[int, str]:
    """Examples drawn from one seed, and the failure with its smallest example."""
    inner, tried = test.hypothesis.inner_test, 0

    def counted(*arguments, **options):
        nonlocal tried
        tried += 1
        return inner(*arguments, **options)

    test.hypothesis.inner_test = counted
    try:
        seed(number)(test)()
    except Exception:  # noqa: BLE001 - whatever it is, it is what was sought
        return tried, traceback.format_exc()
    finally:
        test.hypothesis.inner_test = inner
    return tried, ""


def run(minutes: float, first_seed: int) -> dict:
    """Every property in turn, until the time is over."""
    tests, until = properties(), time.monotonic() + 60 * minutes
    tried, failures, number = dict.fromkeys(tests, 0), {}, first_seed
    while time.monotonic() < until:
        for name, test in tests.items():
            if name in failures or time.monotonic() > until:
                continue
            count, failure = attempt(test, number)
            tried[name] += count
            if failure:
                failures[name] = failure
                print(f"{name}, seed {number}:\n{failure}", file=sys.stderr)
        number += 1
    seeds = f"{first_seed} to {number - 1}"
    about = {"minutes": minutes, "seeds": seeds, "code": data.code_hash()[:12]}
    return about | {"tried": tried, "failed": sorted(failures)}


def main() -> None:
    """Print the outcome, and record it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    outcome = run(options.minutes, options.seed)
    text = json.dumps(outcome, indent=1) + "\n"
    print(text, end="")
    if options.record:
        (HERE / "results.json").write_text(text, "utf-8")
    sys.exit(bool(outcome["failed"]))


if __name__ == "__main__":
    main()
