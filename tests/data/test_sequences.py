"""Sequences follow Table 1, splits share no triple, and bad input gets one clear error."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filvm.data.sequences import (
    LARGEST_EXACT,
    TABLE_1,
    TABLE_B1,
    make_sequences,
    mean_steps,
    median_steps,
    padded_lengths,
    sequences_from_lists,
    sequences_to_lists,
    split_sequences,
)


def ranges(low, high, width):
    return st.tuples(st.integers(low, high), st.integers(0, width)).map(
        lambda pair: (pair[0], pair[0] + pair[1])
    )


ANY_RANGES = st.fixed_dictionaries(
    {"start": ranges(1, 5000, 2000), "step": ranges(0, 200, 100), "length": ranges(2, 40, 20)}
)
NUMBERS = st.one_of(
    st.integers(1, LARGEST_EXACT),
    st.floats(2**-10, 1e6, width=32),
)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(0, 2**32 - 1), ANY_RANGES, st.integers(0, 5))
def test_every_sequence_is_its_start_and_steps_then_zeros(n, seed, chosen, extra):
    sequences = make_sequences(n, seed, **chosen, max_length=chosen["length"][1] + extra)
    assert sequences.numbers.shape == (n, chosen["length"][1] + extra, 1)
    assert sequences.numbers.dtype == np.float32
    for row, start, step, length, final in zip(
        sequences.numbers[:, :, 0],
        sequences.start,
        sequences.step,
        sequences.length,
        sequences.final,
        strict=True,
    ):
        expected = [int(start) + int(step) * t for t in range(length)]
        assert row[:length].tolist() == expected
        assert not row[length:].any()
        assert final == expected[-1]
    for name, (low, high) in chosen.items():
        values = getattr(sequences, name)
        assert ((low <= values) & (values <= high)).all(), name


def test_equal_seeds_give_equal_sequences_and_other_seeds_others():
    first, again, other = make_sequences(100, 7), make_sequences(100, 7), make_sequences(100, 8)
    np.testing.assert_array_equal(first.numbers, again.numbers)
    assert (first.start != other.start).any()


def test_table_1_is_covered_evenly_and_independently():
    sequences = make_sequences(200_000, seed=1)
    for name, (low, high) in TABLE_1.items():
        values = getattr(sequences, name)
        assert (values.min(), values.max()) == (low, high)
        # Uniform on low..high: mean and standard deviation in closed form.
        assert abs(values.mean() - (low + high) / 2) < 0.01 * (high - low)
        expected = np.sqrt(((high - low + 1) ** 2 - 1) / 12)
        assert values.std() == pytest.approx(expected, rel=0.01)
    correlations = np.corrcoef(sequences.triples.T) - np.eye(3)
    assert np.abs(correlations).max() < 0.01


def test_the_largest_final_number_of_table_1_is_2450():
    extreme = make_sequences(1, start=(1000, 1000), step=(50, 50), length=(30, 30))
    assert extreme.final.tolist() == [2450]
    smallest = make_sequences(1, start=(1, 1), step=(1, 1), length=(3, 3))
    assert smallest.final.tolist() == [3]


def test_rows_of_table_b1_are_as_printed_and_the_third_is_outside_table_1():
    rows = sequences_from_lists(TABLE_B1)
    assert rows.triples.tolist() == [[4, 10, 7], [123, 25, 9], [1209, 179, 5]]
    assert rows.final.tolist() == [64, 323, 1925]
    inside = [
        all(low <= value <= high for value, (low, high) in zip(row, TABLE_1.values(), strict=True))
        for row in rows.triples
    ]
    assert inside == [True, True, False]


@settings(max_examples=30, deadline=None)
@given(ANY_RANGES, st.integers(0, 2**32 - 1), st.data())
def test_splits_share_no_triple(chosen, seed, data):
    size = int(np.prod([high - low + 1 for low, high in chosen.values()]))
    validation = data.draw(st.integers(0, min(50, (size - 1) // 2)))
    test = data.draw(st.integers(0, min(50, size - 1 - validation)))
    splits = split_sequences(200, validation, test, seed, **chosen)
    train, held = set(map(tuple, splits.train.triples)), []
    held += map(tuple, splits.validation.triples)
    held += map(tuple, splits.test.triples)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (200, validation, test)
    assert len(set(held)) == validation + test, "a held-out triple appears twice"
    assert not train & set(held)


def test_training_draws_evenly_from_all_triples_that_are_not_held_out():
    splits = split_sequences(60_000, 3, 2, start=(1, 5), step=(1, 2), length=(3, 4))
    _, counts = np.unique(splits.train.triples, axis=0, return_counts=True)
    assert len(counts) == 5 * 2 * 2 - 5
    np.testing.assert_allclose(counts, 4000, rtol=0.08)


def test_splits_larger_than_the_ranges_allow_are_refused():
    with pytest.raises(ValueError, match=r"need 9 different .* fewer than the 8"):
        split_sequences(0, 5, 4, start=(1, 2), step=(1, 2), length=(3, 4))
    with pytest.raises(ValueError, match="training needs one"):
        split_sequences(1, 4, 4, start=(1, 2), step=(1, 2), length=(3, 4))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=1, max_size=40), max_size=8))
def test_lists_are_the_same_after_conversion_to_arrays_and_back(lists):
    expected = [[float(np.float32(x)) for x in row] for row in lists]
    sequences = sequences_from_lists(lists)
    assert sequences.to_lists() == expected
    assert sequences_to_lists(sequences.numbers) == expected
    np.testing.assert_array_equal(padded_lengths(sequences.numbers), sequences.length)


def test_a_list_may_have_uneven_steps_or_a_single_number():
    own = sequences_from_lists([[5, 6, 11], [8]], max_length=4)
    assert own.numbers[:, :, 0].tolist() == [[5, 6, 11, 0], [8, 0, 0, 0]]
    assert own.step[0] == 3
    assert np.isnan(own.step[1])
    assert own.final.tolist() == [11, 8]


def test_rows_of_an_array_with_one_column_are_sequences():
    numbers = make_sequences(6, seed=2, length=(2, 6)).numbers
    rows = [row[: np.count_nonzero(row)] for row in numbers]
    np.testing.assert_array_equal(sequences_from_lists(rows, max_length=6).numbers, numbers)


def test_indexing_selects_the_same_rows_of_all_arrays():
    sequences = make_sequences(20, seed=3)
    for index in (slice(4, 9), np.array([1, 5]), sequences.step > 25, 3, -1):
        chosen = sequences[index]
        assert chosen.numbers.ndim == 3
        np.testing.assert_array_equal(chosen.numbers[:, 0, 0], chosen.start)
        np.testing.assert_array_equal(padded_lengths(chosen.numbers), chosen.length)
    assert sequences[-1].to_lists() == sequences.to_lists()[-1:]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_mean_and_median_steps_ignore_the_padding(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 13, 20)
    numbers = rng.normal(size=(20, 12, 1))
    for measured, statistic in ((mean_steps, np.mean), (median_steps, np.median)):
        result = measured(numbers, lengths)
        for row, length, value in zip(numbers[:, :, 0], lengths, result, strict=True):
            if length < 2:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(statistic(np.diff(row[:length])))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": -1}, ValueError, "n is -1; expected at least 0"),
        ({"n": 2.0}, TypeError, "n is 2.0; expected a whole number"),
        ({"n": 1, "seed": -3}, ValueError, "seed is -3"),
        ({"n": 1, "start": (5, 2)}, ValueError, r"start is \(5, 2\).*min <= max"),
        ({"n": 1, "start": (0, 2)}, ValueError, "smallest start is 0; expected at least 1"),
        ({"n": 1, "start": 7}, TypeError, "start is 7; expected its smallest and largest"),
        ({"n": 1, "step": (1.5, 2)}, TypeError, "smallest step is 1.5"),
        ({"n": 1, "length": (1, 3)}, ValueError, "smallest length is 1; expected at least 2"),
        (
            {"n": 1, "max_length": 12},
            ValueError,
            "max_length is 12; expected at least",
        ),
        ({"n": 1, "step": (1, 10**9)}, ValueError, "at most 2\\^24"),
    ],
)
def test_bad_arguments_are_refused_with_one_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        make_sequences(**arguments)


@pytest.mark.parametrize(
    ("lists", "error", "message"),
    [
        ("4, 14, 24", TypeError, "lists is a str"),
        (7, TypeError, "lists is a int"),
        ([[1, 2], "34"], TypeError, "sequence 1 is '34'"),
        ([[1, "2"]], TypeError, "sequence 0 holds '2' at place 1"),
        ([[1, True]], TypeError, "sequence 0 holds True"),
        ([[1, 2 + 3j]], TypeError, "sequence 0 holds"),
        ([[1, 2], []], ValueError, "sequence 1 is empty"),
        ([[1, 0, 3]], ValueError, "sequence 0 holds 0 at place 1; expected a number above 0"),
        ([[1, -4]], ValueError, "holds -4"),
        ([[float("nan")]], ValueError, "holds nan"),
        ([[10**400]], ValueError, "holds inf"),
    ],
)
def test_bad_lists_are_refused_by_name(lists, error, message):
    with pytest.raises(error, match=message):
        sequences_from_lists(lists)


def test_a_list_longer_than_max_length_is_refused_and_fits_without_it():
    longer = [[1, 2, 3], list(range(1, 42))]
    with pytest.raises(ValueError, match="41 numbers; expected at most max_length=40"):
        sequences_from_lists(longer, max_length=40)
    assert sequences_from_lists(longer).numbers.shape == (2, 41, 1)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JUNK)
def test_any_input_is_converted_or_gets_a_documented_error(junk):
    try:
        sequences = sequences_from_lists(junk)
    except (TypeError, ValueError):
        return
    assert np.isfinite(sequences.numbers).all()
    assert (sequences.length > 0).all()


def test_lengths_that_do_not_fit_the_numbers_are_refused():
    numbers = np.ones((2, 5, 1))
    with pytest.raises(ValueError, match="lengths has 3 entries; expected 2"):
        sequences_to_lists(numbers, [1, 2, 3])
    with pytest.raises(ValueError, match="lengths range from 1 to 6; expected 0 to 5"):
        sequences_to_lists(numbers, [1, 6])
    with pytest.raises(ValueError, match=r"shape \[5\]"):
        sequences_to_lists(np.ones(5))


def test_importing_the_module_does_not_import_tensorflow():
    code = "import filvm.data.sequences, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
