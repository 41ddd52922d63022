"""How fast the VAE trains: our `fit`, the bare compiled step, and the same network in PyTorch.

    python benchmarks/vae_training.py

All three see the same images, batch size and number of threads, in turns, several rounds; the
ratios of one round are what counts, since machines are noisy. PyTorch is the extra `benchmark`
(`pip install 'filvm[benchmark]'`); where it is missing, its column is left out with a message. The
rate of a matrix product says what the machine can do.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.runs.training import cosine_adam, shuffled_batches
from filvm.vae import ConvVAE


def images_of(n: int) -> np.ndarray:
    """Random strokes would do as well: time does not depend on what the pixels show."""
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28, 1), np.uint8)


def new_vae(steps: int) -> ConvVAE:
    keras.utils.set_random_seed(0)
    vae = ConvVAE(8, beta=0.5)
    vae.compile(cosine_adam(1e-3, steps))
    vae.optimizer.build(vae.trainable_variables)
    return vae


def batches_of(images: np.ndarray, batch_size: int, epochs: int) -> tf.data.Dataset:
    return shuffled_batches(
        images,
        batch_size,
        seed=0,
        first_step=0,
        steps=epochs * (len(images) // batch_size),
        transform=lambda pixels: tf.cast(pixels, tf.float32) / 255.0,
    )


class Rounds(keras.callbacks.Callback):
    """Each epoch of our `fit` is its round; the others take their turns between the epochs."""

    def __init__(self, others: dict[str, object], images: int) -> None:
        super().__init__()
        self.others = others
        self.images = images
        self.rates: dict[str, list[float]] = {"fit": [], **{name: [] for name in others}}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        seconds = {"fit": time.perf_counter() - self.began}
        for name, other in self.others.items():
            began = time.perf_counter()
            other.round()
            seconds[name] = time.perf_counter() - began
        if epoch:  # the first one compiles
            for name, value in seconds.items():
                self.rates[name].append(self.images / value)


class BareStep:
    """The compiled training step on one batch that is already there, without `fit` or a dataset."""

    def __init__(self, images: np.ndarray, batch_size: int) -> None:
        self.steps = len(images) // batch_size
        self.vae = new_vae(self.steps)
        self.batch = tf.constant(images[:batch_size].astype(np.float32) / 255.0)
        self.step = tf.function(self.vae.train_step)
        self.step((self.batch,))

    def round(self) -> None:
        for _ in range(self.steps):
            self.step((self.batch,))


class Torch:
    """The same network, loss and optimiser in PyTorch, batches ready in memory."""

    def __init__(self, images: np.ndarray, batch_size: int) -> None:
        import torch
        from torch import nn

        self.torch = torch
        self.steps = len(images) // batch_size
        self.batch_size = batch_size
        self.images = torch.tensor(images.transpose(0, 3, 1, 2))
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(64 * 49, 256), nn.ReLU(), nn.Linear(256, 16)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 64 * 49), nn.ReLU()),
            *(nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU()),
            nn.ConvTranspose2d(32, 1, 4, 2, 1),
        )
        self.weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, 1e-3)
        self.one(self.images[:batch_size])

    def one(self, pixels: object) -> None:
        torch = self.torch
        x = pixels.float() / 255.0
        z_mean, z_log_var = self.encoder(x).chunk(2, dim=1)
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        reconstruction = torch.nn.functional.binary_cross_entropy_with_logits(
            self.decoder(z), x, reduction="sum"
        )
        kl = 0.5 * (torch.exp(z_log_var) + z_mean**2 - 1 - z_log_var).sum()
        loss = (reconstruction + 0.5 * kl) / len(x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def round(self) -> None:
        order = self.torch.randperm(len(self.images))
        for start in range(0, self.steps * self.batch_size, self.batch_size):
            self.one(self.images[order[start : start + self.batch_size]])


def sgemm_rate(size: int = 1024) -> float:
    """float32 matrix products of this machine, in GFLOP/s."""
    a = tf.random.normal((size, size))
    tf.matmul(a, a)
    began = time.perf_counter()
    for _ in range(10):
        product = tf.matmul(a, a)
    product.numpy()
    return 10 * 2 * size**3 / (time.perf_counter() - began) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    images = images_of(arguments.images)
    threads = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    others = {"bare step": BareStep(images, arguments.batch_size)}
    try:
        import torch

        torch.set_num_threads(threads)
        others["PyTorch"] = Torch(images, arguments.batch_size)
    except ImportError:
        print("PyTorch is not installed; its column is left out (pip install 'filvm[benchmark]')")
    steps = len(images) // arguments.batch_size
    rounds = Rounds(others, steps * arguments.batch_size)
    new_vae(steps).fit(
        batches_of(images, arguments.batch_size, arguments.rounds + 1),
        epochs=arguments.rounds + 1,
        steps_per_epoch=steps,
        callbacks=[rounds],
        verbose=0,
    )
    rates = rounds.rates
    print(f"{threads} threads, batches of {arguments.batch_size}, {sgemm_rate():.0f} GFLOP/s SGEMM")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"{name:10s} {middle:8.0f} images/s ({min(values):.0f} to {max(values):.0f})")
    for name in list(rates)[1:]:
        ratios = [ours / other for ours, other in zip(rates["fit"], rates[name], strict=True)]
        print(f"fit / {name}: {statistics.median(ratios):.2f} (median of {len(ratios)} rounds)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
