"""Threads of one process, for work that leaves Python's lock free (numpy, BLAS, compiled kernels).

Results never depend on their number: work is cut into pieces by its size alone, and pieces are put together in order.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_thread = threading.local()


def threads() -> int:
    """How many threads to use: the environment variable HELPERS_THREADS, else one per core this process may use.

    Raises
    ------
    ValueError : HELPERS_THREADS is not a whole number of at least 1.
    """
    if sys.platform == "emscripten":  # the browser has no threads
        return 1
    asked = os.environ.get("HELPERS_THREADS", "")
    if not asked:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"HELPERS_THREADS must be a whole number of at least 1; got {asked!r}.")
    return int(asked)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let `ordered_map` work in the calling thread alone."""
    before, _thread.is_worker = getattr(_thread, "is_worker", False), True
    try:
        yield
    finally:
        _thread.is_worker = before


def ordered_map(function: Callable, items: Iterable) -> list:
    """``function`` of every item, in the order of ``items``, by `threads` threads; in one of those threads, by it."""
    items = list(items)
    if getattr(_thread, "is_worker", False) or (n := min(threads(), len(items))) <= 1:
        return [function(item) for item in items]
    results, places = [None] * len(items), itertools.count()

    def work() -> None:
        with one_thread():
            while (place := next(places)) < len(items):
                results[place] = function(items[place])

    with ThreadPoolExecutor(n - 1) as pool:  # the calling thread is the n-th
        others = [pool.submit(work) for _ in range(n - 1)]
        try:
            work()
        except BaseException:
            items.clear()  # the others stop too
            raise
        for other in others:
            other.result()
    return results
