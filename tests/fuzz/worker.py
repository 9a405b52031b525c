"""Run what may hang, abort or eat memory in a process of its own, and end it when it does."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import procfs

STUCK = 5.0
"""Seconds of CPU after which an answer is not awaited any longer."""
ADDRESS_SPACE = 6 << 30
_FORK = multiprocessing.get_context("fork")

Failure = tuple[int, str, str]
"""A case's number, the kind of the failure, and details."""


class Progress:
    """What a worker is doing, in memory that it shares with its parent."""

    def __init__(self) -> None:
        self._shared = _FORK.RawArray("q", [-1, 0, 0])

    def at(self, number: int, reviews: int, *, in_world: bool = False) -> None:
        """Note what is tried next, how many reviews have been answered, and whether a world is being taken in."""
        self._shared[:] = (number, reviews, in_world)

    @property
    def in_world(self) -> bool:
        """Whether the world around a case is being taken in."""
        return bool(self._shared[2])

    @property
    def number(self) -> int:
        """The case that is being tried; -1 before the first."""
        return self._shared[0]

    @property
    def reviews(self) -> int:
        """Reviews that have been answered."""
        return self._shared[1]


class Worker:
    """A forked process that works through cases."""

    def __init__(self, run: Callable[[int, Progress, Callable[[int, str, str], None]], None], first: int) -> None:
        """Start it at a case; `run` gets that number, where to note its progress, and what to call for failures."""
        self.progress = Progress()
        self._received, sent = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_work, args=(run, first, self.progress, sent), daemon=True)
        self._process.start()
        sent.close()
        self._seen = (-1, 0.0)

    def failures(self, seconds: float) -> list[Failure]:
        """Wait a moment, and return the failures of that time. A worker that is stuck or has died has failed."""
        found: list[Failure] = []
        with suppress(EOFError):
            while self._received.poll(seconds):
                found.append(self._received.recv())
                seconds = 0
        number, used = self.progress.number, self._cpu()
        if not self._process.is_alive():
            self._process.join()
            found.append((number, f"the process died: exit code {self._process.exitcode}", ""))
        elif number != self._seen[0]:
            self._seen = (number, used)
        elif used - self._seen[1] > STUCK * (4 if self.progress.in_world else 1) and number >= 0:
            what = "a world that is never taken in" if self.progress.in_world else "no answer"
            found.append((number, what, f"after {STUCK:g} s of CPU"))
            self.end()
        return found

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def end(self) -> None:
        """Kill it, for it may be where no other signal is handled."""
        self._process.kill()
        self._process.join()

    def _cpu(self) -> float:
        try:
            return procfs.Process(self._process.pid or 0).cpu
        except (FileNotFoundError, ProcessLookupError):
            return 0.0


def _work(run: Callable[..., None], first: int, progress: Progress, sent: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    parent = os.getppid()

    def fail(number: int, kind: str, detail: str) -> None:
        if os.getppid() != parent:
            os._exit(1)
        sent.send((number, kind, detail))

    run(first, progress, fail)


def outcome(attempt: Callable[[], str]) -> str:
    """What an attempt returns in a process of its own, or how that process ended."""
    received, sent = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_attempt, args=(attempt, sent), daemon=True)
    process.start()
    sent.close()
    result: Any = None
    with suppress(EOFError):
        result = received.recv()
    process.join()
    if result is not None:
        return str(result)
    hung = process.exitcode in {-signal.SIGXCPU, -signal.SIGKILL}
    return "no answer" if hung else f"the process died: exit code {process.exitcode}"


def _attempt(attempt: Callable[[], str], sent: Connection) -> None:
    limit = int(time.process_time() + STUCK) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    sent.send(attempt())
