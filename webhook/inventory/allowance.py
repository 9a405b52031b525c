"""Rate-limit direct reads of objects, per namespace and in total.

| What                                            | Limit                                                              |
|-------------------------------------------------|--------------------------------------------------------------------|
| reads for the pods of one namespace             | a burst of 96, then 8 per second                                   |
| reads in total                                  | a burst of 256, then 32 per second                                 |
| CPU time to decode what was read                | a tenth of a core per namespace, half a core in total              |
| an object that is absent, or whose read failed  | retried after 2 s, then with exponential back-off up to 60 s       |

Pods of unknown namespaces share one allowance, since any client of the webhook can invent namespaces.
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
    """Decides whether an object may be read directly now."""

    def __init__(self, absent_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with full token buckets.

        Args:
            absent_seconds: Seconds before the first retry of an absent object.
            clock: Monotonic, in seconds.
        """
        self._absent_seconds = absent_seconds
        self._clock = clock
        self._absent: OrderedDict[Reference, tuple[float, float]] = OrderedDict()
        self._namespaces: OrderedDict[str, TokenBucket] = OrderedDict()
        self._in_all = TokenBucket(BURST_IN_ALL, PER_SECOND_IN_ALL, clock=clock)
        self._paused_until = 0.0

    def take(self, reference: Reference, asker: str) -> bool:
        """Take one read for a pod, unless the limit is reached or the object is backing off.

        Args:
            reference: The object to read.
            asker: The pod's namespace; empty for an unknown one.

        Returns:
            Whether the object may be read.
        """
        now = self._clock()
        until, _ = self._absent.get(reference, (0.0, 0.0))
        if now < until or now < self._paused_until:
            return False
        # A namespace over its own limit takes no token from the total.
        return self._of(asker).take() and self._in_all.take()

    def spend(self, asker: str, seconds: float) -> None:
        """Charge the CPU seconds that decoding an object took to a namespace and to the total."""
        self._of(asker).spend(seconds * PER_SECOND / _SHARE)
        self._in_all.spend(seconds * PER_SECOND_IN_ALL / _SHARE_IN_ALL)

    def miss(self, reference: Reference) -> None:
        """Record that an object was absent or its read failed; the next retry backs off."""
        _, before = self._absent.pop(reference, (0.0, 0.0))
        seconds = min(before * 2, LONGEST_ABSENT_SECONDS) if before else self._absent_seconds
        self._absent[reference] = (self._clock() + seconds, seconds)
        if len(self._absent) > _MOST_ABSENT:
            self._absent.popitem(last=False)

    def find(self, reference: Reference) -> None:
        """Record that an object was found, which resets its back-off."""
        self._absent.pop(reference, None)

    def pause(self, seconds: float) -> None:
        """Refuse all reads for some seconds, as the API server requests with Retry-After."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _of(self, asker: str) -> TokenBucket:
        bucket = self._namespaces.get(asker)
        if bucket is None:
            bucket = self._namespaces[asker] = TokenBucket(BURST, PER_SECOND, clock=self._clock)
            if len(self._namespaces) > _MOST_NAMESPACES:
                self._namespaces.popitem(last=False)
        self._namespaces.move_to_end(asker)
        return bucket
