"""How fast the VAE trains: our `fit`, the bare compiled step, and the same network in PyTorch.

    python benchmarks/vae_training.py

Every way trains on the same images, with the same number of threads, in float32 and in bfloat16, in
turns; the ratios within one turn count, because machines are noisy. PyTorch is the extra
`benchmark` (`pip install 'filvm[benchmark]'`); without it, its rows are left out with a message.

The rate of a matrix product (SGEMM) is the bound for float32: the step's arithmetic at that rate
would take all of the time. docs/benchmarks.md has the result.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import statistics
import threading
import time
from functools import partial
from pathlib import Path
from typing import Protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.runs.batches import shuffled_batches
from filvm.runs.precision import has_bfloat16, layers_in
from filvm.runs.training import cosine_adam
from filvm.vae import ConvVAE


class Way(Protocol):
    """One way to train: `round` trains on all images once and returns its seconds."""

    def round(self) -> float: ...


def images_of(n: int) -> np.ndarray:
    """Random pixels: the time of a step does not depend on the image."""
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28, 1), np.uint8)


def new_vae(steps: int, precision: str, steps_per_execution: int = 1) -> ConvVAE:
    keras.utils.set_random_seed(0)
    with layers_in(precision):
        vae = ConvVAE(8, beta=0.5)
    vae.compile(cosine_adam(1e-3, steps), steps_per_execution=steps_per_execution)
    vae.optimizer.build(vae.trainable_variables)
    return vae


class Fit(keras.callbacks.Callback):
    """`fit` in a thread of its own: every epoch is a round and waits for its turn."""

    def __init__(self, images: np.ndarray, batch_size: int, precision: str, rounds: int) -> None:
        super().__init__()
        steps = len(images) // batch_size
        self.turn, self.done, self.seconds = threading.Semaphore(0), threading.Semaphore(0), 0.0
        vae = new_vae(steps * rounds, precision, steps_per_execution=32)
        batches = shuffled_batches(
            images,
            batch_size,
            seed=0,
            first_step=0,
            steps=steps * rounds,
            transform=lambda pixels: tf.cast(pixels, tf.float32) / 255.0,
        )
        arguments = {"epochs": rounds, "steps_per_epoch": steps, "verbose": 0, "callbacks": [self]}
        threading.Thread(target=vae.fit, args=[batches], kwargs=arguments, daemon=True).start()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.turn.acquire()
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds = time.perf_counter() - self.began
        self.done.release()

    def round(self) -> float:
        self.turn.release()
        self.done.acquire()
        return self.seconds


class BareStep:
    """The compiled training step on one batch that is already there, without `fit` or a dataset."""

    def __init__(self, images: np.ndarray, batch_size: int, precision: str) -> None:
        self.steps = len(images) // batch_size
        self.vae = new_vae(self.steps, precision)
        self.batch = tf.constant(images[:batch_size].astype(np.float32) / 255.0)
        self.step = tf.function(self.vae.train_step)

    def round(self) -> float:
        began = time.perf_counter()
        for _ in range(self.steps):
            self.step((self.batch,))
        return time.perf_counter() - began


class Torch:
    """The same network, loss and optimiser in PyTorch, images ready in memory.

    `tuned` takes the fused Adam and the memory format channels_last, which are not PyTorch's
    defaults.
    """

    def __init__(
        self, images: np.ndarray, batch_size: int, precision: str, *, tuned: bool = False
    ) -> None:
        import torch
        from torch import nn

        self.torch, self.precision = torch, precision
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
        if tuned:
            for network in (self.encoder, self.decoder):
                network.to(memory_format=torch.channels_last)
        self.weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, 1e-3, fused=tuned or None)

    def one(self, pixels: object) -> None:
        torch = self.torch
        x = pixels.float() / 255.0
        low = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16")
        with low:
            encoded = self.encoder(x)
        z_mean, z_log_var = encoded.float().chunk(2, dim=1)
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        with low:
            logits = self.decoder(z)
        reconstruction = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), x, reduction="sum"
        )
        kl = 0.5 * (torch.exp(z_log_var) + z_mean**2 - 1 - z_log_var).sum()
        loss = (reconstruction + 0.5 * kl) / len(x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def round(self) -> float:
        began = time.perf_counter()
        order = self.torch.randperm(len(self.images))
        for start in range(0, self.steps * self.batch_size, self.batch_size):
            self.one(self.images[order[start : start + self.batch_size]])
        return time.perf_counter() - began


def operations_per_image(vae: ConvVAE) -> float:
    """Floating point operations of a training step per image: 6 per weight and use, of each layer.

    A multiplication and an addition forwards; twice as many backwards, for inputs and weights. The
    first convolution needs no gradient of its input. A kernel is used once per place: of the output
    of a convolution, of the input of a transposed one.
    """
    total = 0
    for layer in (*vae.encoder.layers, *vae.decoder.layers):
        if not layer.weights:
            continue
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        shape = layer.input_shape if transposed else layer.output_shape
        uses = math.prod(shape[1:-1])  # 1 for a dense layer
        total += (4 if layer.name == "conv_1" else 6) * math.prod(layer.kernel.shape) * uses
    return float(total)


class MatrixProduct:
    """Products of two float32 matrices [1024, 1024]; `round` returns the seconds of one product."""

    def __init__(self, size: int = 1024, products: int = 20) -> None:
        self.a, self.operations, self.products = (
            tf.random.normal((size, size)),
            2 * size**3,
            products,
        )

    def round(self) -> float:
        began = time.perf_counter()
        for _ in range(self.products):
            product = tf.matmul(self.a, self.a)
        product.numpy()
        return (time.perf_counter() - began) / self.products


def machine() -> str:
    """The processor's name, if the system tells it, and the number of cores of this process."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3_200)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    images, sizes, rounds = images_of(arguments.images), arguments.batch_sizes, arguments.rounds
    threads = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    kinds = {"fit": Fit, "bare step": BareStep}
    try:
        import torch

        torch.set_num_threads(threads)
        version = torch.__version__.partition("+")[0]
        kinds |= {f"PyTorch {version}": Torch, "PyTorch tuned": partial(Torch, tuned=True)}
    except ImportError:
        print("PyTorch is not installed; its rows are left out (pip install 'filvm[benchmark]')")
    precisions = ("float32", "bfloat16") if has_bfloat16() else ("float32",)
    ways: dict[tuple[int, str, str], Way] = {}
    for size in sizes:
        for precision in precisions:
            for kind, make in kinds.items():
                more = {"rounds": rounds + 1} if make is Fit else {}
                ways[size, kind, precision] = make(images, size, precision, **more)
    product = MatrixProduct()
    rates: dict[tuple[int, str, str], list[float]] = {way: [] for way in ways}
    sgemm = []
    for turn in range(rounds + 1):
        for way, trained in ways.items():
            rate = (len(images) // way[0]) * way[0] / trained.round()
            if turn:  # the first one compiles
                rates[way].append(rate)
        sgemm.append(product.operations / product.round() / 1e9)
    print_table(rates, statistics.median(sgemm[1:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\nPeak memory of the process with all of these: {peak:.2f} GiB.")


def print_table(rates: dict[tuple[int, str, str], list[float]], sgemm: float) -> None:
    """Print every way with its median rate, its ratios, and its share of the SGEMM rate."""
    print(f"{machine()}; TensorFlow {tf.__version__}; SGEMM {sgemm:.0f} GFLOP/s\n")
    operations = operations_per_image(new_vae(1, "float32"))
    print(
        "| batch | way | precision | images/s, median (least to most) | fit in the same precision "
        "is faster by | GFLOP/s | share of SGEMM |\n|---|---|---|---|---|---|---|"
    )
    for (size, kind, precision), values in rates.items():
        fit = rates[size, "fit", precision]
        ratio = statistics.median(ours / v for ours, v in zip(fit, values, strict=True))
        middle = statistics.median(values)
        speed = middle * operations / 1e9
        print(
            f"| {size} | {kind} | {precision} | {middle:.0f} ({min(values):.0f} to "
            f"{max(values):.0f}) | {ratio:.2f} | {speed:.0f} | {speed / sgemm:.2f} |"
        )
    print()
    for size in dict.fromkeys(size for size, _, _ in rates):
        torch_ways = [way for way in rates if way[0] == size and way[1].startswith("PyTorch")]
        fits = [way for way in rates if way[0] == size and way[1] == "fit"]
        if torch_ways:
            best, fastest = (
                max(some, key=lambda way: statistics.median(rates[way]))
                for some in (fits, torch_ways)
            )
            pairs = zip(rates[best], rates[fastest], strict=True)
            ratio = statistics.median(ours / other for ours, other in pairs)
            print(
                f"Batch {size}: our faster precision ({best[2]}) / PyTorch's ({fastest[2]}): "
                f"{ratio:.2f}."
            )


if __name__ == "__main__":
    main()
