"""uvicorn as it is run here: HTTP/1.1, no signals of its own, and an end to what a silent client may cost."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, ClassVar, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from webhook.server.connections import Acceptor, Connection, Standing
from webhook.server.settings import Limits

_BUFFER = 64 * 1024
"""Bytes of a connection that are kept in each direction, beside what is being read or written just now."""
_LAST_WORD = 0.1
"""Seconds in which a client gets to know that its request is refused, before its connection is cut."""
_BAD_REQUEST, _TOO_LARGE = (
    b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, status.phrase.encode())
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
)


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


class TooMuchError(Exception):
    """A request has more than its limits allow. Raised through the parser, which stops."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it lacks, and with answers in one piece.

    uvicorn waits without end for a connection's first request, for the rest of a request's headers, for a client that
    does not read, and for one that goes on sending what nobody reads; it keeps headers of any size and any number of
    pipelined requests; and at shutdown it waits, up to its own timeout, for a client to take note that its connection
    is being closed.
    """

    limits: ClassVar[Limits] = Limits()
    leaving: ClassVar[bool] = False
    peer: str = ""
    since: float = 0.0
    opening: asyncio.Task[None] | None = None
    accepted: dict[Connection, None]
    _overdue: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_headers: bool = False
    _head: int = 0
    """Bytes that came in since headers were last complete, without those of bodies."""

    @property
    def standing(self) -> Standing:
        """Return how much the connection is worth keeping."""
        if self.opening is not None or self._overdue is not None or self.flow.write_paused:
            return Standing.UNFINISHED
        if self.cycle.response_complete:
            return Standing.IDLE
        return Standing.UNFINISHED if self.cycle.more_body else Standing.BUSY

    def cut(self) -> None:
        """Close the connection at once, without sending what is left."""
        if self.opening is not None:
            self.opening.cancel()
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """From the handshake on, the first request's headers are awaited."""
        super().connection_made(cast("asyncio.Transport", Gathered(transport, self.loop)))
        self.url, self.headers = b"", []
        transport.set_write_buffer_limits(high=_BUFFER)
        if self.scheme == "https":  # asyncio's TLS transports read ahead; its plain ones do not
            cast("Any", transport).set_read_buffer_limits(high=_BUFFER)
        self._overdue = self.loop.call_later(self.limits.read, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self.accepted.pop(self, None)
        self._relax()
        self.resume_writing()
        self._unset_keepalive_if_required()  # uvicorn keeps it after a reset, and with it all that the connection had
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser. Where headers have begun and not ended, as they rarely do, the rest is awaited.

        So it is where a client sends anything else than a request: what is left of one that has been answered already,
        or empty lines.
        """
        self._head += len(data)
        super().data_received(data)
        if self._head > self.limits.head or len(self.headers) > self.limits.headers:
            if not self.transport.is_closing():
                self._refuse(_TOO_LARGE)
        elif self._overdue is None and (self._in_headers or self.cycle.response_complete):
            self._overdue = self.loop.call_later(self.limits.read, self.transport.abort)

    def on_message_begin(self) -> None:
        """The first byte of a request is here."""
        self._in_headers = True
        self.since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the application has its own deadline for the body. Who leaves keeps no connection."""
        if self._too_much():
            raise TooMuchError
        self._in_headers = False
        self._head = 0
        self._relax()
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on. Its framing may be as long as itself."""
        if self._head:
            self._head = max(0, self._head - 2 * len(body))
        super().on_body(body)

    def on_response_complete(self) -> None:
        """An answer is sent, and may close the connection."""
        cast("Gathered", self.transport).flush()
        super().on_response_complete()
        self._cut_when_closing()

    def pause_writing(self) -> None:
        """The client has left much unread: it is awaited, but not without end."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.write, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for too long."""
        super().timeout_keep_alive_handler()
        self._cut_when_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the answer has no text
        """Refuse what the parser did not take."""
        self._refuse(_TOO_LARGE if self._too_much() else _BAD_REQUEST)

    def shutdown(self) -> None:
        """The server leaves: an idle connection is closed, a busy one after its answer."""
        super().shutdown()
        self._cut_when_closing()

    def _too_much(self) -> bool:
        """Return whether the headers that have come in, or the requests that wait, exceed their limits."""
        if len(self.headers) > self.limits.headers or len(self.pipeline) >= self.limits.pipelined:
            return True
        # Sizes are added up only where so much came in at once that the limit may have been passed.
        return self._head > self.limits.head and self.limits.head < len(self.url) + sum(
            len(name) + len(value) for name, value in self.headers
        )

    def _refuse(self, answer: bytes) -> None:
        """Close the connection, with an answer unless an earlier request is still to get its own."""
        begun = self.cycle is not None
        if not (begun and not self.cycle.response_complete):
            self.transport.write(answer)
        self.transport.close()
        # Until then TLS keeps reading, which is worth no more for this client.
        self.loop.call_later(_LAST_WORD, self.transport.abort)

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
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()

        def make() -> BoundedProtocol:
            return self._protocol(self.config, self.server_state, self.lifespan.state, loop)

        self.servers = [
            cast("asyncio.Server", Acceptor(listening, make, self._protocol.limits, self.config.ssl))
            for listening in sockets or ()
        ]
        self.started = True
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
