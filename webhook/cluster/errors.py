"""Errors of the API client, in a module of their own so that they can be caught without the client's slow import."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

LONGEST_MESSAGE: Final = 500
"""Characters of the API server's error message; the rest is truncated."""


UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for JSON that it cannot decode: unexpected types, invalid JSON, too deep nesting, or no UTF-8."""


class NoClusterError(Exception):
    """There is no usable cluster configuration. The text contains what was tried and a suggested fix."""


class ClusterError(Exception):
    """A request to the API server failed.

    Attributes:
        status: The HTTP status; None if there was no response.
        retry_after: Seconds of the Retry-After header; 0 without one.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ExpiredError(ClusterError):
    """The resource version, or the continue token of a list, has expired: 410 Gone.

    Attributes:
        continue_: A token to continue the list with at the newest version; empty if the server sent none.
    """

    continue_: str = ""


class TooLargeError(ClusterError):
    """The response exceeds the size limit."""


def refusal(status: int, message: str, *, retry_after: float = 0.0, continue_: str = "") -> ClusterError:
    """Return the error for a Status of the API server, from a response or from an ERROR event of a watch.

    Args:
        status: The HTTP status.
        message: The Status' message; truncated to `LONGEST_MESSAGE`.
        retry_after: Seconds of the Retry-After header.
        continue_: The continue token of the Status.
    """
    text = message[:LONGEST_MESSAGE] or f"the API server returned {status}"
    if status != HTTPStatus.GONE:
        return ClusterError(text, status, retry_after)
    expired = ExpiredError(text, status, retry_after)
    expired.continue_ = continue_
    return expired
