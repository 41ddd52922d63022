"""Figure 3 shows the images it is given, each with its own error."""

import numpy as np
import pytest

from filvm.analysis.reconstruction import pca_mse, squared_errors
from filvm.figures.reconstructions import image_rows_figure, reconstruction_figure


def test_errors_are_means_over_pixels():
    x = np.zeros((2, 2, 2, 1))
    y = x.copy()
    y[1, 0, 0, 0] = 2.0
    np.testing.assert_array_equal(squared_errors(x, y), [0.0, 1.0])


def test_pca_has_the_error_of_the_directions_left_out():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (200, 4, 4), np.uint8)
    flat = images.reshape(200, 16) / 255
    centred = flat - flat[:100].mean(axis=0)
    left = np.linalg.svd(centred[:100])[2][3:]  # directions beyond three components
    expected = np.square(centred[100:] @ left.T).sum(axis=1).mean() / 16
    assert pca_mse(images[:100], images[100:], 3) == pytest.approx(expected, rel=1e-4)


def test_every_pair_is_shown_with_its_error():
    rng = np.random.default_rng(0)
    images, reconstructions = rng.random((2, 3, 8, 8, 1))
    figure = reconstruction_figure(images, reconstructions, mse=0.01234, title="a model")
    axes = figure.axes
    assert len(axes) == 6
    np.testing.assert_array_equal(axes[1].images[0].get_array(), images[1, ..., 0])
    np.testing.assert_array_equal(axes[4].images[0].get_array(), reconstructions[1, ..., 0])
    errors = squared_errors(images, reconstructions)
    assert [axis.get_xlabel() for axis in axes[3:]] == [f"{error:.4f}" for error in errors]
    assert "0.01234" in figure.get_suptitle()


def test_rows_of_images_keep_their_order_and_names():
    rng = np.random.default_rng(0)
    rows = {"long": rng.random((4, 8, 8, 1)), "short": rng.random((2, 8, 8))}
    figure = image_rows_figure(rows, columns=[1, 2, "c", 4.5])
    axes = np.reshape(figure.axes, (2, 4))
    np.testing.assert_array_equal(axes[0, 3].images[0].get_array(), rows["long"][3, ..., 0])
    np.testing.assert_array_equal(axes[1, 1].images[0].get_array(), rows["short"][1])
    assert not axes[1, 2].images
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["long", "short"]
    assert [axis.get_xlabel() for axis in axes[1]] == ["1", "2", "c", "4.5"]


@pytest.mark.parametrize("name", ["a name of thirty-one letters ab", "FILVM\nthe report's recipe"])
def test_a_long_name_of_a_row_is_not_cut_off(name):
    rows = {"short": np.zeros((1, 8, 8)), name: np.zeros((1, 8, 8))}
    figure = image_rows_figure(rows, title="a title")
    figure.draw_without_rendering()
    for axis in figure.axes:
        extent = axis.yaxis.label.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
