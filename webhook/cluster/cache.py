"""What is kept of the objects of one kind: at the newest version that is known, and read at a bounded cost.

| What                                                  | Limit                                                  |
|-------------------------------------------------------|--------------------------------------------------------|
| a change of an object that is large, or took long     | read later, once however many changes there were;      |
|                                                       | a costly object takes a twentieth of a core at most    |
| what is read later                                    | a quarter of a core while requests are served,         |
|                                                       | namespaces in turn                                     |

Until it is read, what was last known of the object is used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.backoff import delay
from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.later import Later
from webhook.cluster.objects import Meta, Skipped, named, problem_of
from webhook.cluster.turns import Turns
from webhook.cluster.versions import Key, Versions

LARGE_BYTES: Final = 64 * 1024
"""A change of a larger object, of a kind that is costly to read, is read later."""
# How many times as long as it took to read an object that had to wait, the next one waits while requests are served.
_PAUSE = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, in all namespaces.

    Attributes:
        kind: "ConfigMap".
        path: Its collection: "/api/v1/configmaps".
        fields: A field selector for those that are wanted; empty for all.
    """

    kind: str
    path: str
    fields: str = ""

    def path_of(self, namespace: str, name: str) -> str:
        """Return the path of one object; `namespace` is empty for those that are in none."""
        group, _, plural = self.path.rpartition("/")
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"{group}{place}/{plural}/{name}"


@dataclass(frozen=True, slots=True)
class Sink(Generic[T]):
    """Where the objects of one kind go.

    Attributes:
        read: Reduces an object's JSON to what is kept. Must be free of side effects: large objects are read in a
            thread. It may raise what `UNREADABLE` lists.
        put: Takes what was read of the object of this namespace and name.
        drop: Forgets it.
        costly: Whether reading an object may take long. Needs the right to get objects of the kind.
    """

    read: Callable[[Raw], T]
    put: Callable[[str, str, T], None]
    drop: Callable[[str, str], None]
    costly: bool = False


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    value: T


class Cache(Generic[T]):
    """Keeps a sink at the newest version of each object that lists, watches and direct reads bring.

    Attributes:
        versions: The objects that there are.
        later: Those that are still to be read.
        skipped: Those that cannot be read.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink[T],
        *,
        log: FilteringBoundLogger,
        turns: Turns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            client: Reaches the cluster.
            resource: What is kept.
            sink: Where objects go.
            log: Receives objects that cannot be read.
            turns: Shared with all that read the cluster.
            clock: Seconds, monotonic.
        """
        self.versions = Versions(clock)
        self.later = Later(clock)
        self.skipped = Skipped(log)
        self._client = client
        self._resource = resource
        self._sink = sink
        self._turns = turns

    async def change(self, item: Raw, metadata: Meta, *, late: bool = False) -> float:
        """Take what a list or watch has of an object, within a turn; return the CPU seconds that it took.

        Args:
            item: Its JSON.
            metadata: Its metadata.
            late: Whether an object that is costly to read has to wait.
        """
        key, version = metadata.key, metadata.resource_version
        if not self.versions.is_change(key, version):
            return 0.0
        late = late or key in self.later or self.later.rests(key)
        if late and self._sink.costly:
            self.versions.put(key, version)
            self.later.add(key)
            return 0.0
        return await self._take(item, metadata, lambda: self.versions.is_change(key, version))

    async def adopt(self, item: Raw) -> tuple[bool, float]:
        """Take an object that was read directly, unless list or watch brought something newer.

        Returns:
            Whether the object is there and can be read, and the CPU seconds that it took.

        Raises:
            UnreadableError: It is not an object of the API.
        """
        metadata = named(item)
        key, version = metadata.key, metadata.resource_version

        def wanted() -> bool:
            waits = key in self.later and self.versions.is_current(key, version)
            return waits or self.versions.is_ahead(key, version)

        cost = await self._take(item, metadata, wanted) if wanted() else 0.0
        return key in self.versions and key not in self.later and key not in self.skipped, cost

    def skip(self, metadata: Meta, problem: str) -> None:
        """Leave out an object that list or watch has and whose metadata can be read in part only."""
        if metadata.name:
            self._skip(metadata, problem)
        else:
            self.skipped.add(metadata.key, problem)

    def remove(self, key: Key, version: str) -> None:
        """Drop an object that is gone as of a version, unless it is known to have been created again since."""
        if self.versions.delete(key, version):
            self.later.discard(key)
            self.skipped.discard(key)
            self._sink.drop(*key)

    def retain(self, keys: set[Key], version: str) -> None:
        """Drop what a whole list of a version does not have."""
        for key in [key for key in self.versions if key not in keys]:
            self.remove(key, version)
        self.skipped.retain(keys)

    def forget(self) -> None:
        """Drop every object."""
        for key in self.versions:
            self._sink.drop(*key)
        self.versions.forget()
        self.later.clear()
        self.skipped.retain(set())

    async def read_later(self) -> None:
        """Read the newest version of what has to wait, one object after the other, until cancelled."""
        failures = 0
        while True:
            key = await self.later.next()
            asked = 0.0
            try:
                answer = Raw(await self._client.get(self._resource.path_of(*key)))
                metadata = named(answer)
                async with self._turns:
                    await self._turns.checkpoint()
                    cost = await self._take(answer, metadata, partial(self._is_current, metadata))
                del answer
                failures = 0
                await self._turns.rest(cost * _PAUSE)
            except ClusterError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    # The watch has the deletion, or will have it.
                    self.later.discard(key)
                    continue
                asked = error.retry_after
                failures += 1
            if key in self.later:
                self.later.add(key)
                await asyncio.sleep(max(delay(failures), asked))

    def _is_current(self, metadata: Meta) -> bool:
        return self.versions.is_current(metadata.key, metadata.resource_version)

    async def _take(self, item: Raw, metadata: Meta, wanted: Callable[[], bool]) -> float:
        """Read an object, and keep what it says if that is still wanted then; return the CPU seconds that it took."""
        key = metadata.key

        def read(item: Raw) -> tuple[_Found[T] | str, float]:
            before = time.thread_time()
            found: _Found[T] | str
            try:
                found = _Found(self._sink.read(item))
            except UNREADABLE as error:
                found = problem_of(error, item)
            return found, time.thread_time() - before

        found, cost = await self._turns.reduced(read, item)
        if wanted():
            if isinstance(found, str):
                self._skip(metadata, found)
            else:
                self._sink.put(*key, found.value)
                self.versions.put(key, metadata.resource_version)
                self.later.discard(key)
                self.skipped.discard(key)
        self.later.cost(key, cost)
        return cost

    def _skip(self, metadata: Meta, problem: str) -> None:
        self._sink.drop(*metadata.key)
        self.versions.put(metadata.key, metadata.resource_version)
        self.later.discard(metadata.key)
        self.skipped.add(metadata.key, problem)
