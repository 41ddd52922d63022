"""A workspace: one profile, the folder of its runs, and the folder of the data.

    runs/<profile>/<experiment>/    data/mnist/    data/mnist_r/    data/quick/

The quick profile uses the first digits of MNIST only; `data/quick` has what is derived from them.
Figures, notebooks and exports take a workspace; `workspace.run(name)` is the run of one experiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filvm.data import (
    Mnist,
    RotatedMnist,
    Thickness,
    load_mnist,
    load_morphometrics,
    load_rotated_mnist,
    load_thickness,
)
from filvm.data.mnist import is_at_hand
from filvm.runs.distributed import is_chief

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from filvm.runs.run import Run

PROFILES = ("full", "quick", "smoke")
# The quick profile knows so many training and test digits of MNIST: to measure the thickness of all
# 70,000 takes longer than one of its trainings.
QUICK_DIGITS = 12_000, 1_000


@dataclass(frozen=True)
class Workspace:
    """Where experiments read and write, and under which profile they run.

    Args:
        profile: one of `PROFILES`; it chooses the settings of every experiment.
        runs: the folder of all profiles.
        data: the folder of MNIST and everything derived from it.
        require_mnist: whether the sample of 5,000 digits is refused in place of MNIST.
        strategy: a `tf.distribute` strategy to train under; None for one device.
    """

    profile: str = "full"
    runs: Path = Path("runs")
    data: Path = Path("data")
    require_mnist: bool = False
    strategy: tf.distribute.Strategy | None = None

    @property
    def folder(self) -> Path:
        """The folder of this profile."""
        return Path(self.runs) / self.profile

    @property
    def writes(self) -> bool:
        """Whether this process writes: of several workers, only the chief does."""
        return is_chief(self.strategy)

    @property
    def refuses_sample(self) -> bool:
        """Whether runs made from the sample are refused: MNIST is at hand, or required."""
        return self.require_mnist or is_at_hand(self.data)

    def run(self, name: str) -> Run:
        """The run of one experiment."""
        from filvm.runs.run import Run  # it imports this module

        return Run(name, self)

    # The data.

    def mnist(self) -> Mnist:
        """MNIST, or its sample of 5,000 digits; under the quick profile, the first of them."""
        digits = load_mnist(self.data, require_mnist=self.require_mnist)
        return digits.first(*QUICK_DIGITS) if self.profile == "quick" else digits

    @property
    def derived(self) -> Path:
        """The folder of what is derived from the digits."""
        return Path(self.data) / "quick" if self.profile == "quick" else Path(self.data)

    def rotated_mnist(self) -> RotatedMnist:
        """MNIST-R; it is generated if it is missing."""
        return load_rotated_mnist(self.mnist(), self.derived)

    def thickness(self) -> Thickness:
        """Stroke thickness of every digit, in pixels; it is measured if it is missing."""
        return load_thickness(self.mnist(), self.derived)

    def morphometrics(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Six measures of every training and test digit; they are taken if they are missing."""
        return load_morphometrics(self.mnist(), self.derived)
