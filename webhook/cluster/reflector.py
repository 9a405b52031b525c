"""List and watch one kind of object, for the lifetime of the process.

The list is paged and has a resource version; the watch starts there, and resumes at its last version if it breaks. Only
if the server no longer has that version (410 Gone) is there a relist, in which unchanged objects are not read again.

All of it shares the event loop with the requests that are served, and yields to them: see `Turns`. Costly objects do
not delay a list: see `Cache`.

Source: kubernetes.io, "Kubernetes API Concepts": resource versions, paging, watch bookmarks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from msgspec import Raw
from structlog.typing import FilteringBoundLogger

from webhook.cluster.backoff import delay
from webhook.cluster.cache import LARGE_BYTES, Cache, Resource, Sink
from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError, ExpiredError, refusal
from webhook.cluster.objects import ListedMeta, Skipped, UnreadableError, named, salvaged
from webhook.cluster.pages import pages
from webhook.cluster.turns import Turns
from webhook.cluster.versions import Key
from webhook.cluster.watch_events import EVENT, STATUS, WatchEvent, decoded, split_event

__all__ = ["Reflector", "Resource", "Sink", "run_until"]

FIRST_PAGE: Final = 25
"""Objects in the first page, before their size is known."""
LIST_SECONDS: Final = 60.0
LIST_NAMESPACE_SECONDS: Final = 5.0
"""CPU time for reading the objects of one list, in total and per namespace; reading the rest is deferred."""
# The server closes a watch within this time, so that a dead connection is detected soon after. The time is random, so
# that watches of many clients and kinds do not end simultaneously.
_WATCH_SECONDS = (20.0, 25.0)
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
# Seconds, and a random share, between two attempts to list a kind that does not exist or may not be read.
_ABSENT_SECONDS, _ABSENT_JITTER = 60.0, 0.2
# Only a watch that stays open for so long is a success: one that ends sooner is retried with back-off.
_STEADY_SECONDS = 5.0

T = TypeVar("T")


class Reflector(Generic[T]):
    """Keeps a sink in sync with the API server's objects of one kind, like client-go's Reflector.

    Attributes:
        resource: The kind of object that is watched.
        optional: Whether to do without it if the kind does not exist, or may not be read.
        synced: Whether the first list is complete.
        problem: Why the watch is down; empty while it is open.
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
        optional: bool = False,
    ) -> None:
        """Prepare; `run` lists and watches.

        Args:
            client: The API client.
            resource: The kind of object to watch.
            sink: Receives the objects.
            log: Logs lists and watch failures.
            turns: Shared by all reflectors with many objects; None for one with few.
            clock: Monotonic, in seconds.
            optional: Whether to do without the kind if it does not exist, or may not be read: then it is tried again
                once in a minute.
        """
        self.resource = resource
        self.optional = optional
        self.synced = False
        self.problem = ""
        self._status: int | None = None
        self._client = client
        self._turns = turns or Turns(lambda: True)
        self._log = log.bind(resource=resource.kind)
        self._clock = clock
        self._cache = Cache(client, resource, sink, log=self._log, turns=self._turns, clock=clock)
        self._version: str | None = None
        self._responded = self._opened = clock()
        self._watching = False

    def __len__(self) -> int:
        """Return the number of known objects."""
        return len(self._cache.versions)

    @property
    def skipped(self) -> Skipped:
        """The objects that cannot be decoded."""
        return self._cache.skipped

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: the first list is complete, or an optional kind cannot be read."""
        return self.synced or (self.optional and bool(self.problem))

    @property
    def is_absent(self) -> bool:
        """Whether the API server has no such kind, so that there are no objects of it."""
        return not self.synced and self._status == HTTPStatus.NOT_FOUND

    @property
    def behind(self) -> float:
        """Seconds since the last list or watch response; 0 while the watch is open, and without an optional kind."""
        idle = self._watching or (self.optional and not self.synced)
        return 0.0 if idle else self._clock() - self._responded

    async def run(self) -> None:
        """List and watch until cancelled. Every failure of the API server is retried with back-off."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cache.read_later())
            await self._list_and_watch()

    async def adopt(self, item: Raw) -> tuple[bool, float]:
        """Apply an object that was read directly, unless a list or watch has delivered a newer version.

        Returns:
            Whether the object is cached now, and the CPU seconds spent.

        Raises:
            UnreadableError: It is not an object of the API.
        """
        return await self._cache.adopt(item)

    def forget(self) -> None:
        """Drop every object; the next run starts with a list."""
        self._cache.forget()
        self._version = None
        self.synced = False

    async def _list_and_watch(self) -> None:
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
                self._log_failure(error)
                if self._is_absent(error):
                    self.forget()
            finally:
                steady = self._watching and self._clock() - self._opened >= _STEADY_SECONDS
                self._watching = False
            failures = 0 if steady else failures + 1
            if failed is not None and self._is_absent(failed):
                await asyncio.sleep(_ABSENT_SECONDS * random.uniform(1, 1 + _ABSENT_JITTER))  # noqa: S311 - spreads load
            elif failures or failed is not None:
                await asyncio.sleep(max(_delay(failures), 0.0 if failed is None else failed.retry_after))

    def _is_absent(self, error: ClusterError) -> bool:
        return self.optional and error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}

    async def _list(self) -> None:
        seen: set[Key] = set()
        spent: defaultdict[str, float] = defaultdict(float)
        version = ""
        path, fields, wanted = self.resource.path, self.resource.fields, self._wanted_bytes
        async for page in pages(self._client, path, fields=fields, limit=FIRST_PAGE, wanted_bytes=wanted):
            self._responded = self._clock()
            if not version:
                version = page.version
                self._cache.versions.begin_list(version)
            for item in page.items:
                async with self._turns:
                    await self._turns.checkpoint()
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
            self._responded = self._opened = self._clock()
            self._watching = True
            if self.problem:
                self._log.info("watch re-established")
                self.problem = ""
            async for line in lines:
                self._responded = self._clock()
                async with self._turns:
                    await self._turns.checkpoint()
                    cost = await self._event(await self._decoded(line))
                await self._turns.rest(cost)

    async def _event(self, event: WatchEvent) -> float:
        """Apply one watch event; return the CPU seconds spent."""
        cost = 0.0
        if event.type in {"ERROR", "BOOKMARK"}:
            status = decoded(STATUS, event.object)
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
        # If the version cannot be decoded, the next watch starts before this event.
        self._version = version or self._version
        self._cache.versions.reach(version)
        return cost

    async def _change(self, item: Raw, metadata: ListedMeta, problem: str, *, late: bool) -> float:
        if problem:
            self._cache.skip(metadata, problem)
            return 0.0
        return await self._cache.change(item, metadata, late=late)

    async def _named(self, item: Raw) -> tuple[ListedMeta, str]:
        """Return an object's metadata, and why it is incomplete; empty if it is complete."""
        try:
            return named(item), ""
        except UnreadableError as error:
            return await self._turns.reduced(salvaged, item), str(error)

    async def _decoded(self, line: bytes) -> WatchEvent:
        try:
            return EVENT.decode(line)
        except UNREADABLE:
            # Its object cannot be decoded as a whole.
            return await self._turns.reduced(split_event, Raw(line))

    def _log_failure(self, error: ClusterError) -> None:
        # A lost connection fails in several ways in succession, which is logged once.
        still = bool(self.problem) and error.status is None and self._status is None
        if not still and str(error) != self.problem:
            done_without = self._is_absent(error)
            self._log.warning("not read" if done_without else "watch failed", problem=str(error), status=error.status)
        self.problem, self._status = str(error), error.status


def _delay(failures: int) -> float:
    return delay(failures, _FIRST_DELAY, _LONGEST_DELAY)


async def run_until(stop: asyncio.Event, *endless: Coroutine[Any, Any, None]) -> None:
    """Run endless coroutines concurrently until `stop` is set, then cancel them.

    Raises:
        ExceptionGroup: One of them failed; the others were cancelled.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in endless]
        await stop.wait()
        for task in tasks:
            task.cancel()
