"""Processes that this one starts to work for it."""

from __future__ import annotations

import contextlib
import signal
import threading
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
