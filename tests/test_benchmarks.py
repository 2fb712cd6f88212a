"""Records of benchmarks: what they must hold, and the arithmetic of the large study made from them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import harness  # noqa: E402

from helpers import benchmarks  # noqa: E402

NAMES = ("curve", "image_level", "streaming", "bootstrap", "random_orders", "training", "extraction", "units_of_work")


@pytest.mark.parametrize("name", NAMES)
def test_record_names_the_kind_of_machine_and_ours_comes_first(name):
    record = benchmarks.read(name)
    assert {"description", "processor", "cores", "versions", "date", "gflops"} <= record["machine"].keys()
    for row in record.get("rows", []):
        assert row["seconds"] > 0 and row["largest_difference"] <= 1e-4
        assert row["seconds"] == pytest.approx(np.median(row["times"]))
    if "rows" in record:
        assert record["rows"][0]["ratio"] == 1 and record["rows"][0]["name"].startswith(("ours", "streamed"))


def test_missing_record_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make bench NAMES=curve"):
        benchmarks.read("curve", tmp_path)


def test_contenders_alternate_and_different_results_are_an_error(capsys):
    called = []

    def gives(name, value):
        def call():
            called.append(name)
            return np.array([value])

        return call

    pair = [harness.Contender("ours", gives("a", 1.0), rounds=2), harness.Contender("peer", gives("b", 1.0), 0.5, 2)]
    rows = harness.compare(pair, memory=False)
    assert called == ["a", "b"] * 3 and [row["share"] for row in rows] == [1, 0.5]
    with pytest.raises(AssertionError, match="peer"):
        harness.compare([pair[0], harness.Contender("peer", gives("b", 1.1))], memory=False)


def test_growth_finds_the_exponent(monkeypatch):
    monkeypatch.setattr(harness, "best", lambda call, rounds: 3e-3 * call() ** 1.5)
    assert harness.growth("x", [1, 2, 4, 8], lambda n: lambda: n)["exponent"] == pytest.approx(1.5)


def test_study_on_paper_is_the_product_of_its_parts(monkeypatch):
    machine = {"cores": 2}
    records = {
        "extraction": {"vgg19_seconds_per_image": 0.5, "machine": machine},
        "streaming": {"largest_pairs": 10**9, "n_features": 50, "n_sizes": 100, "largest_seconds": 5}
        | {"machine": machine},
        "units_of_work": {"seconds_per_unit": 0.01, "megabytes_per_second": 100},
    }  # fmt: skip
    monkeypatch.setattr(benchmarks, "read", records.get)
    numbers = benchmarks.costs(n_networks=10, n_layers=3, n_features=50, n_images=1001, n_sizes=100).numbers
    assert numbers["extract_core_days"] == pytest.approx(10 * 1001 * 0.5 * 2 / 86400)
    assert numbers["curve_core_days"] == pytest.approx(30 * (1001 * 1000 / 2) / 1e9 * 5 * 2 / 86400)
    assert numbers["matrix_gb"] == pytest.approx(1001 * 1000 / 2 * 8 / 1e9)
    assert numbers["transfer_days"] == pytest.approx(30 * 1001 * 50 * 4 / 100e6 / 86400)
    assert numbers["results_mb"] == pytest.approx(30 * 100 * 2 * 8 / 1e6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1797.66, "1,798"), (1.2345, "1.23"), (0.0331, "0.0331"), (12.0, "12.0"), (1.413e-5, "< 0.0001")],
)
def test_durations_have_three_digits(seconds, text):
    assert benchmarks.duration(seconds) == text


def test_records_are_json_without_names_of_machines():
    for path in benchmarks.RESULTS.glob("*.json"):
        assert "hostname" not in path.read_text() and json.loads(path.read_text())["benchmark"] == path.stem
