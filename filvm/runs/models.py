"""The models of runs, as `Run.save_model` has written them."""

from __future__ import annotations

import functools
from pathlib import Path

import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

import filvm.lens  # noqa: F401  (it registers its classes with Keras)


@functools.lru_cache(maxsize=32)
def loaded(path: Path, modified: int) -> keras.Model:
    """The model in a file, loaded once for as long as the file is not replaced."""
    with SafeModeScope():  # runs no Python code from the file, also in an older format
        return keras.models.load_model(path, compile=False)
