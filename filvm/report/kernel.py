"""The execution of a notebook in a kernel of its own. Needs the extra `notebooks`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from traitlets import Type

from filvm.runs.run import RunError

CELL_TIMEOUT = 3 * 3600  # seconds; a cell may have to train
LOOK_AGAIN = 2.0  # seconds
WIDGET = "application/vnd.jupyter.widget-view+json"


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


def executed(path: Path, environment: Mapping[str, str]) -> str:
    """The text of an executed copy of a notebook, `stripped`.

    Args:
        path: of the notebook; the kernel starts in its folder.
        environment: of the kernel.

    Raises:
        RunError: a cell fails, or the kernel dies.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        shutdown_kernel="immediate",  # TensorFlow is slow to end
    )
    client.create_kernel_manager().client_factory = PolledClient
    try:
        # TensorFlow and Jupyter log to stderr. `client.execute` would take Ctrl-C for a kernel that
        # died.
        with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise RunError(f"{path.name}: {error.ename}: {error.evalue}") from error
    except DeadKernelError:
        raise RunError(f"{path.name}: its kernel died, possibly for lack of memory") from None
    return nbformat.writes(stripped(notebook)) + "\n"


def stripped(notebook: Any) -> Any:
    """Remove from a notebook all that differs between machines or is of no use to a reader."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [
            output
            for output in cell.outputs
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
        ]
        for output in cell.outputs:
            if "metadata" in output:  # a picture's is its size on the page
                kept = {kind: size for kind, size in output.metadata.items() if "image" in kind}
                output.metadata = kept
    return notebook
