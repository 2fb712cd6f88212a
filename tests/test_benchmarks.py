"""Records of benchmarks, and the arithmetic of the large study made from them."""

import numpy as np
import pytest

from benchmarks import figures, harness, records

MACHINE = {"description", "processor", "cores", "versions", "date", "gflops"}
NAMES = sorted(path.stem for path in records.RESULTS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_record_holds_equal_results_and_names_no_machine(name):
    record = records.read(name)
    assert record["benchmark"] == name and record["machine"].keys() >= MACHINE
    assert "hostname" not in record["machine"]
    for row in record.get("rows", []):
        assert min(row["times"]) > 0 and row["largest_difference"] <= 1e-4
        assert row["seconds"] == pytest.approx(np.median(row["times"]))


def test_recorded_claims_of_speed():
    """Hundreds of times numpy.corrcoef and rsatoolbox; ours is the fastest."""
    table = records.comparison()
    times = table.set_index(["record", "contender"])["times ours"]
    assert times["curve", "numpy.corrcoef at each size"] > 500
    assert times["bootstrap", "rsatoolbox eval_bootstrap_pattern"] > 500
    assert not (table["limit"] > table["seconds"]).any()
    fastest = table.groupby("benchmark", sort=False)["seconds"].idxmin()
    assert table.loc[fastest, "contender"].str.startswith("ours").all()


def test_missing_record_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make bench NAMES=curve"):
        records.read("curve", tmp_path)


def test_contenders_alternate_and_a_part_of_the_work_counts_as_a_part():
    called = []

    def contender(name, value, share=1.0, part=...):
        def call():
            called.append(name)
            return np.array(value)

        return harness.Contender(name, call, share, 2, part=part)

    pair = [contender("ours", [1.0, 2.0]), contender("peer", [2.0], 0.5, np.s_[1:])]
    ours, peer = harness.compare(pair, memory=False)
    assert called == ["ours", "peer"] * 3
    assert ours["share"] == 1 and peer["share"] == 0.5
    assert ours["largest_difference"] == peer["largest_difference"] == 0
    with pytest.raises(AssertionError, match="peer"):
        harness.compare([pair[0], contender("peer", [1.0, 2.1])], memory=False)


def test_seconds_are_medians_of_the_whole_work(monkeypatch):
    times = iter([9, 1, 2, 6, 3, 4])  # ours, peer by turns
    monkeypatch.setattr(harness, "seconds", lambda call: (next(times), call()))
    call = np.zeros
    pair = [
        harness.Contender("ours", lambda: call(1), rounds=3),
        harness.Contender("peer", lambda: call(1), share=0.5, rounds=3),
    ]
    rows = harness.compare(pair, memory=False)
    assert [row["seconds"] for row in rows] == [3, 8]


def test_growth_finds_the_exponent(monkeypatch):
    monkeypatch.setattr(harness, "best", lambda call, rounds: 3e-3 * call() ** 1.5)
    line = harness.growth("x", [1, 2, 4, 8], lambda n: lambda: n)
    assert line["exponent"] == pytest.approx(1.5)


def test_study_on_paper_is_the_product_of_its_parts(monkeypatch):
    machine = {"cores": 2}
    recorded = {
        "extraction": {"vgg19_seconds_per_image": 0.5, "machine": machine},
        "streaming": {
            "largest_pairs": 10**9,
            "n_features": 50,
            "n_sizes": 100,
            "largest_seconds": 5,
            "machine": machine,
        },
        "units_of_work": {"seconds_per_unit": 0.01, "megabytes_per_second": 100},
    }
    monkeypatch.setattr(records, "read", recorded.get)
    n_pairs, day = 1001 * 1000 / 2, 86400
    numbers = records.costs(10, n_layers=3, n_features=50, n_images=1001).numbers
    assert numbers["extract_core_days"] == pytest.approx(10 * 1001 * 0.5 * 2 / day)
    assert numbers["curve_core_days"] == pytest.approx(30 * n_pairs / 1e9 * 5 * 2 / day)
    assert numbers["matrix_gb"] == pytest.approx(n_pairs * 8 / 1e9)
    assert numbers["layer_gb"] == pytest.approx(1001 * 50 * 8 / 1e9)
    transfer = 30 * 1001 * 50 * 4 / 100e6 / day
    assert numbers["transfer_days"] == pytest.approx(transfer)
    assert numbers["results_mb"] == pytest.approx(30 * 100 * 2 * 8 / 1e6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1797.66, "1,798"),
        (1.2345, "1.23"),
        (0.0331, "0.0331"),
        (12.0, "12.0"),
        (1.413e-5, "< 0.0001"),
    ],
)
def test_durations_have_three_digits(seconds, text):
    assert records.duration(seconds) == text


def test_figures_show_every_contender_and_every_line():
    import matplotlib.pyplot as plt

    for _, rows in records.comparison().groupby("benchmark"):
        ax = figures.contenders(plt.figure().subplots(), rows, "title")
        assert [label.get_text() for label in ax.get_yticklabels()] == list(
            rows["contender"]
        )
        widths = [bar.get_x() + bar.get_width() for bar in ax.patches]
        assert widths == pytest.approx(rows["seconds"].tolist())
    growth = records.growth()
    ax = figures.growth(plt.figure().subplots(), growth, "n")
    assert sum(len(line.get_xdata()) for line in ax.lines) == len(growth)
    plt.close("all")
