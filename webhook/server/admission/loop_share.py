"""Limit the share of the event loop's time that long decisions take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from webhook.core.budget import Budget

INLINE: Final = 128
"""Units of work for a decision on the event loop: at most some 10 ms. Hardly any real pod needs more."""
BRIEF: Final = 16
"""The same shortly after a long decision: at most some 1 ms. One in ten real pods needs more."""
_LONG = 0.001
# What takes longer was interrupted by the garbage collector.
_MOST = 0.01
_REST = 4.0


class LoopShare:
    """Limits decisions of more than 1 ms to a fifth of the event loop's time, by the budgets that it returns.

    A decision that exceeds its budget is made in a thread, while the loop continues. Each decision alone is short; but
    every connection may send such a pod concurrently, and every other request waits for all of them.

    What a decision takes is its own CPU time, up to what a decision may take. Waiting for the GIL and pauses of the
    garbage collector would count against the pods that come next: one decision in a thread would send ordinary pods to
    the threads as well, and these others.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        """Start with the full budget.

        Args:
            clock: Monotonic, in seconds.
            cpu: The CPU time of the calling thread, in seconds.
        """
        self._clock = clock
        self._cpu = cpu
        self._began = self._used = 0.0
        self._rested = clock()

    def __enter__(self) -> Budget:
        """Return the budget for one decision, which is made now."""
        self._began, self._used = self._clock(), self._cpu()
        return Budget(INLINE if self._began >= self._rested else BRIEF)

    def __exit__(self, *_: object) -> None:
        """Count the time that the decision took."""
        taken = min(self._cpu() - self._used, _MOST)
        if taken > _LONG:
            self._rested = max(self._rested, self._began) + taken + _REST * taken
