"""Recorded benchmarks (``benchmarks/results``, by ``make bench``) as tables, and what a larger study would cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
_DAY = 86_400


@dataclass(frozen=True)
class Plan:
    """A study on paper: ``table``, a row per step, and the ``numbers`` behind it."""

    table: pd.DataFrame
    numbers: dict[str, float]


def read(name: str, folder: Path = RESULTS) -> dict:
    """One benchmark's record.

    Raises
    ------
    FileNotFoundError : it was not recorded; says how to.
    """
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"There is no record of the benchmark {name!r}. Make one: make bench NAMES={name}")
    return json.loads(path.read_text())


def table(record: Mapping) -> pd.DataFrame:
    """Contenders of a benchmark: seconds, how many times ours, peak memory, largest difference in results."""
    rows = [
        {
            "contender": row["name"],
            "seconds": duration(row["seconds"]),
            "times ours": f"{row['ratio']:,.1f}",
            "peak MB": f"{row['peak_megabytes']:,.0f}" if "peak_megabytes" in row else "-",
            "differs by at most": f"{row['largest_difference']:.0e}" if row["largest_difference"] else "0",
        }
        for row in record["rows"]
    ]
    frame = pd.DataFrame(rows)
    return frame if any("peak_megabytes" in row for row in record["rows"]) else frame.drop(columns="peak MB")


def duration(seconds: float) -> str:
    """Seconds to three significant digits, without an exponent."""
    if seconds < 1e-4:
        return "< 0.0001"
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:#.3g}".rstrip(".")


def costs(n_networks: int, n_layers: int, n_features: int, n_images: int, n_sizes: int = 100) -> Plan:
    """Time, memory and transfer of insertion curves of every layer of many networks, from measured unit costs.

    Extraction is counted as VGG-19's; a curve's time follows its multiply-adds, at the rate of the streamed benchmark.
    """
    extraction, streaming, units = read("extraction"), read("streaming"), read("units_of_work")
    cores, n_pairs = extraction["machine"]["cores"], n_images * (n_images - 1) / 2
    extract = extraction["vgg19_seconds_per_image"] * cores * n_images
    # products of the features inserted and, streamed, of as many of the reference, and three sums at each size
    measured = streaming["largest_pairs"] * (4 * streaming["n_features"] + 3 * streaming["n_sizes"])
    rate = measured / (streaming["largest_seconds"] * streaming["machine"]["cores"])
    curve = n_pairs * (4 * n_features + 3 * n_sizes) / rate
    layer = n_images * n_features
    all_layers, results = n_networks * n_layers * layer * 4, n_networks * n_layers * n_sizes * 2 * 8
    numbers = {
        "n_layers": n_layers, "n_features": n_features, "n_sizes": n_sizes, "cores": cores,
        "extract_core_days": n_networks * extract / _DAY, "curve_core_days": n_networks * n_layers * curve / _DAY,
        "matrix_gb": n_pairs * 8 / 1e9, "layer_gb": layer * 8 / 1e9, "embeddings_tb": all_layers / 1e12,
        "transfer_days": all_layers / 1e6 / units["megabytes_per_second"] / _DAY, "results_mb": results / 1e6,
        "curve_minutes": curve / 60, "overhead_ms": units["seconds_per_unit"] * 1e3,
    }  # fmt: skip
    core_days = {
        "extract features": (n_networks, extract, numbers["extract_core_days"]),
        "insertion curves": (n_networks * n_layers, curve, numbers["curve_core_days"]),
        "Dask and store": (
            n_networks * n_layers, units["seconds_per_unit"], n_networks * n_layers * units["seconds_per_unit"] / _DAY
        ),
    }  # fmt: skip
    rows = [
        {"step": step, "units": f"{n:,}", "seconds each": duration(each), "days of one core": duration(days),
         "days of 200 cores": duration(days / 200)}
        for step, (n, each, days) in core_days.items()
    ]  # fmt: skip
    return Plan(pd.DataFrame(rows), numbers)
