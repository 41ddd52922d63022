"""The fused Adam computes the numbers of Keras' Adam."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.vae import ConvVAE
from filvm.vae.adam import FusedAdam


def trained(optimizer, indexed=False):
    """Weights after five steps with gradients drawn from one seed."""
    rng = np.random.default_rng(0)
    weights = [tf.Variable(rng.normal(size=shape).astype(np.float32)) for shape in ([4, 3], [3])]
    for _ in range(5):
        gradients = [tf.constant(rng.normal(size=w.shape).astype(np.float32)) for w in weights]
        if indexed:
            gradients[0] = tf.IndexedSlices(gradients[0][:2], [3, 1], gradients[0].shape)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return [w.numpy() for w in (*weights, *optimizer.variables)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta_2": 0.9, "epsilon": 0.1, "global_clipnorm": 0.5},
        {"amsgrad": True},
        {"weight_decay": 0.1},
    ],
)
def test_the_numbers_are_those_of_keras_adam(settings):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 5)
    ours, theirs = (trained(kind(rate, **settings)) for kind in (FusedAdam, keras.optimizers.Adam))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_sparse_gradients_are_those_of_keras_adam():
    ours, theirs = (trained(kind(0.1), True) for kind in (FusedAdam, keras.optimizers.Adam))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_numbers_are_the_same_where_there_is_a_gpu(monkeypatch):
    """Keras then compiles the update of each variable by XLA, and traces it once."""
    rate = keras.optimizers.schedules.CosineDecay(0.1, 5)
    theirs = trained(keras.optimizers.Adam(rate))
    config = tf.compat.v2.config  # as Keras imports it
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: [kind])
    assert keras.optimizers.Adam(rate).jit_compile
    for one, other in zip(trained(FusedAdam(rate)), theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_adam_by_name_is_the_fused_one():
    vae = ConvVAE(2, filters=(2, 2), dense_units=2)
    vae.compile("adam")
    assert isinstance(vae.optimizer, FusedAdam)
    restored = keras.optimizers.deserialize(keras.optimizers.serialize(vae.optimizer))
    assert isinstance(restored, FusedAdam)
