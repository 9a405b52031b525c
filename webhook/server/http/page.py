"""Render a document in a thread, once for all concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_REST = 4.0
"""The pause after a rendering, as a multiple of its duration: constant requests get a fifth of the thread's time."""

T = TypeVar("T")


class Page(Generic[T]):
    """Renders one document at a time. A request during a rendering gets the next one, and so never a stale one."""

    def __init__(self, render: Callable[[], T]) -> None:
        """Prepare; nothing is rendered yet.

        Args:
            render: Renders the document; called in a thread.
        """
        self._render = render
        self._next: asyncio.Task[T] | None = None
        self._turn = asyncio.Lock()
        self._rested = 0.0

    async def __call__(self) -> T:
        """Return a document whose rendering began after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._make())
        return await asyncio.shield(self._next)

    async def _make(self) -> T:
        async with self._turn:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._rested - loop.time())
            self._next = None
            begun = loop.time()
            try:
                return await asyncio.to_thread(self._render)
            finally:
                self._rested = loop.time() + _REST * (loop.time() - begun)
