"""Recorded benchmarks (``benchmarks/results``, by ``make bench``) as frames and
numbers, and what a larger study would cost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"
TITLES = {
    "curve": "insertion curve, {n_images} × {n_features}, every size",
    "image_level": "insertion curve, {n_images:,} × {n_features}, every size",
    "bootstrap": "bootstrap, {n_resamples:,} resamples × {n_sizes} sizes",
    "random_orders": "{n_orders:,} random orders × {n_sizes} sizes",
    "training": "training {n_models} LeNet-5",
    "extraction": "features of {n_images} images",
}
"""Benchmarks that compare contenders, and the titles of their figures."""
_DAY = 86_400


@dataclass(frozen=True)
class Plan:
    """A study on paper."""

    table: pd.DataFrame  # a row per step
    numbers: dict[str, float]  # behind it


def read(name: str, folder: Path = RESULTS) -> dict:
    """One benchmark's record; FileNotFoundError says how to make a missing one."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"The benchmark {name!r} is not recorded: run make bench NAMES={name}"
        )
    return json.loads(path.read_text())


def comparison() -> pd.DataFrame:
    """A row per contender of every benchmark in `TITLES`; ours comes first.

    ``limit`` is the seconds that the arithmetic alone would take, NaN where unknown,
    and ``reached`` that of the contender's own time.
    """
    rows = []
    for name, title in TITLES.items():
        record = read(name)
        for row in record["rows"]:
            rows.append(
                {
                    "record": name,
                    "benchmark": title.format(**record),
                    "contender": row["name"],
                    "seconds": row["seconds"],
                    "times ours": row["seconds"] / record["rows"][0]["seconds"],
                    "peak MB": row.get("peak_megabytes", float("nan")),
                    "limit": record.get("limit_seconds", float("nan")),
                }
            )
    frame = pd.DataFrame(rows)
    return frame.assign(reached=frame["limit"] / frame["seconds"])


def growth() -> pd.DataFrame:
    """Seconds at each ``n`` of what grows, features or images, by ``engine``."""
    rows = []
    for record in (read("curve"), read("streaming")):
        for line in record["growth"]:
            grows, engine = line["name"].split(", ")
            label = f"{engine} (exponent {line['exponent']:.2f})"
            for n, time in zip(line["values"], line["seconds"], strict=True):
                rows.append({"grows": grows, "engine": label, "n": n, "seconds": time})
    return pd.DataFrame(rows)


def machine() -> dict[str, str]:
    """The machine of the records, in words."""
    about = read("curve")["machine"]
    versions = [f"{name} {version}" for name, version in about["versions"].items()]
    return {
        "machine": f"{about['description']}; {about['processor']}",
        "size": f"{about['cores']} cores, {about['memory_gigabytes']} GB",
        "versions": ", ".join(versions),
        "recorded": f"{about['date']}, load at start {about['load_at_start']:.1f}",
        "matrix products": f"{about['gflops_one_core']:.0f} GFLOP/s on one core, "
        f"{about['gflops']:.0f} on all",
        "memory": f"{about['gigabytes_per_second']:.0f} GB/s, read and written",
        "GPU": read("training")["gpu"],
    }


def numbers() -> dict[str, float | str]:
    """For the prose: what is recorded, as <benchmark>_<name>, and what follows."""
    names = (*TITLES, "streaming", "units_of_work")
    found = {
        f"{name}_{key}": value for name in names for key, value in read(name).items()
    }
    curve, stream = read("curve"), read("streaming")
    largest = found["streaming_largest_seconds"]
    images = dict(
        zip(("ours", "loop"), found["extraction_images_per_second"], strict=True)
    )
    of_machine = ("gflops", "gigabytes_per_second", "cores")
    recorded = {key: v for key, v in found.items() if isinstance(v, int | float | str)}
    return recorded | {
        **{name: curve["machine"][name] for name in of_machine},
        **{f"images_per_second_{name}": rate for name, rate in images.items()},
        "n_pool5": curve["growth"][0]["values"][-1],
        "curve_difference": max(row["largest_difference"] for row in curve["rows"]),
        "image_level_megabytes": read("image_level")["rows"][0]["peak_megabytes"],
        "streaming_exponent": stream["growth"][0]["exponent"],
        "streaming_reached": stream["limit_seconds"] / largest,
        "million_images_hours": largest * (1e6 / stream["n_largest"]) ** 2 / 3600,
    }


def duration(seconds: float) -> str:
    """Seconds to three significant digits, without an exponent."""
    if seconds < 1e-4:
        return "< 0.0001"
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:#.3g}".rstrip(".")


def costs(
    n_networks: int, n_layers: int, n_features: int, n_images: int, n_sizes: int = 100
) -> Plan:
    """Time, memory and transfer of insertion curves of every layer of many networks.

    From measured unit costs: extraction as VGG-19's; a curve by its multiply-adds, at
    the rate of the streamed benchmark.
    """
    extraction, streaming, units = map(
        read, ("extraction", "streaming", "units_of_work")
    )
    cores, n_pairs = extraction["machine"]["cores"], n_images * (n_images - 1) / 2
    # per pair: products of inserted features and of as many of the reference's, and
    # three sums at each size
    measured = 4 * streaming["n_features"] + 3 * streaming["n_sizes"]
    rate = streaming["largest_pairs"] * measured / streaming["largest_seconds"]
    layers, layer = n_networks * n_layers, n_images * n_features * 4
    steps = {
        "extract features": (
            n_networks,
            extraction["vgg19_seconds_per_image"] * cores * n_images,
        ),
        "insertion curves": (
            layers,
            n_pairs
            * (4 * n_features + 3 * n_sizes)
            / rate
            * streaming["machine"]["cores"],
        ),
        "Dask and store": (layers, units["seconds_per_unit"]),
    }
    days = {step: n * each / _DAY for step, (n, each) in steps.items()}
    rows = [
        {
            "step": step,
            "units": f"{n:,}",
            "seconds each": duration(each),
            "days of one core": duration(days[step]),
            "days of 200 cores": duration(days[step] / 200),
        }
        for step, (n, each) in steps.items()
    ]
    transferred = layers * layer
    return Plan(
        pd.DataFrame(rows),
        {
            "n_layers": n_layers,
            "n_features": n_features,
            "n_sizes": n_sizes,
            "cores": cores,
            "extract_core_days": days["extract features"],
            "curve_core_days": days["insertion curves"],
            "curve_minutes": steps["insertion curves"][1] / 60,
            "overhead_ms": units["seconds_per_unit"] * 1e3,
            "matrix_gb": n_pairs * 8 / 1e9,
            "layer_gb": layer * 2 / 1e9,
            "embeddings_tb": transferred / 1e12,
            "transfer_days": transferred / 1e6 / units["megabytes_per_second"] / _DAY,
            "results_mb": layers * n_sizes * 2 * 8 / 1e6,
        },
    )
