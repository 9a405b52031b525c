"""Which version of each object of one kind is known, and whether another one is newer.

Resource versions of one kind are integers that grow (since Kubernetes 1.35 documented as such, KEP-5504, and never
anything else). Lists and watches bring changes in the order of these numbers; a direct read may be ahead of them, and
its answer may arrive behind them:

| The object's version, read directly   | Is                                                                   |
|---------------------------------------|----------------------------------------------------------------------|
| above what list and watch have reached | news; what the watch brings of that object up to it is not, any more |
| up to what they have reached          | old: if the object is not known, it has been deleted since           |

Where versions are no integers, whatever the watch brings is newer than what is known, and a direct read is news only
of an object that is not known and was not deleted a moment ago.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

Key = tuple[str, str]
"""Namespace and name."""


class Versions:
    """Versions of the objects of one kind."""

    MOST_DELETED: Final = 1000
    DELETED_SECONDS: Final = 60.0
    """How many deletions are remembered, and for how long, for direct reads whose version is no integer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: dict[Key, str] = {}
        self._reached: int | None = None
        self._deleted: OrderedDict[Key, float] = OrderedDict()
        self._clock = clock

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self._known)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._known)

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def begin_list(self, version: str) -> None:
        """Start to compare with a list. One that is older than what was reached is of a cluster that was restored."""
        number = _number(version)
        if number is not None and self._reached is not None and number < self._reached:
            self._known = dict.fromkeys(self._known, "")
            self._reached = None

    def reach(self, version: str) -> None:
        """Note that everything up to a version is known: by a whole list, or by an event."""
        number = _number(version)
        if number is not None:
            self._reached = max(number, self._reached or 0)

    def is_change(self, key: Key, version: str) -> bool:
        """Whether what a list or watch has of an object is newer than what is known."""
        known = self._known.get(key)
        return known is None or (known != version and not _older(version, known))

    def is_ahead(self, key: Key, version: str) -> bool:
        """Whether what was read directly is newer than what list and watch have brought."""
        number = _number(version)
        if number is None:
            deleted = self._deleted.get(key)
            return key not in self._known and (deleted is None or self._clock() - deleted > self.DELETED_SECONDS)
        return (self._reached is None or number > self._reached) and self.is_change(key, version)

    def is_current(self, key: Key, version: str) -> bool:
        """Whether an object is still there, and what was read directly is not older than what is known."""
        known = self._known.get(key)
        return known is not None and not _older(version, known)

    def put(self, key: Key, version: str) -> None:
        """Note an object's version."""
        self._known[key] = version

    def delete(self, key: Key, version: str) -> bool:
        """Note a deletion at a version; False when the object is known to have been created again since."""
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
        """Begin with nothing."""
        self._known.clear()
        self._deleted.clear()
        self._reached = None


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 else None


def _older(version: str, than: str) -> bool:
    """Whether both are integers and the first is smaller."""
    mine, others = _number(version), _number(than)
    return mine is not None and others is not None and mine < others
