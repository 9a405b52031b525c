"""One event loop for serving requests and for reading a cluster: requests come first.

A request takes a fraction of a millisecond, in several steps of the loop. If reading only let go of the loop from time
to time, it would come between each two of them. So it works for a moment, and then leaves the loop alone for as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

from msgspec import Raw

SLICE_SECONDS: Final = 0.001
"""Longer work at a stretch would be felt by the requests that are served meanwhile."""
START_SLICE_SECONDS: Final = 0.02
"""The same while there are no requests but probes."""
LARGE_BYTES: Final = 4 * 1024
"""A larger object may take longer to read than a slice: a thread reads it, and shares the interpreter fairly."""
START_LARGE_BYTES: Final = 64 * 1024
PAGE_BYTES: Final = 256 * 1024
"""Of a list at a time. Its objects are told apart in one piece, which takes some 2 ms for a megabyte."""
START_PAGE_BYTES: Final = 1024 * 1024

T = TypeVar("T")


class Turns:
    """Whose turn it is to work on the event loop: of all that read the cluster, one at a time.

    As a context it is a turn; within it, `breathe` is to be called wherever requests may come in between.
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
        self._began = 0.0
        self._worked = 0.0

    @property
    def page_bytes(self) -> int:
        """How much of a list may be taken apart at once."""
        return PAGE_BYTES if self._serving() else START_PAGE_BYTES

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        self._began = self._clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worked += self._clock() - self._began
        self._lock.release()

    async def breathe(self) -> None:
        """Let requests through if work has gone on for long enough."""
        now = self._clock()
        self._worked += now - self._began
        serving = self._serving()
        if self._worked > (SLICE_SECONDS if serving else START_SLICE_SECONDS):
            await asyncio.sleep(max(self._worked, SLICE_SECONDS) if serving else 0)
            self._worked = 0.0
            now = self._clock()
        self._began = now

    async def reduced(self, read: Callable[[Raw], T], item: Raw) -> T:
        """What `read` makes of an object, without holding up the event loop if it is large.

        Args:
            read: Free of side effects, for a thread may run it.
            item: The object's JSON.
        """
        if memoryview(item).nbytes <= (LARGE_BYTES if self._serving() else START_LARGE_BYTES):
            return read(item)
        result = await asyncio.to_thread(read, item)
        # The loop was free meanwhile.
        self._began = self._clock()
        return result
