"""Timing for the benchmarks: contenders alternate in one run, their results are compared, and a file says on what."""

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

from helpers import data, parallel

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Contender:
    """One way to get a result: ``call()`` gives an array that must equal the first contender's to ``tolerance``.

    ``share`` of the whole work that one call does (its time is divided by it), and ``rounds`` it takes part in.
    ``compare`` takes the first contender's result to what this one computes (a part of it, say).
    """

    name: str
    call: Callable[[], np.ndarray]
    share: float = 1.0
    rounds: int = 5
    tolerance: float = 1e-10
    compare: Callable[[np.ndarray], np.ndarray] = lambda result: result


def seconds(call: Callable[[], object]) -> tuple[float, object]:
    """Wall time of one call, and what it gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def best(call: Callable[[], object], rounds: int = 5) -> float:
    """Shortest of some wall times: for rates of the machine."""
    return min(seconds(call)[0] for _ in range(rounds))


def peak_megabytes(call: Callable[[], object]) -> float:
    """Most memory that a call holds at a time beyond what was there, as numpy reports it."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def compare(contenders: Sequence[Contender], memory: bool = True) -> list[dict]:
    """Run all in turn, round after round; returns a row each. AssertionError where results differ.

    The first is ours; every contender is called once before anything is timed.
    """
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    results = {}
    for c in contenders:
        if c.rounds > 1:
            c.call()
    for number in range(max(c.rounds for c in contenders)):
        for c in contenders:
            if number < c.rounds:
                elapsed, results[c.name] = seconds(c.call)
                times[c.name].append(elapsed / c.share)
    ours = results[contenders[0].name]
    rows, first = [], statistics.median(times[contenders[0].name])
    for c in contenders:
        expected = c.compare(ours)
        np.testing.assert_allclose(results[c.name], expected, rtol=0, atol=c.tolerance, err_msg=c.name)
        difference = np.abs(np.asarray(results[c.name]) - expected)
        median = statistics.median(times[c.name])
        rows.append(
            {"name": c.name, "seconds": median, "ratio": median / first, "times": times[c.name], "share": c.share,
             "largest_difference": float(np.nanmax(difference, initial=0))}
        )  # fmt: skip
        if memory and c.rounds > 1:  # what takes part once is too slow to be run again for this
            rows[-1]["peak_megabytes"] = peak_megabytes(c.call)
        print(f"  {c.name:58s} {median:10.4f} s  {median / first:10.1f} x", flush=True)
    return rows


def growth(name: str, values: Sequence[int], make: Callable[[int], Callable[[], object]], rounds: int = 3) -> dict:
    """Shortest time at each of ``values``, and the exponent of growth over its upper half."""
    times = []
    for value in values:
        call = make(value)
        call()
        times.append(best(call, rounds))
    half = len(values) // 2
    slope = np.polyfit(np.log(values[half:]), np.log(times[half:]), 1)[0]
    return {"name": name, "values": list(values), "seconds": times, "exponent": float(slope)}


def machine() -> dict:
    """The machine in words and rates: nothing that names it."""
    n = parallel.threads()
    product = {threads: _product_rate(threads) for threads in (1, n)}
    copy = {threads: _copy_rate(threads) for threads in (1, n)}
    return {
        "description": data.machine(), "processor": _processor(), "cores": n,
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "versions": data.versions("numpy", "scipy", "numba", "rsatoolbox", "torch", "torchvision", "distributed"),
        "code": data.code_hash()[:12], "command": "make bench", "date": date.today().isoformat(),
        "load_at_start": os.getloadavg()[0],
        "gflops_one_core": product[1], "gflops": product[n], "gigabytes_per_second": copy[n],
    }  # fmt: skip


def write(name: str, content: dict, about: dict) -> None:
    """Write one results file."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"benchmark": name, **content, "machine": about}, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _on_threads(n: int, call: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(call, range(n)))


def _product_rate(n: int) -> float:
    """Floating-point operations per second, in 1e9, of matrix products on ``n`` threads at once."""
    a = np.random.default_rng(0).normal(size=(n, 1200, 1200))
    return 2 * 1200**3 * n / best(lambda: _on_threads(n, lambda i: a[i] @ a[i]), 7) / 1e9


def _copy_rate(n: int) -> float:
    """Gigabytes per second read and written, together, by copying on ``n`` threads at once."""
    a = np.ones((n, 2**25))
    b = np.zeros_like(a)
    return 2 * a.nbytes / best(lambda: _on_threads(n, lambda i: np.copyto(b[i], a[i])), 7) / 1e9
