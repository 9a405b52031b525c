"""How many objects are read directly: for each namespace, and in all.

| What                                            | Limit                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| reads for the pods of one namespace             | 96 at once, 8 a second over time                                   |
| reads in all                                    | 256 at once, 32 a second over time                                 |
| CPU time to read what was found                 | a tenth of a core for a namespace, half of one in all              |
| an object that was not there, or not to be had  | again after 2 s, then after twice as long each time, 60 s at most  |

Pods of namespaces that are not known share one allowance: whoever reaches the webhook may invent their names.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from webhook.cluster.pace import TokenBucket
from webhook.core.surroundings import Reference

BURST: Final = 96
PER_SECOND: Final = 8.0
BURST_IN_ALL: Final = 256
PER_SECOND_IN_ALL: Final = 32.0
LONGEST_ABSENT_SECONDS: Final = 60.0
_SHARE, _SHARE_IN_ALL = 0.1, 0.5
_MOST_ABSENT = 10_000
_MOST_NAMESPACES = 1_000


class Allowance:
    """Says whether an object may be read now."""

    def __init__(self, absent_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with everything allowed.

        Args:
            absent_seconds: How long an object is not asked for again at first.
            clock: Seconds, monotonic.
        """
        self._absent_seconds = absent_seconds
        self._clock = clock
        self._absent: OrderedDict[Reference, tuple[float, float]] = OrderedDict()
        self._namespaces: OrderedDict[str, TokenBucket] = OrderedDict()
        self._in_all = TokenBucket(BURST_IN_ALL, PER_SECOND_IN_ALL, clock=clock)
        self._paused_until = 0.0

    def take(self, reference: Reference, asker: str) -> bool:
        """Take one read for a pod of namespace `asker`, if there is one left and the object is worth it."""
        now = self._clock()
        until, _ = self._absent.get(reference, (0.0, 0.0))
        if now < until or now < self._paused_until:
            return False
        # A namespace that has used up its own takes nothing from the others.
        return self._of(asker).take() and self._in_all.take()

    def spend(self, asker: str, seconds: float) -> None:
        """Count the CPU time that reading what was found took."""
        self._of(asker).spend(seconds * PER_SECOND / _SHARE)
        self._in_all.spend(seconds * PER_SECOND_IN_ALL / _SHARE_IN_ALL)

    def miss(self, reference: Reference) -> None:
        """Note an object that was not there, or not to be had."""
        _, before = self._absent.pop(reference, (0.0, 0.0))
        seconds = min(before * 2, LONGEST_ABSENT_SECONDS) if before else self._absent_seconds
        self._absent[reference] = (self._clock() + seconds, seconds)
        if len(self._absent) > _MOST_ABSENT:
            self._absent.popitem(last=False)

    def find(self, reference: Reference) -> None:
        """Note an object that was there."""
        self._absent.pop(reference, None)

    def pause(self, seconds: float) -> None:
        """Take no reads for some time: the API server asks for it."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _of(self, asker: str) -> TokenBucket:
        bucket = self._namespaces.get(asker)
        if bucket is None:
            bucket = self._namespaces[asker] = TokenBucket(BURST, PER_SECOND, clock=self._clock)
            if len(self._namespaces) > _MOST_NAMESPACES:
                self._namespaces.popitem(last=False)
        self._namespaces.move_to_end(asker)
        return bucket
