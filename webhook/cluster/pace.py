"""A token bucket: how much may happen at once, and how much over time."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Holds up to `burst` tokens, and gets `per_second` new ones each second."""

    def __init__(self, burst: int, per_second: float, *, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def spend(self, tokens: float) -> None:
        """Take tokens for what was done already, also where there are none: then the next ones are owed."""
        self._tokens -= tokens

    def take(self) -> bool:
        """Take one token, if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
