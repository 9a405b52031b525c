"""Programs that are started, watched and stopped as one, and that leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

LEASH = Path(__file__).with_name("leash.py")


class ProgramError(RuntimeError):
    """A program did not come up, or went away. Its text says which log to read."""


class Program:
    """One running program, in a session of its own, so that Ctrl-C reaches us alone and we stop it in good order."""

    def __init__(
        self,
        name: str,
        command: list[str | Path],
        *,
        logs: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            name: What it is called in messages; its log is `name`.log.
            command: The binary's path and its arguments.
            logs: Where its log goes.
            environment: Variables on top of ours.
            directory: Where it runs; None for the directory of its log.
        """
        self.name = name
        self.command = command
        self.log = logs / f"{name}.log"
        leashed = [sys.executable, "-I", "-S", LEASH, str(os.getpid()), *command]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                leashed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory or logs,
                env=os.environ | (environment or {}),
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process: the leash has become the program."""
        return self._process.pid

    def wait_until(self, condition: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Poll until a condition holds.

        Raises:
            ProgramError: It did not come to hold in time, or the program ended before.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if not self.running:
                raise ProgramError(f"{self.name} ended with {self._process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise ProgramError(f"{self.name}: not {what} after {seconds:.0f} s: {self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """Where the log is, and how it ends."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n  ".join([f"see {self.log}", *lines[-8:]])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and to whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def stop(self, *, grace: float) -> int:
        """End it and wait until it has gone.

        Args:
            grace: Seconds from SIGTERM until SIGKILL; 0 kills at once.

        Returns:
            Its exit code.
        """
        if grace and self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(grace)
        self.signal(signal.SIGKILL)
        return self._process.wait(10)


class Programs:
    """Programs that belong together; leaving the context kills them all, the last one started first."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._started: list[Program] = []

    def start(
        self,
        name: str,
        command: list[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        directory: Path | None = None,
    ) -> Program:
        program = Program(name, command, logs=self.logs, environment=environment, directory=directory)
        self._started.append(program)
        return program

    def last(self, name: str) -> Program:
        """The program of that name that was started last."""
        return next(program for program in reversed(self._started) if program.name == name)

    def ended(self) -> list[str]:
        """The names of those that are no longer running."""
        return [program.name for program in self._started if not program.running]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._started):
            program.stop(grace=0)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listened on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
