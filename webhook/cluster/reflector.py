"""List and watch one kind of object, for as long as the process lives.

The list comes in pages and says at which resource version it was true; the watch goes on from there, and from where it
was when it breaks. Only when the server has forgotten that version (410 Gone) is the list read again. Objects that have
not changed since are not read a second time.

All of it shares the event loop with the requests that are served, and gives way to them: see `Turns`.

Source: kubernetes.io, "Kubernetes API Concepts": resource versions, paging, watch bookmarks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.errors import ClusterError, ExpiredError, refusal
from webhook.cluster.turns import Turns

FIRST_PAGE: Final = 25
"""Objects, as long as it is not known how large they are."""
# As client-go.
_LARGEST_PAGE = 500
# As client-go: watches of many clients, and of one client for many kinds, do not end all at once.
_WATCH_SECONDS = (300.0, 600.0)
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0

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


@dataclass(frozen=True, slots=True)
class Sink(Generic[T]):
    """Where the objects of one kind go.

    Attributes:
        read: Reduces an object's JSON to what is kept. Must be free of side effects: large objects are read in a
            thread. It may raise msgspec.ValidationError.
        put: Takes what was read of the object of this namespace and name.
        drop: Forgets it.
    """

    read: Callable[[Raw], T]
    put: Callable[[str, str, T], None]
    drop: Callable[[str, str], None]


class _Meta(Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


class _Object(Struct):
    metadata: _Meta
    message: str = ""
    code: int = 0


class _List(Struct):
    metadata: _Meta
    items: list[Raw]


class _Event(Struct):
    type: str
    object: Raw


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_OBJECT = msgspec.json.Decoder(_Object)


class Reflector(Generic[T]):
    """Keeps a sink equal to what the API server has of one kind.

    Attributes:
        resource: What is followed.
        synced: Whether the whole list has been read once.
        problem: Why it is not being followed just now; empty when it is.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink[T],
        *,
        log: FilteringBoundLogger,
        turns: Turns | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `run` does the reading.

        Args:
            client: Reaches the cluster.
            resource: What is followed.
            sink: Where objects go.
            log: Is told of what happens to the watch.
            turns: Shared with the others that read many objects; None for one that reads few.
            clock: Seconds, monotonic.
        """
        self.resource = resource
        self.synced = False
        self.problem = ""
        self._status: int | None = None
        self._client = client
        self._sink = sink
        self._turns = turns or Turns(lambda: True, clock)
        self._log = log.bind(resource=resource.kind)
        self._clock = clock
        self._known: dict[tuple[str, str], str] = {}
        self._version: str | None = None
        self._heard = clock()
        self._following = False

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._known)

    @property
    def behind(self) -> float:
        """Seconds since the last word of the API server; 0 while the watch is open."""
        return 0.0 if self._following else self._clock() - self._heard

    async def run(self) -> None:
        """Follow the kind until cancelled. Whatever the API server does, this only waits and tries again."""
        failures = 0
        while True:
            before = self._heard
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except ClusterError as error:
                if isinstance(error, ExpiredError):
                    self._version = None
                self._tell(error)
            finally:
                self._following = False
            failures = 0 if self._heard > before else failures + 1
            if failures or self.problem:
                await asyncio.sleep(_delay(failures))

    async def adopt(self, item: Raw) -> None:
        """Take an object that was read directly, unless the watch was quicker; from here on it is followed as others.

        Raises:
            ClusterError: It is no object of the API.
        """
        metadata = _decoded(_OBJECT, item).metadata
        if metadata.key not in self._known:
            await self._take(item, metadata)

    def forget(self) -> None:
        """Drop every object, and begin anew at the next run."""
        for key in self._known:
            self._sink.drop(*key)
        self._known.clear()
        self._version = None
        self.synced = False

    async def _list(self) -> None:
        gone = set(self._known)
        query = {"limit": str(FIRST_PAGE)} | self._selected()
        while True:
            answer = await self._client.get(self.resource.path, query)
            self._heard = self._clock()
            async with self._turns:
                page = _decoded(_LIST, answer)
                for item in page.items:
                    await self._turns.breathe()
                    metadata = _decoded(_OBJECT, item).metadata
                    gone.discard(metadata.key)
                    await self._take(item, metadata)
            if not page.metadata.continue_:
                break
            # Objects of one kind are about as large as those before them.
            limit = min(max(len(page.items) * self._turns.page_bytes // len(answer), 1), _LARGEST_PAGE)
            query |= {"limit": str(limit), "continue": page.metadata.continue_}
        for key in gone:
            self._remove(key)
        self._version = page.metadata.resource_version
        self._log.info("listed", objects=len(self._known))
        self.synced = True

    async def _watch(self) -> None:
        query = {
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(random.uniform(*_WATCH_SECONDS))),  # noqa: S311 - spreads load, hides nothing
        } | self._selected()
        async with self._client.watch(self.resource.path, query) as lines:
            self._following = True
            if self.problem:
                self._log.info("followed again")
                self.problem = ""
            async for line in lines:
                self._heard = self._clock()
                async with self._turns:
                    await self._turns.breathe()
                    await self._event(_decoded(_EVENT, line))

    async def _event(self, event: _Event) -> None:
        read = _decoded(_OBJECT, event.object)
        if event.type == "ERROR":
            raise refusal(read.code, read.message)
        if event.type == "DELETED":
            self._remove(read.metadata.key)
        elif event.type != "BOOKMARK":
            await self._take(event.object, read.metadata)
        self._version = read.metadata.resource_version

    async def _take(self, item: Raw, metadata: _Meta) -> None:
        key = metadata.key
        if self._known.get(key) == metadata.resource_version:
            return
        try:
            kept = await self._turns.reduced(self._sink.read, item)
        except msgspec.ValidationError:
            self._log.warning("object not understood", namespace=metadata.namespace, name=metadata.name)
            self._sink.drop(*key)
        else:
            self._sink.put(*key, kept)
        self._known[key] = metadata.resource_version

    def _remove(self, key: tuple[str, str]) -> None:
        self._known.pop(key, None)
        self._sink.drop(*key)

    def _selected(self) -> dict[str, str]:
        return {"fieldSelector": self.resource.fields} if self.resource.fields else {}

    def _tell(self, error: ClusterError) -> None:
        # A connection that is lost fails in several ways, one after the other.
        still = bool(self.problem) and error.status is None and self._status is None
        if not still and str(error) != self.problem:
            self._log.warning("not followed", problem=str(error), status=error.status)
        self.problem, self._status = str(error), error.status


async def run_until(stop: asyncio.Event, *endless: Coroutine[Any, Any, None]) -> None:
    """Run coroutines that do not end by themselves side by side, until `stop` is set.

    Raises:
        ExceptionGroup: One of them failed; the others were ended.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in endless]
        await stop.wait()
        for task in tasks:
            task.cancel()


D = TypeVar("D")


def _decoded(decoder: msgspec.json.Decoder[D], text: bytes | Raw) -> D:
    try:
        return decoder.decode(text)
    except msgspec.MsgspecError:
        raise ClusterError("the API server's answer is not understood") from None


def _delay(failures: int) -> float:
    """Doubling, with half of it left to chance, so that replicas do not come back together."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2**failures)
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads load, hides nothing
