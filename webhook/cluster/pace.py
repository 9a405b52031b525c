"""Rate limiting with a token bucket."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """A token bucket with a capacity of `burst` tokens, refilled with `per_second` tokens each second."""

    def __init__(self, burst: int, per_second: float, *, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(burst)
        self._filled = clock()

    def spend(self, tokens: float) -> None:
        """Charge tokens for work already done; the balance may become negative."""
        self._tokens -= tokens

    def take(self) -> bool:
        """Take one token; return False if there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
