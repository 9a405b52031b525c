"""A transport that coalesces writes, so that a response is sent in one piece."""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescingTransport:
    """A transport that coalesces the writes of one event-loop iteration.

    uvicorn writes headers and body separately, which results in two TLS records and two packets for a response that
    fits into one.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.is_closing = transport.is_closing
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Buffer data until `flush`, or until the next iteration of the event loop."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Send the buffered data, unless the connection is closing: then uvloop raises an error for each write."""
        if self._waiting:
            if not self.is_closing():
                self._transport.write(b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Flush, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a transport has
        return getattr(self._transport, name)
