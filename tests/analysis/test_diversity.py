"""Diversity: precision and recall tell prototypes, noise and copies of a distribution apart."""

import numpy as np
import pytest

from filvm.analysis.diversity import diversity_by_class, precision_and_recall

rng = np.random.default_rng(0)


def normal(count, scale=1.0, shift=0.0):
    return rng.normal(shift, scale, size=(count, 4))


def test_another_sample_of_the_same_distribution_has_both():
    precision, recall = precision_and_recall(normal(600), normal(600))
    assert precision == pytest.approx(recall, abs=0.08)
    assert precision > 0.8


def test_a_prototype_is_precise_and_covers_nothing():
    precision, recall = precision_and_recall(normal(600), normal(600, scale=0.01))
    assert precision == 1.0
    assert recall < 0.05


def test_other_samples_are_not_precise_and_samples_that_spread_too_far_have_recall():
    assert precision_and_recall(normal(600), normal(600, shift=9.0)) == (0.0, 0.0)
    precision, recall = precision_and_recall(normal(600), normal(600, scale=3.0))
    assert precision < 0.4
    assert recall > 0.9


def test_the_balls_are_those_of_the_paper():
    """By hand, k = 1: radii of the real points 0, 1, 4 are 1, 1, 3."""
    real, generated = np.array([[0.0], [1.0], [4.0]]), np.array([[-0.9], [6.9], [7.1]])
    precision, recall = precision_and_recall(real, generated, neighbours=1)
    assert precision == pytest.approx(2 / 3)  # 7.1 is farther than 3 from 4
    assert recall == pytest.approx(1.0)  # radii 7.8, 0.2, 0.2: -0.9 covers all real points


def test_classes_are_compared_with_themselves_and_in_equal_numbers():
    real = [normal(300), normal(200, shift=20.0)]
    compared = {
        "same": [normal(250), normal(250, shift=20.0)],
        "exchanged": [normal(250, shift=20.0), normal(250)],
    }
    found = diversity_by_class(np.asarray, real, compared, most=1000)
    assert (found["samples"], found["neighbours"]) == (200, 3)
    assert found["same_precision"] > 0.7
    assert found["same_recall"] > 0.7
    assert found["exchanged_precision"] == found["exchanged_recall"] == 0.0


def test_with_few_images_of_a_class_there_are_fewer_neighbours():
    real = [normal(5), normal(2)]
    found = diversity_by_class(np.asarray, real, {"same": real})
    assert (found["samples"], found["neighbours"]) == (2, 1)
    assert found["same_precision"] == found["same_recall"] == 1.0


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match=r"generated has shape \[3, 4\]; expected features \[n, f"):
        precision_and_recall(normal(600), normal(3))
