"""Limit the share of the event loop's time that long decisions take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from webhook.core.budget import Budget

INLINE: Final = 64
"""Units of work for a decision on the event loop: at most some 5 ms. Two in a hundred real pods need more."""
BRIEF: Final = 16
"""The same shortly after a long decision: at most some 1 ms. One in ten real pods needs more."""
_LONG = 0.001
_REST = 4.0


class LoopShare:
    """Limits decisions of more than 1 ms to a fifth of the event loop's time, by the budgets that it returns.

    A decision that exceeds its budget is made in a thread, while the loop continues. Each decision alone is short; but
    every connection may send such a pod concurrently, and every other request waits for all of them.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start with the full budget.

        Args:
            clock: Monotonic, in seconds.
        """
        self._clock = clock
        self._began = self._rested = clock()

    def __enter__(self) -> Budget:
        """Return the budget for one decision, which is made now."""
        self._began = self._clock()
        return Budget(INLINE if self._began >= self._rested else BRIEF)

    def __exit__(self, *_: object) -> None:
        """Count the time that the decision took."""
        taken = self._clock() - self._began
        if taken > _LONG:
            self._rested = max(self._rested, self._began) + taken + _REST * taken
