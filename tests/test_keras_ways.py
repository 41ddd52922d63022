"""Keras' own ways with a VAE and a lens: data in every form, weights, callbacks, files, copies."""

import copy
import io
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.data import Categorical, Continuous
from filvm.data.sequences import make_sequences
from filvm.lens import FILVM, ILVM, InvertibleLens, LensPipeline
from filvm.vae import VAE, ConvVAE, SequenceVAE

Z = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = {"digit": np.arange(64) % 3, "t": 2 * Z[:, 1] + 5}
X = np.random.default_rng(0).random((32, 8, 8, 1)).astype(np.float32)
QUIET = {"verbose": 0}


def new_lens(kind=ILVM, **compiled):
    sizes = {"num_flows": 1}
    if kind is InvertibleLens:
        sizes = {"coupling_units": (8,), "attribute_units": (8,)}
        sizes |= {"num_mixing": 1, "num_couplings": 2}
    lens = kind(4, [Categorical("digit", 3), Continuous("t")], hidden_units=(8,), **sizes)
    lens.compile("adam", **compiled)
    return lens


def new_vae(**compiled):
    vae = ConvVAE(2, image_shape=(8, 8, 1), filters=(2, 4), dense_units=8)
    vae.compile("adam", **compiled)
    return vae


@pytest.fixture(scope="module")
def vae():
    """A VAE whose steps are traced once, for tests that hold for any weights."""
    return new_vae()


@pytest.fixture(scope="module")
def lens():
    """A lens whose steps are traced once, for tests that hold for any weights."""
    return new_lens()


def batches(arrays, size=16):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


