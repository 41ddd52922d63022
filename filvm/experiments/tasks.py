"""Tasks: a data set with its attributes, and the measures of a lens on it.

Every task has the same four parts:

    attributes                                   side information, in the order of z*'s dimensions
    vae, oracle                                  the experiments whose models it uses
    training_samples(run, vae, recipe)           latents and side information: train, validate
    measure(run, model, recipe) -> LensMetrics   everything `metrics.json` holds of a lens

All measures are taken on test data, with side information withheld.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import joblib
import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.analysis import disentanglement
from filvm.analysis.correlation import spearman
from filvm.analysis.disentanglement import disentanglement_report
from filvm.analysis.diversity import diversity_by_class
from filvm.analysis.manipulation import (
    change_digit,
    digit_and_value_on_request,
    digit_requests,
    requested_digits,
    sweep_every_digit,
)
from filvm.analysis.oracles import digit_features, predict_digit, predict_rotation
from filvm.analysis.reconstruction import squared_errors
from filvm.analysis.round_trip import round_trip_report
from filvm.analysis.sequences import decoded_attributes, moved_shares, sequence_errors
from filvm.analysis.sweeps import digits_in_sweeps, samples_of_each_digit, sweep_samples
from filvm.data import (
    MORPHOMETRICS,
    Categorical,
    Continuous,
    measure_shapes,
    stroke_thickness,
    to_float,
    training_split,
)
from filvm.data.sequences import TABLE_1, Sequences, SequenceSplits, split_sequences
from filvm.data.side_information import Attribute
from filvm.experiments.settings import FEW_DIGITS, THICKEN_FEW, Recipe, SequenceVaeSettings
from filvm.lens import Lens, LensPipeline
from filvm.runs.run import Run
from filvm.runs.training import distorted
from filvm.runs.workspace import Workspace
from filvm.vae import VAE

Samples = tuple[np.ndarray, dict[str, np.ndarray]]  # latents [n, d], and attributes [n] by name

MOST_COPIES = 16  # distorted copies of each of few digits, for a lens
PASSES_PER_COPY = 16  # a short training gets fewer copies
SWEEP = np.linspace(-3.0, 3.0, 10)  # of z*_1: 99.7 % of the prior
DIGIT_SWEEP = (np.arange(30) + 0.5) / 30  # of z*_0: quantiles of its own distribution
DIVERSE = 1000  # images of a digit, at most, whose diversity is measured
ASKED_ANGLES = np.linspace(-80.0, 80.0, 9)  # degrees
SEQUENCE_RANGES = {**TABLE_1, "final": (3, 2450)}
# The measures that AR-VAE is judged by, and its values (Pati and Lerch 2020, table 2).
AR_VAE = {
    "interpretability": 0.850,
    "scc": 0.956,
    "mig": 0.135,
    "sap": 0.544,
    "modularity": 0.842,
}


@dataclass(frozen=True)
class LensMetrics:
    """What `metrics.json` holds of a lens.

    Attributes:
        test: measures of z*.
        manipulation: measures of generated and changed samples, by oracles.
        way_back: what the heads read, and what is left of a change that is taken back.
        training_seconds: of all epochs.
    """

    test: dict[str, Any]
    training_seconds: float
    manipulation: dict[str, Any] | None = None
    way_back: dict[str, Any] | None = None


class Task(Protocol):
    """The parts that every task has; see the module's docstring."""

    vae: str
    attributes: tuple[Attribute, ...]

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]: ...

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics: ...


# Measures that tasks share.


def encode_images(vae: VAE, images: np.ndarray, batch: int = 10_000) -> np.ndarray:
    """z_mean of uint8 images [n, height, width], maybe a memory map: float32 [n, latent_dim]."""
    starts = range(0, len(images), batch)
    return np.concatenate([vae.encode(to_float(images[i : i + batch]))[0] for i in starts])


