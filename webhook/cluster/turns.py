"""One event loop for serving requests and for reading a cluster: requests come first.

A request takes a fraction of a millisecond, in several steps of the loop. If reading only let go of the loop from time
to time, it would come between each two of them. So it works for a moment, and then leaves the loop alone for as long.
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
"""Longer work at a stretch would be felt by the requests that are served meanwhile."""
START_SLICE_SECONDS: Final = 0.02
"""The same while there are no requests but probes."""
LARGE_BYTES: Final = 4 * 1024
"""A larger object may take longer to read than a slice: a thread reads it, and shares the interpreter fairly."""
START_LARGE_BYTES: Final = 16 * 1024
PAGE_BYTES: Final = 256 * 1024
"""Of a list at a time. Its objects are told apart in one piece, which takes some 2 ms for a megabyte."""
START_PAGE_BYTES: Final = 1024 * 1024
READERS: Final = 2
"""Threads that read large objects."""

T = TypeVar("T")


class Turns:
    """Whose turn it is to work on the event loop: of all that read the cluster, one at a time.

    As a context it is a turn; within it, `checkpoint` is to be called wherever requests may come in between.
    """

    def __init__(self, serving: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            serving: Whether requests are served by now.
            clock: Seconds, monotonic.
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
        """How much of a list may be taken apart at once."""
        return PAGE_BYTES if self._serving() else START_PAGE_BYTES

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        self._holder = asyncio.current_task()
        self._began = self._clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever is cancelled while a thread reads for it has no turn to end.
        if self._holder is asyncio.current_task():
            self._end()

    def _end(self) -> None:
        self._worked += self._clock() - self._began
        self._holder = None
        self._lock.release()

    async def checkpoint(self) -> None:
        """Let requests through if work has gone on for long enough."""
        now = self._clock()
        self._worked += now - self._began
        serving = self._serving()
        if self._worked > (SLICE_SECONDS if serving else START_SLICE_SECONDS):
            await asyncio.sleep(max(self._worked, SLICE_SECONDS) if serving else 0)
            self._worked = 0.0
            now = self._clock()
        self._began = now

    async def rest(self, seconds: float) -> None:
        """Have a reader that used a thread for so long pause for as long, while requests are served."""
        if seconds > SLICE_SECONDS and self._serving():
            await asyncio.sleep(seconds)

    async def reduced(self, read: Callable[[Raw], T], item: Raw) -> T:
        """Return what `read` makes of an object, without holding up the event loop if it is large.

        A large object is read in a thread, and the turn is another's until that is done.

        Args:
            read: Free of side effects, for a thread may run it.
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
