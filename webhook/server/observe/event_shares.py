"""Entries of namespaces under one limit: served in turn, and dropped from the namespace that has the most."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shares(Generic[K, V]):
    """A mapping for each namespace, ordered by when its entries were put. A namespace without entries takes no memory.

    The caller keeps the limit: it calls `drop` when `len` exceeds it.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, OrderedDict[K, V]] = OrderedDict()
        self._size = 0
        # The namespaces by how many entries they have, and the most that one has: `drop` searches for nothing.
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        """Return the number of entries of all namespaces."""
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
        """Remove and return the oldest entry of the namespace whose turn it is. There must be one."""
        namespace = next(iter(self._of))
        self._of.move_to_end(namespace)
        return self._pop(namespace, next(iter(self._of[namespace])))

    def remove(self, namespace: str, key: K) -> None:
        """Remove an entry if it is there."""
        if key in self._of.get(namespace, {}):
            self._pop(namespace, key)

    def drop(self, *, newest: bool) -> V:
        """Remove and return the newest or the oldest entry of the namespace that has the most.

        Of several such namespaces, it is the last that came to have as many for the newest, the first for the oldest.
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
