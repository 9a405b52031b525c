"""A document that is rendered off the event loop, and once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_REST = 4.0
"""After a rendering the thread rests this many times as long as it took: strangers who ask all the time get a fifth."""

T = TypeVar("T")


class Page(Generic[T]):
    """Renders one document at a time. Who asks while one is rendered gets the next one, and so never an old one."""

    def __init__(self, render: Callable[[], T]) -> None:
        """Prepare; nothing is rendered yet.

        Args:
            render: Makes the document, in a thread.
        """
        self._render = render
        self._next: asyncio.Task[T] | None = None
        self._turn = asyncio.Lock()
        self._rested = 0.0

    async def __call__(self) -> T:
        """Return the document as it is now."""
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
