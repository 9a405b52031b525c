"""Record decisions as Kubernetes Events on the pod's owner, asynchronously.

`offer` puts an occurrence into a bounded queue and returns; `run` processes the queue. A repeated occurrence with the
same owner, reason and note is counted, and written periodically as the series of the existing Event.

Namespaces are served round-robin in the queue and in pending writes, and above a limit the namespace with the most
entries loses one: many pods with invented owners delay and drop Events of their own namespace only.

Every occurrence is counted exactly once in the metric, by its outcome. If the API server refuses requests or does not
respond, only Events are lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.pace import TokenBucket
from webhook.core.decision import Decision
from webhook.kubernetes.pod import Pod
from webhook.server.observe import event_text
from webhook.server.observe.event_series import EventOutcome, Series, SeriesWriter
from webhook.server.observe.event_shares import Shares
from webhook.server.observe.event_text import Message, Owner, Resolve
from webhook.verdicts.foreseen import NONE, Connections

_POLL_SECONDS = 0.1
"""Seconds between two checks of the rate limit."""


@dataclass(frozen=True, slots=True)
class EventLimits:
    """Limits on the queue, the rate and the cache of Events.

    Attributes:
        queue: Queued occurrences; above it the newest of the namespace with the most is dropped.
        burst: Burst of the rate limit on writes.
        per_second: Writes per second of the rate limit; what exceeds it waits.
        series: Cached Events, including pending ones, so that a repetition is only counted. Above it, the least recent
            one of the namespace with the most is evicted, and dropped if it is still pending.
        window: Seconds after which an Event without repetition is evicted, at the next Event of its namespace. If it
            occurs again, it is created, or its series continues if the API server still has it.
        flush: Seconds between two writes of the same series.
        grace: Seconds to keep writing after the shutdown has begun.
    """

    queue: int = 1000
    burst: int = 25
    per_second: float = 5.0
    series: int = 4096
    window: float = 600.0
    flush: float = 10.0
    grace: float = 2.0


@dataclass(frozen=True, slots=True)
class _Occurrence:
    owner: Owner
    say: Callable[[], Message]
    time: datetime


class Events:
    """Records decisions as Events, on the event loop that `run` runs on."""

    def __init__(
        self,
        client: Client,
        *,
        instance: str,
        resolve: Resolve,
        count: Callable[[EventOutcome, int], None],
        log: FilteringBoundLogger,
        limits: EventLimits = EventLimits(),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = partial(datetime.now, UTC),  # noqa: B008 - a function, called later
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            client: The API client. Required permissions: create and patch `events` of `events.k8s.io`.
            instance: This replica's identity, the pod's name.
            resolve: Returns the uid of a Deployment. Called on the event loop, so it must not block.
            count: Called with each outcome and its number of occurrences.
            log: Logs each new problem with writing Events once, and the recovery.
            limits: Limits on the queue, the rate and the cache.
            clock: Monotonic, in seconds.
            now: Returns the wall-clock time, timezone-aware.
        """
        self._writer = SeriesWriter(client, instance=instance, log=log)
        self._resolve = resolve
        self._count = count
        self._limits = limits
        self._clock = clock
        self._now = now
        self._bucket = TokenBucket(limits.burst, limits.per_second, clock=clock)
        self._queue: Shares[int, _Occurrence] = Shares()
        self._numbers = itertools.count()
        self._known: Shares[str, Series] = Shares()
        self._due: Shares[str, Series] = Shares()
        self._repeated: list[Series] = []
        self._wake = asyncio.Event()
        self._next_flush = 0.0

    def offer(
        self, decision: Decision, pod: Pod, namespace: str, *, dry_run: bool, connections: Connections = NONE
    ) -> None:
        """Queue an Event about a decision. Takes microseconds, does no I/O and never raises.

        Dry runs, decisions that change nothing, and pods without an owner are ignored.

        Args:
            decision: The decision.
            pod: The pod that it is about.
            namespace: The pod's namespace.
            dry_run: Whether the request is a dry run.
            connections: What becomes of the pod's connections.
        """
        if not dry_run and event_text.is_reported(decision):
            self._put(pod, namespace, partial(event_text.of_decision, decision, connections))

    def contradiction(self, code: str, sentence: str, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Queue a warning Event about a pod that contradicts its decision. As cheap as `offer`.

        Args:
            code: The contradiction's code: for "label-lost", the Event's reason is "LabelLost".
            sentence: The same for users. It must contain no value of the pod's configuration, nor the pod's name, which
                would result in an Event for each pod.
            pod: The pod.
            namespace: The pod's namespace.
            dry_run: Whether the request is a dry run.
        """
        if not dry_run:
            self._put(pod, namespace, partial(event_text.of_contradiction, code, sentence))

    async def run(self, stop: asyncio.Event) -> None:
        """Write queued Events until `stop` is set, then flush for up to `limits.grace` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                shutdown = asyncio.create_task(self._limit_shutdown(stop, limit))
                try:
                    await self._work(stop)
                finally:
                    shutdown.cancel()
        self._drop_all()

    def _put(self, pod: Pod, namespace: str, say: Callable[[], Message]) -> None:
        owner = event_text.owner_of(pod, namespace)
        if owner is None:
            return
        self._queue.put(namespace, next(self._numbers), _Occurrence(owner, say, self._now()))
        if len(self._queue) > self._limits.queue:
            self._queue.drop(newest=True)
            self._count(EventOutcome.DROPPED, 1)
        self._wake.set()

    async def _limit_shutdown(self, stop: asyncio.Event, limit: asyncio.Timeout) -> None:
        await stop.wait()
        limit.reschedule(asyncio.get_running_loop().time() + self._limits.grace)
        self._wake.set()

    async def _work(self, stop: asyncio.Event) -> None:
        while True:
            self._wake.clear()
            ending = stop.is_set()
            if self._queue:
                self._take(self._queue.next())
            if self._clock() >= self._next_flush or (ending and not self._queue):
                self._flush()
            writes = bool(self._due) and self._bucket.take()
            if writes:
                await self._write(self._due.next())
            if self._queue or writes:
                # Yield to requests, which share the event loop.
                await asyncio.sleep(0)
            elif ending:
                return
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait for the next occurrence, the rate limit, or the next flush."""
        seconds = self._next_flush - self._clock() if self._repeated else None
        if self._due:
            seconds = _POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _take(self, occurrence: _Occurrence) -> None:
        """Add an occurrence to its series: a new series is due immediately, an existing one at the next flush."""
        about = event_text.regarding(occurrence.owner, self._resolve)
        message = occurrence.say()
        name = event_text.name_of(about, message)
        now = self._clock()
        self._forget(about.namespace, now)
        series = self._known.get(about.namespace, name)
        if series is None:
            series = Series(name, about, message)
            self._due.put(about.namespace, name, series)
        elif not series.pending:
            self._repeat(series)
        series.last, series.last_seen = max(series.last, event_text.micro_time(occurrence.time)), now
        series.pending += 1
        self._known.put(about.namespace, name, series)
        if len(self._known) > self._limits.series:
            self._drop(self._known.drop(newest=False))

    def _repeat(self, series: Series) -> None:
        """Schedule a series for the next flush."""
        if not self._repeated:
            self._next_flush = self._clock() + self._limits.flush
        self._repeated.append(series)

    def _flush(self) -> None:
        """Make all repeated series due."""
        for series in self._repeated:
            if series.pending:
                self._due.put(series.about.namespace, series.name, series)
        self._repeated.clear()

    async def _write(self, series: Series) -> None:
        outcome = await self._writer.write(series)
        if outcome is None:
            self._repeat(series)
            return
        self._settle(series, outcome)
        if outcome is EventOutcome.FAILED and not series.exists:
            self._known.remove(series.about.namespace, series.name)

    def _settle(self, series: Series, outcome: EventOutcome) -> None:
        """Count the pending occurrences of a series by their outcome, and reset them."""
        pending, series.pending = series.pending, 0
        if outcome is EventOutcome.SENT:
            self._count(outcome, 1)
            pending, outcome = pending - 1, EventOutcome.REPEATED
        if pending:
            self._count(outcome, pending)

    def _forget(self, namespace: str, now: float) -> None:
        """Evict the Events of a namespace that were not repeated within the window."""
        while (oldest := self._known.oldest(namespace)) and now - oldest.last_seen > self._limits.window:
            self._known.remove(namespace, oldest.name)
            self._drop(oldest)

    def _drop(self, series: Series) -> None:
        """Drop the pending occurrences of an evicted series."""
        self._due.remove(series.about.namespace, series.name)
        self._settle(series, EventOutcome.DROPPED)

    def _drop_all(self) -> None:
        """Drop and count everything that is still pending or queued."""
        while self._known:
            self._drop(self._known.next())
        while self._queue:
            self._queue.next()
            self._count(EventOutcome.DROPPED, 1)
