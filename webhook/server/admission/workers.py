"""Make decisions that take long in threads: few concurrently, fair between namespaces, each with a deadline.

A thread shares the GIL with the event loop, so work here yields to small requests at every switch. A namespace uses at
most one thread at a time, whatever its tenants send; further work waits in order, and no longer than its callers do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import Final, TypeVar

from starlette.types import Receive

from webhook.server.admission.backlog import Backlog, OverloadedError, Work

SWITCH_SECONDS: Final = 0.0005
"""How long a thread may hold the GIL while the event loop requests it: see `sys.setswitchinterval`."""

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection before the request was received, or before the response."""


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
    """A small thread pool with a fair queue, bounded by memory and by the expected time."""

    THREADS: Final = 2
    MEMORY: Final = 48 * 1024 * 1024
    """Bytes of memory that queued and running work may keep: for each connection a pod of 20 KB and 900 values."""

    def __init__(self) -> None:
        """Start without any thread."""
        self._threads = ThreadPoolExecutor(self.THREADS, thread_name_prefix="decision")
        self._backlog = Backlog(self.MEMORY, self.THREADS)
        self._leaving = False

    async def run(self, namespace: str, work: Callable[[Callable[[], bool]], T], caller: Caller, *, size: int = 0) -> T:
        """Run `work` in a thread.

        Args:
            namespace: The namespace that the work is for.
            work: Gets a function that returns whether to stop; must call it often, and return soon once it does.
            caller: The deadline, and the client that waits.
            size: Bytes of memory that it keeps, as far as nothing else bounds them.

        Raises:
            OverloadedError: No thread was free before the deadline, or is expected to be; queued work keeps too much
                memory; or the server shuts down.
            ClientGoneError: The client has disconnected.
        """
        if self._leaving:
            raise OverloadedError("the server is shutting down")
        stop = Event()

        def cancelled() -> bool:
            return self._leaving or stop.is_set() or time.monotonic() > caller.deadline

        queued = Work(namespace, lambda: work(cancelled), size, caller.deadline)
        loop = asyncio.get_running_loop()
        left = max(0.0, caller.deadline - time.monotonic())
        timer = loop.call_later(left, self._backlog.withdraw, queued) if left < inf else None
        watch = None if caller.receive is None else asyncio.create_task(_watch(caller.receive, stop))
        try:
            self._backlog.add(queued)
            self._threads.submit(self._serve)
            result: T = await asyncio.wrap_future(queued.result)
            if stop.is_set():
                raise ClientGoneError
            return result
        finally:
            stop.set()
            self._backlog.withdraw(queued)
            for task in (timer, watch):
                if task is not None:
                    task.cancel()

    def leave(self) -> None:
        """Cancel running work and accept no more, since the server shuts down."""
        self._leaving = True

    async def close(self) -> None:
        """Shut the thread pool down; cancelled work delays the process's exit until its next check only."""
        self.leave()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _serve(self) -> None:
        """Do work in a thread until there is none for it; the event loop, which may be busy, is not in between."""
        while (work := self._backlog.take()) is not None:
            began = time.monotonic()
            try:
                if work.result.set_running_or_notify_cancel():
                    _do(work)
            finally:
                self._backlog.done(work, time.monotonic() - began)


def _do(work: Work) -> None:
    try:
        result = work.call()
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        work.result.set_exception(error)
    else:
        work.result.set_result(result)


async def _watch(receive: Receive, stop: Event) -> None:
    """Set `stop` once the client disconnects. The body is complete, so no other message follows."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stop.set()
