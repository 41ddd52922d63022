"""Manipulations are measured on toy generators with known faults.

An "image" here is its own description [digit, thickness], which the oracles return.
"""

import json

import numpy as np
import pytest
from scipy.stats import norm

from filvm.analysis.manipulation import (
    Request,
    change_digit,
    digit_requests,
    other_classes,
    plane,
    requested_digits,
    sweep_every_dimension,
    traverse,
    value_requests,
)
from filvm.analysis.sweeps import digits_in_sweeps, samples_of_each_digit, sweep_samples

D = 4
COORDINATES = norm.ppf((np.arange(10) + 0.5) / 10)


def generate(z_star):
    digit = np.floor(norm.cdf(z_star[:, 0]) * 10)
    return np.column_stack([digit, 2.5 + 0.5 * z_star[:, 1]])


def entangled(z_star):
    """The digit depends on a third dimension too, and the thickness on the digit."""
    images = generate(z_star)
    images[z_star[:, 2] > 1.0, 0] = 0
    images[:, 1] += images[:, 0]
    return images


def predict_digit(images):
    return images[:, 0].astype(int)


def thickness(images):
    return images[:, 1]


rng = np.random.default_rng(0)
Z_STAR = rng.standard_normal((500, D))


def plain(result):
    summary = result.summary()
    assert json.loads(json.dumps(summary)) == summary
    return summary


def test_a_traversal_changes_one_dimension_only():
    swept = traverse(Z_STAR, 2, np.array([-1.0, 0.0, 1.0]))
    assert swept.shape == (500, 3, D)
    np.testing.assert_array_equal(swept[:, :, 2], np.broadcast_to([-1.0, 0.0, 1.0], (500, 3)))
    others = [0, 1, 3]
    np.testing.assert_array_equal(swept[:, 1][:, others], Z_STAR[:, others])


def test_a_plane_has_its_two_axes_and_zeros():
    points = plane(D, np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0]), x_dimension=2, y_dimension=0)
    assert points.shape == (3, 2, D)
    np.testing.assert_array_equal(points[1, 0], [4.0, 0.0, 1.0, 0.0])


def digits_on_request(generate, num_per_digit):
    requests = digit_requests(COORDINATES, D, num_per_digit=num_per_digit)
    return requested_digits(generate(requests.reshape(-1, D)), predict_digit, 10)


def at_every_digit(rests):
    return traverse(rests, 0, COORDINATES).swapaxes(0, 1)


def test_a_perfect_generator_agrees_on_every_digit():
    found = digits_on_request(generate, 50)
    np.testing.assert_array_equal(found.counts, 50 * np.eye(10))
    assert plain(found) == {"agreement": 1.0, "agreement_per_digit": [1.0] * 10}


def test_a_dimension_that_changes_the_digit_lowers_the_agreement_by_its_share():
    found = digits_on_request(entangled, 2000)
    summary = plain(found)
    spoilt = norm.sf(1.0)
    assert summary["agreement"] == pytest.approx(1 - 0.9 * spoilt, abs=0.01)
    assert summary["agreement_per_digit"][0] == 1.0
    assert found.counts.sum(axis=1).tolist() == [2000] * 10
    again = digits_on_request(entangled, 2000)
    np.testing.assert_array_equal(again.counts, found.counts)


def test_a_perfect_sweep_increases_keeps_the_digit_and_covers_the_range():
    values = np.linspace(-2, 2, 9)
    starts = at_every_digit(np.zeros((1, D)))
    found = sweep_samples(generate, thickness, predict_digit, starts, values)
    assert found.measured.shape == found.digits.shape == (10, 1, 9)
    summary = plain(found)
    assert summary["strictly_increasing"] == summary["digit_kept"] == 1.0
    assert summary["reached_by_all"] == pytest.approx([1.5, 3.5])


def test_a_sweep_shows_the_faults_of_each_digit():
    def faulty(z_star):
        images = generate(z_star)
        three, five = images[:, 0] == 3, images[:, 0] == 5
        images[three, 1] = np.minimum(images[three, 1], 3.0)  # threes stop growing
        images[five & (z_star[:, 1] < -1.9), 0] = 6  # the thinnest five is a six
        images[images[:, 0] == 8, 1] = np.nan  # eights are blank
        return images

    starts, values = at_every_digit(np.zeros((2, D))), np.linspace(-2, 2, 9)
    found = plain(sweep_samples(faulty, thickness, predict_digit, starts, values))
    increasing = [0.0 if digit in (3, 8) else 1.0 for digit in range(10)]
    assert found["strictly_increasing_per_digit"] == increasing
    assert found["digit_kept_per_digit"][5] == pytest.approx(8 / 9)
    assert found["highest_per_digit"][3] == 3.0
    assert found["lowest_per_digit"][8] is None


def test_sweeps_keep_the_given_other_dimensions():
    seen = []

    def record(z_star):
        seen.append(z_star)
        return generate(z_star)

    values, rests = np.array([-1.0, 1.0]), Z_STAR[:3]
    sweep_samples(record, thickness, predict_digit, at_every_digit(rests), values)
    points = seen[0].reshape(10, 3, 2, D)
    np.testing.assert_array_equal(points[4, :, 1, 2:], rests[:, 2:])
    assert (points[4, :, :, 0] == COORDINATES[4]).all()
    np.testing.assert_array_equal(points[4, 2, :, 1], values)


