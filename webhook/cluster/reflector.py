"""List and watch one kind of object, for as long as the process lives.

The list comes in pages and says at which resource version it was true; the watch goes on from there, and from where it
was when it breaks. Only when the server has forgotten that version (410 Gone) is the list read again. Objects that have
not changed since are not read a second time.

All of it shares the event loop with the requests that are served, and gives way to them: see `Turns`. What is costly to
read does not hold up a list: see `Cache`.

Source: kubernetes.io, "Kubernetes API Concepts": resource versions, paging, watch bookmarks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct
from structlog.typing import FilteringBoundLogger

from webhook.cluster.backoff import delay
from webhook.cluster.cache import LARGE_BYTES, Cache, Resource, Sink
from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError, ExpiredError, refusal
from webhook.cluster.fragments import members
from webhook.cluster.objects import Meta, Skipped, UnreadableError, named, salvaged
from webhook.cluster.pages import pages
from webhook.cluster.turns import Turns
from webhook.cluster.versions import Key

__all__ = ["Reflector", "Resource", "Sink", "run_until"]

FIRST_PAGE: Final = 25
"""Objects, as long as it is not known how large they are."""
LIST_SECONDS: Final = 60.0
LIST_NAMESPACE_SECONDS: Final = 5.0
"""CPU time that reading the objects of one list may take, in all and for each namespace; the rest is read later."""
# The server ends a watch within this time, so that one which has died without a word is noticed soon after. Watches of
# many clients, and of one client for many kinds, do not end all at once.
_WATCH_SECONDS = (20.0, 25.0)
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
# Only a watch that stayed open for so long is a success: whatever ends sooner is tried again with growing delays.
_STEADY_SECONDS = 5.0

T = TypeVar("T")


class _Status(Struct):
    message: str = ""
    code: int = 0
    metadata: Meta = msgspec.field(default_factory=Meta)


class _Event(Struct):
    type: str
    object: Raw


_EVENT = msgspec.json.Decoder(_Event)
_STATUS = msgspec.json.Decoder(_Status)


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
        self._turns = turns or Turns(lambda: True, clock)
        self._log = log.bind(resource=resource.kind)
        self._clock = clock
        self._cache = Cache(client, resource, sink, log=self._log, turns=self._turns, clock=clock)
        self._version: str | None = None
        self._heard = self._opened = clock()
        self._following = False

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self._cache.versions)

    @property
    def skipped(self) -> Skipped:
        """Those of them that cannot be read."""
        return self._cache.skipped

    @property
    def behind(self) -> float:
        """Seconds since the last word of the API server; 0 while the watch is open."""
        return 0.0 if self._following else self._clock() - self._heard

    async def run(self) -> None:
        """Follow the kind until cancelled. Whatever the API server does, this only waits and tries again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cache.read_later())
            await self._follow()

    async def adopt(self, item: Raw) -> tuple[bool, float]:
        """Take an object that was read directly, unless list or watch brought something newer.

        Returns:
            Whether the object is there, and the CPU seconds that it took.

        Raises:
            UnreadableError: It is not an object of the API.
        """
        return await self._cache.adopt(item)

    def forget(self) -> None:
        """Drop every object, and begin again at the next run."""
        self._cache.forget()
        self._version = None
        self.synced = False

    async def _follow(self) -> None:
        failures = 0
        while True:
            failed: ClusterError | None = None
            self._opened = self._clock()
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
            except ClusterError as error:
                failed = error
                if isinstance(error, ExpiredError):
                    self._version = None
                self._tell(error)
            finally:
                steady = self._following and self._clock() - self._opened >= _STEADY_SECONDS
                self._following = False
            failures = 0 if steady else failures + 1
            if failures or failed is not None:
                await asyncio.sleep(max(_delay(failures), 0.0 if failed is None else failed.retry_after))

    async def _list(self) -> None:
        seen: set[Key] = set()
        spent: defaultdict[str, float] = defaultdict(float)
        version = ""
        path, fields, wanted = self.resource.path, self.resource.fields, self._wanted_bytes
        async for page in pages(self._client, path, fields=fields, limit=FIRST_PAGE, wanted_bytes=wanted):
            self._heard = self._clock()
            if not version:
                version = page.version
                self._cache.versions.begin_list(version)
            for item in page.items:
                async with self._turns:
                    await self._turns.breathe()
                    metadata, problem = await self._named(item)
                    seen.add(metadata.key)
                    late = spent[""] > LIST_SECONDS or spent[metadata.namespace] > LIST_NAMESPACE_SECONDS
                    cost = await self._change(item, metadata, problem, late=late)
                for total in {"", metadata.namespace}:
                    spent[total] += cost
                await self._turns.rest(cost)
        self._cache.retain(seen, version)
        self._cache.versions.reach(version)
        self._version = version
        self._log.info("listed", objects=len(self), later=len(self._cache.later))
        self.synced = True

    def _wanted_bytes(self) -> int:
        return self._turns.page_bytes

    async def _watch(self) -> None:
        query = {
            "resourceVersion": self._version or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(random.uniform(*_WATCH_SECONDS))),  # noqa: S311 - spreads load, hides nothing
        } | ({"fieldSelector": self.resource.fields} if self.resource.fields else {})
        async with self._client.watch(self.resource.path, query) as lines:
            self._heard = self._opened = self._clock()
            self._following = True
            if self.problem:
                self._log.info("watch re-established")
                self.problem = ""
            async for line in lines:
                self._heard = self._clock()
                async with self._turns:
                    await self._turns.breathe()
                    cost = await self._event(await self._decoded(line))
                await self._turns.rest(cost)

    async def _event(self, event: _Event) -> float:
        """Take one event; return the CPU seconds that it took."""
        cost = 0.0
        if event.type in {"ERROR", "BOOKMARK"}:
            status = _decoded(_STATUS, event.object)
            if event.type == "ERROR":
                raise refusal(status.code, status.message)
            version = status.metadata.resource_version
        else:
            metadata, problem = await self._named(event.object)
            version = metadata.resource_version
            if event.type == "DELETED":
                self._cache.remove(metadata.key, version)
            else:
                late = memoryview(event.object).nbytes > LARGE_BYTES
                cost = await self._change(event.object, metadata, problem, late=late)
        # Where the version cannot be read, the next watch begins before this event again.
        self._version = version or self._version
        self._cache.versions.reach(version)
        return cost

    async def _change(self, item: Raw, metadata: Meta, problem: str, *, late: bool) -> float:
        if problem:
            self._cache.skip(metadata, problem)
            return 0.0
        return await self._cache.change(item, metadata, late=late)

    async def _named(self, item: Raw) -> tuple[Meta, str]:
        """Return an object's metadata, and why it can be read in part only; empty when that is not so."""
        try:
            return named(item), ""
        except UnreadableError as error:
            return await self._turns.reduced(salvaged, item), str(error)

    async def _decoded(self, line: bytes) -> _Event:
        try:
            return _EVENT.decode(line)
        except UNREADABLE:
            # Its object is not readable as a whole.
            return await self._turns.reduced(_taken_apart, Raw(line))

    def _tell(self, error: ClusterError) -> None:
        # A connection that is lost fails in several ways, one after the other.
        still = bool(self.problem) and error.status is None and self._status is None
        if not still and str(error) != self.problem:
            self._log.warning("watch failed", problem=str(error), status=error.status)
        self.problem, self._status = str(error), error.status


def _delay(failures: int) -> float:
    return delay(failures, _FIRST_DELAY, _LONGEST_DELAY)


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
    except UNREADABLE:
        raise ClusterError("unexpected response of the API server") from None


def _taken_apart(line: Raw) -> _Event:
    try:
        parts = members(bytes(line))
        return _Event(msgspec.json.decode(parts["type"], type=str), Raw(parts["object"]))
    except (KeyError, *UNREADABLE):
        raise ClusterError("unexpected response of the API server") from None
