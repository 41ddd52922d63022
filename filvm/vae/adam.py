"""Adam with one fused operation per variable."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="filvm")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose update of a variable is one operation.

        m <- m + (1 - beta_1) (g - m)
        v <- v + (1 - beta_2) (g^2 - v)
        w <- w - rate sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    Kingma and Ba 2015, arXiv:1412.6980, with epsilon as in section 2. Keras computes the same
    formula with about 15 operations, each of which reads and writes tensors of the variable's size;
    `ResourceApplyAdam` reads and writes them once. The results are equal up to rounding, also of
    beta_1 and beta_2, to float32. Arguments and variables are those of Keras' Adam; sparse
    gradients, `amsgrad` and `adaptive_epsilon` use Keras' own update.

    >>> weights = tf.Variable([1.0, 2.0])
    >>> _ = FusedAdam(0.5).apply_gradients([(tf.constant([3.0, -4.0]), weights)])
    >>> weights.numpy().round(3)
    array([0.5, 2.5], dtype=float32)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Where there is a GPU, Keras compiles every update by XLA, which one operation does not
        # need; a compiled update would also keep the numbers of the step that it was traced in.
        self.jit_compile = False
        self._shared: dict[str, tf.Tensor] = {}

    def _distributed_apply_gradients_fn(
        self, distribution: Any, grads_and_vars: Any, **kwargs: Any
    ) -> tf.Tensor:
        # What all variables share is computed once: per variable it would be 12 operations.
        step = tf.cast(self.iterations + 1, tf.float32)
        self._shared = {
            "beta1_power": tf.pow(self.beta_1, step),
            "beta2_power": tf.pow(self.beta_2, step),
            "lr": tf.cast(self.learning_rate, tf.float32),
            "beta1": tf.constant(self.beta_1),
            "beta2": tf.constant(self.beta_2),
            "epsilon": tf.constant(self.epsilon),
        }
        iterations = super()._distributed_apply_gradients_fn(distribution, grads_and_vars, **kwargs)
        self._shared = {}  # tensors of a graph cannot be saved with the model
        return iterations

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        if isinstance(gradient, tf.IndexedSlices) or self.amsgrad or self.adaptive_epsilon:
            super().update_step(gradient, variable)
            return
        index = self._index_dict[self._var_key(variable)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            grad=gradient,
            **{name: tf.cast(value, variable.dtype) for name, value in self._shared.items()},
        )
