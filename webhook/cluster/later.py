"""Queue deferred reads: each object once, however often it changes in the meantime.

Namespaces are served round-robin, so that the many objects of one do not delay those of another. An object that took
long to read is not read again for twenty times as long.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from webhook.cluster.versions import Key

COSTLY_SECONDS: Final = 0.02
"""CPU time from which on an object counts as costly to read."""
REST: Final = 20.0
"""The rest of a costly object, as a multiple of the CPU time that it took: it takes a twentieth of a core at most."""
_LONGEST_REST = 60.0


class Later:
    """A queue of deferred reads, bound to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: set[Key] = set()
        self._queued: set[Key] = set()
        self._ready: OrderedDict[str, dict[Key, None]] = OrderedDict()
        self._resting: list[tuple[float, Key]] = []
        self._until: dict[Key, float] = {}
        self._added = asyncio.Event()

    def __len__(self) -> int:
        """Return how many objects are queued or being read."""
        return len(self._waiting)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def rests(self, key: Key) -> bool:
        """Return whether an object is resting, since it was costly to read recently."""
        return self._until.get(key, 0.0) > self._clock()

    def cost(self, key: Key, seconds: float) -> None:
        """Record the CPU seconds that an object took to read."""
        now = self._clock()
        if seconds < COSTLY_SECONDS:
            return
        self._until[key] = now + min(seconds * REST, _LONGEST_REST)
        if len(self._until) > 1000:
            self._until = {other: until for other, until in self._until.items() if until > now}

    def add(self, key: Key) -> None:
        """Queue an object; one that is being read is queued again."""
        self._waiting.add(key)
        if key in self._queued:
            return
        self._queued.add(key)
        if self.rests(key):
            heapq.heappush(self._resting, (self._until[key], key))
        else:
            self._ready.setdefault(key[0], {})[key] = None
        self._added.set()

    def discard(self, key: Key) -> None:
        """Remove an object: its newest version was read, or it was deleted."""
        self._waiting.discard(key)

    def clear(self) -> None:
        """Remove all objects."""
        self._waiting.clear()

    async def next(self) -> Key:
        """Wait for the next object and return it. It counts as queued until it is discarded."""
        while True:
            self._added.clear()
            while (key := self._take()) is not None:
                self._queued.remove(key)
                if key in self._waiting:
                    return key
            due = self._resting[0][0] - self._clock() if self._resting else None
            try:
                async with asyncio.timeout(due):
                    await self._added.wait()
            except TimeoutError:
                continue

    def _take(self) -> Key | None:
        while self._resting and self._resting[0][0] <= self._clock():
            _, key = heapq.heappop(self._resting)
            self._ready.setdefault(key[0], {})[key] = None
        if not self._ready:
            return None
        namespace, keys = self._ready.popitem(last=False)
        key = next(iter(keys))
        del keys[key]
        if keys:
            self._ready[namespace] = keys
        return key
