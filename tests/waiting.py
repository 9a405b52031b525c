"""Wait for what another task brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], *, seconds: float = 5) -> None:
    """Return when a condition holds.

    Raises:
        TimeoutError: It does not in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
