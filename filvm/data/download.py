"""Download one file, verified and in bounded time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests
from tqdm import tqdm

from filvm.files import beside, to_disk


class DownloadError(Exception):
    """A download failed; the message is the reason, without the address."""


class _Progress(tqdm):
    """A progress bar that records when data arrived."""

    last = 0.0

    def __bool__(self) -> bool:  # pooch asks; tqdm has no answer while the size is unknown
        return True

    def update(self, n: float | None = 1) -> bool | None:
        self.last = time.monotonic()
        return super().update(n)


def _close_if_refused(response: requests.Response, **_: Any) -> None:
    if not response.ok:
        response.close()  # pooch raises, and would leave the connection open


def download_file(
    address: str, path: Path, verify: Callable[[Path], Any], *, patience: float
) -> None:
    """Download a file to `path`, unless it is wrong.

    The download has a thread of its own, because no timeout of requests bounds the whole: a host
    may have a dozen addresses, each with its own timeout, and name resolution has none.

    Args:
        address: where the file is.
        path: where it goes; nothing is left there if the download fails.
        verify: called with a temporary path that has the name of `path`; raises if the content is
            wrong.
        patience: seconds without data after which the download fails. It also fails after 30
            times as many seconds in all.

    Raises:
        DownloadError: the reason why there is no file.
    """
    errors: list[Exception] = []
    pooch.get_logger().setLevel("WARNING")
    bar = _Progress(desc=path.stem, unit="B", unit_scale=True, disable=None)
    with beside(path) as folder, bar:
        folder.mkdir()
        temporary = folder / path.name

        def retrieve() -> None:
            hooks = {"response": _close_if_refused}
            downloader = pooch.HTTPDownloader(bar, timeout=patience, hooks=hooks)
            try:
                pooch.retrieve(address, None, path.name, folder, downloader=downloader)
                verify(temporary)
            except Exception as error:  # of requests, urllib3 and `verify`
                errors.append(error)

        thread = threading.Thread(target=retrieve, daemon=True)
        bar.last = began = time.monotonic()
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            if time.monotonic() - bar.last > patience:
                raise DownloadError(f"no data for {patience:g} s")
            if time.monotonic() - began > 30 * patience:
                raise DownloadError(f"{path.name} took more than {30 * patience:g} s")
        if errors:  # the message of a ConnectionError has the address three times
            lost = isinstance(errors[0], requests.ConnectionError)
            raise DownloadError("the connection failed" if lost else str(errors[0]))
        to_disk(temporary)
        os.replace(temporary, path)
