"""The form of a figure for a phone: the same panels, below one another."""

import base64
import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import phone


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def two_by_two(**options):
    figure, axes = plt.subplots(2, 2, figsize=(8, 5), layout="constrained", **options)
    for number, ax in enumerate(axes.flat):
        ax.plot([0, number + 1], label=f"line {number}")
        ax.set_title(f"panel {number}")
    return figure, axes


def bottom(ax):
    return ax.get_position().y0


def test_panels_stand_below_one_another_in_reading_order():
    figure, axes = two_by_two()
    phone.stack(figure)
    figure.draw_without_rendering()
    places = [ax.get_position() for ax in axes.flat]
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(places))
    assert np.ptp([place.width for place in places]) < 0.02
    assert figure.get_figwidth() == phone.WIDTH
    titles = [ax.get_title("left") + ax.get_title() for ax in axes.flat]
    assert titles == [f"panel {n}" for n in range(4)]


def test_panels_of_a_column_stay_together_where_rows_differ_in_height():
    _, axes = two_by_two(height_ratios=[1, 3])
    assert phone.in_reading_order([*axes.flat]) == [*axes.T.flat]


def test_panels_that_shared_labels_have_their_own():
    figure, axes = two_by_two(sharex=True, sharey=True)
    axes[0, 0].set_ylabel("height")
    axes[1, 1].set_xlabel("width")
    phone.stack(figure)
    figure.draw_without_rendering()
    assert axes[0, 1].get_ylabel() == "height"
    assert axes[0, 1].get_xlabel() == "width"
    assert any(text.get_text() for text in axes[0, 1].get_yticklabels())


def test_a_wide_legend_becomes_narrow_and_long_names_are_broken():
    figure, axes = two_by_two()
    figure.legend([*axes[0, 0].lines] * 4, ["a long name of a line"] * 4, ncols=4)
    axes[0, 0].set_yticks([0, 1], ["the name of a row, which is long", "short"])
    phone.stack(figure)
    figure.draw_without_rendering()
    width = figure.legends[0].get_window_extent().width
    assert width < phone.WIDTH * figure.dpi
    assert "\n" in axes[0, 0].get_yticklabels()[0].get_text()


def test_the_figure_itself_stays_as_it_was_and_photographs_have_no_phone_form():
    figure, axes = two_by_two()
    size, titles = figure.get_size_inches().tolist(), axes[0, 0].get_title()
    form = Image.open(io.BytesIO(base64.b64decode(phone.encoded(figure))))
    assert form.width == pytest.approx(phone.WIDTH * phone.DPI, abs=1)
    assert form.height > form.width
    assert figure.get_size_inches().tolist() == size
    assert axes[0, 0].get_title() == titles
    assert plt.get_fignums() == [figure.number]
    axes[0, 0].imshow(np.zeros((2, 2)))
    assert phone.encoded(figure) is None
