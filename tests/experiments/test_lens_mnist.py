import numpy as np

from filvm.experiments.lens_mnist import with_known

LABELS = np.arange(50, dtype=np.uint8) % 10
THICKNESS = np.linspace(1, 4, 50)


def test_side_information_is_kept_for_as_many_digits_as_asked():
    side = with_known(LABELS, THICKNESS, 7, seed=0)
    known = side["digit"] >= 0
    assert known.sum() == 7
    assert np.array_equal(known, ~np.isnan(side["thickness"]))
    assert np.array_equal(side["digit"][known], LABELS[known])
    assert np.array_equal(side["thickness"][known], THICKNESS[known].astype(np.float32))
    assert not np.array_equal(known, with_known(LABELS, THICKNESS, 7, seed=1)["digit"] >= 0)


def test_zero_keeps_the_side_information_of_all():
    side = with_known(LABELS, THICKNESS, 0, seed=0)
    assert np.array_equal(side["digit"], LABELS)
    assert np.array_equal(side["thickness"], THICKNESS.astype(np.float32))
