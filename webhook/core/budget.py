"""The work budget of one decision.

What a pod refers to has no bound of its own: a pod of two kilobytes may mount ConfigMaps of many megabytes. So each
decision counts its work, and stops where it exceeds its budget. What was not read then is reported as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class BudgetExceededError(Exception):
    """The work exceeds the budget, or was cancelled. The text says which, as a sentence without any value."""


class Budget:
    """A counter of units of work. A unit is one setting, one place, one lookup or 64 characters: at most some 40 us.

    Attributes:
        exceeded: Whether the work was stopped.
        cancelled: Whether it was stopped by `cancelled` and not by its size. The same work may succeed another time.
    """

    FULL: Final = 10_000
    """Units of a whole decision: under half a second. The largest known pod of real software needs some 500."""
    _EVERY: Final = 32
    """Units between two checks for cancellation."""

    __slots__ = ("_cancelled", "_left", "_next", "_units", "cancelled", "exceeded")

    def __init__(self, units: int = FULL, cancelled: Callable[[], bool] | None = None) -> None:
        """Start with nothing spent.

        Args:
            units: Units that each stage of the decision may spend.
            cancelled: Polled to see whether to stop; None never stops.
        """
        self._units = units
        self._cancelled = cancelled
        self.exceeded = self.cancelled = False
        self.refill()

    @property
    def is_conclusive(self) -> bool:
        """Whether the result can be cached: the same pod in the same cluster context always gets the same one."""
        return not self.exceeded or (self._units >= self.FULL and not self.cancelled)

    def refill(self) -> None:
        """Reset the units for the next stage of the decision."""
        self._left = self._units
        self._next = 0 if self._cancelled is None else self._left

    def spend(self, units: int = 1) -> None:
        """Count work before it is done.

        Raises:
            BudgetExceededError: There is not enough left, or the work is cancelled.
        """
        self._left -= units
        if self._left < self._next:
            self._check()

    def _check(self) -> None:
        if self._left < 0:
            self.exceeded = True
            raise BudgetExceededError(
                f"the pod's configuration exceeds the limit of one decision ({self._units} settings), so its "
                "dependencies are unknown"
            )
        if self._cancelled is not None and self._cancelled():
            self.exceeded = self.cancelled = True
            raise BudgetExceededError("the pod's configuration was not read in time, so its dependencies are unknown")
        self._next = max(0, self._left - self._EVERY)
