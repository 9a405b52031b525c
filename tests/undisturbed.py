"""Tests that measure how soon something happens run while no other worker of pytest runs a test.

One that measures CPU time (`pace.py`) does not need that, nor one that waits long for what takes a moment.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Any two files that all workers have: only their locks are used.
_DOOR = os.open(__file__, os.O_RDONLY)
_ROOM = os.open(Path(__file__).with_name("conftest.py"), os.O_RDONLY)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Let the test within the block run beside those of other workers, or wait for them and keep others waiting."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    fcntl.flock(_DOOR, fcntl.LOCK_EX)  # nobody goes in before whoever waits here for the room to be empty
    fcntl.flock(_ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    fcntl.flock(_DOOR, fcntl.LOCK_UN)
    try:
        yield
    finally:
        fcntl.flock(_ROOM, fcntl.LOCK_UN)