def code_measures(lens: Lens, z: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, Any]:
    """All measures of z*: of the centres that `infer` returns, and of draws.

    `codes` are the centres, which people read and change; `sampled_codes` are drawn from
    q(z*|z, s), as the objective uses z*: a centre may hide in its digits what the posterior's noise
    covers. `along` are Spearman's correlations of the centres with the numbers that own their
    dimensions, in the direction in which the heads say that each number rises.
    """
    owns = lens.heads[0].dimension is not None
    assigned = lens.assigned() if owns else None
    codes = {"codes": lens.infer(z), "sampled_codes": lens.infer(z, sampled=True)}
    report = joblib.delayed(disentanglement_report)
    # The readers release Python's lock while they learn, so threads run in parallel.
    reports = joblib.Parallel(n_jobs=len(codes), prefer="threads")(
        report(values, factors, assigned) for values in codes.values()
    )
    found = dict(zip(codes, reports, strict=True))
    directions = lens.directions()
    along = {
        name: read["spearman"] * float(directions[assigned[name]] if owns else 1.0)
        for name, read in found["codes"]["alignment"].items()
        if "spearman" in read
    }
    return {**found, "along": along}


def image_errors(
    model: LensPipeline, x: np.ndarray, z: np.ndarray, z_star: np.ndarray
) -> dict[str, float]:
    """What the way through z* costs: test MSE per pixel, in [0, 1], of two reconstructions.

        mse       x -> z -> z* -> z -> x
        mse_vae   x -> z -> x

    An edit keeps what z* keeps, so `mse` is the fidelity of edited images.

    Args:
        model: VAE and lens.
        x: test images, float32 in [0, 1].
        z, z_star: of these images.
    """
    through = model.lens.generate(z_star)
    return {
        name: float(squared_errors(x, model.vae.decode(latents)).mean())
        for name, latents in (("mse", through), ("mse_vae", z))
    }


# Digits.


