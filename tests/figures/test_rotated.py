"""Figure B2 puts every digit in the row of its angle."""

import numpy as np
import pytest

from filvm.figures.rotated import rotation_rows_figure


def sheet(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_every_digit_stands_in_the_row_of_its_angle_largest_on_top():
    angles = np.random.default_rng(0).uniform(-90, 90, 1000)
    images = np.broadcast_to(angles[:, np.newaxis, np.newaxis], [1000, 28, 28])
    drawn = sheet(rotation_rows_figure(images, angles, rows=6, columns=5))
    assert drawn.shape == (6 * 28, 5 * 28)
    for row in range(6):
        part = drawn[row * 28 : (row + 1) * 28]
        assert ((part <= 90 - 30 * row) & (part >= 60 - 30 * row)).all()


def test_only_the_digits_drawn_are_read():
    class Counting:
        shape = (5000, 28, 28, 1)
        read = 0

        def __len__(self):
            return 5000

        def __getitem__(self, index):
            self.read += 1
            return np.zeros([28, 28, 1], np.uint8)

    images = Counting()
    rotation_rows_figure(images, np.linspace(-90, 90, 5000), rows=4, columns=5)
    assert images.read == 20


def test_another_number_of_angles_than_images_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(3,\)"):
        rotation_rows_figure(np.ones([3, 28, 28]), np.ones(2))
