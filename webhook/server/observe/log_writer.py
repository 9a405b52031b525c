"""Where log lines leave the process, without anybody waiting for whoever reads them.

A pipe that nobody reads is full after 64 KiB, and who writes to it waits. Here that is a thread of its own; lines that
find too many before them are lost, and counted.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Event, Thread
from typing import Final, TextIO


class AsyncLogWriter:
    """Takes lines at once and writes them a moment later, many at a time.

    Attributes:
        lost: How many lines will never be written, since too many waited or the stream was closed.
    """

    MOST_LINES: Final = 10_000
    """How many lines may wait: some three megabytes."""
    EVERY: Final = 0.2
    """Seconds between two writes; a process that is killed loses as much. Whoever is answered meanwhile waits for it:
    with twenty writes a second that was one request of a hundred."""
    LAST: Final = 1.0
    """Seconds that the end waits for the last lines to be written."""

    def __init__(self, stream: TextIO) -> None:
        """Begin.

        Args:
            stream: Where lines go, by its file descriptor: a thread that hangs in a stream's own `write` holds a lock
                that the interpreter needs to exit.
        """
        self.lost = 0
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._lines: deque[str] = deque()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take lines. Returns at once and never raises."""
        if len(self._lines) < self.MOST_LINES:
            self._lines.append(text)
        else:
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Nothing: what was taken is written soon."""

    def isatty(self) -> bool:
        """Whether somebody sits at the other end."""
        return os.isatty(self._descriptor)

    def close(self) -> None:
        """Write what waits, unless that takes too long."""
        self._closing.set()
        self._thread.join(self.LAST)

    def _run(self) -> None:
        while not self._closing.wait(self.EVERY):
            self._write()
        self._write()

    def _write(self) -> None:
        while waiting := len(self._lines):
            lines = [self._lines.popleft() for _ in range(waiting)]
            left = memoryview("".join(lines).encode(self._encoding, "backslashreplace"))
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:
                self.lost += len(lines)
