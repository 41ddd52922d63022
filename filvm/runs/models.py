"""The models of runs, as `Run.save_model` writes them; each is built once in a process.

Lenses on one VAE share it, so that its functions are traced once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

from filvm.lens import LensPipeline

MOST_MODELS = 32  # in memory

_models: dict[Path, tuple[int, keras.Model]] = {}  # by path: when the file was written, its model


def loaded(path: Path) -> keras.Model:
    """The model in a file; it is loaded again if the file has been replaced."""
    written, model = _models.get(path, (0, None))
    if written != path.stat().st_mtime_ns:
        with SafeModeScope():  # runs no Python code from the file, also in an older format
            model = keras.models.load_model(path, compile=False)
        model = remember(path, model)
    return model


def remember(path: Path, model: keras.Model) -> keras.Model:
    """Keep a model that has just been written to, or read from, a file; return what is kept."""
    _models.pop(path, None)
    if isinstance(model, LensPipeline) and (vae := _known(model.vae)) is not model.vae:
        model = LensPipeline(vae, model.lens, name=model.name)
    _models[path] = path.stat().st_mtime_ns, model
    while len(_models) > MOST_MODELS:
        del _models[next(iter(_models))]
    return model


def _known(vae: keras.Model) -> keras.Model:
    """The same VAE in a model that has been loaded before, if there is one."""
    for _, model in _models.values():
        known = getattr(model, "vae", model)
        if (
            type(known) is type(vae)
            and known.get_config() == vae.get_config()
            and all(map(np.array_equal, known.get_weights(), vae.get_weights()))
        ):
            return known
    return vae


def to_save(model: keras.Model) -> keras.Model:
    """What to save of a trained model, so that the file has no optimiser.

    A pipeline itself, since `LensPipeline.save` leaves out those of its parts; of another model a
    copy with the same weights that has never been compiled.
    """
    if isinstance(model, LensPipeline):
        return model
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
