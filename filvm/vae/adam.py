"""Adam with one fused operation per variable."""

from __future__ import annotations

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

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        if isinstance(gradient, tf.IndexedSlices) or self.amsgrad or self.adaptive_epsilon:
            super().update_step(gradient, variable)
            return
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate, beta_1, beta_2, epsilon = (
            tf.cast(value, variable.dtype)
            for value in (self.learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=gradient,
        )
