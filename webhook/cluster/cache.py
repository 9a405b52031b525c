"""Cache the objects of one kind at their newest known version, at a bounded CPU cost.

| What                                                  | Limit                                                  |
|-------------------------------------------------------|--------------------------------------------------------|
| a change of an object that is large, or took long     | deferred, and read once for any number of changes;     |
|                                                       | a costly object takes a twentieth of a core at most    |
| deferred reads                                        | a quarter of a core while requests are served,         |
|                                                       | round-robin over namespaces                            |

Until a deferred read, the cache contains the object's previous version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.backoff import delay
from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.later import Later
from webhook.cluster.objects import ListedMeta, Skipped, named, problem_of
from webhook.cluster.turns import Turns
from webhook.cluster.versions import Key, Versions

LARGE_BYTES: Final = 64 * 1024
"""For kinds that are costly to read, a change of a larger object is deferred."""
# The pause after a deferred read while requests are served, as a multiple of the CPU time that it took.
_PAUSE = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, in all namespaces.

    Attributes:
        kind: For example "ConfigMap".
        path: The path of its collection, for example "/api/v1/configmaps".
        fields: A field selector; empty for all objects.
    """

    kind: str
    path: str
    fields: str = ""

    def path_of(self, namespace: str, name: str) -> str:
        """Return the path of one object; `namespace` is empty for cluster-scoped objects."""
        group, _, plural = self.path.rpartition("/")
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"{group}{place}/{plural}/{name}"


@dataclass(frozen=True, slots=True)
class Sink(Generic[T]):
    """The callbacks that receive the objects of one kind.

    Attributes:
        read: Decodes and reduces an object's JSON. Must be free of side effects: large objects are read in a thread. It
            may raise what `UNREADABLE` lists.
        put: Stores the result under a namespace and name. It may raise msgspec.ValidationError to refuse it.
        drop: Removes the object of a namespace and name.
        costly: Whether reading an object may take long. Requires permission to get objects of the kind.
    """

    read: Callable[[Raw], T]
    put: Callable[[str, str, T], None]
    drop: Callable[[str, str], None]
    costly: bool = False


@dataclass(frozen=True, slots=True)
class _Found(Generic[T]):
    value: T


class Cache(Generic[T]):
    """Updates a sink to the newest version of each object from lists, watches and direct reads.

    Attributes:
        versions: The version of each known object.
        later: The queue of deferred reads.
        skipped: The objects that cannot be read.
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
            client: The API client.
            resource: The kind of object.
            sink: Receives the objects.
            log: Logs objects that cannot be read.
            turns: Shared by all readers of the cluster.
            clock: Monotonic, in seconds.
        """
        self.versions = Versions(clock)
        self.later = Later(clock)
        self.skipped = Skipped(log)
        self._client = client
        self._resource = resource
        self._sink = sink
        self._turns = turns

    async def change(self, item: Raw, metadata: ListedMeta, *, late: bool = False) -> float:
        """Apply an object from a list or watch, within a turn.

        Args:
            item: Its JSON.
            metadata: Its metadata.
            late: Whether to defer reading if the kind is costly to read.

        Returns:
            The CPU seconds spent.
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
        """Apply an object that was read directly, unless a list or watch has delivered a newer version.

        Args:
            item: Its JSON.

        Returns:
            Whether the object is cached now, and the CPU seconds spent.

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

    def skip(self, metadata: ListedMeta, problem: str) -> None:
        """Skip an object from a list or watch whose metadata is only partly readable."""
        if metadata.name:
            self._skip(metadata, problem)
        else:
            self.skipped.add(metadata.key, problem)

    def remove(self, key: Key, version: str) -> None:
        """Drop an object that was deleted at `version`, unless it has been recreated since."""
        if self.versions.delete(key, version):
            self.later.discard(key)
            self.skipped.discard(key)
            self._sink.drop(*key)

    def retain(self, keys: set[Key], version: str) -> None:
        """Drop the objects that are missing from a complete list at `version`."""
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
        """Process deferred reads, one object at a time, until cancelled."""
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
                    # The watch has delivered the deletion, or will.
                    self.later.discard(key)
                    continue
                asked = error.retry_after
                failures += 1
            if key in self.later:
                self.later.add(key)
                await asyncio.sleep(max(delay(failures), asked))

    def _is_current(self, metadata: ListedMeta) -> bool:
        return self.versions.is_current(metadata.key, metadata.resource_version)

    async def _take(self, item: Raw, metadata: ListedMeta, wanted: Callable[[], bool]) -> float:
        """Read an object, and store it if `wanted` still returns True then; return the CPU seconds spent."""
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
            refused = found if isinstance(found, str) else self._refused(key, found.value)
            if refused:
                self._skip(metadata, refused)
            else:
                self.versions.put(key, metadata.resource_version)
                self.later.discard(key)
                self.skipped.discard(key)
        self.later.cost(key, cost)
        return cost

    def _refused(self, key: Key, value: T) -> str:
        """Store what was read; return why the sink refuses it, empty if it does not."""
        try:
            self._sink.put(*key, value)
        except msgspec.ValidationError as error:
            return str(error)
        return ""

    def _skip(self, metadata: ListedMeta, problem: str) -> None:
        self._sink.drop(*metadata.key)
        self.versions.put(metadata.key, metadata.resource_version)
        self.later.discard(metadata.key)
        self.skipped.add(metadata.key, problem)
