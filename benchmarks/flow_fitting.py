"""How long does one attempt at Figure 6 take, here and in PyTorch one attempt at a time?

    python benchmarks/flow_fitting.py [--length 32] [--steps 500] [--restarts 20] [--rounds 3]

Both minimise the same reverse KL with Adam: same energy, flow length, batch size, trained base and
clipped gradients. Ours trains all attempts as one compiled computation, PyTorch one after the
other, as the report did; its layer has the constraint and log-determinant written the usual way.
Both take turns, and the ratio of one round is what counts. Compilation is timed apart, and shown
both outside and inside the ratio. PyTorch is the extra `benchmark`
(`pip install 'filvm[benchmark]'`).
"""

import argparse
import math
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from filvm.flows import fit_reverse_kl

try:
    import torch
except ImportError:
    sys.exit("PyTorch is not installed: pip install 'filvm[benchmark]'; nothing was measured.")


class TorchPlanarFlows(torch.nn.Module):
    """K planar flows after a trained diagonal Gaussian, as public PyTorch code has them."""

    def __init__(self, length, dimensions=2):
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(length, dimensions))
        self.u = torch.nn.Parameter(torch.randn(length, dimensions))
        self.b = torch.nn.Parameter(torch.randn(length))
        self.mean = torch.nn.Parameter(torch.zeros(dimensions))
        self.log_scale = torch.nn.Parameter(torch.zeros(dimensions))

    def forward(self, noise):
        z = self.mean + torch.exp(self.log_scale) * noise
        log_q = -0.5 * (noise**2).sum(1) - math.log(2 * math.pi) - self.log_scale.sum()
        w_dot_u = (self.w * self.u).sum(1, keepdim=True)
        m = torch.nn.functional.softplus(w_dot_u) - 1
        u_hat = self.u + (m - w_dot_u) * self.w / (self.w**2).sum(1, keepdim=True)
        for w, u, b in zip(self.w, u_hat, self.b, strict=True):
            tanh = torch.tanh(z @ w + b)
            log_q = log_q - torch.log(torch.abs(1 + (w @ u) * (1 - tanh**2)) + 1e-20)
            z = z + u * tanh[:, None]
        return z, log_q


def torch_log_density(z):
    ring = 0.5 * ((torch.linalg.vector_norm(z, dim=1) - 2) / 0.4) ** 2
    left = -0.5 * ((z[:, 0] + 2) / 0.6) ** 2
    right = -0.5 * ((z[:, 0] - 2) / 0.6) ** 2
    return torch.logaddexp(left, right) - ring


def torch_attempt(length, steps, batch_size):
    flows = TorchPlanarFlows(length)
    optimizer = torch.optim.Adam(flows.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        z, log_q = flows(torch.randn(batch_size, 2))
        beta = min(1.0, 0.01 + step / 2000)
        loss = (log_q - beta * torch_log_density(z)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flows.parameters(), 10.0)
        optimizer.step()
        schedule.step()


def seconds(function, *arguments, **settings):
    start = time.perf_counter()
    function(*arguments, **settings)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500, help="of every attempt")
    parser.add_argument("--restarts", type=int, default=20, help="that ours trains at once")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    length, steps, restarts = arguments.length, arguments.steps, arguments.restarts
    shape = {"restarts": restarts, "batch_size": arguments.batch_size}

    print(
        f"{length} flows, {steps} steps, batch {arguments.batch_size}, {os.cpu_count()} cores; "
        f"PyTorch {torch.__version__} on {torch.get_num_threads()} thread(s)"
    )
    torch_attempt(length, 20, arguments.batch_size)
    ratios, whole_ratios = [], []
    for number in range(1, arguments.rounds + 1):
        theirs = seconds(torch_attempt, length, steps, arguments.batch_size)
        # Twice the steps take twice the training and the same compilation.
        once = seconds(fit_reverse_kl, "two-modes", length, steps=steps, **shape)
        twice = seconds(fit_reverse_kl, "two-modes", length, steps=2 * steps, **shape)
        training, compilation = twice - once, 2 * once - twice
        ratios.append(theirs / (training / restarts))
        # What a fit of 4,000 steps costs with its compilation, scaled from these.
        scale = 4000 / steps
        whole_ratios.append(scale * theirs / ((scale * training + compilation) / restarts))
        print(
            f"round {number}: PyTorch {theirs:.2f} s per attempt; here {restarts} attempts in "
            f"{training:.2f} s, {training / restarts:.3f} s each, after {compilation:.1f} s of "
            f"compilation: {ratios[-1]:.0f} times as fast"
        )
    print(
        f"median of {arguments.rounds}: {np.median(ratios):.0f} times as fast per attempt; "
        f"{np.median(whole_ratios):.0f} times over 4,000 steps with compilation"
    )


if __name__ == "__main__":
    main()
