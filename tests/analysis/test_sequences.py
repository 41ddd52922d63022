"""The sequence report counts errors as documented."""

import numpy as np
import pytest
import tf_keras as keras

from filvm.analysis.sequences import (
    decoded_attributes,
    moved_shares,
    sequence_errors,
    sequence_report,
)
from filvm.data.sequences import make_sequences, sequences_from_lists
from filvm.vae.sequence import SequenceVAE

TRUE = sequences_from_lists([[10, 20, 30, 40], [5, 6, 7], [100, 150]], max_length=5)


def test_a_perfect_reconstruction_is_exact_in_every_sense():
    errors = sequence_errors(TRUE, TRUE.numbers + 0.4, TRUE.length)
    assert all(exact.all() for name, exact in errors.items() if name != "absolute_error")
    np.testing.assert_allclose(errors["absolute_error"], 0.4 * TRUE.length, rtol=1e-5)


def test_each_kind_of_error_changes_its_own_measure():
    numbers = TRUE.numbers.copy()
    numbers[0, 3] += 4  # one step too large: the median is right, the mean is not
    numbers[2, 1] += 1  # the only step, and so the median
    numbers[1, 3:] = 999  # beyond the length
    errors = sequence_errors(TRUE, numbers, [4, 4, 2])
    assert errors["absolute_error"].tolist() == [4, 0, 1]
    assert errors["length_exact"].tolist() == [True, False, True]
    assert errors["median_step_exact"].tolist() == [True, True, False]
    assert errors["mean_step_exact"].tolist() == [False, True, False]
    assert errors["whole_exact"].tolist() == [False, False, False]


def test_the_report_is_the_mean_over_numbers_not_over_sequences():
    keras.utils.set_random_seed(0)
    vae = SequenceVAE(max_length=8, units=4, dense_units=4)
    sequences = make_sequences(50, seed=2, length=(3, 6))
    report = sequence_report(vae, sequences)
    numbers = vae.decoder.predict(vae.encode(sequences)[0], verbose=0)[0][:, :6]
    inside = sequences.numbers > 0
    expected = np.abs(numbers - sequences.numbers)[inside].mean()
    assert report["mean_absolute_error"] == pytest.approx(expected, rel=1e-5)
    first = np.abs(numbers[:, 0, 0] - sequences.start).mean()
    assert report["absolute_error_by_place"][0] == pytest.approx(first, rel=1e-5)
    assert len(report["absolute_error_by_place"]) == 6
    assert report["kl"] == pytest.approx(sum(report["kl_per_dimension"]))


def test_decoded_attributes_equal_those_of_the_sequences():
    sequences = make_sequences(100, seed=3)
    attributes = decoded_attributes(sequences.numbers, sequences.length)
    for name, values in attributes.items():
        np.testing.assert_allclose(values, getattr(sequences, name), err_msg=name)


def test_moved_shares_are_the_effects_of_each_dimension_on_each_attribute():
    def attributes_of(z_star):
        return {"start": 100 + 25 * z_star[:, 0], "length": 10 + np.round(z_star[:, 1])}

    rests = np.random.default_rng(0).normal(size=(7, 3))
    ranges = {"start": (0, 200), "length": (0, 20)}
    shares = moved_shares(attributes_of, ranges, rests, low=-2, high=2)
    np.testing.assert_allclose(shares["start"], [0.5, 0, 0])
    np.testing.assert_allclose(shares["length"], [0, 0.2, 0])


def test_an_attribute_that_is_partly_undefined_counts_where_it_is_defined():
    def attributes_of(z_star):
        return {"step": np.where(z_star[:, 0] > 0, np.nan, z_star[:, 0])}

    shares = moved_shares(attributes_of, {"step": (0, 4)}, np.zeros((1, 1)), low=-2, high=2)
    assert shares["step"] == [0.5]
