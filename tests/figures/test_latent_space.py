"""Figures 7 to 9 show every sample at its place, in the colour of its attribute."""

import numpy as np
from matplotlib.colors import to_rgba

from filvm.figures.latent_space import (
    DIGIT_COLOURS,
    Cloud,
    digit_latent_space_figure,
    sequence_latent_space_figure,
)

rng = np.random.default_rng(0)
digits = np.arange(60) % 10
thickness = rng.uniform(1, 4, 60)


def points(axis):
    return np.asarray(axis.collections[0].get_offsets())


def sorted_rows(array):
    return array[np.lexsort(array.T)]


def test_a_column_for_each_model_digits_above_the_attribute_below():
    clouds = [Cloud(name, *rng.normal(size=(2, 60))) for name in ("ILVM", "recipe", "ours")]
    figure = digit_latent_space_figure(clouds, digits, thickness)
    above, below = figure.axes[:3], figure.axes[3:6]
    assert [axis.get_title() for axis in above] == ["ILVM", "recipe", "ours"]
    for column, cloud in enumerate(clouds):
        expected = sorted_rows(np.column_stack([cloud.x, cloud.y]))
        for axis in (above[column], below[column]):
            np.testing.assert_allclose(sorted_rows(points(axis)), expected)
    assert "thickness (px)" in figure.axes[-1].get_ylabel()


def test_every_sample_has_the_colour_of_its_digit_and_of_its_thickness():
    cloud = Cloud("ours", digits / 4.0 - 1.0, thickness - 2.5)  # the place tells the attributes
    figure = digit_latent_space_figure([cloud], digits, thickness)
    above, below = figure.axes[:2]
    for (x, _), colour in zip(points(above), above.collections[0].get_facecolors(), strict=True):
        np.testing.assert_allclose(colour[:3], to_rgba(DIGIT_COLOURS[round(4 * (x + 1))])[:3])
    np.testing.assert_allclose(below.collections[0].get_array(), points(below)[:, 1] + 2.5)
    named = {text.get_text(): text.get_position()[0] for text in above.texts}
    assert named["7"] == 7 / 4.0 - 1.0


def test_notes_and_chosen_dimensions_are_shown():
    cloud = Cloud("ILVM", *rng.normal(size=(2, 60)), "z*[3]", "z*[5]", ("by information", "0.4"))
    figure = digit_latent_space_figure([cloud], digits, thickness)
    assert figure.axes[1].get_xlabel() == "z*[3]"
    assert figure.axes[1].get_ylabel() == "z*[5]"
    assert "by information" in [text.get_text() for text in figure.axes[0].texts]
    assert "0.4" in [text.get_text() for text in figure.axes[1].texts]


def test_a_sample_without_a_value_is_left_out():
    holes = np.where(digits == 3, np.nan, thickness)
    figure = digit_latent_space_figure([Cloud("ours", thickness, thickness)], digits, holes)
    assert len(points(figure.axes[1])) == np.sum(digits != 3)


def test_sequences_have_a_row_for_each_model_and_a_column_for_each_attribute():
    clouds = [Cloud(name, *rng.normal(size=(2, 60))) for name in ("recipe", "ours")]
    attributes = {name: rng.uniform(size=60) for name in ("start", "step", "length", "final")}
    figure = sequence_latent_space_figure(clouds, attributes)
    axes = np.array(figure.axes[:8]).reshape(2, 4)
    assert [axis.get_title() for axis in axes[0]] == list(attributes)
    assert [axis.get_ylabel().split("\n")[0] for axis in axes[:, 0]] == ["recipe", "ours"]
    for row, cloud in zip(axes, clouds, strict=True):
        for axis, values in zip(row, attributes.values(), strict=True):
            lookup = dict(zip(cloud.x, values, strict=True))
            shown = axis.collections[0].get_array()
            assert [lookup[x] for x in points(axis)[:, 0]] == list(shown)


def test_figures_can_be_drawn():
    cloud = Cloud("ours", *rng.normal(size=(2, 60)))
    digit_latent_space_figure([cloud], digits, thickness).canvas.draw()
    sequence_latent_space_figure([cloud], {"start": thickness}).canvas.draw()
