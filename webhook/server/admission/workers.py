"""Decisions that take long, off the event loop: few at a time, by turns between namespaces, each with an end.

A thread shares the interpreter with the event loop, so what runs here gives way to small requests at every switch. One
namespace has one thread at a time, whatever its tenants send; the others wait in order, and no longer than their
callers do.
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
"""How long a thread may keep the interpreter while the event loop wants it: see `sys.setswitchinterval`."""

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection before the request had come in, or before it was answered."""


class OverloadedError(Exception):
    """There was no thread for the work in time. Its text is a sentence without any value."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for an answer.

    Attributes:
        deadline: Until when, in seconds of `time.monotonic`.
        receive: The ASGI channel of a request whose body has come in; its next message says that the client has gone.
    """

    deadline: float = inf
    receive: Receive | None = None


ANYBODY: Final = Caller()


class Workers:
    """A few threads, and who waits for them."""

    THREADS: Final = 2
    MOST: Final = 64
    """Works that run or wait. Each holds on to the body of its request."""
    MOST_EACH: Final = 16
    """The same for one namespace."""

    def __init__(self) -> None:
        """Begin without any thread."""
        self._threads = ThreadPoolExecutor(self.THREADS, thread_name_prefix="decision")
        self._free = asyncio.Semaphore(self.THREADS)
        self._turns: dict[str, asyncio.Lock] = {}
        self._works: Counter[str] = Counter()
        self._leaving = False

    async def run(self, namespace: str, work: Callable[[Callable[[], bool]], T], caller: Caller) -> T:
        """Do some work in a thread.

        Args:
            namespace: Whose work it is.
            work: Is given a function that says whether it is to stop; it asks often, and then ends soon.
            caller: For whom.

        Raises:
            OverloadedError: Too much waits, the deadline has passed before a thread was free, or the server leaves.
            ClientGoneError: The client has gone.
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
        """Stop what runs, and take nothing more: the server leaves."""
        self._leaving = True

    async def close(self) -> None:
        """Let go of the threads; none keeps the process alive for longer than its work takes to notice."""
        self.leave()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _turn(self, namespace: str, deadline: float) -> AsyncIterator[None]:
        """Wait for the namespace's turn, then for a thread: who waits for a thread is one of each namespace."""
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
    """Say when the client has gone. The body has come in, so nothing else is to be received."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stop.set()
