"""Figure B1 and the steps of the measure show the digits they are given, in their places."""

from itertools import pairwise

import numpy as np
import pytest

from filvm.data import stroke_steps
from filvm.figures.thickness import stroke_steps_figure, thickness_columns_figure


def sheet(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_every_digit_stands_in_the_column_of_its_thickness():
    thickness = np.random.default_rng(0).uniform(1.5, 5, 2000)
    images = np.broadcast_to(thickness[:, np.newaxis, np.newaxis], [2000, 28, 28])
    columns = sheet(thickness_columns_figure(images, thickness, columns=7, rows=3))
    assert columns.shape == (3 * 28, 7 * 28)
    edges = np.linspace(*np.percentile(thickness, [1, 99]), 8)
    for column, (low, high) in enumerate(pairwise(edges)):
        part = columns[:, column * 28 : (column + 1) * 28]
        assert ((part >= low) & (part < high)).all()


def test_digits_without_a_thickness_are_left_out():
    thickness = np.r_[np.full(50, np.nan), np.linspace(2, 3, 50)]
    images = np.isnan(thickness)[:, np.newaxis, np.newaxis] * np.ones([1, 28, 28])
    assert sheet(thickness_columns_figure(images, thickness, columns=4, rows=5)).max() == 0


def test_a_thin_column_stays_short():
    images = np.ones([3, 28, 28, 1])
    drawn = sheet(thickness_columns_figure(images, np.array([2.0, 2.5, 3.0]), columns=2, rows=4))
    assert 0 < drawn.sum() / 28**2 <= 3


def test_another_number_of_thicknesses_than_images_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(3,\)"):
        thickness_columns_figure(np.ones([3, 28, 28]), np.ones(2))


def test_the_steps_figure_has_a_row_for_each_digit_and_names_its_thickness():
    image = np.zeros([28, 28], np.uint8)
    image[4:24, 12:16] = 255
    figure = stroke_steps_figure([image, image.T], [stroke_steps(image), stroke_steps(image.T)])
    assert len(figure.axes) == 2 * 5 + 1  # and the colour bar
    assert figure.axes[5].get_ylabel() == f"{stroke_steps(image.T).thickness:.2f} px"
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)
