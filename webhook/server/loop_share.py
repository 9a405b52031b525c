"""How much of the event loop's time decisions may take that take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from webhook.core.budget import Budget

INLINE: Final = 64
"""Units of work of a decision on the event loop: at most some 5 ms. Two in a hundred real pods need more."""
BRIEF: Final = 16
"""The same soon after a decision that took long: at most some 1 ms. One in ten real pods needs more."""
_LONG = 0.001
_REST = 4.0


class LoopShare:
    """Budgets for decisions on the event loop, such that those that take long take a fifth of its time.

    What exceeds its budget is decided in a thread, beside which the loop goes on. Each decision alone is short; but as
    many clients may send such pods at once as there are connections, and every other request waits for all of them.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with nothing taken.

        Args:
            clock: Seconds, monotonic.
        """
        self._clock = clock
        self._rested = clock()

    @contextmanager
    def budget(self) -> Iterator[Budget]:
        """Give the budget for one decision, which is made meanwhile."""
        began = self._clock()
        yield Budget(INLINE if began >= self._rested else BRIEF)
        taken = self._clock() - began
        if taken > _LONG:
            self._rested = max(self._rested, began) + taken + _REST * taken
