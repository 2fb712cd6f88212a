"""What a figure shows is what its frame holds."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection

from helpers import figures


@pytest.fixture
def ax():
    figures.use_style()
    yield figures.panels(1)[0, 0]
    plt.close("all")


CURVES = pd.DataFrame(
    {
        "share": [0.5, 1.0] * 2,
        "r2": [0.2, 1.0, np.nan, 1.0],
        "low": [0.1, 1.0, np.nan, 1.0],
        "high": [0.3, 1.0, np.nan, 1.0],
        "order": ["lowest", "lowest", "random", "random"],
    }
)


def test_lines_draw_every_row_of_the_frame(ax):
    figures.lines(ax, CURVES, "share", "r2", "order")
    drawn = [line.get_ydata() for line in ax.lines]
    np.testing.assert_array_equal(np.concatenate(drawn), CURVES["r2"])
    assert [line.get_label() for line in ax.lines] == [
        "lowest PoZ first",
        "random order",
    ]
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]


def test_bands_lie_between_low_and_high(ax):
    figures.lines(ax, CURVES[:2], "share", "r2")
    filled, outline = ax.collections
    for band in (filled, outline):
        assert isinstance(band, PolyCollection)
        edges = {tuple(vertex) for vertex in band.get_paths()[0].vertices}
        assert {(0.5, 0.1), (0.5, 0.3), (1.0, 1.0)} <= edges
    assert filled.get_facecolor()[0, 3] == 1  # a second band makes no third colour


def test_without_low_and_high_there_is_no_band(ax):
    figures.lines(ax, CURVES[["share", "r2"]], "share", "r2")
    assert not ax.collections and len(ax.lines) == 1


ESTIMATES = pd.DataFrame(
    {
        "rule": ["drop ghosts", "keep 20%"] * 2,
        "change": [0.0, -0.1, 0.2, np.nan],
        "low": [-0.1, -0.2, 0.1, np.nan],
        "high": [0.1, 0.0, 0.4, np.nan],
        "set": ["fruits", "fruits", "animals", "animals"],
    }
)


def test_intervals_end_at_low_and_high_in_the_row_of_their_name(ax):
    figures.intervals(ax, ESTIMATES, "change", "rule", "set")
    for container, (_, rows) in zip(
        ax.containers, ESTIMATES.groupby("set", sort=False), strict=True
    ):
        dots, _, (bars,) = container.lines
        np.testing.assert_array_equal(dots.get_xdata().astype(float), rows["change"])
        assert np.round(dots.get_ydata()).tolist() == [0, 1]
        ends = [segment[:, 0] for segment in bars.get_segments() if len(segment)]
        np.testing.assert_allclose(ends, rows[["low", "high"]].dropna())
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "drop ghosts",
        "keep 20 %",
    ]
    assert ax.yaxis_inverted()


def test_values_of_one_row_do_not_cover_one_another(ax):
    figures.intervals(ax, ESTIMATES, "change", "rule", "set")
    heights = np.concatenate([c.lines[0].get_ydata() for c in ax.containers])
    assert len(np.unique(heights)) == len(heights)
    assert np.ptp(heights[[0, 2]]) < 0.5  # the next row is further away


def test_a_heat_map_writes_its_numbers_and_names(ax):
    table = pd.DataFrame([[1.0, -0.25, -0.001]], index=["A"], columns=list("BCD"))
    figures.heatmap(ax, table, "title")
    assert [text.get_text() for text in ax.texts] == ["1.00", "−0.25", "0.00"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list("BCD")
    assert ax.get_title("left") == "title"


def test_bars_of_two_sets_lie_side_by_side(ax):
    bars = {"PoZ": [0.3, 0.5] * 2, "value": [0.4, 0.6] * 2, "set": list("aabb")}
    frame = pd.DataFrame(bars).assign(low=0.3, high=0.7)
    figures.histogram(ax, frame, "PoZ", "value", "set")
    places = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    np.testing.assert_allclose(places, [(0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.5, 0.6)])


def test_silent_nodes_have_a_line_per_pair(ax):
    frame = pd.DataFrame(
        {"silent nodes": [0, 1, 0, 1], "pair": list("aabb"), "similarity": range(4)}
    )
    figures.silent_nodes(ax, frame, "Pearson")
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert len({line.get_linestyle() for line in ax.lines}) == 2


def test_rows_of_images_show_each_image_in_its_row(rng):
    images = rng.integers(0, 256, (2, 3, 4, 4, 3), dtype=np.uint8)
    figures.rows_of_images(dict(zip(["first", "PC 1"], images, strict=True)))
    ax = plt.gca()
    shown = np.stack([image.get_array() for image in ax.images])
    np.testing.assert_array_equal(shown, images.reshape(6, 4, 4, 3))
    for image, tick in zip(ax.images[::3], ax.get_yticks(), strict=True):
        bottom, top = image.get_extent()[2:]
        assert top < tick < bottom
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "PC 1"]
    plt.close("all")


def test_the_bands_of_a_difference_are_its_own(ax):
    curve = CURVES[:2].assign(difference=[-0.1, 0.0])
    bands = {"all": (-0.4, 0.4), "difference": (-0.2, 0.2)}
    for name, (low, high) in bands.items():
        curve = curve.assign(**{f"{name}_low": low, f"{name}_high": high})
    figures.difference_curve(ax, SimpleNamespace(name="fruits", curve=curve))
    drawn = [band.get_paths()[0].vertices[:, 1] for band in ax.collections[::2]]
    assert [(y.min(), y.max()) for y in drawn] == list(bands.values())


def test_rows_of_claims_show_bounds_values_and_verdicts(ax):
    rows = pd.DataFrame(
        {
            "claim": ["C1", "C2"],
            "short": ["a", "b"],
            "paper": [0.5, "possible"],
            "at_least": [0.4, np.nan],
            "at_most": [np.nan, 0.2],
            "value": [0.45, np.nan],
            "low": [0.4, np.nan],
            "high": [0.5, np.nan],
            "verdict": ["holds", "undefined"],
        }
    )
    figures.claim_rows(ax, rows, (0, 1))
    asked = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(asked, [(0.4, 1), (0, 0.2)])
    shown = [c.lines[0].get_xydata().tolist() for c in ax.containers[1:]]
    assert shown[0] == [[0.45, 0]] and not any(shown[1:])
    assert [text.get_text() for text in ax.texts] == ["  undefined"]
