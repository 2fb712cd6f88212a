"""What is read off a figure is what was put into it."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import drawn, figures


@pytest.fixture
def ax():
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


def of(table, mark):
    return table[table["mark"] == mark].reset_index(drop=True)


def test_lines_keep_their_points_labels_and_gaps(ax):
    ax.plot([0, 1, 2], [0.5, np.nan, 0.7], label="lowest PoZ first")
    ax.set_title("MNIST", loc="left")
    table = drawn.values()
    assert table["series"].unique().tolist() == ["lowest PoZ first"] and table["panel"].unique().tolist() == ["MNIST"]
    np.testing.assert_array_equal(table[["x", "y"]], [[0, 0.5], [1, np.nan], [2, 0.7]])


def test_bands_give_both_edges(ax):
    x, low, high = np.arange(5.0), np.arange(5.0) - 1, np.arange(5.0) ** 2 + 1
    ax.fill_between(x, low, high, label="95 %")
    table = of(drawn.values(), "band")
    np.testing.assert_allclose(table[["x", "y", "y_to"]], np.stack([x, low, high], axis=1))


def test_a_band_with_a_gap_is_in_parts(ax):
    ax.fill_between(np.arange(5.0), np.array([0, 0, np.nan, 0, 0]), np.ones(5))
    assert of(drawn.values(), "band")["x"].tolist() == [0, 1, 3, 4]


def test_error_bars_give_points_with_their_label_and_intervals(ax):
    ax.errorbar([0.2, 0.4], [0, 1], xerr=[[0.1, 0.1], [0.2, 0.2]], fmt="o", label="fruits", capsize=2)
    ax.set(yticks=[0, 1], yticklabels=["drop ghosts", "keep"])
    table = drawn.values()
    points, intervals = of(table, "point"), of(table, "interval")
    assert points["series"].tolist() == ["fruits"] * 2 and points["y_name"].tolist() == ["drop ghosts", "keep"]
    np.testing.assert_allclose(intervals[["x", "x_to"]], [[0.1, 0.4], [0.3, 0.6]])


def test_heat_maps_give_every_cell_with_its_names(ax):
    values = np.array([[1, -0.5], [np.nan, 0.25]])
    figures.matrix(ax, values, ["A", "B"], "")
    table = of(drawn.values(), "cell")
    np.testing.assert_array_equal(table["value"].to_numpy().reshape(2, 2), values)
    assert table[["y_name", "x_name"]].agg("".join, axis=1).tolist() == ["AA", "AB", "BA", "BB"]


def test_histograms_give_the_share_per_bin(ax):
    poz = np.array([[0.0, 0.1, 0.9, 1.0]])
    figures.poz_distribution(ax, poz, "k", "LeNet-5", n_bins=2)
    table = of(drawn.values(), "bar")
    assert table["series"].tolist() == ["LeNet-5", "LeNet-5"]
    np.testing.assert_allclose(table[["x", "x_to", "y"]], [[0, 0.5, 0.5], [0.5, 1, 0.5]])


def test_an_empty_figure_is_an_empty_table(ax):
    assert drawn.values().empty


def test_panels_that_share_an_axis_all_know_the_names_of_its_ticks():
    figure, axes = plt.subplots(1, 2, sharey=True)
    for ax in axes:
        ax.plot([1, 2], [0, 1], "o")
        ax.set(yticks=[0, 1], yticklabels=["low", "high"])
    table = drawn.values(figure)
    assert list(table["y_name"]) == ["low", "high"] * 2
    plt.close(figure)
