"""Share one limit fairly between namespaces: serve them round-robin, and drop from the one with the most entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shares(Generic[K, V]):
    """One mapping per namespace, in insertion order. A namespace without entries takes no memory.

    The caller enforces the limit: it calls `drop` if `len` exceeds it.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[K, V]] = OrderedDict()
        self._size = 0
        # The namespaces by number of entries, and the largest such number, so that `drop` takes constant time.
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        """Return the total number of entries."""
        return self._size

    def get(self, namespace: str, key: K) -> V | None:
        """Return an entry, or None."""
        entries = self._of.get(namespace)
        return entries.get(key) if entries else None

    def put(self, namespace: str, key: K, value: V) -> None:
        """Add or replace an entry and make it the newest of its namespace; the namespace keeps its turn."""
        entries = self._of.setdefault(namespace, OrderedDict())
        before = len(entries)
        entries[key] = value
        entries.move_to_end(key)
        if len(entries) > before:
            self._count(namespace, before, before + 1)

    def oldest(self, namespace: str) -> V | None:
        """Return the oldest entry of a namespace, or None."""
        return next(iter(self._of.get(namespace, {}).values()), None)

    def next(self) -> V:
        """Remove and return the oldest entry of the next namespace. There must be one."""
        namespace = next(iter(self._of))
        self._of.move_to_end(namespace)
        return self._pop(namespace, next(iter(self._of[namespace])))

    def remove(self, namespace: str, key: K) -> None:
        """Remove an entry if it exists."""
        if key in self._of.get(namespace, {}):
            self._pop(namespace, key)

    def drop(self, *, newest: bool) -> V:
        """Remove and return an entry of the namespace that has the most.

        Args:
            newest: Whether to remove its newest entry instead of its oldest. Of several such namespaces, the one that
                reached that number last is chosen for the newest entry, the first for the oldest.
        """
        largest = self._by_count[self._most]
        namespace = next(reversed(largest) if newest else iter(largest))
        entries = self._of[namespace]
        return self._pop(namespace, next(reversed(entries) if newest else iter(entries)))

    def _pop(self, namespace: str, key: K) -> V:
        entries = self._of[namespace]
        value = entries.pop(key)
        self._count(namespace, len(entries) + 1, len(entries))
        if not entries:
            del self._of[namespace]
        return value

    def _count(self, namespace: str, before: int, after: int) -> None:
        self._size += after - before
        if after:
            self._by_count.setdefault(after, OrderedDict())[namespace] = None
        if before:
            del self._by_count[before][namespace]
            if not self._by_count[before]:
                del self._by_count[before]
        if after > self._most or self._most not in self._by_count:
            self._most = after
