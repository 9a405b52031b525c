"""Decisions as Kubernetes Events on the pods' owners, told behind the back of the requests.

`offer` puts what is to be told into a bounded queue and returns; `run` works it off. What is told again about the same
owner, with the same reason and note, is counted, and written now and then as the series of the Event that is there.

Namespaces take turns in the queue and in what waits to be written, and beyond a limit the namespace that has the most
loses an entry: many pods with invented owners delay and drop Events of their own namespace only.

Every occurrence is counted exactly once in the metric, by what became of it. An API server that refuses or does not
answer costs Events and nothing else.
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

_POLL_SECONDS = 0.1
"""Seconds between two looks whether the rate allows the next request."""


@dataclass(frozen=True, slots=True)
class EventLimits:
    """How much may be told and kept.

    Attributes:
        queue: Occurrences that wait; beyond it the newest of the namespace that has the most is dropped.
        burst: Events that are written at once.
        per_second: Events that are written each second, over time; what exceeds it waits.
        series: Events that wait or are remembered, so that a repetition is only counted. Beyond it, the longest
            unseen of the namespace that has the most is forgotten, and dropped if it still waits.
        window: Seconds after which an Event that was not repeated is forgotten, when its namespace has the next. If it
            occurs later, it is created, or goes on where the API server still has it.
        flush: Seconds between two rounds that write what was repeated meanwhile.
        grace: Seconds to go on telling after the end has begun.
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
    """Tells decisions as Events. It belongs to the event loop that `run` runs on."""

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
        """Take what is needed; nothing is sent yet.

        Args:
            client: The API server. The rights that are needed: create and patch `events` of `events.k8s.io`.
            instance: Which of the replicas this is, as the pod's name.
            resolve: Gives the uid of a Deployment. Called on the event loop, so it must answer from memory.
            count: Is told of each outcome, and of how many occurrences.
            log: Is told when Events cannot be written, once for each problem, and when they can be again.
            limits: How much may be told and kept.
            clock: Monotonic, in seconds.
            now: The time of day, with its zone.
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

    def offer(self, decision: Decision, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Tell a decision, soon. Takes microseconds, sends nothing and never raises.

        Nothing is told of dry runs, of decisions that leave the pod alone, and of pods without an owner.

        Args:
            decision: The decision.
            pod: The pod that it is about.
            namespace: Where the pod is to be created.
            dry_run: Whether the API server will store nothing.
        """
        if not dry_run and event_text.is_told(decision):
            self._put(pod, namespace, partial(event_text.tell, decision))

    def contradiction(self, code: str, sentence: str, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Warn, soon, that a pod comes out of admission otherwise than it was decided. As cheap as `offer`.

        Args:
            code: What is wrong, as "label-lost": the Event's reason is "LabelLost".
            sentence: The same for people. It must hold no value of the pod's configuration, and not name the pod, or
                else each pod is told apart.
            pod: The pod.
            namespace: Where the pod is to be created.
            dry_run: Whether the API server will store nothing.
        """
        if not dry_run:
            self._put(pod, namespace, partial(event_text.warn, code, sentence))

    async def run(self, stop: asyncio.Event) -> None:
        """Tell what is offered until `stop` is set; then what can still be told within `limits.grace` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                leaving = asyncio.create_task(self._leave(stop, limit))
                try:
                    await self._work(stop)
                finally:
                    leaving.cancel()
        self._abandon()

    def _put(self, pod: Pod, namespace: str, say: Callable[[], Message]) -> None:
        owner = event_text.owner_of(pod, namespace)
        if owner is None:
            return
        self._queue.put(namespace, next(self._numbers), _Occurrence(owner, say, self._now()))
        if len(self._queue) > self._limits.queue:
            self._queue.drop(newest=True)
            self._count(EventOutcome.DROPPED, 1)
        self._wake.set()

    async def _leave(self, stop: asyncio.Event, limit: asyncio.Timeout) -> None:
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
                # Requests come first: what is told must not hold up the event loop.
                await asyncio.sleep(0)
            elif ending:
                return
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for the next occurrence, for the rate, or for the next round."""
        seconds = self._next_flush - self._clock() if self._repeated else None
        if self._due:
            seconds = _POLL_SECONDS if seconds is None else min(seconds, _POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _take(self, occurrence: _Occurrence) -> None:
        """Add an occurrence to its series: a new one is due at once, a written one in the next round."""
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
        series.last, series.heard = max(series.last, event_text.micro_time(occurrence.time)), now
        series.pending += 1
        self._known.put(about.namespace, name, series)
        if len(self._known) > self._limits.series:
            self._drop(self._known.drop(newest=False))

    def _repeat(self, series: Series) -> None:
        """Have a series written in the next round."""
        if not self._repeated:
            self._next_flush = self._clock() + self._limits.flush
        self._repeated.append(series)

    def _flush(self) -> None:
        """Begin a round: what was repeated is due."""
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
        """Count what was pending."""
        pending, series.pending = series.pending, 0
        if outcome is EventOutcome.SENT:
            self._count(outcome, 1)
            pending, outcome = pending - 1, EventOutcome.REPEATED
        if pending:
            self._count(outcome, pending)

    def _forget(self, namespace: str, now: float) -> None:
        """Forget the Events of a namespace that were not repeated within the window."""
        while (oldest := self._known.oldest(namespace)) and now - oldest.heard > self._limits.window:
            self._known.remove(namespace, oldest.name)
            self._drop(oldest)

    def _drop(self, series: Series) -> None:
        """Drop what is pending of a series that was forgotten."""
        self._due.remove(series.about.namespace, series.name)
        self._settle(series, EventOutcome.DROPPED)

    def _abandon(self) -> None:
        """Count what will not be told any more."""
        while self._known:
            self._drop(self._known.next())
        while self._queue:
            self._queue.next()
            self._count(EventOutcome.DROPPED, 1)
