"""The body of a request: of the right type, of bounded size, in bounded time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.types import Message, Receive, Scope

from webhook.kubernetes.outline import LARGE, MOST_VALUES, MOST_WIDE, is_large, is_wide, most_values
from webhook.server.admission.outcome import Outcome
from webhook.server.admission.workers import ClientGoneError

DISCARDED = 4
"""How many times the limit is read and thrown away, so that a client that writes all before it reads sees the 413."""
SMALL = LARGE
"""Bytes. Smaller bodies are always received, whatever others hold: the number of connections bounds their memory."""

_WIDE = 5
"""Times the bytes of a body that its texts take at most: four for each character, and the text in UTF-8 beside it."""
_VALUE = 160
"""Bytes of memory that a value takes at most. What a thread makes of it comes on top, for two reviews at a time."""


class RefusedError(Exception):
    """The request is answered with an HTTP error. Its text is for the operator and holds no value."""

    def __init__(self, status: HTTPStatus, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


class _Incoming:
    """A body that is being received."""

    __slots__ = ("deadline", "displaced", "size")

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self.deadline = deadline
        self.size = 0
        self.displaced = False


class Bodies:
    """Bound the memory of all bodies that are being received or answered, together, and that of what is in them.

    A body that does not fit displaces the one that has been coming in for longest: a client that sends at the speed of
    a network takes milliseconds, so that one is slow or stalled. Only where all bodies have come in already, and are
    being answered, is the new one refused.
    """

    def __init__(self, limit: int, decoded: int) -> None:
        """Start without any body.

        Args:
            limit: Bytes that all bodies may have that are larger than `SMALL`.
            decoded: Bytes of memory that their texts and values may take besides, once they are decoded.
        """
        self._limit = limit
        self._most_decoded = decoded
        self._held = 0
        self._decoded = 0
        self._sizes: dict[int, int] = {}
        self._incoming: dict[_Incoming, None] = {}

    def hold(self, size: int, incoming: _Incoming | None = None) -> None:
        """Count a body that has been received up to `size`.

        Args:
            size: Its bytes.
            incoming: Given as long as more of it is expected.

        Raises:
            RefusedError: 503; there is no memory for it, and it has been released.
        """
        if size <= SMALL:
            return
        if incoming is None:
            self._held += size
        else:
            self._held += size - incoming.size
            incoming.size = size
            self._incoming[incoming] = None
        while self._held > self._limit and self._incoming:
            self._displace(next(iter(self._incoming)))
        if incoming is not None and incoming.displaced:
            raise _too_busy()
        if self._held > self._limit:
            self._held -= size
            raise _too_busy()

    def received(self, incoming: _Incoming, *, whole: bool) -> None:
        """Expect no more of a body. It stays counted if it is whole, until `release`."""
        self._incoming.pop(incoming, None)
        if not whole and not incoming.displaced:
            self._held -= incoming.size

    def decode(self, body: bytes | bytearray) -> None:
        """Count what is going to be decoded of a body that has come in whole.

        Raises:
            RefusedError: 503; there is no memory for it, and the body has been released.
        """
        size = _decoded(body)
        if size and self._decoded + size > self._most_decoded:
            self._held -= _held(body)
            raise _too_busy()
        if size:
            self._decoded += size
            self._sizes[id(body)] = size

    def release(self, body: bytes | bytearray) -> None:
        """Count a body no more, which `read_body` has returned."""
        self._held -= _held(body)
        self._decoded -= self._sizes.pop(id(body), 0)

    def _displace(self, incoming: _Incoming) -> None:
        del self._incoming[incoming]
        self._held -= incoming.size
        incoming.displaced = True
        incoming.deadline.reschedule(0)


def _held(body: bytes | bytearray) -> int:
    return len(body) if len(body) > SMALL else 0


def _decoded(body: bytes | bytearray) -> int:
    """Return the bytes of memory that what is in a body takes at most; 0 where that is little."""
    if not is_large(body):
        return 0
    texts = min(len(body), MOST_WIDE) * _WIDE if is_wide(body) else len(body)
    return texts + min(most_values(body), MOST_VALUES) * _VALUE


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float, bodies: Bodies) -> bytes | bytearray:
    """Read the body of a request that says it is JSON.

    Args:
        scope: The ASGI scope.
        receive: The ASGI channel.
        limit: Bytes that the body may have.
        seconds: Time that it may take.
        bodies: Counts it, until the caller releases it.

    Returns:
        The body.

    Raises:
        RefusedError: 415 for another content type or encoding, 413 for a body over the limit, 408 for one that takes
            too long, 503 where other bodies take all memory.
        ClientGoneError: The connection was lost.
    """
    announced = _check_headers(scope)
    if announced > limit * DISCARDED:
        raise _too_large(limit)
    first = _at_once(receive)
    if first is not None and first["type"] == "http.request" and not first.get("more_body", False):
        body: bytes = first["body"]
        if len(body) > limit:
            raise _too_large(limit)
        bodies.hold(len(body))
        bodies.decode(body)
        return body
    try:
        async with asyncio.timeout(seconds) as deadline:
            incoming = _Incoming(deadline)
            collected = await _receive_all(first or await receive(), receive, limit, bodies, incoming)
    except TimeoutError:
        if incoming.displaced:
            raise _too_busy() from None
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, Outcome.TOO_SLOW, f"request body timed out after {seconds:g} s"
        ) from None
    bodies.decode(collected)
    return collected


def _check_headers(scope: Scope) -> int:
    """Check what the headers say of the body, and return its length if they tell, else 0."""
    content_type = b""
    announced = 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            announced = int(value)  # the HTTP parser has let only digits through
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Outcome.WRONG_CONTENT_TYPE, "Content-Encoding is not supported"
            )
    # The API server sends exactly this; parameters such as a charset say nothing new about JSON.
    if content_type != b"application/json" and (content_type.partition(b";")[0].strip().lower() != b"application/json"):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Outcome.WRONG_CONTENT_TYPE, "content-type is not application/json"
        )
    return announced


def _at_once(receive: Receive) -> Message | None:
    """What has been received already; None where that has to be awaited.

    Most bodies come with their headers, and a deadline costs more than to read them.
    """
    waiting = receive().__await__()
    try:
        next(waiting)
    except StopIteration as received:
        message: Message = received.value
        return message
    # Nothing was taken: who is asked again waits again.
    waiting.close()
    return None


async def _receive_all(
    message: Message, receive: Receive, limit: int, bodies: Bodies, incoming: _Incoming
) -> bytearray:
    collected = bytearray()
    seen = 0
    whole = False
    try:
        while message["type"] == "http.request":
            chunk = message["body"]
            seen += len(chunk)
            if seen <= limit:
                collected += chunk
                bodies.hold(len(collected), incoming)
            more = message.get("more_body", False)
            if seen > limit * DISCARDED or (seen > limit and not more):
                raise _too_large(limit)
            if not more:
                whole = True
                return collected
            message = await receive()
    finally:
        bodies.received(incoming, whole=whole)
    raise ClientGoneError


def _too_large(limit: int) -> RefusedError:
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Outcome.TOO_LARGE, f"request body exceeds {limit} bytes")


def _too_busy() -> RefusedError:
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE, Outcome.TOO_BUSY, "memory for large requests is exhausted: try again"
    )