@dataclass(frozen=True)
class Digits:
    """Images uint8 [n, 28, 28] with their attributes, `copies` consecutive rows per digit."""

    train_images: np.ndarray
    train_known: dict[str, np.ndarray]
    test_images: np.ndarray
    test_known: dict[str, np.ndarray]
    copies: int = 1

    def split(self, validation: int, train_limit: int) -> tuple[slice, slice]:
        """Training rows and validation rows; whole digits on either side."""
        digits = len(self.train_images) // self.copies
        return training_split(digits, validation, train_limit, copies=self.copies)

    def test_rows(self, limit: int) -> np.ndarray:
        """One row of each of the first `limit` test digits, all copies equally often."""
        digits = np.arange(len(self.test_images) // self.copies)[:limit]
        return digits * self.copies + digits % self.copies

    def test_sample(self, limit: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Images and attributes of `test_rows`."""
        rows = self.test_rows(limit)
        return self.test_images[rows], {name: v[rows] for name, v in self.test_known.items()}


def mnist(workspace: Workspace) -> Digits:
    """MNIST with digit and stroke thickness in pixels."""
    digits, thickness = workspace.mnist(), workspace.thickness()
    return Digits(
        digits.train_images,
        {"digit": digits.train_labels, "thickness": thickness.train},
        digits.test_images,
        {"digit": digits.test_labels, "thickness": thickness.test},
    )


def mnist_r(workspace: Workspace) -> Digits:
    """MNIST-R with digit and rotation in degrees."""
    rotated = workspace.rotated_mnist()
    return Digits(
        rotated.train_images,
        {"digit": rotated.train_labels, "rotation": rotated.train_angles},
        rotated.test_images,
        {"digit": rotated.test_labels, "rotation": rotated.test_angles},
        copies=rotated.num_rotations,
    )


def morpho(workspace: Workspace) -> Digits:
    """MNIST with six measures of every digit's shape."""
    digits = workspace.mnist()
    train, test = workspace.morphometrics()
    return Digits(digits.train_images, train, digits.test_images, test)


def with_known(known: dict[str, np.ndarray], count: int, seed: int) -> dict[str, np.ndarray]:
    """Side information of `count` samples drawn at random, missing for the others; 0: of all.

    Integers become int64 with -1 where missing, floats float32 with nan.
    """
    n = len(next(iter(known.values())))
    missing = np.random.default_rng(seed).permutation(n)[count or n :]
    side = {}
    for name, values in known.items():
        label = np.asarray(values).dtype.kind in "iu"
        side[name] = np.array(values, np.int64 if label else np.float32)
        side[name][missing] = -1 if label else np.nan
    return side


@dataclass(frozen=True)
class DigitTask:
    """A lens on latents of digits; the subclasses add the measures."""

    vae: str
    oracle: str
    attributes: tuple[Attribute, ...]
    load: Callable[[Workspace], Digits]
    measured: tuple[str, ...] = ()  # attributes that a distortion changes: measured again
    turn: float = 12.0  # largest angle of a distortion, degrees

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]:
        run.mnist()  # records which digits the run is trained on
        digits = self.load(run.workspace)
        rows, held_out = digits.split(recipe.validation, recipe.train_limit)

        def samples(part: slice, known: int) -> Samples:
            side = {name: values[part] for name, values in digits.train_known.items()}
            z = encode_images(vae, digits.train_images[part])
            return z, with_known(side, known, recipe.seed)

        few = rows.stop - rows.start < FEW_DIGITS * digits.copies
        known = samples(rows, recipe.known)
        if few:
            known = self.with_distorted(known, digits.train_images[rows], vae, recipe)
        return known, samples(held_out, 0)

    def with_distorted(
        self, known: Samples, images: np.ndarray, vae: VAE, recipe: Recipe
    ) -> Samples:
        """Samples and latents of distorted copies of their images, as many as training needs.

        Args:
            known: latents and side information of the images.
            images: uint8 [n, height, width].
            vae: encodes the copies.
            recipe: its steps and batch size say how many copies are seen.

        A copy keeps the attributes of its image, but for `measured` ones where they are known.
        """
        z, side = known
        seen = recipe.steps * recipe.batch_size // len(images)  # passes, without copies
        copies = min(MOST_COPIES, seen // PASSES_PER_COPY)
        parts, attributes = [z], {name: [values] for name, values in side.items()}
        for copy in range(copies):
            seed = tf.constant([recipe.seed, copy], tf.int64)
            pixels = to_float(images)
            moved = distorted(pixels, seed, turn=self.turn, thicken=THICKEN_FEW).numpy()
            parts.append(vae.encode(moved)[0])
            again = measure_shapes(moved, self.measured) if self.measured else {}
            for name, values in side.items():
                new = np.where(np.isnan(values), values, again[name]) if name in again else values
                attributes[name].append(new.astype(values.dtype))
        return np.concatenate(parts), {n: np.concatenate(v) for n, v in attributes.items()}

    def asked_digits(
        self,
        workspace: Workspace,
        model: LensPipeline,
        oracle: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        z_star: np.ndarray,
    ) -> dict[str, Any]:
        """Measures of digits that z*_0 makes, as the oracle reads them.

        Args:
            workspace: has the training images.
            model: VAE and lens, in which the digit owns dimension 0.
            oracle: of the task.
            images: real test images, float32 [n, 28, 28, 1].
            labels, z_star: of these images, [n] and [n, d].

        Returns:
            `on_request`: the agreement, where the other dimensions are drawn. `diversity`: these
            images against real test images, beside real training images and their reconstructions
            by the VAE, which show what can be reached. `digits_in_sweeps`: how many digits appear
            while z*_0 runs over its own range.
        """
        lens, read_digit = model.lens, partial(predict_digit, oracle)
        count = max(len(images) // 10, 1)
        places = lens.coordinate("digit", np.arange(10))
        requests = digit_requests(places, lens.latent_dim, num_per_digit=count)
        asked = model.decode(requests.reshape(-1, lens.latent_dim))
        rows = samples_of_each_digit(labels)
        real = [images[of_digit] for of_digit in samples_of_each_digit(labels, most=DIVERSE)]
        others = self._training_images_by_digit(workspace, len(real[0]))
        return {
            "on_request": requested_digits(asked, read_digit, 10).summary(),
            "diversity": diversity_by_class(
                partial(digit_features, oracle),
                real,
                {
                    "requested": asked.reshape(10, count, *asked.shape[1:]),
                    "real": others,
                    "reconstructed": [model.vae.reconstruct(part) for part in others],
                },
            ),
            "digits_in_sweeps": digits_in_sweeps(
                model.decode,
                read_digit,
                z_star[rows.ravel()],
                np.quantile(z_star[:, 0], DIGIT_SWEEP),
            ),
        }

    def _training_images_by_digit(self, workspace: Workspace, count: int) -> list[np.ndarray]:
        """`count` training images of every digit, evenly spread, float32 [count, 28, 28, 1]."""
        digits = self.load(workspace)
        labels, parts = digits.train_known["digit"], []
        for digit in range(10):
            rows = np.flatnonzero(labels == digit)
            rows = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
            parts.append(to_float(digits.train_images[rows]))
        return parts


class MnistTask(DigitTask):
    """Digit and stroke thickness (section 3.1; Figures 7, 10, B1 and B3)."""

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        images, known = self.load(run.workspace).test_sample(recipe.test_limit)
        images = to_float(images)
        labels, thickness = known["digit"].astype(np.int64), known["thickness"]
        z = model.latents(images)
        z_star = model.lens.infer(z)
        read = model.lens.predict_side_information(z)
        test = {
            **code_measures(model.lens, z, known),
            "secondary_network": {
                "digit_accuracy": float(np.mean(read["digit"] == labels)),
                "thickness_mae": float(np.nanmean(np.abs(read["thickness"] - thickness))),
            },
            "after_the_lens": image_errors(model, images, z, z_star),
        }
        seconds = run.training_seconds()
        if model.lens.heads[0].dimension is None:  # an ILVM: no dimension belongs to an attribute
            return LensMetrics(test, seconds, manipulation={})
        return LensMetrics(
            test,
            seconds,
            self._manipulation(run.workspace, model, images, known, z_star),
            round_trip_report(
                model,
                z,
                {"digit": labels, "thickness": thickness},
                {"digit": (labels + 3) % 10},
            ),
        )

    def _manipulation(
        self,
        workspace: Workspace,
        model: LensPipeline,
        images: np.ndarray,
        known: dict[str, np.ndarray],
        z_star: np.ndarray,
    ) -> dict[str, Any]:
        """Digits on request; thickness swept at every digit; real samples changed."""
        lens, labels, oracle = model.lens, known["digit"], workspace.run(self.oracle).model()
        read_digit = partial(predict_digit, oracle)
        places = lens.coordinate("digit", np.arange(10))
        values = SWEEP * lens.directions()[1]
        rest, rows = np.zeros((1, lens.latent_dim)), samples_of_each_digit(labels)
        judges = stroke_thickness, read_digit
        from_origin = sweep_every_digit(model.decode, *judges, places, values, rest)
        sweep = sweep_samples(model.decode, *judges, z_star[rows], values)
        changed = change_digit(
            model.decode,
            stroke_thickness,
            read_digit,
            z_star,
            labels,
            known["thickness"],
            places,
        )
        return {
            **self.asked_digits(workspace, model, oracle, images, labels, z_star),
            "thickness_sweep": sweep.summary(),
            "thickness_sweep_from_origin": from_origin.summary(),
            "changed_digit": changed.summary(),
        }


class RotatedTask(DigitTask):
    """Digit and rotation in degrees (section 3.2; Figures 8, 11 and B2)."""

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        images, known = self.load(run.workspace).test_sample(recipe.test_limit)
        z, x = encode_images(model.vae, images), to_float(images)
        z_star = model.lens.infer(z)
        read = model.lens.predict_side_information(z)
        test = {
            **code_measures(model.lens, z, known),
            "secondary_network": {
                "digit_accuracy": float(np.mean(read["digit"] == known["digit"])),
                "rotation_median_error": float(
                    np.median(np.abs(read["rotation"] - known["rotation"]))
                ),
            },
            "after_the_lens": image_errors(model, x, z, z_star),
        }
        oracle = run.workspace.run(self.oracle).model()
        judges = partial(predict_rotation, oracle), partial(predict_digit, oracle)
        places = model.lens.coordinate("digit", np.arange(10))
        asked = digit_and_value_on_request(
            model.decode,
            *judges,
            places,
            model.lens.coordinate("rotation", ASKED_ANGLES),
            ASKED_ANGLES,
            model.lens.latent_dim,
        )
        changed = change_digit(
            model.decode, *judges, z_star, known["digit"], known["rotation"], places
        )
        angles = known["rotation"].astype(np.float32)
        known = {"digit": known["digit"], "rotation": angles}
        return LensMetrics(
            test,
            run.training_seconds(),
            {
                **self.asked_digits(run.workspace, model, oracle, x, known["digit"], z_star),
                "on_request": asked.summary(),
                "changed_digit": changed.summary(),
            },
            round_trip_report(model, z, known, {"rotation": -angles}),
        )


class MorphoTask(DigitTask):
    """Six measures of a digit's shape, judged as AR-VAE is (arXiv:2004.05485)."""

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        images, known = self.load(run.workspace).test_sample(recipe.test_limit)
        z = encode_images(model.vae, images)
        return LensMetrics(
            {
                "codes": ar_vae_measures(model.lens.infer(z), known),
                "sampled_codes": ar_vae_measures(model.lens.infer(z, sampled=True), known),
            },
            run.training_seconds(),
        )


def ar_vae_measures(codes: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, float]:
    """The measures of `AR_VAE`; mutual information is estimated by nearest neighbours."""
    by_neighbours = {"interpretability", "mig", "modularity"}
    measured = {}
    for name in AR_VAE:
        options = {"estimator": "knn"} if name in by_neighbours else {}
        measured[name] = getattr(disentanglement, name)(codes, factors, **options).mean
    return measured


# Sequences.


def sequence_splits(settings: SequenceVaeSettings) -> SequenceSplits:
    """The sequences of vae-sequences; a function of its settings."""
    return split_sequences(
        settings.sequences, settings.validation, settings.test, seed=settings.seed
    )


def trained_splits(workspace: Workspace) -> SequenceSplits:
    """The sequences that the run of vae-sequences was trained on."""
    return sequence_splits(
        SequenceVaeSettings(**workspace.run("vae-sequences").config()["settings"])
    )


def sequence_attributes(sequences: Sequences, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Attributes of sequences by name, float32 [n]."""
    return {name: getattr(sequences, name).astype(np.float32) for name in names}


@dataclass(frozen=True)
class SequenceTask:
    """Start, step and maybe length of toy sequences (sections 3.3 and 6; Figures 9, 12 and B4)."""

    names: tuple[str, ...]
    vae: str = "vae-sequences"

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(Continuous(name) for name in self.names)

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]:
        sequences = trained_splits(run.workspace)

        def samples(part: Sequences) -> Samples:
            return vae.encode(part)[0], sequence_attributes(part, self.names)

        return samples(sequences.train[: recipe.train_limit or None]), samples(sequences.validation)

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        sequences = trained_splits(run.workspace).test[: recipe.test_limit]
        lens = model.lens
        z = model.latents(sequences)
        z_star = lens.infer(z)
        every = sequence_attributes(sequences, tuple(SEQUENCE_RANGES))
        known = sequence_attributes(sequences, self.names)
        read = lens.predict_side_information(z)
        numbers, lengths = model.vae.decode(lens.generate(z_star))
        errors = sequence_errors(sequences, numbers, lengths)

        def decoded(z_star: np.ndarray) -> dict[str, np.ndarray]:
            return decoded_attributes(*model.decode(z_star))

        centre, rests = np.zeros((1, z_star.shape[1])), z_star[: max(len(z_star) // 50, 1)]
        total = errors["absolute_error"].sum()
        test = {
            **code_measures(lens, z, known),
            "spearman": {
                name: list(map(float, row))
                for name, row in spearman(z_star * lens.directions(), every).items()
            },
            "moved": moved_shares(decoded, SEQUENCE_RANGES, centre),
            "moved_elsewhere": moved_shares(decoded, SEQUENCE_RANGES, rests),
            "secondary_network_mae": {
                name: float(np.mean(np.abs(read[name] - every[name]))) for name in self.names
            },
            "after_the_lens": {
                "mean_absolute_error": float(total / sequences.length.sum()),
                "length_exact": float(errors["length_exact"].mean()),
            },
        }
        back = round_trip_report(model, z, known, {"start": np.roll(known["start"], 1)})
        return LensMetrics(test, run.training_seconds(), way_back=back)


MNIST_ATTRIBUTES = (Categorical("digit", 10), Continuous("thickness"))
ROTATED_ATTRIBUTES = (Categorical("digit", 10), Continuous("rotation"))
MORPHO_ATTRIBUTES = tuple(Continuous(name) for name in MORPHOMETRICS)
TASKS: dict[str, Task] = {
    "mnist": MnistTask("vae-mnist", "oracles-mnist", MNIST_ATTRIBUTES, mnist, ("thickness",)),
    "mnist-r": RotatedTask("vae-mnist-r", "oracles-mnist-r", ROTATED_ATTRIBUTES, mnist_r, turn=0.0),
    "sequences": SequenceTask(("start", "step", "length")),
    "sequences-start-step": SequenceTask(("start", "step")),
    "morpho": MorphoTask("vae-mnist-16", "oracles-mnist", MORPHO_ATTRIBUTES, morpho, MORPHOMETRICS),
}
