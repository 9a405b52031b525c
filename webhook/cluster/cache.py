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

import msgspec
from msgspec import Raw, Struct
from structlog.typing import FilteringBoundLogger

from webhook.cluster.backoff import delay
from webhook.cluster.client import Client
from webhook.cluster.errors import ClusterError
from webhook.cluster.later import Later
from webhook.cluster.pages import Meta
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
            thread. It may raise msgspec.ValidationError.
        put: Takes what was read of the object of this namespace and name.
        drop: Forgets it.
        costly: Whether reading an object may take long. Needs the right to get objects of the kind.
    """

    read: Callable[[Raw], T]
    put: Callable[[str, str, T], None]
    drop: Callable[[str, str], None]
    costly: bool = False


class _Object(Struct):
    metadata: Meta


_OBJECT = msgspec.json.Decoder(_Object)


class Cache(Generic[T]):
    """Keeps a sink at the newest version of each object that lists, watches and direct reads bring."""

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
            log: Is told of objects that are not understood.
            turns: Shared with all that read the cluster.
            clock: Seconds, monotonic.
        """
        self.versions = Versions(clock)
        self.later = Later(clock)
        self._client = client
        self._resource = resource
        self._sink = sink
        self._log = log
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
            Whether the object is there, and the CPU seconds that it took.

        Raises:
            ClusterError: It is no object of the API.
        """
        metadata = named(item)
        key, version = metadata.key, metadata.resource_version

        def wanted() -> bool:
            waits = key in self.later and self.versions.is_current(key, version)
            return waits or self.versions.is_ahead(key, version)

        cost = await self._take(item, metadata, wanted) if wanted() else 0.0
        return key in self.versions and key not in self.later, cost

    def remove(self, key: Key, version: str) -> None:
        """Drop an object that is gone as of a version, unless it is known to have been created again since."""
        if self.versions.delete(key, version):
            self.later.discard(key)
            self._sink.drop(*key)

    def retain(self, keys: set[Key], version: str) -> None:
        """Drop what a whole list of a version does not have."""
        for key in [key for key in self.versions if key not in keys]:
            self.remove(key, version)

    def forget(self) -> None:
        """Drop every object."""
        for key in self.versions:
            self._sink.drop(*key)
        self.versions.forget()
        self.later.clear()

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
                    await self._turns.breathe()
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

        def read(item: Raw) -> tuple[T, float]:
            before = time.thread_time()
            return self._sink.read(item), time.thread_time() - before

        try:
            found: tuple[T, float] | None = await self._turns.reduced(read, item)
        except msgspec.ValidationError:
            self._log.warning("object not understood", namespace=metadata.namespace, name=metadata.name)
            found = None
        if wanted():
            if found is None:
                self._sink.drop(*key)
            else:
                self._sink.put(*key, found[0])
            self.versions.put(key, metadata.resource_version)
            self.later.discard(key)
        cost = 0.0 if found is None else found[1]
        self.later.cost(key, cost)
        return cost


def named(item: Raw) -> Meta:
    """Return the metadata of an object.

    Raises:
        ClusterError: It is no object of the API.
    """
    try:
        metadata = _OBJECT.decode(item).metadata
    except msgspec.MsgspecError:
        metadata = Meta()
    if not metadata.name:
        raise ClusterError("the API server's answer is not understood")
    return metadata
