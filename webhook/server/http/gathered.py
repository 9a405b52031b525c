"""A transport that writes an answer in one piece."""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescingTransport:
    """A transport that sends together what is written together.

    uvicorn writes headers and body apart, which makes two TLS records and two packets of an answer that
    fits into one.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.is_closing = transport.is_closing
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send soon: at `flush`, or when the loop has done what it is doing."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)

    def flush(self) -> None:
        """Send what waits, unless the connection was cut: uvloop raises an error for each write to such a one."""
        if self._waiting:
            if not self.is_closing():
                self._transport.write(b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Send what waits, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a transport has
        return getattr(self._transport, name)
