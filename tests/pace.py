"""CPU time in seconds of an idle reference core, so that a limit on it holds on any machine, busy or slow.

The CPU time of the same work doubles where another program shares the core's caches and execution units, and again on
an older core. A loop that is timed right before and after the work shows by how much.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# What `_loop` takes on an idle core of the machine on which the limits were chosen.
_REFERENCE_SECONDS = 0.0022


@dataclass
class Measured:
    """What a piece of work took.

    Attributes:
        seconds: CPU seconds of an idle reference core, of this process and of the child processes that ended meanwhile.
    """

    seconds: float = float("nan")


@contextmanager
def measured() -> Iterator[Measured]:
    """Measure the work within the block. Garbage collection does not go through what was there before."""
    work = Measured()
    gc.freeze()
    try:
        before, begin = slowness(), _cpu_seconds()
        yield work
        seconds = _cpu_seconds() - begin
        work.seconds = seconds / max(before, slowness())
    finally:
        gc.unfreeze()


def slowness() -> float:
    """Return how many times as long as on an idle reference core work takes at this moment; at least 1."""
    return max(1.0, min(_loop() for _ in range(2)) / _REFERENCE_SECONDS)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _loop() -> float:
    begin = time.thread_time()
    total, seen = 0, {}
    for number in range(20_000):
        total += number * number % 7
        seen[number & 255] = total
    return time.thread_time() - begin
