"""Order the work that waits for a thread, and refuse what would not start before its deadline or fit into memory.

A count of works would say neither. A Deployment that scales up creates hundreds of pods that take a millisecond each;
ten pods that are built to be slow take as many deadlines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from typing import Any, Final

_LATE: Final = "too many pods with long evaluations are queued"
_LARGE: Final = "the pods with long evaluations that are queued take too much memory"
_TIMED_OUT: Final = "timed out in the queue of pods with long evaluations"


class OverloadedError(Exception):
    """No thread was free before the deadline. The text is a sentence that contains no value."""


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """Work that waits for a thread, or runs.

    Attributes:
        namespace: The namespace that it is for.
        call: Does it.
        size: Bytes of memory that it keeps, as far as nothing else bounds them.
        deadline: When it has to be done, in seconds of the backlog's clock.
        result: What `call` returned or raised, or an OverloadedError.
    """

    namespace: str
    call: Callable[[], Any]
    size: int = 0
    deadline: float = inf
    result: Future[Any] = field(default_factory=Future)


@dataclass(slots=True)
class _Queue:
    """The work of one namespace.

    Attributes:
        waiting: What waits, in order.
        running: Whether some of it runs.
        size: Bytes of memory that all of it keeps.
        pace: Seconds for one work: a moving average in which the last one counts for a thirty-second. So a costly pod
            does not have a burst of small ones refused, and a flood of costly pods is soon short.
    """

    waiting: dict[Work, None] = field(default_factory=dict)
    running: bool = False
    size: int = 0
    pace: float = 0.003

    @property
    def works(self) -> int:
        return len(self.waiting) + self.running


class Backlog:
    """All work that waits or runs; of each namespace one at a time, in turns. Thread-safe."""

    def __init__(self, memory: int, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty.

        Args:
            memory: Bytes that all work may keep.
            threads: How much of it runs concurrently.
            clock: Monotonic, in seconds.
        """
        self._memory = memory
        self._threads = threads
        self._clock = clock
        self._lock = Lock()
        self._queues: dict[str, _Queue] = {}
        self._size = 0

    def add(self, work: Work) -> None:
        """Queue work. It is refused if it is late; without memory, the newest of the namespace that keeps most is."""
        with self._lock:
            queue = self._queues.setdefault(work.namespace, _Queue())
            queue.waiting[work] = None
            self._count(queue, work.size)
            self._refuse_late(queue)
            self._refuse_large()

    def withdraw(self, work: Work) -> None:
        """Refuse work that still waits at its deadline, or whose caller has gone."""
        with self._lock:
            queue = self._queues.get(work.namespace)
            if queue is not None and work in queue.waiting:
                self._refuse(queue, work, _TIMED_OUT)
                self._forget(work.namespace)

    def take(self) -> Work | None:
        """Return the next work that may run now, of the namespace whose turn it is; or None."""
        with self._lock:
            for namespace, queue in self._queues.items():
                if queue.waiting and not queue.running:
                    self._queues[namespace] = self._queues.pop(namespace)
                    work = next(iter(queue.waiting))
                    del queue.waiting[work]
                    queue.running = True
                    return work
            return None

    def done(self, work: Work, seconds: float) -> None:
        """Forget work that `take` returned, and that took `seconds`; others of its namespace may be late by that."""
        with self._lock:
            queue = self._queues[work.namespace]
            queue.running = False
            queue.pace += (seconds - queue.pace) / 32
            self._count(queue, -work.size)
            self._refuse_late(queue)
            self._forget(work.namespace)

    def _count(self, queue: _Queue, size: int) -> None:
        queue.size += size
        self._size += size

    def _forget(self, namespace: str) -> None:
        if not self._queues[namespace].works:
            del self._queues[namespace]

    def _refuse(self, queue: _Queue, work: Work, why: str) -> None:
        del queue.waiting[work]
        self._count(queue, -work.size)
        if work.result.set_running_or_notify_cancel():
            work.result.set_exception(OverloadedError(why))

    def _refuse_late(self, queue: _Queue) -> None:
        """Refuse the newest work of a namespace while it is not expected to start before its deadline."""
        while queue.waiting:
            newest = next(reversed(queue.waiting))
            wait = self._expected(queue) if newest.deadline < inf else 0.0
            if not wait or self._clock() + wait <= newest.deadline:
                return
            self._refuse(queue, newest, _LATE)

    def _refuse_large(self) -> None:
        while self._size > self._memory and (waiting := [one for one in self._queues.values() if one.waiting]):
            most = max(waiting, key=lambda queue: queue.size)
            self._refuse(most, next(reversed(most.waiting)), _LARGE)

    def _expected(self, queue: _Queue) -> float:
        """Return in how many seconds the newest work of a namespace is expected to start."""
        ahead = queue.works - 1
        own = ahead * queue.pace
        others = sum(min(one.works, ahead + 1) * one.pace for one in self._queues.values() if one is not queue)
        return max(own, (own + others) / self._threads)
