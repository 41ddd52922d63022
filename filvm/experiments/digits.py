"""Tasks on digits: MNIST and MNIST-R, and six measures of a digit's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import joblib
import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.analysis import disentanglement
from filvm.analysis.diversity import diversity_by_class
from filvm.analysis.manipulation import (
    Request,
    change_digit,
    digit_requests,
    other_classes,
    requested_digits,
    traverse,
    value_requests,
)
from filvm.analysis.oracles import digit_features, predict_digit, predict_rotation
from filvm.analysis.reconstruction import squared_errors
from filvm.analysis.round_trip import round_trip_report
from filvm.analysis.sweeps import (
    PER_DIGIT,
    digits_in_sweeps,
    samples_of_each_digit,
    sweep_samples,
)
from filvm.data import (
    MORPHOMETRICS,
    Categorical,
    Continuous,
    measure_shapes,
    stroke_thickness,
    to_float,
    training_split,
)
from filvm.data.shape_tables import MEASURE_VERSION
from filvm.data.side_information import Attribute
from filvm.experiments.digit_data import Digits, with_known
from filvm.experiments.measures import LensMetrics, Samples, code_measures
from filvm.experiments.settings import FEW_DIGITS, THICKEN_FEW, Recipe
from filvm.lens import LensPipeline
from filvm.runs.batches import distorted
from filvm.runs.run import Run
from filvm.runs.workspace import Workspace
from filvm.vae import VAE

MOST_COPIES = 16  # distorted copies of each of few digits, for a lens
PASSES_PER_COPY = 20  # a short training gets fewer copies
SWEEP = np.linspace(-3.0, 3.0, 10)  # of z*_1: 99.7 % of the prior
DIGIT_SWEEP = (np.arange(30) + 0.5) / 30  # of z*_0: quantiles of its own distribution
DIVERSE = 1000  # images of a digit, at most, whose diversity is measured
ASKED_ANGLES = np.linspace(-80.0, 80.0, 9)  # degrees
# The measures that AR-VAE is judged by, and its values (Pati and Lerch 2020, table 2).
AR_VAE = {
    "interpretability": 0.850,
    "scc": 0.956,
    "mig": 0.135,
    "sap": 0.544,
    "modularity": 0.842,
}
MNIST_ATTRIBUTES = (Categorical("digit", 10), Continuous("thickness"))
ROTATED_ATTRIBUTES = (Categorical("digit", 10), Continuous("rotation"))
MORPHO_ATTRIBUTES = tuple(Continuous(name) for name in MORPHOMETRICS)


def encode_images(vae: VAE, images: np.ndarray, batch: int = 10_000) -> np.ndarray:
    """z_mean of uint8 images [n, height, width], maybe a memory map: float32 [n, latent_dim]."""
    starts = range(0, len(images), batch)
    return np.concatenate([vae.encode(to_float(images[i : i + batch]))[0] for i in starts])


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


@dataclass(frozen=True)
class DigitTask:
    """A lens on latents of digits; the subclasses add the measures."""

    vae: str
    oracle: str
    attributes: tuple[Attribute, ...]
    load: Callable[[Workspace], Digits]
    measured: tuple[str, ...] = ()  # attributes that a distortion changes: measured again
    turn: float = 12.0  # largest angle of a distortion, degrees
    sweeps: bool = True  # whether sweeps and the variety of requested digits are measured, too

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]:
        run.mnist()  # records which digits the run is trained on
        digits = self.load(run.workspace)
        rows, held_out = training_split(
            len(digits.train_images) // digits.copies,
            recipe.validation,
            recipe.train_limit,
            copies=digits.copies,
        )

        def samples(part: slice, known: int) -> Samples:
            side = {name: values[part] for name, values in digits.train_known.items()}
            z = encode_images(vae, digits.train_images[part])
            return z, with_known(side, known, recipe.seed)

        known = samples(rows, recipe.known)
        if rows.stop - rows.start < FEW_DIGITS * digits.copies:
            known = self.with_distorted(
                run.workspace, known, digits.train_images[rows], vae, recipe
            )
        return known, samples(held_out, 0)

    def with_distorted(
        self, workspace: Workspace, known: Samples, images: np.ndarray, vae: VAE, recipe: Recipe
    ) -> Samples:
        """Samples and latents of distorted copies of their images, as many as training needs.

        Args:
            workspace: its data folder keeps the measures of the copies: all lenses of one seed have
                the same copies.
            known: latents and side information of the images.
            images: uint8 [n, height, width].
            vae: encodes the copies.
            recipe: its steps and batch size say how many copies are seen.

        A copy keeps the attributes of its image, but for `measured` ones where they are known.
        """
        z, side = known
        seen = recipe.steps * recipe.batch_size // len(images)  # passes, without copies
        copies = min(MOST_COPIES, seen // PASSES_PER_COPY)
        keeps = self.measured and workspace.writes
        folder = workspace.derived / f"distorted_{MEASURE_VERSION}" if keeps else None
        measures = joblib.Memory(folder, verbose=0).cache(measure_shapes)
        parts, attributes = [z], {name: [values] for name, values in side.items()}
        for copy in range(copies):
            seed = tf.constant([recipe.seed, copy], tf.int64)
            pixels = to_float(images)
            moved = distorted(pixels, seed, turn=self.turn, thicken=THICKEN_FEW).numpy()
            parts.append(vae.encode(moved)[0])
            again = {}
            if self.measured:
                # With a margin: images without strokes on their border are measured together.
                framed = np.pad(moved[..., 0], ((0, 0), (2, 2), (2, 2)))
                again = measures(framed, self.measured)
            for name, values in side.items():
                new = np.where(np.isnan(values), values, again[name]) if name in again else values
                attributes[name].append(new.astype(values.dtype))
        return np.concatenate(parts), {n: np.concatenate(v) for n, v in attributes.items()}

    def variety(
        self,
        workspace: Workspace,
        model: LensPipeline,
        oracle: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        z_star: np.ndarray,
        asked: np.ndarray,
    ) -> dict[str, Any]:
        """How varied the digits are that z*_0 makes, as the oracle sees them.

        Args:
            workspace: has the training images.
            model: VAE and lens, in which the digit owns dimension 0.
            oracle: of the task.
            images: real test images, float32 [n, 28, 28, 1].
            labels, z_star: of these images, [n] and [n, d].
            asked: requested digits, of `requested_images`.

        Returns:
            `varied_requests`: the agreement with z*_0 of real samples that are read as the
            requested digit, not at its one place. `diversity`: these and `asked` against real test
            images, beside real training images and their reconstructions by the VAE, which show
            what can be reached. `digits_in_sweeps`: how many digits appear while z*_0 runs over
            its own range.
        """
        read_digit, count = partial(predict_digit, oracle), len(asked) // 10
        varied = [model.sample(count, digit=k, like=z_star, seed=k) for k in range(10)]
        rows = swept_samples(labels)
        real = [images[of_digit] for of_digit in samples_of_each_digit(labels, most=DIVERSE)]
        others = self._training_images_by_digit(workspace, len(real[0]))
        return {
            "varied_requests": requested_digits(np.concatenate(varied), read_digit, 10).summary(),
            "diversity": diversity_by_class(
                partial(digit_features, oracle),
                real,
                {
                    "requested": asked.reshape(10, count, *asked.shape[1:]),
                    "varied": varied,
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
                model, z, {"digit": labels, "thickness": thickness}, {"digit": (labels + 3) % 10}
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
        judges = stroke_thickness, read_digit
        changed = change_digit(
            model.decode,
            *judges,
            z_star,
            other_classes(labels, 10),
            known["thickness"],
            places,
        )
        asked = requested_images(model, len(images) // 10)
        found = {
            "on_request": requested_digits(asked, read_digit, 10).summary(),
            "changed_digit": changed.summary(),
        }
        if self.sweeps:
            found |= self.variety(workspace, model, oracle, images, labels, z_star, asked)
            origin = traverse(np.zeros((1, lens.latent_dim)), 0, places).swapaxes(0, 1)
            values = SWEEP * lens.directions()[1]
            starts = {"": z_star[swept_samples(labels)], "_from_origin": origin}
            for suffix, rests in starts.items():
                sweep = sweep_samples(model.decode, *judges, rests, values)
                found[f"thickness_sweep{suffix}"] = sweep.summary()
        return found


def requested_images(model: LensPipeline, num_per_digit: int) -> np.ndarray:
    """Images of every digit at its place on z*_0, the rest drawn: float32 [10 * n, 28, 28, 1]."""
    lens = model.lens
    places = lens.coordinate("digit", np.arange(10))
    requests = digit_requests(places, lens.latent_dim, num_per_digit=max(num_per_digit, 1))
    return model.decode(requests.reshape(-1, lens.latent_dim))


def swept_samples(labels: np.ndarray) -> np.ndarray:
    """Rows of the samples that sweeps start at: `PER_DIGIT` of each digit, fewer of few samples."""
    return samples_of_each_digit(labels, most=max(1, min(PER_DIGIT, len(labels) // 40)))


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
        places_of_angles = model.lens.coordinate("rotation", ASKED_ANGLES)
        requests, digits, rows = value_requests(places, places_of_angles, model.lens.latent_dim)
        made = model.decode(requests)
        asked = Request(
            requested_digits=digits,
            predicted_digits=predict_digit(oracle, made),
            requested_values=ASKED_ANGLES[rows],
            measured_values=predict_rotation(oracle, made),
        )
        others = other_classes(known["digit"], 10)
        changed = change_digit(model.decode, *judges, z_star, others, known["rotation"], places)
        manipulation = {"on_request": asked.summary(), "changed_digit": changed.summary()}
        if self.sweeps:
            manipulation |= self.variety(
                run.workspace,
                model,
                oracle,
                x,
                known["digit"],
                z_star,
                requested_images(model, len(x) // 10),
            )
            swept = z_star[swept_samples(known["digit"])]
            sweep = sweep_samples(model.decode, *judges, swept, places_of_angles)
            error = float(np.median(np.abs(sweep.measured - ASKED_ANGLES)))
            manipulation["rotation_sweep"] = {**sweep.summary(), "median_absolute_error": error}
        angles = known["rotation"].astype(np.float32)
        known = {"digit": known["digit"], "rotation": angles}
        return LensMetrics(
            test,
            run.training_seconds(),
            manipulation,
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
