"""The body of a request: of the right type, of bounded size, in bounded time."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.types import Message, Receive, Scope

from webhook.server.outcome import Outcome

DISCARDED = 4
"""How many times the limit is read and thrown away, so that a client that writes all before it reads sees the 413."""


class RefusedError(Exception):
    """The request is answered with an HTTP error. Its text is for the operator and holds no value."""

    def __init__(self, status: HTTPStatus, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


class ClientGoneError(Exception):
    """The client closed the connection before the request had come in, or before it was answered."""


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes | bytearray:
    """Read the body of a request that says it is JSON.

    Args:
        scope: The ASGI scope.
        receive: The ASGI channel.
        limit: Bytes that the body may have.
        seconds: Time that it may take.

    Returns:
        The body.

    Raises:
        RefusedError: 415 for another content type or encoding, 413 for a body over the limit, 408 for one that takes
            too long.
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
        return body
    try:
        async with asyncio.timeout(seconds):
            return await _receive_all(first or await receive(), receive, limit)
    except TimeoutError:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, Outcome.TOO_SLOW, f"the body did not come in within {seconds:g} s"
        ) from None


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
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Outcome.WRONG_CONTENT_TYPE, "an encoded body is not taken"
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


async def _receive_all(message: Message, receive: Receive, limit: int) -> bytearray:
    collected = bytearray()
    seen = 0
    while message["type"] == "http.request":
        chunk = message["body"]
        seen += len(chunk)
        if seen <= limit:
            collected += chunk
        more = message.get("more_body", False)
        if seen > limit * DISCARDED or (seen > limit and not more):
            raise _too_large(limit)
        if not more:
            return collected
        message = await receive()
    raise ClientGoneError


def _too_large(limit: int) -> RefusedError:
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Outcome.TOO_LARGE, f"the body has more than {limit} bytes")
