"""The linear models p(s_j|z*): regions of the classes, and coordinates of values."""

import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from filvm.lens.heads import LinearHead, chain_of_neighbours, ordered_softmax_start


@given(classes=st.integers(2, 40))
def test_in_the_ordered_start_class_k_is_most_probable_between_the_priors_quantiles(classes):
    slopes, offsets = ordered_softmax_start(classes)
    middles = stats.norm.ppf((np.arange(classes) + 0.5) / classes)
    winners = (slopes * middles[:, None] + offsets).argmax(axis=1)
    np.testing.assert_array_equal(winners, np.arange(classes))
    edges = stats.norm.ppf(np.arange(1, classes) / classes)
    logits = slopes * edges[:, None] + offsets
    k = np.arange(classes - 1)
    np.testing.assert_allclose(logits[k, k], logits[k, k + 1], atol=1e-3)
    assert abs(offsets.mean()) < 1e-5


def test_an_ordered_head_reads_every_label_equally_often_under_the_prior():
    head = LinearHead(10, dimension=1, start="ordered")
    z_star = np.random.default_rng(0).standard_normal([50_000, 3]).astype(np.float32)
    share = np.bincount(tf.argmax(head(z_star), axis=1), minlength=10) / 50_000
    np.testing.assert_allclose(share, 0.1, atol=0.005)


def test_a_head_with_a_dimension_reads_no_other():
    head = LinearHead(4, dimension=1)
    z_star = np.random.default_rng(0).standard_normal([5, 3]).astype(np.float32)
    other = z_star.copy()
    other[:, [0, 2]] = 7.0
    np.testing.assert_array_equal(head(z_star), head(other))


def test_a_head_without_a_dimension_reads_all():
    head = LinearHead(4)
    z_star = np.random.default_rng(0).standard_normal([5, 3]).astype(np.float32)
    head(z_star)
    np.testing.assert_allclose(head(z_star), z_star @ head.kernel + head.bias, rtol=1e-5)


def test_the_head_reads_a_label_back_at_its_coordinate():
    head = LinearHead(10, dimension=0, start="ordered")
    head(np.zeros([1, 2], np.float32))
    coordinates = head.label_coordinates().numpy()
    read = head(np.stack([coordinates, np.zeros(10)], axis=1).astype(np.float32))
    np.testing.assert_array_equal(tf.argmax(read, axis=1), np.arange(10))


def test_a_labels_coordinate_is_its_posterior_mean():
    head = LinearHead(3, dimension=0)
    head(np.zeros([1, 1], np.float32))
    draws = np.random.default_rng(0).standard_normal([400_000, 1]).astype(np.float32)
    probabilities = tf.nn.softmax(head(draws)).numpy()
    expected = (probabilities * draws).sum(axis=0) / probabilities.sum(axis=0)
    np.testing.assert_allclose(head.label_coordinates(), expected, atol=0.005)


def test_the_head_reads_a_number_back_at_its_coordinate():
    head = LinearHead(1, dimension=0, start="positive")
    head(np.zeros([1, 1], np.float32))
    head.set_weights([np.float32([[1.7]]), np.float32([-0.3])])
    values = np.float32([-2.0, 0.0, 3.0])
    np.testing.assert_allclose(head(head.coordinates(values[:, None]))[:, 0], values, 1e-5)


def test_invalid_starts_are_refused():
    with pytest.raises(ValueError, match="start is 'sorted'"):
        LinearHead(10, dimension=0, start="sorted")
    with pytest.raises(ValueError, match="expected a dimension of z\\* for start 'ordered'"):
        LinearHead(10, start="ordered")


def test_hundreds_of_classes_are_ordered_in_a_second():
    points = np.random.default_rng(0).permutation(200)[:, None] * 1.0
    began = time.perf_counter()
    order = chain_of_neighbours(points)
    assert time.perf_counter() - began < 5
    assert set(np.abs(np.diff(points[order, 0]))) == {1.0}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_classes_are_ordered(count):
    points = np.array([[0.0], [5.0], [1.0]])[:count]
    assert sorted(chain_of_neighbours(points)) == list(range(count))
