"""The models of runs, as `Run.save_model` writes them; each is built once in a process."""

from __future__ import annotations

from pathlib import Path

import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

import filvm.lens  # noqa: F401  (it registers its classes with Keras)

MOST_MODELS = 32  # in memory

_models: dict[Path, tuple[int, keras.Model]] = {}  # by path: when the file was written, its model


def loaded(path: Path) -> keras.Model:
    """The model in a file; it is loaded again if the file has been replaced."""
    written, model = _models.get(path, (0, None))
    if written != path.stat().st_mtime_ns:
        with SafeModeScope():  # runs no Python code from the file, also in an older format
            model = keras.models.load_model(path, compile=False)
        remember(path, model)
    return model


def remember(path: Path, model: keras.Model) -> None:
    """Keep a model that has just been written to, or read from, a file."""
    _models.pop(path, None)
    _models[path] = path.stat().st_mtime_ns, model
    while len(_models) > MOST_MODELS:
        del _models[next(iter(_models))]


def without_optimizer(model: keras.Model) -> keras.Model:
    """A copy with the same weights that has never been compiled."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
