"""Commands in processes of their own that do not pay Python's start-up.

Each is forked from one process that has imported what commands need. Where the start itself matters (what is imported,
Ctrl-C while it is, the memory of a fresh process) a test starts the installed program instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from webhook.cli.entry import run

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["forked", "webhook.cli.main", "webhook.server.serve", "webhook.server.cluster", "webhook.server.observe.tracing"]
)


class Forked:
    """`sidecar-policy` with these arguments, in a process of its own; used as `subprocess.Popen` is.

    Attributes:
        pid: Of the process.
    """

    def __init__(
        self, arguments: list[str], *, directory: Path, environment: Mapping[str, str], stdout: Path, stderr: Path
    ) -> None:
        """Start it.

        Args:
            arguments: Without the program's name.
            directory: Where it runs.
            environment: All of it.
            stdout: The file that its output is appended to.
            stderr: The same for its errors.
        """
        self._process = _FORKS.Process(
            target=_run, args=(arguments, directory, dict(environment), stdout, stderr), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return how it ended, or None as long as it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Return how it ended, once it has."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("sidecar-policy", timeout)
        return code

    def send_signal(self, which: signal.Signals) -> None:
        """Send it a signal, as long as it runs."""
        if self.poll() is None:
            os.kill(self.pid, which)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], directory: Path, environment: dict[str, str], stdout: Path, stderr: Path) -> None:
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in (
        (0, Path(os.devnull), os.O_RDONLY),
        (1, stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - the process's own streams
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    sys.argv = ["sidecar-policy", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that it is forked from ignores it
    run()
