"""uvicorn as it is run here: HTTP/1.1, no signals of its own, and an end to what a silent client may cost."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.server.settings import Limits


class Gathered:
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
        """Send what waits."""
        if self._waiting:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Send what waits, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a transport has
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the deadlines that it lacks, and with answers in one piece.

    uvicorn waits without end for a connection's first request and for the rest of a request's headers; and at
    shutdown, up to its own timeout, for a client to take note that its connection is being closed.
    """

    limits: ClassVar[Limits] = Limits()
    leaving: ClassVar[bool] = False
    _overdue: asyncio.TimerHandle | None = None
    _in_headers: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """From the handshake on, the first request's headers are awaited."""
        super().connection_made(cast("asyncio.Transport", Gathered(transport, self.loop)))
        self._overdue = self.loop.call_later(self.limits.read, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Where headers have begun and not ended, as they rarely do, the rest is awaited."""
        super().data_received(data)
        if self._in_headers and self._overdue is None:
            self._overdue = self.loop.call_later(self.limits.read, self.transport.abort)

    def on_message_begin(self) -> None:
        """The first byte of a request is here."""
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the application has its own deadline for the body. Who leaves keeps no connection."""
        self._in_headers = False
        self._relax()
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer is sent, and may close the connection."""
        cast("Gathered", self.transport).flush()
        super().on_response_complete()
        self._cut_when_closing()

    def shutdown(self) -> None:
        """The server leaves: an idle connection is closed, a busy one after its answer."""
        super().shutdown()
        self._cut_when_closing()

    def _relax(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _cut_when_closing(self) -> None:
        if self.transport.is_closing():
            self.loop.call_later(self.limits.close, self.transport.abort)


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to whoever runs it beside others.

    Attributes:
        accepting: Set when connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, protocol: type[BoundedProtocol]) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._protocol = protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        await super().startup(sockets)
        self.accepting.set()

    def leave(self) -> None:
        """Go on answering, and close each connection after its next answer.

        A client that goes on using a connection may have sent a request when the port closes, and cannot know then
        whether it was served: Go's, which the API server uses, sends no POST twice.
        """
        self._protocol.leaving = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: ASGIApp, limits: Limits, *, tls: ssl.SSLContext | None = None) -> EmbeddedServer:
    """A server for one of the ports.

    Args:
        app: What it serves.
        limits: What a client may cost.
        tls: The context for TLS; without it the port is plain.

    Returns:
        The server; `serve(sockets=[…])` runs it until `should_exit` is set.
    """
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits})
    return EmbeddedServer(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.keep_alive,
            timeout_graceful_shutdown=limits.grace,
            ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
        ),
        protocol,
    )
