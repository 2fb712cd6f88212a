"""Timing: contenders take turns in one run, and their results are compared.

pytest-benchmark would time each contender in a block of its own, so that a change in
the machine's load favours one of them, and would compare no results.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.records import RESULTS
from helpers import data

PACKAGES = ("numpy", "scipy", "numba", "rsatoolbox", "torch", "distributed")


@dataclass(frozen=True)
class Contender:
    """One way to get a result, compared with that of the first contender."""

    name: str
    call: Callable[[], np.ndarray]
    share: float = 1.0  # of the whole work that a call does; its time is divided by it
    rounds: int = 5  # in which it takes part
    tolerance: float = 1e-10  # largest difference from the first contender's result
    part: object = ...  # index of what it computes in the first contender's result


def seconds(call: Callable[[], object]) -> tuple[float, object]:
    """Wall time of one call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def best(call: Callable[[], object], rounds: int = 5) -> float:
    """Shortest wall time of several calls."""
    return min(seconds(call)[0] for _ in range(rounds))


def peak_megabytes(call: Callable[[], object]) -> float:
    """Most memory that a call holds at a time beyond what was in use before."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def compare(contenders: Sequence[Contender], memory: bool = True) -> list[dict]:
    """Run all in turn, round after round; a row of the record for each.

    The first is ours. A contender with several rounds is called once beforehand and,
    with ``memory``, once more for its peak. AssertionError where results differ.
    """
    times, results = {c.name: [] for c in contenders}, {}
    for c in contenders:
        if c.rounds > 1:
            c.call()
    for number in range(max(c.rounds for c in contenders)):
        for c in contenders:
            if number < c.rounds:
                elapsed, results[c.name] = seconds(c.call)
                times[c.name].append(elapsed / c.share)
    rows = []
    for c in contenders:
        expected, result = results[contenders[0].name][c.part], results[c.name]
        np.testing.assert_allclose(result, expected, 0, c.tolerance, err_msg=c.name)
        row = {
            "name": c.name,
            "seconds": statistics.median(times[c.name]),
            "times": times[c.name],
            "share": c.share,
            "largest_difference": float(np.nanmax(np.abs(result - expected))),
        }
        if memory and c.rounds > 1:
            row["peak_megabytes"] = peak_megabytes(c.call)
        print(f"  {c.name:40s} {row['seconds']:10.4f} s", flush=True)
        rows.append(row)
    return rows


def growth(name: str, values: Sequence[int], make: Callable, rounds: int = 3) -> dict:
    """Shortest time of ``make(value)`` per value; exponent over the upper half."""
    times = []
    for value in values:
        call = make(value)
        call()
        times.append(best(call, rounds))
    half = len(values) // 2
    slope = np.polyfit(np.log(values[half:]), np.log(times[half:]), 1)[0]
    exponent = float(slope)
    return {"name": name, "values": values, "seconds": times, "exponent": exponent}


def machine() -> dict:
    """The machine in words and rates; nothing that identifies it."""
    n = int(os.environ.get("HELPERS_THREADS") or os.cpu_count() or 1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "description": data.machine(),
        "processor": _processor(),
        "cores": n,
        "memory_gigabytes": round(memory / 2**30),
        "versions": data.versions(*PACKAGES),
        "code": data.code_hash()[:12],
        "command": "make bench",
        "date": date.today().isoformat(),
        "load_at_start": os.getloadavg()[0],
        "gflops_one_core": _product_rate(1),
        "gflops": _product_rate(n),
        "gigabytes_per_second": _copy_rate(n),
    }


def write(name: str, content: dict, about: dict) -> None:
    """Write one record."""
    record = {"benchmark": name, **content, "machine": about}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    lines = [line for line in text.splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.processor()


def _fastest_on_threads(n: int, call: Callable[[int], object]) -> float:
    """Seconds in which ``n`` threads each do their call."""
    with ThreadPoolExecutor(n) as pool:
        return best(lambda: list(pool.map(call, range(n))), 7)


def _product_rate(n: int) -> float:
    """1e9 floating-point operations per second, of matrix products on ``n`` threads."""
    a = np.random.default_rng(0).normal(size=(n, 1200, 1200))
    return 2 * 1200**3 * n / _fastest_on_threads(n, lambda i: a[i] @ a[i]) / 1e9


def _copy_rate(n: int) -> float:
    """Gigabytes a second, read and written together, copied by ``n`` threads."""
    a, b = np.ones((n, 2**25)), np.zeros((n, 2**25))
    return 2 * a.nbytes / _fastest_on_threads(n, lambda i: np.copyto(b[i], a[i])) / 1e9
