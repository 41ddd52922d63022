"""How long does the numeric inverse of planar flows take, and how exactly does it come back?

    python benchmarks/flow_inverse.py [--points 100000] [--length 32] [--dimensions 4]

Layers with w, u ~ N(0, scale^2) and b ~ N(0, 1). The larger the scale, the more the layers squeeze,
and the more any inverse magnifies the rounding of its input: compare the two dtypes.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from filvm.flows import PlanarFlow


def random_chain(length, dimensions, scale, dtype):
    rng = np.random.default_rng(0)
    w, u = (scale * rng.normal(size=(2, length, dimensions))).astype(dtype)
    b = rng.normal(size=length).astype(dtype)
    return tfp.bijectors.Chain([PlanarFlow(*layer) for layer in zip(w, u, b, strict=True)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--dimensions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    shape = (arguments.points, arguments.dimensions)
    print(f"{arguments.points} points, {arguments.length} layers, {arguments.dimensions}-D")
    print("dtype    scale  seconds   largest error   99th percentile")
    for dtype in (np.float32, np.float64):
        for scale in (0.1, 0.3, 0.5, 0.7):
            chain = random_chain(arguments.length, arguments.dimensions, scale, dtype)
            z = np.random.default_rng(1).normal(size=shape).astype(dtype)
            y = tf.identity(chain.forward(z))
            inverse = tf.function(chain.inverse)
            error = np.abs(inverse(y) - z)
            times = []
            for _ in range(arguments.rounds):
                start = time.perf_counter()
                inverse(y)
                times.append(time.perf_counter() - start)
            print(
                f"{np.dtype(dtype).name}  {scale:5.1f}  {np.median(times):7.3f}   "
                f"{error.max():13.1e}   {np.quantile(error, 0.99):15.1e}"
            )


if __name__ == "__main__":
    main()
