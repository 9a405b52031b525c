"""uvicorn as it is run here: HTTP/1.1, no signals of its own, and an end to what a silent client may cost."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from webhook.server.http.coalescing import CoalescingTransport
from webhook.server.http.connections import Connection, Standing
from webhook.server.settings import Limits

_BUFFER = 64 * 1024
"""Bytes buffered per connection and direction, besides the data that is being read or written."""
_HEADER = 128
"""Bytes of memory that a header takes besides its text."""
_LAST_WORD = 0.1
"""Seconds in which a client can read that its request is refused, before its connection is cut."""
_BAD_REQUEST, _TOO_LARGE = (
    b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, status.phrase.encode())
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
)


class TooMuchError(Exception):
    """A request exceeds its limits. Raised through the parser, which stops."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it lacks, and with responses in one piece.

    uvicorn has no timeout for a connection's first request, for the rest of a request's headers, for a client that does
    not read, and for one that keeps sending data that is not read; it buffers headers of any size and any number of
    pipelined requests, and responds to them while the client reads nothing; after a disconnect it notifies only the
    latest of them; and at shutdown it waits, up to its own timeout, for a client that neither sends nor reads.
    """

    limits: ClassVar[Limits] = Limits()
    leaving: bool = False
    peer: str = ""
    since: float = 0.0
    opening: asyncio.Task[None] | None = None
    accepted: dict[Connection, None]
    _overdue: asyncio.TimerHandle | None = None
    _ending: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None
    """The request that is being processed, or was last; later ones are in the pipeline."""
    _postponed: tuple[RequestResponseCycle, Any] | None = None
    """The next request, while responses are unread."""
    _in_headers: bool = False
    _head: int = 0
    """Bytes received since headers were last complete, without those of bodies."""

    @property
    def standing(self) -> Standing:
        """The priority of the connection."""
        if self.opening is not None or self.flow.write_paused:
            return Standing.UNFINISHED
        answered = self._running is None or self._running.response_complete
        if self._running is not None and not answered and not self._running.more_body:
            return Standing.BUSY
        return Standing.IDLE if answered and self._overdue is None else Standing.UNFINISHED

    def cut(self) -> None:
        """Abort the connection without flushing its write buffer."""
        if self.opening is not None:
            self.opening.cancel()
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the timeout for the first request's headers, after the handshake."""
        super().connection_made(cast("asyncio.Transport", CoalescingTransport(transport, self.loop)))
        self.url, self.headers = b"", []
        transport.set_write_buffer_limits(high=_BUFFER)
        if self.scheme == "https":  # asyncio's TLS transports read ahead; its plain ones do not
            cast("Any", transport).set_read_buffer_limits(high=_BUFFER)
        self._overdue = self.loop.call_later(self.limits.read, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeouts and drop the pipelined requests."""
        self.accepted.pop(self, None)
        self._relax()
        if self._ending is not None:
            self._ending.cancel()  # it references the connection, including its TLS state
        self._postponed = None
        self.pipeline.clear()
        self.resume_writing()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self._unset_keepalive_if_required()  # uvicorn keeps it after a reset, and with it all that the connection had
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser. If headers are incomplete, which is rare, start the timeout for the rest.

        The same applies to data that is not a request: the rest of one that has been responded to already, or empty
        lines.
        """
        self._head += len(data)
        super().data_received(data)
        excess = self._head > self.limits.head or len(self.headers) > self.limits.headers
        if excess or (self.pipeline and self._waiting() > self.limits.waiting):
            if not self.transport.is_closing():
                self._refuse(_TOO_LARGE)
        elif self._overdue is None and (self._in_headers or self._running is None or self.cycle.response_complete):
            self._overdue = self.loop.call_later(self.limits.read, self.transport.abort)

    def on_message_begin(self) -> None:
        """Record the start of a request."""
        self._in_headers = True
        self.since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the timeout, since the application has its own for the body. Disable keep-alive while draining."""
        if self._too_much():
            raise TooMuchError
        self._in_headers, self._head = False, 0
        self._relax()
        super().on_headers_complete()
        if self.leaving and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, and do not count its framing, which may be as long as the part itself."""
        if self._head:
            self._head = max(0, self._head - 2 * len(body))
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Flush the response, after which the connection may close."""
        cast("CoalescingTransport", self.transport).flush()
        super().on_response_complete()
        self._cut_when_closing()

    def pause_writing(self) -> None:
        """Start the write timeout, since the client has left too much unread."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.write, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the write timeout, and start the postponed request."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
        if self._postponed is not None:
            postponed, self._postponed = self._postponed, None
            self._start_asgi_task(*postponed)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection after its idle timeout."""
        super().timeout_keep_alive_handler()
        self._cut_when_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the answer has no text
        """Refuse a request that the parser rejected."""
        self._refuse(_TOO_LARGE if self._too_much() else _BAD_REQUEST)

    def shutdown(self) -> None:
        """Close an idle connection now, and a busy one after its response.

        There is a short timeout for the rest of an unfinished request, which a client sends within milliseconds, and
        for reading responses.
        """
        self.leaving = True
        if not self._in_headers:
            super().shutdown()
            self._cut_when_closing()
        self.loop.call_later(self.limits.finish, self._cut_unless_busy)

    def _cut_unless_busy(self) -> None:
        # No decision is pending on the plain port, where a client that pipelines requests may stay busy.
        if self.standing is Standing.BUSY and self.scheme == "https":
            self.loop.call_later(_LAST_WORD, self._cut_unless_busy)
        else:
            self.cut()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:  # noqa: ANN401 - as uvicorn has it
        if self.flow.write_paused:
            self._postponed = cycle, app
        else:
            self._running = cycle
            super()._start_asgi_task(cycle, app)

    def _too_much(self) -> bool:
        """Return whether the received headers, or the pipelined requests, exceed their limits."""
        if len(self.headers) > self.limits.headers or len(self.pipeline) >= self.limits.pipelined:
            return True
        # Sizes are added up only if so much was received at once that the limit may be exceeded.
        return self._head > self.limits.head and self.limits.head < len(self.url) + sum(
            len(name) + len(value) for name, value in self.headers
        )

    def _waiting(self) -> int:
        """Return the size of the pipeline in bytes. After each response uvicorn resumes reading, whatever the size."""
        return sum(
            len(cycle.body)
            + len(cycle.scope["raw_path"] + cycle.scope["query_string"])
            + sum(len(name) + len(value) + _HEADER for name, value in cycle.scope["headers"])
            for cycle, _ in self.pipeline
        )

    def _refuse(self, answer: bytes) -> None:
        """Close the connection, with a response unless that of an earlier request is still pending."""
        begun = self.cycle is not None
        if not (begun and not self.cycle.response_complete):
            self.transport.write(answer)
        self.pipeline.clear()
        self.transport.close()
        # Until then TLS keeps reading, which a refused client should not cause for longer.
        self._end_within(_LAST_WORD)

    def _relax(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _cut_when_closing(self) -> None:
        if self.transport.is_closing():
            self._end_within(self.limits.close)

    def _end_within(self, seconds: float) -> None:
        ending = self._ending
        if ending is None or self.loop.time() + seconds < ending.when():
            self._ending = self.loop.call_later(seconds, self.transport.abort)
            if ending is not None:
                ending.cancel()
