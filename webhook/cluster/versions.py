"""Track the newest known resource version of each object of one kind.

Resource versions of one kind are increasing integers (documented since Kubernetes 1.35, KEP-5504, and never anything
else). Lists and watches deliver changes in the order of these numbers; a direct read may be ahead of them, and its
response may arrive after them:

| The version that was read directly is  | Result                                                              |
|----------------------------------------|---------------------------------------------------------------------|
| above the last one of list and watch   | newer; older versions from the watch are ignored from then on       |
| not above it                           | stale: if the object is unknown, it has been deleted since          |

If versions are not integers, everything from the watch counts as newer, and a direct read is newer only for an object
that is unknown and was not deleted recently.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

Key = tuple[str, str]
"""Namespace and name."""


class Versions:
    """The newest known resource versions of the objects of one kind."""

    MOST_DELETED: Final = 1000
    DELETED_SECONDS: Final = 60.0
    """How many deletions are remembered, and for how long, for direct reads whose version is not an integer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: dict[Key, str] = {}
        self._reached: int | None = None
        self._deleted: OrderedDict[Key, float] = OrderedDict()
        self._clock = clock

    def __len__(self) -> int:
        """Return the number of known objects."""
        return len(self._known)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._known)

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def begin_list(self, version: str) -> None:
        """Start comparing with a list. If its version is below the last one, the cluster was restored from a backup."""
        number = _number(version)
        if number is not None and self._reached is not None and number < self._reached:
            self._known = dict.fromkeys(self._known, "")
            self._reached = None

    def reach(self, version: str) -> None:
        """Record that everything up to a version is known, from a complete list or an event."""
        number = _number(version)
        if number is not None:
            self._reached = max(number, self._reached or 0)

    def is_change(self, key: Key, version: str) -> bool:
        """Return whether an object's version from a list or watch is newer than the known one."""
        known = self._known.get(key)
        return known is None or (known != version and not _older(version, known))

    def is_ahead(self, key: Key, version: str) -> bool:
        """Return whether a version that was read directly is newer than everything from list and watch."""
        number = _number(version)
        if number is None:
            deleted = self._deleted.get(key)
            return key not in self._known and (deleted is None or self._clock() - deleted > self.DELETED_SECONDS)
        return (self._reached is None or number > self._reached) and self.is_change(key, version)

    def is_current(self, key: Key, version: str) -> bool:
        """Return whether an object is known, and a version that was read directly is not older than the known one."""
        known = self._known.get(key)
        return known is not None and not _older(version, known)

    def put(self, key: Key, version: str) -> None:
        """Record an object's version."""
        self._known[key] = version

    def delete(self, key: Key, version: str) -> bool:
        """Record a deletion at a version; return False if the object has been recreated since."""
        known = self._known.get(key)
        if known is not None and _older(version, known):
            return False
        self._known.pop(key, None)
        self._deleted[key] = self._clock()
        self._deleted.move_to_end(key)
        while len(self._deleted) > self.MOST_DELETED:
            self._deleted.popitem(last=False)
        return True

    def forget(self) -> None:
        """Drop all versions."""
        self._known.clear()
        self._deleted.clear()
        self._reached = None


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 else None


def _older(version: str, than: str) -> bool:
    """Return whether both are integers and the first is smaller."""
    mine, others = _number(version), _number(than)
    return mine is not None and others is not None and mine < others
