"""A bounded cache that threads share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A cache with least-recently-used eviction. Thread-safe."""

    def __init__(self, most: int) -> None:
        """Start empty; at most `most` entries are kept."""
        self._most = most
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._held)

    def get(self, key: K) -> V | None:
        """Return an entry, which is then the last to be evicted, or None."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> V | None:
        """Store an entry, and return what it replaces."""
        with self._lock:
            before = self._held.pop(key, None)
            self._held[key] = value
            if len(self._held) > self._most:
                self._held.popitem(last=False)
        return before
