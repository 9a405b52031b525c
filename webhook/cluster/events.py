"""Decisions as Kubernetes Events on the pods' owners, told behind the back of the requests.

`offer` puts what is to be told into a bounded queue and returns; `run` works it off. What is told again about the same
owner, with the same reason and note, is counted, and written now and then as the series of the Event that is there.

Every occurrence is counted exactly once in the metric, by what became of it. An API server that refuses or does not
answer costs Events and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from structlog.typing import FilteringBoundLogger

from webhook.cluster import event_body
from webhook.cluster.client import Client
from webhook.cluster.event_body import Message, Owner, Resolve
from webhook.cluster.event_series import EventOutcome, Series, SeriesWriter
from webhook.cluster.pace import TokenBucket
from webhook.core.decision import Decision
from webhook.core.pod import Pod


@dataclass(frozen=True, slots=True)
class EventLimits:
    """How much may be told and kept.

    Attributes:
        queue: Occurrences that wait to be told.
        burst: Events that are written at once.
        per_second: Events that are written each second, over time.
        series: Events that are remembered, so that what is told again is only counted; the longest unseen goes first.
        window: Seconds after which an Event that is not told again is forgotten. If it is told later, it is created,
            or goes on where the API server still has it.
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
        self._queue: deque[_Occurrence] = deque()
        self._known: OrderedDict[str, Series] = OrderedDict()
        self._repeated: dict[str, Series] = {}
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
        if not dry_run and event_body.is_told(decision):
            self._put(pod, namespace, partial(event_body.tell, decision))

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
            self._put(pod, namespace, partial(event_body.warn, code, sentence))

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
        owner = event_body.owner_of(pod, namespace)
        if owner is None:
            return
        if len(self._queue) >= self._limits.queue:
            self._count(EventOutcome.DROPPED, 1)
            return
        self._queue.append(_Occurrence(owner, say, self._now()))
        self._wake.set()

    async def _leave(self, stop: asyncio.Event, limit: asyncio.Timeout) -> None:
        await stop.wait()
        limit.reschedule(asyncio.get_running_loop().time() + self._limits.grace)
        self._wake.set()

    async def _work(self, stop: asyncio.Event) -> None:
        while True:
            self._wake.clear()
            ending = stop.is_set()
            while self._queue:
                await self._take(self._queue.popleft())
                if self._clock() >= self._next_flush:
                    await self._flush()
                # Requests come first: what is told must not hold up the event loop.
                await asyncio.sleep(0)
            if ending or self._clock() >= self._next_flush:
                await self._flush()
            if ending:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_flush - self._clock() if self._repeated else None):
                    await self._wake.wait()

    async def _take(self, occurrence: _Occurrence) -> None:
        about = event_body.regarding(occurrence.owner, self._resolve)
        message = occurrence.say()
        name = event_body.name_of(about, message)
        now = self._clock()
        self._forget(now)
        known = self._known.get(name)
        if known is None and not self._bucket.take():
            self._count(EventOutcome.DROPPED, 1)
            return
        if not self._repeated:
            self._next_flush = now + self._limits.flush
        series = known or Series(about, message)
        series.last, series.heard = max(series.last, event_body.micro_time(occurrence.time)), now
        series.pending += 1
        self._known[name] = self._repeated[name] = series
        self._known.move_to_end(name)
        if known is None:
            await self._write(name, series)

    async def _flush(self) -> None:
        """Write what was repeated. What is over the rate waits for the next round, and loses no count."""
        self._next_flush = self._clock() + self._limits.flush
        for name, series in list(self._repeated.items()):
            if not self._bucket.take():
                return
            await self._write(name, series)

    async def _write(self, name: str, series: Series) -> None:
        outcome = await self._writer.write(name, series)
        if outcome is not None:
            self._settle(name, outcome)
        if outcome is EventOutcome.FAILED and not series.exists:
            del self._known[name]

    def _settle(self, name: str, outcome: EventOutcome) -> None:
        """Count what was pending."""
        series = self._repeated.pop(name)
        pending, series.pending = series.pending, 0
        if outcome is EventOutcome.SENT:
            self._count(outcome, 1)
            pending, outcome = pending - 1, EventOutcome.REPEATED
        if pending:
            self._count(outcome, pending)

    def _forget(self, now: float) -> None:
        """Forget what was not told again for long, and what is too much."""
        while self._known:
            name, oldest = next(iter(self._known.items()))
            if len(self._known) <= self._limits.series and now - oldest.heard <= self._limits.window:
                return
            del self._known[name]
            if oldest.pending:
                self._settle(name, EventOutcome.DROPPED)

    def _abandon(self) -> None:
        """Count what will not be told any more."""
        for name in list(self._repeated):
            self._settle(name, EventOutcome.DROPPED)
        if self._queue:
            self._count(EventOutcome.DROPPED, len(self._queue))
            self._queue.clear()