class Batches(keras.utils.Sequence):
    """The first 32 samples of arrays, 16 per batch."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return tf.nest.map_structure(lambda array: array[rows], self.arrays)


class OwnVAE(VAE):
    """A linear VAE of vectors, as a user writes it."""

    def log_likelihood(self, x, decoded):
        return -tf.reduce_sum(tf.square(x - decoded), axis=1)

    def observation(self, decoded):
        return decoded


def own_vae(layers=keras.layers, models=keras, **settings):
    x, z = models.Input([4]), models.Input([2])
    encoder = models.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)])
    return OwnVAE(encoder, models.Model(z, layers.Dense(4, **settings)(z)))


# Data.


def test_strings_in_a_dataset_are_refused_where_numbers_are_expected(lens):
    for name in Y:
        side = {**Y, name: np.array(["0"] * 64)}
        with pytest.raises(TypeError, match=f"'{name}' has strings in the dataset; expected"):
            lens.fit(batches((Z, side)), **QUIET)


def test_a_lens_is_validated_on_data_in_any_form():
    lens = new_lens()
    weights = np.ones(64)
    forms = [(Z, Y), [Z, Y], (Z, Y, weights), batches((Z, Y), 64), batches((Z, Y, weights), 64)]
    for data in forms:
        history = lens.fit(Z, Y, validation_data=data, epochs=2, **QUIET).history
        for name, value in lens.evaluate(Z, Y, return_dict=True, **QUIET).items():
            assert history[f"val_{name}"][-1] == pytest.approx(value, rel=1e-3)
    assert np.isfinite(lens.fit(Z, Y, validation_data=Batches((Z, Y)), **QUIET).history["val_loss"])


def test_validation_split_keeps_the_last_samples_and_leaves_them_out_of_the_units():
    far = np.concatenate([Z[:48], Z[48:] + 100.0])
    lens = new_lens()
    assert "val_loss" in lens.fit(far, Y, validation_split=0.25, **QUIET).history
    np.testing.assert_allclose(lens.latent_mean, Z[:48].mean(axis=0), atol=1e-5)
    assert "val_loss" in new_vae().fit(X, validation_split=0.25, **QUIET).history
    with pytest.raises(ValueError, match=r"validation_split is 1\.5"):
        lens.fit(Z, Y, validation_split=1.5, **QUIET)
    with pytest.raises(ValueError, match="expected arrays: pass validation_data instead"):
        lens.fit(batches((Z, Y)), validation_split=0.25, **QUIET)


def test_generators_and_sequences_train():
    lens, vae = new_lens(), new_vae()
    with pytest.raises(ValueError, match=r"the units .* are not set.*call adapt"):
        lens.fit(((Z, Y) for _ in range(3)), **QUIET)
    lens.fit(Batches((Z, Y)), **QUIET)
    lens.fit(((Z, Y, np.ones(64)) for _ in range(3)), steps_per_epoch=3, **QUIET)
    vae.fit((X for _ in range(3)), steps_per_epoch=3, **QUIET)
    vae.fit(Batches((X, X)), validation_data=Batches((X,)), **QUIET)
    assert int(lens.steps) == int(vae.steps) == 5
    assert np.isfinite([lens.train_on_batch(Z, Y)[0], lens.test_on_batch(Z, Y)[0]]).all()


BYTES = [
    X * 255,
    tf.constant(X * 255),
    batches(X * 255),
    Batches((X * 255,)),
    (X * share for share in (1, 255, 255)),
    (X * 255).astype(np.uint8),
    batches((X * 255).astype(np.uint8)),
]


@pytest.mark.parametrize("data", BYTES, ids=lambda data: type(data).__name__)
def test_pixels_beyond_1_are_refused_in_every_form(vae, data):
    with pytest.raises(ValueError, match="divide them by 255") as refused:
        vae.fit(data, **QUIET)
    assert "\n" not in str(refused.value)


def test_pixels_beyond_1_are_refused_wherever_observations_are_taken(vae):
    calls = [
        lambda: vae.fit(X, validation_data=(X * 255, None), **QUIET),
        lambda: vae.fit(X, validation_data=batches(X * 255), **QUIET),
        lambda: vae.evaluate(X * 255, **QUIET),
        lambda: vae.predict(batches(X * 255), **QUIET),
        lambda: vae.encode(tf.constant(X * 255)),
        lambda: vae.train_on_batch(X * 255),
        lambda: vae.predict_on_batch(X * 255),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="divide them by 255"):
            call()


def test_a_rounding_error_beyond_1_passes(vae):
    above = np.where(X > 0.5, np.nextafter(np.float32(1), np.float32(2)), X)
    assert vae.encode(above)[0].shape == (32, 2)
    vae.fit(batches(above), **QUIET)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((Z, {**Y, "digit": Y["digit"] + 1}), "digit must hold labels from 0 to 2"),
        ((Z, {**Y, "t": Y["t"] + np.inf}), "t must hold finite numbers"),
        ((Z * np.nan, Y), "z must hold finite numbers"),
        ((Z, {"digit": Y["digit"]}), r"names \['digit'\]; expected \['digit', 't'\]"),
        (Z, "no side information; expected batches"),
        ((Z[:, :3], Y), r"z has shape \(None, 3\); expected batches \[n, 4\]"),
        ((Z.astype(str), Y), "z has dtype string; expected numbers"),
        ((Z, {**Y, "digit": np.eye(3)[Y["digit"]]}), r"'digit' has shape \[None, 3\] in the dat"),
        ((Z, {**Y, "t": Y["t"][:, None]}), r"'t' has shape \[None, 1\] in the dataset; expected"),
        ((Z, tuple(Y.values())), "side information is a tuple; expected a dictionary"),
        ((Z, Y["t"]), "side information is a .*Tensor; expected a dictionary"),
        ((Z, Y, np.ones((64, 2))), r"sample_weight has shape \[None, 2\] in the dataset"),
        ((Z, Y, ["1"] * 64), "sample_weight has dtype string; expected numbers"),
    ],
)
def test_wrong_values_in_a_dataset_are_refused(lens, data, message):
    with pytest.raises((TypeError, ValueError), match=message) as refused:
        lens.fit(batches(data), **QUIET)
    assert "\n" not in str(refused.value)


def test_one_weight_for_a_whole_batch_is_refused():
    data = batches((Z, Y)).map(lambda z, side: (z, side, 2.0))
    with pytest.raises(ValueError, match=r"sample_weight has shape \[\] in the dataset; expected"):
        new_lens().fit(data, **QUIET)


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [(["one", "two", "three"], [0, 1]), ([10, 20, 30], ["10", "20"]), ([10, 20, 30], [1, 2])],
)
def test_names_of_labels_in_a_dataset(labels, wrong):
    lens = FILVM(4, [Categorical("digit", labels)], hidden_units=(8,), num_flows=1)
    lens.compile("adam", run_eagerly=True)
    known = np.array(labels)[Y["digit"]]
    missing = np.where(Y["digit"], known, "" if known.dtype.kind == "U" else np.nan)
    for side in (known, missing):
        assert np.isfinite(lens.fit(batches((Z, {"digit": side})), **QUIET).history["loss"]).all()
    with pytest.raises((TypeError, ValueError), match="digit.* expected|digit must hold some of"):
        lens.fit(batches((Z, {"digit": np.resize(wrong, 64)})), **QUIET)


def test_values_that_are_not_finite_are_refused_in_python_and_by_a_server():
    vae, lens = new_vae(), new_lens(FILVM)
    of_vae, of_lens = vae.signatures(), lens.signatures()
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="z is not finite at row 1"):
            vae.decode([[0.0, 0.0], [0.0, value]])
        bad = tf.constant(np.float32(value), shape=[3, 4])
        calls = [
            lambda z=bad: of_vae["decode"]({"z": z[:, :2]}),
            lambda z=bad: of_lens["encode"]({"z": z}),
            lambda z=bad: of_lens["decode"]({"z_star": z}),
            lambda z=bad: of_lens["manipulate"](
                {"z": z, "dimension": tf.zeros([3], tf.int32), "value": tf.zeros([3])}
            ),
        ]
        for call in calls:
            with pytest.raises(tf.errors.InvalidArgumentError, match="must hold finite numbers"):
                call()


def test_no_observations_give_no_latents_and_the_other_way_round(vae):
    assert [array.shape for array in vae.encode(X[:0])] == [(0, 2), (0, 2)]
    assert vae.decode(np.zeros((0, 2))).shape == (0, 8, 8, 1)


# Weights and other losses.


def changes(model):
    """Whether training steps have moved each trainable variable from where it was."""
    before = [variable.numpy() for variable in model.trainable_variables]
    return lambda: [
        not np.array_equal(variable, old)
        for variable, old in zip(model.trainable_variables, before, strict=True)
    ]


@pytest.mark.parametrize("kind", [FILVM, InvertibleLens])
def test_samples_of_weight_zero_train_nothing_in_a_lens(kind):
    lens = new_lens(kind, run_eagerly=True)  # five steps take less time than two traces
    lens.adapt(Z, Y)
    changed = changes(lens)
    lens.fit(Z, Y, sample_weight=np.zeros(64), **QUIET)
    lens.fit(batches((Z, Y, np.zeros(64))), **QUIET)
    assert not any(changed())
    weights = np.concatenate([np.ones(40), np.zeros(24)])
    garbage = np.where(weights[:, None] > 0, Z, 1e3).astype(np.float32)
    losses = [
        lens.evaluate(z, Y, sample_weight=weights, batch_size=64, return_dict=True, **QUIET)
        for z in (Z, garbage)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4, abs=1e-5)


def test_a_vae_averages_with_the_weights():
    vae = new_vae()
    changed = changes(vae)
    vae.fit(X, sample_weight=np.zeros(32), **QUIET)
    vae.fit(batches((X, X, np.zeros(32))), **QUIET)
    assert not any(changed())
    vae.encoder.get_layer("z_log_var").set_weights([np.zeros((8, 2)), np.full(2, -40.0)])
    each = [vae.evaluate(X[i : i + 1], **QUIET)[0] for i in range(8)]
    weights = np.arange(8)
    for size in (8, 3):
        weighted = vae.evaluate(X[:8], sample_weight=weights, batch_size=size, **QUIET)[0]
        assert weighted == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    plain, ones = (vae.evaluate(X, sample_weight=w, **QUIET)[0] for w in (None, np.ones(32)))
    assert ones == pytest.approx(plain, rel=1e-6)


def test_a_sequence_vae_averages_with_the_weights():
    numbers = make_sequences(12, seed=1, length=(2, 4)).numbers
    vae = SequenceVAE(2, max_length=4, units=4, dense_units=4, balanced=False)
    vae.encoder.get_layer("z_log_var").set_weights([np.zeros((4, 2)), np.full(2, -40.0)])
    vae.compile("adam")
    weights = np.repeat([1.0, 0.0], 6)
    part, whole = (
        vae.evaluate(x, sample_weight=w, return_dict=True, **QUIET)
        for x, w in ((numbers[:6], None), (numbers, weights))
    )
    assert whole == pytest.approx(part, rel=1e-4)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"sample_weight has shape \[3\]; expected \[32\]"),
        (-np.ones(32), "sample_weight is -1 at row 0"),
        (np.full(32, np.nan), "sample_weight is nan at row 0"),
        (batches((X, X, -np.ones(32))), "sample_weight must hold finite numbers >= 0"),
        (["a"] * 32, "sample_weight has dtype"),
    ],
)
def test_wrong_weights_are_refused(vae, weights, message):
    batched = isinstance(weights, tf.data.Dataset)
    data = {"x": weights} if batched else {"x": X, "sample_weight": weights}
    with pytest.raises((TypeError, ValueError), match=message):
        vae.fit(**data, **QUIET)


def test_class_weight_losses_and_metrics_are_refused(vae, lens):
    for model, data in ((vae, (X,)), (lens, (Z, Y))):
        with pytest.raises(ValueError, match="expected sample_weight"):
            model.fit(*data, class_weight={0: 2.0}, **QUIET)
        with pytest.raises(TypeError, match="expected a name such as 'adam' or an optimiser"):
            model.compile({"class_name": "adam"})
        with pytest.raises(ValueError, match="loss is 'mse'; expected none"):
            model.compile("adam", loss="mse")
        with pytest.raises(ValueError, match=r"metrics is \['mae'\]; expected none"):
            model.compile("adam", metrics=["mae"])


def test_regularisers_of_an_own_vae_count():
    vae = own_vae(kernel_regularizer=keras.regularizers.L2(10.0))
    vae.compile(keras.optimizers.SGD(1e-3))
    kernel = vae.decoder.trainable_variables[0]
    losses = vae.evaluate(Z, return_dict=True, **QUIET)
    rest = losses["reconstruction_loss"] + losses["kl_loss"]
    assert losses["loss"] - rest == pytest.approx(10 * np.square(kernel).sum(), rel=1e-3)
    before = np.linalg.norm(kernel)
    vae.fit(Z, epochs=5, **QUIET)
    assert np.linalg.norm(kernel) < 0.9 * before


def test_own_losses_without_weights_say_so():
    class Old(OwnVAE):
        def batch_losses(self, x, seed):
            return super().batch_losses(x, seed)

    own = own_vae()
    vae = Old(own.encoder, own.decoder)
    vae.compile("adam", run_eagerly=True)
    vae.fit(Z, **QUIET)
    with pytest.raises(TypeError, match=r"expected batch_losses\(x, seed, weights=None\)"):
        vae.fit(Z, sample_weight=np.ones(64), **QUIET)


def test_objects_of_keras_3_are_refused(vae, lens):
    for model, data in ((vae, (X,)), (lens, (Z, Y))):
        with pytest.raises(TypeError, match="Adam of Keras 3.*import tf_keras as keras"):
            model.compile(tf.keras.optimizers.Adam())
        with pytest.raises(TypeError, match="EarlyStopping of Keras 3.*TF_USE_LEGACY_KERAS=1"):
            model.fit(*data, callbacks=[tf.keras.callbacks.EarlyStopping()], **QUIET)
    with pytest.raises(TypeError, match="encoder is Functional of Keras 3"):
        own_vae(tf.keras.layers, tf.keras)


@pytest.mark.parametrize("wrong", ["EarlyStopping", keras.callbacks.TerminateOnNaN, print])
def test_callbacks_are_objects(vae, wrong):
    with pytest.raises(TypeError, match="expected objects of keras.callbacks.Callback"):
        vae.fit(X, callbacks=[wrong], **QUIET)


# Compiling, files, copies.


def test_a_lens_from_before_the_step_counter_is_loaded_without_its_optimiser(tmp_path):
    lens = new_lens()
    lens.fit(Z, Y, **QUIET)
    lens.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file["vars"][str(len(file["vars"]) - 1)]  # the steps
        moments = file["optimizer/vars"]
        arrays = [moments[name][()] for name in sorted(moments, key=int)]
        for name, array in zip(sorted(moments, key=int), reversed(arrays), strict=True):
            del moments[name]  # such files have the optimiser's variables in another order
            moments[name] = array
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(tmp_path / "older.keras", "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    loaded = keras.models.load_model(tmp_path / "older.keras")
    np.testing.assert_array_equal(loaded.infer(Z), lens.infer(Z))
    assert int(loaded.optimizer.iterations) == 0
    assert np.isfinite(loaded.fit(Z, Y, **QUIET).history["loss"]).all()


def test_models_have_a_summary_and_load_weights_before_the_first_call(tmp_path):
    vae = new_vae()
    with pytest.raises(ValueError, match=r"expected a name that ends in \.keras, or a folder"):
        vae.save(tmp_path / "model.h5")
    ConvVAE(2).summary(print_fn=lambda *_, **__: None)
    for name in ("a.h5", "a.weights.h5", "a"):
        vae.save_weights(tmp_path / name)
        other = ConvVAE(2, image_shape=(8, 8, 1), filters=(2, 4), dense_units=8)
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other.encode(X)[0], vae.encode(X)[0])


@pytest.mark.parametrize("kind", [FILVM, InvertibleLens, "vae"])
def test_a_trained_model_goes_on_from_a_keras_file_a_copy_and_a_pickle(kind, tmp_path):
    eager = {"run_eagerly": True}  # a copy of a lens takes longer to trace than to train
    model, data = (new_vae(), (X,)) if kind == "vae" else (new_lens(kind, **eager), (Z, Y))
    model.fit(*data, epochs=2, **QUIET)
    model.save(tmp_path / "model.keras")
    others = [
        keras.models.load_model(tmp_path / "model.keras"),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
    ]
    loss = model.fit(*data, shuffle=False, **QUIET).history["loss"][0]
    for other in others:
        assert type(other) is type(model)
        assert other.fit(*data, shuffle=False, **QUIET).history["loss"][0] == pytest.approx(loss)
        for one, two in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    clone = keras.models.clone_model(model)
    assert clone.get_config() == model.get_config()


def test_a_saved_model_keeps_the_number_of_steps_and_the_annealing(tmp_path):
    numbers = make_sequences(40, seed=1, length=(2, 4)).numbers
    vae = SequenceVAE(2, max_length=4, units=4, dense_units=4, annealing_steps=10)
    vae.compile("adam")
    vae.fit(numbers, epochs=2, **QUIET)
    loss, sd = vae.evaluate(numbers, **QUIET)[0], float(vae.sd())
    vae.save(tmp_path / "model")
    loaded = keras.models.load_model(tmp_path / "model")
    assert int(loaded.optimizer.iterations) == int(loaded.steps) == 4
    vae.compile("adam")
    for model in (vae, loaded):
        assert float(model.sd()) == sd < 50.0
        assert model.evaluate(numbers, **QUIET)[0] == pytest.approx(loss, rel=1e-4)


def test_the_callbacks_of_keras_work(tmp_path):
    callbacks = keras.callbacks
    model = new_lens(InvertibleLens)
    history = model.fit(
        Z,
        Y,
        epochs=3,
        validation_data=(Z, Y),
        callbacks=[
            callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
            callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True),
            callbacks.EarlyStopping("val_loss", restore_best_weights=True, min_delta=1e9),
            callbacks.ReduceLROnPlateau(patience=1),
            callbacks.CSVLogger(tmp_path / "log.csv"),
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
            callbacks.LearningRateScheduler(lambda epoch, rate: 0.9 * rate),
        ],
        **QUIET,
    ).history
    assert len(history["loss"]) == 2
    np.testing.assert_array_equal(
        model.infer(Z), keras.models.load_model(tmp_path / "1.keras").infer(Z)
    )
    loaded = new_lens(InvertibleLens)
    loaded.load_weights(tmp_path / "1.weights.h5")
    np.testing.assert_array_equal(model.infer(Z), loaded.infer(Z))


@pytest.mark.parametrize(("new", "data"), [(new_lens, (Z, Y)), (new_vae, (X,))])
def test_tensorboard_shows_losses_and_weights(new, data, tmp_path):
    pytest.importorskip("tensorboard", reason="needs filvm[tensorboard]")
    model = new()
    callback = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1)
    validation = data if len(data) == 2 else (X, None)
    model.fit(*data, validation_data=validation, callbacks=[callback], batch_size=8, **QUIET)
    events = [
        value.tag
        for path in tmp_path.rglob("events.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert "epoch_loss" in events
    names = [variable.name for variable in model.trainable_variables]
    assert sum("kernel" in tag for tag in events) >= sum("kernel" in name for name in names)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0; expected an integer >= 1"),
        ({"batch_size": -4}, ValueError, "batch_size is -4; expected an integer >= 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size is 2.5; expected an integer >= 1"),
        ({"epochs": -1}, ValueError, "epochs is -1; expected an integer >= 1"),
        ({"epochs": 0}, ValueError, "epochs is 0; expected an integer >= 1"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch is 0; expected an integer >= 1"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch is -1; expected an integer >= 0"),
    ],
)
def test_counts_of_fit_are_refused_in_one_sentence(vae, lens, setting, error, message):
    for model, data in ((vae, (X,)), (lens, (Z, Y))):
        with pytest.raises(error, match=message):
            model.fit(*data, **setting, **QUIET)
    if "batch_size" in setting:
        with pytest.raises(error, match=message):
            lens.predict(Z, **setting, **QUIET)


def test_backup_and_restore_continues_where_the_training_stopped(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    eager = {"run_eagerly": True}  # three copies would be traced for three steps
    keras.utils.set_random_seed(1)
    whole = new_lens(**eager)
    keras.utils.set_random_seed(1)
    stopped, continued = new_lens(**eager), new_lens(**eager)
    settings = {"epochs": 3, "shuffle": False, **QUIET}
    whole.fit(Z, Y, **settings)
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Z, Y, callbacks=[backup, Stop()], **settings)
    continued.fit(Z, Y, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)], **settings)
    assert int(continued.steps) == 3
    np.testing.assert_allclose(continued.infer(Z), whole.infer(Z), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"steps_per_execution": 2}, {"run_eagerly": True}, {"jit_compile": True}],
    ids=str,
)
def test_every_way_to_execute_steps_trains_with_and_without_weights(settings):
    vae = new_vae()
    vae.compile(keras.optimizers.legacy.Adam() if "run_eagerly" in settings else "sgd", **settings)
    vae.fit(X, batch_size=8, **QUIET)
    history = vae.fit(X, batch_size=8, sample_weight=np.ones(32), **QUIET).history
    assert np.isfinite(history["loss"]).all()
    assert int(vae.steps) == 8


def test_a_pipeline_can_be_copied():
    lens = FILVM(2, [Continuous("t")], hidden_units=(8,))
    pipeline = LensPipeline(new_vae(), lens)
    for other in (copy.deepcopy(pipeline), pickle.loads(pickle.dumps(pipeline))):
        np.testing.assert_array_equal(other.encode(X), pipeline.encode(X))
    np.testing.assert_allclose(pipeline.predict(X, **QUIET), pipeline.encode(X), atol=1e-6)
    with pytest.raises(ValueError, match="divide them by 255"):
        pipeline.predict(batches(X * 255), **QUIET)
    with pytest.raises(TypeError, match=r"call vae\.fit\(x\), then lens\.fit"):
        pipeline.fit(X)


# Precision.


@pytest.fixture
def policy():
    """Sets the global policy of Keras for one test."""
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy("float32")
    keras.backend.set_floatx("float32")


def test_mixed_bfloat16_trains_vaes_and_lenses_with_float32_results(policy, tmp_path):
    numbers = make_sequences(40, seed=1, length=(2, 4)).numbers
    results = {}
    for name in ("float32", "mixed_bfloat16"):
        policy(name)
        keras.utils.set_random_seed(0)
        models = [
            (new_vae(), (X,)),
            (own_vae(), (Z,)),
            (SequenceVAE(2, max_length=4, units=4, dense_units=4), (numbers,)),
            (new_lens(FILVM), (Z, Y)),
            (new_lens(InvertibleLens), (Z, Y)),
        ]
        for model, data in models:
            model.compile(keras.optimizers.SGD(1e-6), run_eagerly=True)  # ten traces for a step
            loss = model.fit(*data, **QUIET).history["loss"][0]
            results.setdefault(type(model), []).append(loss)
        assert {model.dtype for model, _ in models} == {"float32"}
    for losses in results.values():
        assert losses[0] == pytest.approx(losses[1], rel=0.02)
        assert losses[0] != losses[1]  # some layers did compute in bfloat16
    vae, own, lens = models[0][0], models[1][0], models[3][0]
    policies = {layer.compute_dtype for layer in vae.encoder.layers}
    assert policies == {"float32", "bfloat16"}
    for outputs in (vae.encode(X), vae.decode(Z[:, :2]), own.encode(Z), own.decode(Z[:, :2])):
        assert {array.dtype for array in tf.nest.flatten(outputs)} == {np.dtype(np.float32)}
    z_star = lens.infer(Z)
    assert z_star.dtype == lens.generate(z_star).dtype == np.float32
    signature = lens.signatures()["encode"]({"z": tf.constant(Z)})
    np.testing.assert_allclose(signature["z_star"], z_star, atol=0.1)
    inverse = models[4][0]
    assert np.abs(inverse.generate(inverse.infer(Z)) - Z).max() < 1e-6
    lens.save(tmp_path / "model.keras")
    policy("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.infer(Z), z_star, atol=0.1)


def test_other_precisions_are_refused(policy):
    models = (
        lambda: ConvVAE(2),
        lambda: SequenceVAE(2),
        lambda: FILVM(2, [Continuous("t")]),
        lambda: InvertibleLens(2, [Continuous("t")]),
    )
    for model in models:
        policy("mixed_float16")
        with pytest.raises(ValueError, match="policy of Keras is 'mixed_float16'; expected"):
            model()
        policy("float32")
        keras.backend.set_floatx("float64")
        with pytest.raises(ValueError, match=r"floatx\(\) is 'float64'; expected 'float32'"):
            model()
        keras.backend.set_floatx("float32")
