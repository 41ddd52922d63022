"""Finite inputs give finite results, or one clear error."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.data.sequences import LARGEST_EXACT, make_sequences
from filvm.data.side_information import Categorical, Continuous
from filvm.flows import fit_forward_kl, fit_reverse_kl
from filvm.lens import FILVM, ILVM, InvertibleLens
from filvm.lens.objective import dependence, gaussian_kernel, spread
from filvm.vae import ConvVAE, SequenceVAE

RNG = np.random.default_rng(0)
N = 10
IMAGES = RNG.random((N, 8, 8, 1), np.float32)
LATENTS = RNG.standard_normal((N, 4), np.float32)
SIDE = {"kind": np.arange(N) % 3, "size": RNG.normal(2.0, 1.0, N)}
NUMBERS = make_sequences(N, length=(2, 4)).numbers


def vae(likelihood):
    return ConvVAE(2, image_shape=(8, 8, 1), filters=(4, 4), dense_units=8, likelihood=likelihood)


def lens(kind):
    attributes = [Categorical("kind", 3), Continuous("size")]
    layers = {"num_couplings": 2} if kind is InvertibleLens else {"num_flows": 2}
    return kind(4, attributes, hidden_units=(8,), **layers)


def sequence_vae():
    return SequenceVAE(2, max_length=4, units=4, dense_units=4)


def in_batches(*data, size=4):
    return tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data[0]).batch(size)


def check_training(model, *data, batch_size=4, epochs=2):
    """Train a little; neither a loss nor a weight is inf or nan."""
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)  # to trace it would take longer
    if isinstance(data[0], tf.data.Dataset):
        batch_size = None
    history = model.fit(*data, batch_size=batch_size, epochs=epochs, verbose=0).history
    for name, losses in history.items():
        assert np.isfinite(losses).all(), name
    for weight in model.weights:
        assert np.isfinite(weight.numpy()).all(), weight.name


IMAGE_SETS = {
    "black": 0 * IMAGES,
    "white": 0 * IMAGES + 1,
    "all the same": np.repeat(IMAGES[:1], N, axis=0),
    "double": IMAGES.astype(np.float64),
    "half": IMAGES.astype(np.float16),
    "a dataset of doubles": in_batches(IMAGES.astype(np.float64)),
    "one image": IMAGES[:1],
    "a last batch of one": IMAGES[:5],
}


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("images", IMAGE_SETS.values(), ids=IMAGE_SETS)
def test_a_vae_trains_on_images_without_variation(images, likelihood):
    model = vae(likelihood)
    check_training(model, images)
    if isinstance(images, np.ndarray):
        assert np.isfinite(model.reconstruct(images)).all()


def test_a_batch_may_have_thousands_of_samples():
    check_training(vae("bernoulli"), np.repeat(IMAGES, 400, axis=0), batch_size=4000)
    side = {name: np.repeat(values, 400) for name, values in SIDE.items()}
    check_training(lens(FILVM), np.repeat(LATENTS, 400, axis=0), side, batch_size=4000)
    check_training(sequence_vae(), np.repeat(NUMBERS, 400, axis=0), batch_size=4000)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((255 * IMAGES).astype(np.uint8), "the images are uint8; expected float32"),
        ((255 * IMAGES).astype(np.int64), "the images are int64; expected float32"),
        (IMAGES[:, :4], r"shape \[(10|None), 4, 8, 1\]; expected \[n, 8, 8, 1\]"),
    ],
)
def test_images_a_vae_cannot_have_are_refused_wherever_they_come_from(images, message):
    model = vae("bernoulli")
    model.compile("adam")
    for given in (images, in_batches(images)):
        with pytest.raises(ValueError, match=message):
            model.fit(given, verbose=0)
        with pytest.raises(ValueError, match=message):
            model.fit(IMAGES, validation_data=given, verbose=0)


def test_images_too_large_for_float32_are_refused():
    with pytest.raises(ValueError, match="nan or infinite"):
        vae("gaussian").encode(np.full((1, 8, 8, 1), 1e300))


ONE = {name: values[:1] for name, values in SIDE.items()}
LENS_SETS = {
    "latents all the same": (0 * LATENTS + 0.3, SIDE),
    "one class": (LATENTS, {**SIDE, "kind": np.ones(N, int)}),
    "a number that never varies": (LATENTS, {**SIDE, "size": np.full(N, 0.1)}),
    "a number that is always 0": (LATENTS, {**SIDE, "size": np.zeros(N)}),
    "nothing that varies": (
        0 * LATENTS + 0.3,
        {"kind": np.ones(N, int), "size": np.full(N, 0.1)},
    ),
    "one known value": (
        LATENTS,
        {"kind": np.r_[1, -np.ones(N - 1)], "size": np.r_[2.0, np.full(N - 1, np.nan)]},
    ),
    "doubles and whole numbers": (
        LATENTS.astype(np.float64),
        {"kind": SIDE["kind"].astype(np.float64), "size": SIDE["size"].astype(np.int64)},
    ),
    "whole numbers for latents": ((3 * LATENTS).astype(np.int64), SIDE),
    "a dataset of doubles": (in_batches(LATENTS.astype(np.float64), SIDE),),
    "small units": (1e-20 * LATENTS, {**SIDE, "size": 1e-20 * SIDE["size"]}),
    "large units": (1e15 * LATENTS, {**SIDE, "size": 1e37 * SIDE["size"]}),
    "one sample": (LATENTS[:1], ONE),
    "a last batch of one": (LATENTS[:5], {name: values[:5] for name, values in SIDE.items()}),
}


@pytest.mark.parametrize("data", LENS_SETS.values(), ids=LENS_SETS)
def test_a_lens_trains_on_any_side_information(data, eager):
    model = lens(FILVM)
    check_training(model, *data)
    z = LATENTS if len(data) == 1 else data[0]
    assert np.isfinite(model.infer(z)).all()
    assert np.isfinite(model.manipulate(z, kind=2, size=2.0)).all()


@pytest.mark.parametrize("case", ["nothing that varies", "one sample", "large units"])
def test_an_invertible_lens_trains_on_any_side_information(case, eager):
    model = lens(InvertibleLens)
    check_training(model, *LENS_SETS[case])
    z = LENS_SETS[case][0]
    assert np.isfinite(model.manipulate(z, kind=2, size=2.0)).all()


def test_an_ilvm_trains_on_constant_data():
    check_training(lens(ILVM), *LENS_SETS["nothing that varies"])


@pytest.mark.parametrize("n", [1, 6])
def test_the_gradient_of_dependence_is_finite_for_constant_data(n):
    @tf.function(jit_compile=True)  # without XLA, TensorFlow's kernel gives 0 for 0 * inf
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            kernel = gaussian_kernel(x / (spread(x) + 1e-3))
            total = tf.reduce_sum(dependence(kernel, tf.eye(n)))
        return tape.gradient(total, x)

    assert np.isfinite(gradient(tf.fill([n, 2], 0.3))).all()


def test_small_units_are_scaled_like_others():
    model = lens(FILVM)
    model.adapt(LATENTS, {**SIDE, "size": 1e-9 * SIDE["size"]})
    np.testing.assert_allclose(model.attribute_scale[1], 1e-9 * SIDE["size"].std(), rtol=1e-5)


def test_numbers_too_large_for_float32_are_refused():
    with pytest.raises(ValueError, match="z is not finite at row 1"):
        lens(FILVM).infer(np.array([[0.0] * 4, [1e300] * 4]))
    with pytest.raises(ValueError, match="'size' is infinite at row 0, or too large for float32"):
        lens(FILVM).infer(LATENTS, {"size": np.full(N, 1e300)})


SEQUENCE_SETS = {
    "all the same": np.repeat(NUMBERS[:1], N, axis=0),
    "of one number": np.pad(np.full((N, 1, 1), 5.0), ((0, 0), (0, 3), (0, 0))),
    "that do not grow": np.full((N, 4), 7),
    "of the largest numbers": np.full((N, 4), float(LARGEST_EXACT)),
    "of small numbers": 1e-30 * NUMBERS,
    "a dataset of whole numbers": in_batches(NUMBERS.astype(np.int64)),
    "one sequence": NUMBERS[:1],
    "a last batch of one": NUMBERS[:5],
}


@pytest.mark.parametrize("sequences", SEQUENCE_SETS.values(), ids=SEQUENCE_SETS)
def test_a_sequence_vae_trains_on_sequences_without_variation(sequences, eager):
    model = sequence_vae()
    check_training(model, sequences)
    if isinstance(sequences, np.ndarray):
        assert np.isfinite(model.reconstruct(sequences)[0]).all()


@pytest.mark.parametrize("value", [2.0 * LARGEST_EXACT, 1e300])
def test_numbers_too_large_for_a_sequence_are_refused(value):
    with pytest.raises(ValueError, match=r"at place 1; expected positive finite numbers up to"):
        sequence_vae().encode(np.array([[1.0, value]]))


@pytest.fixture
def every_operation_checked():
    """TensorFlow stops at any operation whose result is inf or nan, also if a later one hides it.

    It does not check code that XLA compiles.
    """
    tf.debugging.enable_check_numerics()
    yield
    tf.debugging.disable_check_numerics()


CHECKED = {
    "vae": (vae, "bernoulli", np.repeat(IMAGES[:1], N, axis=0)),
    "gaussian vae": (vae, "gaussian", 0 * IMAGES),
    "ilvm": (lens, ILVM, LATENTS, SIDE),
    "filvm": (lens, FILVM, *LENS_SETS["nothing that varies"]),
    "invertible lens": (lens, InvertibleLens, *LENS_SETS["nothing that varies"]),
    "sequence vae": (sequence_vae, None, SEQUENCE_SETS["of one number"]),
}


@pytest.mark.parametrize("case", CHECKED.values(), ids=CHECKED)
def test_no_operation_of_a_step_gives_nan_or_inf(case, every_operation_checked):
    make, kind, *data = case
    check_training(make(kind) if kind else make(), *data, batch_size=N, epochs=1)


def test_no_operation_of_a_fit_of_flows_gives_nan_or_inf(every_operation_checked, eager):
    fit_reverse_kl("split-wave", 2, restarts=2, steps=1, batch_size=8)
    fit_forward_kl(np.ones((1, 2)), 2, restarts=2, steps=1)
