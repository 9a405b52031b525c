"""Read the body of a request with limits on its type, size, time and memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from starlette.types import Message, Receive, Scope

from webhook.kubernetes.outline import LARGE, decoded_size, is_large
from webhook.server.admission.outcome import Outcome
from webhook.server.admission.workers import ClientGoneError

DISCARDED = 4
"""How many times the limit is read and discarded after a 413, so that a client that writes before it reads receives it.
"""
SMALL = LARGE
"""Bytes. Smaller bodies are always accepted: the number of connections bounds their memory."""


class RefusedError(Exception):
    """The request is refused with an HTTP error. The text is for the operator and contains no value.

    Attributes:
        status: The HTTP status.
        outcome: The outcome.
        rest: Bytes of the body to discard after the response, before the connection is closed.
    """

    def __init__(self, status: HTTPStatus, outcome: Outcome, message: str, rest: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome
        self.rest = rest


class _Incoming:
    """A body that is being received."""

    __slots__ = ("deadline", "displaced", "size")

    def __init__(self, deadline: asyncio.Timeout) -> None:
        self.deadline = deadline
        self.size = 0
        self.displaced = False


class Bodies:
    """Bounds the total memory of all bodies that are being received or processed, and of their decoded content.

    A body that does not fit displaces the one that has been incomplete for longest: a client at network speed takes
    milliseconds, so that one is slow or stalled. The new body is only refused if all others are complete and are being
    processed.
    """

    def __init__(self, limit: int, decoded: int) -> None:
        """Start without any body.

        Args:
            limit: Total bytes of all bodies larger than `SMALL`.
            decoded: Additional bytes of memory for their decoded strings and values.
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
            incoming: The body's state while more of it is expected; None once it is complete.

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
        """Mark a body as no longer incoming. A whole one stays counted until `release`."""
        self._incoming.pop(incoming, None)
        if not whole and not incoming.displaced:
            self._held -= incoming.size

    def decode(self, body: bytes | bytearray) -> None:
        """Count the memory that decoding a complete body will take.

        Raises:
            RefusedError: 503; there is no memory for it, and the body has been released.
        """
        size = decoded_size(body) if is_large(body) else 0
        if size and self._decoded + size > self._most_decoded:
            self._held -= _held(body)
            raise _too_busy()
        if size:
            self._decoded += size
            self._sizes[id(body)] = size

    def release(self, body: bytes | bytearray) -> None:
        """Stop counting a body that `read_body` returned."""
        self._held -= _held(body)
        self._decoded -= self._sizes.pop(id(body), 0)

    def _displace(self, incoming: _Incoming) -> None:
        del self._incoming[incoming]
        self._held -= incoming.size
        incoming.displaced = True
        incoming.deadline.reschedule(0)


def _held(body: bytes | bytearray) -> int:
    return len(body) if len(body) > SMALL else 0


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float, bodies: Bodies) -> bytes | bytearray:
    """Read the body of a JSON request.

    Args:
        scope: The ASGI scope.
        receive: The ASGI channel.
        limit: Maximum size of the body in bytes.
        seconds: Timeout for receiving the body.
        bodies: Counts the body until the caller releases it.

    Returns:
        The body.

    Raises:
        RefusedError: 415 for another content type or encoding, 413 for a body over the limit, 408 after the timeout,
            503 if other bodies take all memory.
        ClientGoneError: The connection was lost.
    """
    announced = _check_headers(scope)
    if announced > limit:
        raise _too_large(limit, announced if announced <= limit * DISCARDED else 0)
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
    """Check the headers that describe the body, and return its Content-Length, or 0 without one."""
    content_type = b""
    announced = 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            announced = int(value)  # the HTTP parser accepts only digits
        elif name == b"content-encoding" and value.strip().lower() != b"identity":
            raise RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Outcome.WRONG_CONTENT_TYPE, "Content-Encoding is not supported"
            )
    # The API server sends exactly this; parameters such as a charset are irrelevant for JSON.
    if content_type != b"application/json" and (content_type.partition(b";")[0].strip().lower() != b"application/json"):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Outcome.WRONG_CONTENT_TYPE, "content-type is not application/json"
        )
    return announced


def _at_once(receive: Receive) -> Message | None:
    """Return the message if it has been received already; None if it must be awaited.

    Most bodies arrive together with their headers, and a timeout costs more than reading them.
    """
    waiting = receive().__await__()
    try:
        next(waiting)
    except StopIteration as received:
        message: Message = received.value
        return message
    # No message was consumed, so receive() may be awaited again.
    waiting.close()
    return None


async def _receive_all(
    message: Message, receive: Receive, limit: int, bodies: Bodies, incoming: _Incoming
) -> bytearray:
    collected = bytearray()
    whole = False
    try:
        while message["type"] == "http.request":
            chunk = message["body"]
            more = message.get("more_body", False)
            if len(collected) + len(chunk) > limit:
                raise _too_large(limit, limit * DISCARDED if more else 0)
            collected += chunk
            bodies.hold(len(collected), incoming)
            if not more:
                whole = True
                return collected
            message = await receive()
    finally:
        bodies.received(incoming, whole=whole)
    raise ClientGoneError


async def discard(receive: Receive, rest: int, seconds: float) -> None:
    """Read and discard what a client still sends of a body: `rest` bytes at most, for `seconds` at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while rest > 0 and (message := await receive()).get("more_body", False):
                rest -= len(message["body"])


def _too_large(limit: int, rest: int = 0) -> RefusedError:
    message = f"request body exceeds {limit} bytes"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Outcome.TOO_LARGE, message, rest)


def _too_busy() -> RefusedError:
    return RefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE, Outcome.TOO_BUSY, "memory for large requests is exhausted: try again"
    )
