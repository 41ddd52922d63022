"""Training and validation samples never overlap, and copies of a sample stay together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filvm.data import training_split


@given(st.integers(5, 10_000), st.integers(1, 20_000), st.integers(0, 20_000), st.integers(1, 9))
def test_the_last_samples_validate_and_copies_stay_together(n, validation, limit, copies):
    train, held_out = training_split(n, validation, limit, copies=copies)
    assert train.start == 0
    assert train.stop <= held_out.start
    assert held_out.stop == n * copies
    assert (train.stop % copies, held_out.start % copies) == (0, 0)
    num_train, num_held_out = train.stop // copies, (held_out.stop - held_out.start) // copies
    assert num_held_out == min(validation, n // 5) >= 1
    assert num_train == min(limit or n, n - num_held_out) >= 1


@pytest.mark.parametrize(("n", "validation"), [(60_000, 0), (60_000, -1), (4, 1), (0, 10)])
def test_a_split_without_samples_on_both_sides_is_refused(n, validation):
    with pytest.raises(ValueError, match="expected at least 1"):
        training_split(n, validation)
