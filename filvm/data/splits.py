"""Which samples train and which validate. Test samples are a data set's own.

`filvm.data.sequences.split_sequences` draws its three splits together, so that they share nothing.
"""

from __future__ import annotations


def training_split(
    num_samples: int, validation: int, train_limit: int = 0, *, copies: int = 1
) -> tuple[slice, slice]:
    """Split training samples in two: the last ones validate, at most a fifth of all.

    Args:
        num_samples: number of training samples, each of which has `copies` consecutive rows.
        validation: number of samples to validate on; a fifth of all if that is fewer.
        train_limit: number of samples to train on, the first ones; 0 means all the others.
        copies: rows per sample (the rotations of a digit); all copies stay on one side.

    Returns:
        The rows to train on and the rows to validate on.

    Raises:
        ValueError: one of the two sides would be empty.

    >>> training_split(60_000, 5_000)
    (slice(0, 55000, None), slice(55000, 60000, None))
    >>> training_split(10, 5, train_limit=3, copies=8)
    (slice(0, 24, None), slice(64, 80, None))
    """
    validation = min(validation, num_samples // 5)
    if validation < 1:
        raise ValueError(
            f"validation is {validation} of {num_samples} training samples; expected at least 1 "
            "sample, and at most a fifth of all: pass more samples or a larger validation"
        )
    rest = num_samples - validation
    train = min(train_limit or rest, rest)
    return slice(0, train * copies), slice(rest * copies, num_samples * copies)
