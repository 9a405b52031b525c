"""The entry point of the program: Ctrl-C ends it without a traceback, from the first import to the last flush."""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130
"""`webhook.cli.exits.ExitCode.INTERRUPTED`, before anything is imported."""


def run() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _run_interruptible()
    else:  # the parent process ignores SIGINT
        from webhook.cli.main import run as run_command

        run_command()


def _run_interruptible() -> None:
    # An exception would be raised in the middle of an import, which prints it or makes another one of it.
    signal.signal(signal.SIGINT, _end)
    from webhook.cli.main import run as run_command

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run_command()
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: object) -> None:
    os._exit(_INTERRUPTED)
