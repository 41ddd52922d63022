"""The command line: it reads arguments, calls the package, and prints.

`filvm --help` answers without NumPy and TensorFlow: the module of a command is imported when the
command runs.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

from filvm.cli.arguments import parser
from filvm.cli.output import import_tensorflow, short_warnings

INTERRUPTED, BROKEN_PIPE = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those of the process by default.

    Returns:
        The exit status: 0; 2 for an error that the user can correct; 75 if another worker ended
        (the same command continues); 130 after Ctrl-C; 141 if the reader of stdout has ended.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:  # TensorFlow reads it when it is imported
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # otherwise Keras 3 is imported too: 1 s
    gc.set_threshold(50_000, 10, 10)  # with 700, collections take a fifth of the time of imports
    parsed = parser().parse_args(arguments)
    try:
        with short_warnings():
            module, command = parsed.command.split(".")
            if module != "runs":
                import_tensorflow()
            getattr(importlib.import_module(f"filvm.cli.{module}"), command)(parsed)
        sys.stdout.flush()  # here, a full disk is reported like any other error
    except KeyboardInterrupt:
        print("filvm: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # for example `filvm list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        from filvm.cli.runs import message_and_status

        message, status = message_and_status(error)
        if os.environ.get("FILVM_TRACEBACK") or not message:
            raise
        print(f"filvm: {message}", file=sys.stderr)
        return status
    return 0
