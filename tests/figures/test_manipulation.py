"""Figures 10 to 12, B3 and B4 show generated images and sequences with place and measures."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from filvm.analysis.manipulation import Effects
from filvm.figures.manipulation import (
    Grid,
    LatentMap,
    digit_grid_figure,
    effects_figure,
    latent_map_figure,
    swept_sequences_figure,
    swept_sequences_text,
)

rng = np.random.default_rng(0)
IMAGES = rng.random((3, 10, 8, 8))
Y = np.array([-1.5, 0.0, 1.5])
MEASURED = np.array([1.5, 2.5, 3.5])[:, None] + np.zeros((3, 10))
DIGITS = np.tile(np.arange(10), (3, 1))


def texts(axis):
    return [text.get_text() for text in axis.texts]


def test_every_image_is_at_its_digit_and_coordinate_with_its_measure_below():
    figure = digit_grid_figure([Grid("ours", IMAGES, Y, MEASURED, DIGITS)])
    (axis,) = figure.axes
    assert len(axis.images) == 30
    for picture in axis.images:
        left, right, bottom, top = picture.get_extent()
        digit, row = round((left + right) / 2), round((bottom + top) / 2)
        np.testing.assert_array_equal(picture.get_array(), IMAGES[row, digit])
    below = {(round(t.get_position()[0]), round(t.get_position()[1])): t for t in axis.texts}
    assert below[4, 2].get_text() == "3.5"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["−1.5", "0.0", "1.5"]
    right = axis.child_axes[0]
    assert right.get_yticklabels()[0].get_text() == "1.5 (1.5 to 1.5)"
    assert "thickness (px)" in right.get_ylabel()


def test_images_of_another_digit_than_asked_are_framed_with_it():
    digits = DIGITS.copy()
    digits[1, 4] = 9
    figure = digit_grid_figure([Grid("ours", IMAGES, Y, MEASURED, digits)])
    (frame,) = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert frame.get_x() < 4 < frame.get_x() + frame.get_width()
    assert frame.get_y() < 1 < frame.get_y() + frame.get_height()
    assert "9" in texts(figure.axes[0])


def test_grids_stand_side_by_side_with_their_rows_measures_alone():
    unmeasured = MEASURED.copy()
    unmeasured[0] = np.nan
    grids = [
        Grid("recipe", IMAGES, Y, unmeasured, DIGITS),
        Grid("ours", IMAGES, Y, -MEASURED, DIGITS),
    ]
    figure = digit_grid_figure(grids, measure_label="rotation (degrees)", form=".0f")
    assert [axis.get_title() for axis in figure.axes] == ["recipe", "ours"]
    assert texts(figure.axes[1]) == []
    labels = [axis.child_axes[0].get_yticklabels() for axis in figure.axes]
    assert labels[0][0].get_text() == "–"
    assert labels[1][2].get_text() == "−4 (−4 to −4)"


def test_the_map_has_every_image_at_its_coordinates():
    x_values, y_values = np.array([-1.5, -0.5, 0.5, 1.5]), np.array([3.0, 0.0, -3.0])
    images = rng.random((3, 4, 5, 5))
    maps = [LatentMap(title, images, x_values, y_values) for title in ("recipe", "ours")]
    figure = latent_map_figure(maps)
    assert [axis.get_title() for axis in figure.axes] == ["recipe", "ours"]
    (picture,) = figure.axes[0].images
    mosaic = np.asarray(picture.get_array())
    assert mosaic.shape == (15, 20)
    np.testing.assert_array_equal(mosaic[10:, 5:10], images[0, 1])  # the first row is at the bottom
    np.testing.assert_array_equal(mosaic[:5, 15:], images[2, 3])
    assert picture.get_extent() == pytest.approx([-0.5, 3.5, -0.5, 2.5])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "3.00",
        "0.00",
        "−3.00",
    ]
    np.testing.assert_array_equal(figure.axes[0].get_xticks(), [0, 1, 2, 3])


def test_effects_are_drawn_for_every_dimension_attribute_and_model():
    values = np.linspace(-2, 2, 5)
    ranges = {"start": (0.0, 10.0), "step": (0.0, 1.0)}
    models = {
        name: Effects(values, {key: rng.random((4, 5)) for key in ranges}, ranges)
        for name in ("ours", "recipe")
    }
    figure = effects_figure(models)
    axes = np.array(figure.axes).reshape(4, 2)
    for i in range(4):
        for axis, name in zip(axes[i], ranges, strict=True):
            for line, (model, effects) in zip(axis.lines, models.items(), strict=True):
                assert line.get_label() == model
                np.testing.assert_array_equal(line.get_ydata(), effects.read[name][i])
                share = effects.moved()[name][i]
                assert f"{100 * share:.0f} %" in texts(axis)


def test_sequences_are_drawn_one_line_each_and_their_ends_marked():
    groups = [[[1, 2, 3], [2, 4, 6, 8]], [[5, 6], [5]]]
    figure = swept_sequences_figure({"ours": groups, "recipe": groups}, np.array([-3.0, 3.0]))
    axes = np.array(figure.axes[:4]).reshape(2, 2)
    for row in axes:
        for axis, group in zip(row, groups, strict=True):
            drawn = {marker: [] for marker in "os"}
            for line in axis.lines:
                drawn[line.get_marker()].append(list(line.get_ydata()))
            assert sorted(drawn["o"]) == sorted(group)
            assert sorted(drawn["s"]) == sorted([sequence[-1]] for sequence in group)


def test_numbers_that_are_no_sequence_are_grey_and_named():
    groups = [[[10, 20, 30], [320, 570, 980, 480]]]
    figure = swept_sequences_figure({"FILVM,\nours": groups}, np.array([-3.0, 3.0]))
    (axis,) = [axis for axis in figure.axes if axis.get_title()]
    grey = [list(line.get_ydata()) for line in axis.lines if line.get_color() == "0.6"]
    assert grey == [[320, 570, 980, 480]]
    assert figure.get_supxlabel() == "no sequence (grey): ours, z*[0] = 3.0"
    assert swept_sequences_text(groups).splitlines()[2:] == [
        "10 20 30",
        "320 570 980 480 (no sequence)",
    ]


def test_sequences_are_listed_as_the_report_lists_them():
    groups = [[[174.2, 197.6], [218]], [[52, 43, 41]]]
    assert swept_sequences_text(groups) == (
        "Sequences generated by changing z*[0] from -3 to 3\n\n174 198\n218\n\n"
        "Sequences generated by changing z*[1] from -3 to 3\n\n52 43 41\n"
    )


def test_figures_can_be_drawn():
    grid = Grid("ours", IMAGES, Y, MEASURED, DIGITS)
    digit_grid_figure([grid]).canvas.draw()
    digit_grid_figure([grid, grid]).canvas.draw()
    latent_map_figure([LatentMap("t", IMAGES, np.arange(10), Y)]).canvas.draw()
    swept_sequences_figure({"ours": [[[1, 2], [3]]]}, np.array([-3.0, 3.0])).canvas.draw()
