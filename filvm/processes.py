"""Processes: those that this one starts to work for it, and what they say."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started in this block never see Ctrl-C, which goes to all of a terminal's.

    It is for the one that started them, which ends them: otherwise each prints a traceback. Only
    the main thread may say so; from another, they see it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Print that `what` begins, and how long it took."""
    print(f"{what} ...", flush=True)
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line, without the place in the source; none of TensorFlow's logger.

    It advises against many models in one process, which is what is done here on purpose.
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
