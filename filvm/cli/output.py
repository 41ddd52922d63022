"""Printing around a command: its seconds, warnings in one line, and no log of TensorFlow."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Print `name` at the beginning, and the seconds it took at the end."""
    print(f"{name} ...", flush=True)
    began = time.perf_counter()
    yield
    print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)


@contextlib.contextmanager
def short_warnings() -> Iterator[None]:
    """Print warnings in one line, without the place in the source; silence TensorFlow's logger.

    TensorFlow warns of many models in one process, which are intended here.
    """
    tensorflow = logging.getLogger("tensorflow")
    level = tensorflow.level
    tensorflow.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module="filvm")
        warnings.showwarning = lambda message, *_, **__: print(
            f"filvm: warning: {message}", file=sys.stderr
        )
        try:
            yield
        finally:
            tensorflow.setLevel(level)


def import_tensorflow(*, start: bool = True) -> Any:
    """Import TensorFlow and find the devices, without the log lines that no setting switches off.

    Other lines on stderr are printed afterwards. Returns the module.

    Args:
        start: start its runtime, too. Afterwards, threads cannot be set, nor a strategy be made.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.config.list_physical_devices()
            if start:
                # oneDNN says here, not in a training, that it cannot transpose booleans on some
                # processors; it says so once.
                tensorflow.raw_ops.Transpose(x=[[True]], perm=[1, 0])
            return tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            for line in log:
                if not re.match(rb"WARNING: All log messages|[IWE]\d{4} ", line):
                    sys.stderr.write(line.decode(errors="replace"))