def test_changing_the_digit_keeps_the_thickness_of_a_perfect_generator():
    images = generate(Z_STAR)
    digits = predict_digit(images)
    others = other_classes(digits, 10), thickness(images)
    found = change_digit(generate, thickness, predict_digit, Z_STAR, *others, COORDINATES)
    assert (found.requested != digits).all()
    assert set(found.requested) == set(range(10))
    summary = plain(found)
    assert summary["agreement"] == 1.0
    assert summary["correlation"] == pytest.approx(1.0)
    assert summary["difference"] == pytest.approx(0.0)

    other = plain(change_digit(entangled, thickness, predict_digit, Z_STAR, *others, COORDINATES))
    assert other["agreement"] < 0.95
    assert other["correlation"] < 0.5


def test_blank_images_are_excluded_from_the_correlation():
    def blank(images):
        return np.where(np.arange(len(images)) % 2, np.nan, thickness(images))

    images = generate(Z_STAR)
    others = other_classes(predict_digit(images), 10), thickness(images)
    assert plain(change_digit(generate, blank, predict_digit, Z_STAR, *others, COORDINATES))[
        "correlation"
    ] == pytest.approx(1.0)


def test_sixes_predicted_as_nines_are_separated_from_other_errors():
    def turned(z_star):
        images = generate(z_star)
        six = np.flatnonzero(images[:, 0] == 6)
        images[six[::2], 0] = 9  # every second six looks like a nine
        images[np.flatnonzero(images[:, 0] == 1)[::4], 0] = 7  # an error of another kind
        images[:, 1] += np.where(images[:, 0] == 2, 3.0, 0.1)
        return images

    values = np.array([1.5, 2.5, 3.5])
    z_star, digits, rows = value_requests(COORDINATES, (values - 2.5) / 0.5, D)
    images = turned(z_star)
    found = plain(Request(digits, predict_digit(images), values[rows], thickness(images)))
    assert found["read_as"] == {"6 read as 9": 0.5, "9 read as 6": 0.0}
    assert found["agreement"] == pytest.approx(1 - 0.1 * (0.5 + 0.25))
    assert found["agreement_apart"] == pytest.approx(1 - 0.1 * 0.25 / 0.95)
    assert found["median_absolute_error"] == pytest.approx(0.1)
    assert found["median_absolute_error_per_digit"]["2"] == pytest.approx(3.0)
    assert set(found["median_absolute_error_per_value"]) == {"1.5", "2.5", "3.5"}


def test_effects_are_shares_of_the_range_of_each_attribute():
    def read(z_star):
        length = 10.0 + 2 * z_star[:, 1]
        return {
            "start": 500 + 200 * z_star[:, 0],
            "length": length,
            "step": np.where(length < 7, np.nan, 5.0),
        }

    ranges = {"start": (0.0, 1000.0), "length": (0.0, 20.0), "step": (0.0, 10.0)}
    found = sweep_every_dimension(read, np.linspace(-2, 2, 5), ranges, D)
    moved = found.moved()
    assert moved["start"] == pytest.approx([0.8, 0, 0, 0])
    assert moved["length"] == pytest.approx([0, 0.4, 0, 0])
    assert moved["step"].tolist() == [0, 0, 0, 0]
    assert found.read["length"].shape == (D, 5)
    with pytest.raises(ValueError, match=r"differ in \['final'\]"):
        sweep_every_dimension(read, np.zeros(2), {**ranges, "final": (0.0, 1.0)}, D)


def test_an_oracle_that_returns_scores_is_refused():
    with pytest.raises(TypeError, match=r"predict_digit returned float64 \[10, 2\]"):
        requested_digits(generate(Z_STAR[:10]), lambda images: images, 10)


def test_sweeps_from_real_samples_keep_everything_else():
    z_star = Z_STAR[:30].reshape(10, 3, D).copy()
    z_star[:, :, 0] = COORDINATES[:, None]
    values = np.linspace(-2, 2, 9)
    found = plain(sweep_samples(generate, thickness, predict_digit, z_star, values))
    assert found["sweeps_per_digit"] == 3
    assert found["strictly_increasing"] == found["digit_kept"] == 1.0
    assert found["reached_by_all"] == pytest.approx([1.5, 3.5])
    # An axis that points the other way is swept in its own direction.
    falling = sweep_samples(
        lambda z_star: generate(z_star * [1, -1, 1, 1]), thickness, predict_digit, z_star, -values
    )
    assert plain(falling)["strictly_increasing"] == 1.0


def test_the_same_number_of_samples_of_each_digit_starts_sweeps():
    digits = np.repeat(np.arange(10), [5, 3, *[9] * 8])
    rows = samples_of_each_digit(digits, most=4)
    assert rows.shape == (10, 3)
    np.testing.assert_array_equal(digits[rows], np.repeat(np.arange(10)[:, None], 3, axis=1))


def test_the_digits_that_appear_in_sweeps_are_counted():
    found = digits_in_sweeps(generate, predict_digit, Z_STAR[:50], COORDINATES)
    assert found == {"from_origin": 10, "mean": 10.0, "all_ten": 1.0, "samples": 50}
    spoilt = Z_STAR[:50, 2] > 1.0  # these show nothing but zeros
    found = digits_in_sweeps(entangled, predict_digit, Z_STAR[:50], COORDINATES)
    assert found["all_ten"] == pytest.approx(1 - spoilt.mean())
    assert found["mean"] == pytest.approx(10 - 9 * spoilt.mean())
