"""bfloat16 is chosen by a measurement, recorded, and never used where results must be exact."""

from dataclasses import replace

import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.experiments import RunError, Workspace
from filvm.files import write_json
from filvm.runs import precision
from filvm.runs.precision import choose_precision, has_bfloat16, layers_in, speed_of_bfloat16


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that is being trained on a processor with a fast bfloat16."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "speed_of_bfloat16", lambda build, batch: 1.5)
    run = Workspace("smoke", tmp_path).run("vae-mnist")
    run.folder.mkdir(parents=True)
    write_json(run.folder / "config.json", {"settings": {}, "deterministic": False})
    return run


def chosen(run, asked="auto", steps=10_000):
    return choose_precision(asked, run, steps, lambda: None, ())


def test_a_faster_bfloat16_is_chosen_and_recorded(run, capsys):
    assert chosen(run) == "bfloat16"
    assert "a step in bfloat16 is 1.50 times as fast as in float32" in capsys.readouterr().out
    assert run.config()["precision"] == "bfloat16"
    assert run.config()["speed_of_bfloat16"] == 1.5


def test_a_run_continues_in_its_recorded_precision(run, monkeypatch):
    chosen(run)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert chosen(run) == "bfloat16"


@pytest.mark.parametrize(("ratio", "used"), [(1.05, "float32"), (1.2, "bfloat16")])
def test_a_bfloat16_that_is_hardly_faster_is_not_used(run, monkeypatch, ratio, used):
    monkeypatch.setattr(precision, "speed_of_bfloat16", lambda build, batch: ratio)
    assert chosen(run) == used == run.config()["precision"]


def test_a_short_training_is_in_float32(run):
    assert chosen(run, steps=100) == "float32"


def test_a_processor_without_bfloat16_trains_in_float32(run, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert chosen(run) == "float32"


def test_a_setting_decides_without_a_measurement(run):
    assert chosen(run, "float32") == "float32"
    assert "speed_of_bfloat16" not in run.config()


def test_a_deterministic_training_is_in_float32(run):
    write_json(run.folder / "config.json", {**run.config(), "deterministic": True})
    with pytest.raises(RunError, match="precision is 'bfloat16' with --deterministic"):
        chosen(run, "bfloat16")
    assert chosen(run) == "float32"


def test_a_distributed_training_is_in_float32(run):
    strategy = tf.distribute.get_strategy()
    run = replace(run, workspace=replace(run.workspace, strategy=strategy))
    with pytest.raises(RunError, match="or --strategy; expected 'auto' or 'float32'"):
        chosen(run, "bfloat16")
    assert chosen(run) == "float32"


@pytest.mark.parametrize(
    ("flags", "has"), [("fma avx512f avx512_bf16", True), ("amx_bf16", True), ("fma avx2", False)]
)
def test_the_flags_of_the_processor_tell_whether_it_has_bfloat16(tmp_path, flags, has):
    path = tmp_path / "cpuinfo"
    path.write_text(f"model name\t: some processor\nflags\t\t: fpu {flags}\n")
    assert has_bfloat16(path) is has
    assert not has_bfloat16(tmp_path / "missing")


def test_both_precisions_are_measured_on_the_model_of_the_training():
    policies = []

    class Model(keras.Sequential):
        def train_step(self, data):
            policies.append(self.layers[0].compute_dtype)
            return super().train_step(data)

    def build():
        model = Model([keras.layers.Dense(1)])
        model.build([None, 2])
        model.compile("sgd", "mse")
        return model

    assert speed_of_bfloat16(build, (tf.ones([4, 2]), tf.ones([4, 1]))) > 0
    assert policies == ["float32", "bfloat16"]
    assert keras.mixed_precision.global_policy().name == "float32"


def test_the_policy_returns_after_an_error():
    with pytest.raises(ValueError, match="inside"), layers_in("bfloat16"):
        raise ValueError("inside")
    assert keras.mixed_precision.global_policy().name == "float32"
