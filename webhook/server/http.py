"""uvicorn as it is run here: HTTP/1.1, no signals of its own, and an end to what a silent client may cost."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from webhook.server.connections import Connection, Standing
from webhook.server.gathered import Gathered
from webhook.server.settings import Limits

_BUFFER = 64 * 1024
"""Bytes of a connection that are kept in each direction, beside what is being read or written just now."""
_HEADER = 128
"""Bytes of memory that a header takes beside its text."""
_LAST_WORD = 0.1
"""Seconds in which a client gets to know that its request is refused, before its connection is cut."""
_BAD_REQUEST, _TOO_LARGE = (
    b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, status.phrase.encode())
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
)


class TooMuchError(Exception):
    """A request has more than its limits allow. Raised through the parser, which stops."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it lacks, and with answers in one piece.

    uvicorn waits without end for a connection's first request, for the rest of a request's headers, for a client that
    does not read, and for one that goes on sending what nobody reads; it keeps headers of any size and any number of
    pipelined requests, and answers them while the client reads none; of a lost connection it informs only the latest
    of them; and at shutdown it waits, up to its own timeout, for a client that sends or reads no more.
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
    """The request that is being answered, or was last; later ones are in the pipeline."""
    _postponed: tuple[RequestResponseCycle, Any] | None = None
    """The next request, while answers are unread."""
    _in_headers: bool = False
    _head: int = 0
    """Bytes that came in since headers were last complete, without those of bodies."""

    @property
    def standing(self) -> Standing:
        """Return how much the connection is worth keeping."""
        if self.opening is not None or self.flow.write_paused:
            return Standing.UNFINISHED
        answered = self._running is None or self._running.response_complete
        if self._running is not None and not answered and not self._running.more_body:
            return Standing.BUSY
        return Standing.IDLE if answered and self._overdue is None else Standing.UNFINISHED

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
        if self._ending is not None:
            self._ending.cancel()  # until then it keeps all that the connection had, TLS included
        self._postponed = None
        self.pipeline.clear()
        self.resume_writing()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self._unset_keepalive_if_required()  # uvicorn keeps it after a reset, and with it all that the connection had
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser. Where headers have begun and not ended, as they rarely do, the rest is awaited.

        So it is where a client sends anything else than a request: what is left of one that has been answered already,
        or empty lines.
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
        """The first byte of a request is here."""
        self._in_headers = True
        self.since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """From here on the application has its own deadline for the body. Who leaves keeps no connection."""
        if self._too_much():
            raise TooMuchError
        self._in_headers, self._head = False, 0
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
        """The client reads again, so its next request is answered."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
        if self._postponed is not None:
            postponed, self._postponed = self._postponed, None
            self._start_asgi_task(*postponed)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle for too long."""
        super().timeout_keep_alive_handler()
        self._cut_when_closing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the answer has no text
        """Refuse what the parser did not take."""
        self._refuse(_TOO_LARGE if self._too_much() else _BAD_REQUEST)

    def shutdown(self) -> None:
        """The server leaves: an idle connection is closed, a busy one after its answer.

        The rest of an unfinished request, which a client sends within milliseconds, and the reading of answers are
        awaited for a short while.
        """
        self.leaving = True
        if not self._in_headers:
            super().shutdown()
            self._cut_when_closing()
        self.loop.call_later(self.limits.finish, self._cut_unless_busy)

    def _cut_unless_busy(self) -> None:
        # Nobody waits for a decision of the plain port, where a client that pipelines pages is busy for long.
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
        """Return whether the headers that have come in, or the requests that wait, exceed their limits."""
        if len(self.headers) > self.limits.headers or len(self.pipeline) >= self.limits.pipelined:
            return True
        # Sizes are added up only where so much came in at once that the limit may have been passed.
        return self._head > self.limits.head and self.limits.head < len(self.url) + sum(
            len(name) + len(value) for name, value in self.headers
        )

    def _waiting(self) -> int:
        """Return the bytes that the pipeline takes. At each answer uvicorn reads on, however many requests wait."""
        return sum(
            len(cycle.body)
            + len(cycle.scope["raw_path"] + cycle.scope["query_string"])
            + sum(len(name) + len(value) + _HEADER for name, value in cycle.scope["headers"])
            for cycle, _ in self.pipeline
        )

    def _refuse(self, answer: bytes) -> None:
        """Close the connection, with an answer unless an earlier request is still to get its own."""
        begun = self.cycle is not None
        if not (begun and not self.cycle.response_complete):
            self.transport.write(answer)
        self.pipeline.clear()
        self.transport.close()
        # Until then TLS keeps reading, which is worth no more for this client.
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
