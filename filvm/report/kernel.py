"""A client of a notebook's kernel that misses no message. Needs the extra `notebooks`."""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

LOOK_AGAIN = 2.0  # seconds


class PolledChannel(AsyncZMQSocketChannel):
    """Looks every `LOOK_AGAIN` seconds whether a message is there.

    ZeroMQ announces a message once. On a busy machine asyncio can miss that, and one long wait for
    the reply of a cell then never ends, while the kernel is idle.
    """

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        """The next message; `queue.Empty` after `timeout` seconds, never if it is None."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0.0, min(LOOK_AGAIN, end - time.monotonic()))
            try:
                return await super().get_msg(left)
            except Empty:
                if time.monotonic() >= end:
                    raise


class PolledClient(AsyncKernelClient):
    """A client whose channels are all a `PolledChannel`."""

    shell_channel_class = Type(PolledChannel)
    iopub_channel_class = Type(PolledChannel)
    control_channel_class = Type(PolledChannel)
