"""A data folder without a way to MNIST: the sample of 5,000 digits, at once."""

import pytest

from filvm.data.mnist import SAMPLE_SOURCE
from filvm.files import write_json


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no_keras"))
    write_json(tmp_path / "data" / "mnist" / "source.json", {"source": SAMPLE_SOURCE})
    return tmp_path / "data"
