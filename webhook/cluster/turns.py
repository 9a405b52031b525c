"""Time-slice background work on the event loop, so that requests have priority over reading the cluster.

A request takes a fraction of a millisecond, in several iterations of the loop. If background work only yielded to the
loop, it would run between any two of them. So it runs for a time slice, and then sleeps for as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from msgspec import Raw

SLICE_SECONDS: Final = 0.001
"""The time slice. Longer work would noticeably delay requests."""
START_SLICE_SECONDS: Final = 0.02
"""The same before the first list is complete, when only probes are served."""
LARGE_BYTES: Final = 4 * 1024
"""A larger object may take longer to read than a slice: it is read in a thread, which shares the GIL fairly."""
START_LARGE_BYTES: Final = 16 * 1024
PAGE_BYTES: Final = 256 * 1024
"""Bytes in a page of a list. A page is split into its objects in one call, which takes some 2 ms per megabyte."""
START_PAGE_BYTES: Final = 1024 * 1024
READERS: Final = 2
"""Threads that read large objects."""

T = TypeVar("T")


class Turns:
    """Serialises all readers of the cluster on the event loop, and makes them yield to requests.

    As an async context manager it is one turn; within it, await `checkpoint` wherever the work may be interrupted.
    """

    def __init__(self, serving: Callable[[], bool], clock: Callable[[], float] = time.thread_time) -> None:
        """Prepare.

        Args:
            serving: Returns whether requests are served yet.
            clock: CPU seconds of this thread: what a busy machine makes it wait is not work to rest from.
        """
        self._serving = serving
        self._clock = clock
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ingest")
        self._began = 0.0
        self._worked = 0.0

    @property
    def page_bytes(self) -> int:
        """The desired size of a list's page, in bytes."""
        return PAGE_BYTES if self._serving() else START_PAGE_BYTES

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        self._holder = asyncio.current_task()
        self._began = self._clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A task that is cancelled while a thread reads for it does not have the turn.
        if self._holder is asyncio.current_task():
            self._end()

    def _end(self) -> None:
        self._worked += self._clock() - self._began
        self._holder = None
        self._lock.release()

    async def checkpoint(self) -> None:
        """Sleep to let requests run if the time slice is used up."""
        now = self._clock()
        self._worked += now - self._began
        serving = self._serving()
        if self._worked > (SLICE_SECONDS if serving else START_SLICE_SECONDS):
            await asyncio.sleep(max(self._worked, SLICE_SECONDS) if serving else 0)
            self._worked = 0.0
            now = self._clock()
        self._began = now

    async def rest(self, seconds: float) -> None:
        """Sleep for as long as a reader has used a thread, if requests are served.

        Args:
            seconds: The CPU time that it used.
        """
        if seconds > SLICE_SECONDS and self._serving():
            await asyncio.sleep(seconds)

    async def reduced(self, read: Callable[[Raw], T], item: Raw) -> T:
        """Return `read(item)`, computed in a thread if the object is large.

        While the thread runs, the turn is released.

        Args:
            read: Must be free of side effects, since it may run in a thread.
            item: The object's JSON.
        """
        if memoryview(item).nbytes <= (LARGE_BYTES if self._serving() else START_LARGE_BYTES):
            return read(item)
        had_turn = self._holder is not None and self._holder is asyncio.current_task()
        if had_turn:
            self._end()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read, item)
        finally:
            if had_turn:
                await self.__aenter__()
