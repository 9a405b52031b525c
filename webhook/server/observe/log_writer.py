"""Write log lines from a background thread, so that a full stderr pipe never blocks requests.

A pipe without a reader is full after 64 KiB and blocks its writer. Only the thread is blocked; if too many lines are
queued, further ones are dropped and counted.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Event, Thread
from typing import Final, TextIO


class AsyncLogWriter:
    """A text stream that queues lines, and writes them in batches from a thread.

    Attributes:
        lost: Number of dropped lines, because the queue was full or the stream was closed.
    """

    MOST_LINES: Final = 10_000
    """Maximum number of queued lines: some three megabytes."""
    EVERY: Final = 0.2
    """Seconds between two writes; a killed process loses as much. A write delays concurrent requests: at twenty writes
    per second, that was one in a hundred."""
    LAST: Final = 1.0
    """Timeout in seconds for writing the last lines at exit."""

    def __init__(self, stream: TextIO) -> None:
        """Start the thread.

        Args:
            stream: The stream whose file descriptor is written to: a thread that blocks in the stream's own `write`
                would hold a lock that the interpreter needs to exit.
        """
        self.lost = 0
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self._lines: deque[str] = deque()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue lines, or drop them if the queue is full; return the text's length. Never blocks or raises."""
        if len(self._lines) < self.MOST_LINES:
            self._lines.append(text)
        else:
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: queued lines are written within `EVERY` seconds."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return os.isatty(self._descriptor)

    def close(self) -> None:
        """Write the queued lines, within `LAST` seconds."""
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
