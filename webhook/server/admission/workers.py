"""Make decisions that take long in threads: few concurrently, fair between namespaces, each with a deadline.

A thread shares the GIL with the event loop, so work here yields to small requests at every switch. A namespace uses at
most one thread at a time, whatever its tenants send; further work waits in order, and no longer than its callers do.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import Final, TypeVar

from starlette.types import Receive

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may hold the GIL while the event loop requests it: see `sys.setswitchinterval`."""

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection before the request was received, or before the response."""


class OverloadedError(Exception):
    """No thread was free before the deadline. The text is a sentence that contains no value."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that waits for a response.

    Attributes:
        deadline: The deadline, in seconds of `time.monotonic`.
        receive: The ASGI channel of a request whose body is complete; its next message is the client's disconnect.
    """

    deadline: float = inf
    receive: Receive | None = None


ANYBODY: Final = Caller()


class Workers:
    """A small thread pool with a fair, bounded queue."""

    THREADS: Final = 2
    MOST: Final = 64
    """Running and queued work. Each keeps the body of its request in memory."""
    MOST_EACH: Final = 16
    """The same for one namespace."""

    def __init__(self) -> None:
        """Start without any thread."""
        self._threads = ThreadPoolExecutor(self.THREADS, thread_name_prefix="decision")
        self._free = asyncio.Semaphore(self.THREADS)
        self._turns: dict[str, asyncio.Lock] = {}
        self._works: Counter[str] = Counter()
        self._leaving = False

    async def run(self, namespace: str, work: Callable[[Callable[[], bool]], T], caller: Caller) -> T:
        """Run `work` in a thread.

        Args:
            namespace: The namespace that the work is for.
            work: Gets a function that returns whether to stop; must call it often, and return soon once it does.
            caller: The deadline, and the client that waits.

        Raises:
            OverloadedError: The queue is full, no thread was free before the deadline, or the server shuts down.
            ClientGoneError: The client has disconnected.
        """
        stop = Event()
        watch = None if caller.receive is None else asyncio.create_task(_watch(caller.receive, stop))
        try:
            async with self._turn(namespace, caller.deadline):
                result = await asyncio.get_running_loop().run_in_executor(
                    self._threads,
                    work,
                    lambda: self._leaving or stop.is_set() or time.monotonic() > caller.deadline,
                )
            if stop.is_set():
                raise ClientGoneError
            return result
        finally:
            stop.set()
            if watch is not None:
                watch.cancel()

    def leave(self) -> None:
        """Cancel running work and accept no more, since the server shuts down."""
        self._leaving = True

    async def close(self) -> None:
        """Shut the thread pool down; cancelled work delays the process's exit until its next check only."""
        self.leave()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _turn(self, namespace: str, deadline: float) -> AsyncIterator[None]:
        """Wait for the namespace's turn, then for a thread, for which at most one per namespace waits."""
        if self._leaving:
            raise OverloadedError("the server is shutting down")
        if self._works.total() >= self.MOST or self._works[namespace] >= self.MOST_EACH:
            raise OverloadedError("too many pods with long evaluations are queued")
        self._works[namespace] += 1
        turn = self._turns.setdefault(namespace, asyncio.Lock())
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic()) if deadline < inf else None) as waiting:
                async with turn, self._free:
                    waiting.reschedule(None)
                    yield
        except TimeoutError:
            raise OverloadedError("timed out in the queue of pods with long evaluations") from None
        finally:
            self._works[namespace] -= 1
            if not self._works[namespace]:
                del self._works[namespace], self._turns[namespace]


async def _watch(receive: Receive, stop: Event) -> None:
    """Set `stop` once the client disconnects. The body is complete, so no other message follows."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stop.set()
