"""What can go wrong with a cluster. Apart from the client, so that it can be named without the client's slow import."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

LONGEST_MESSAGE: Final = 500
"""Characters of the API server's own words; the rest is cut off."""


UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for JSON that it cannot read: of another shape or no JSON, nested too deeply, or no UTF-8."""


class NoClusterError(Exception):
    """There is no configuration to reach a cluster with. Its text says what was tried and how to fix it."""


class ClusterError(Exception):
    """The API server refused, or could not be asked.

    Attributes:
        status: The HTTP status; None when there was no answer.
        retry_after: Seconds for which the API server asks to be left alone; 0 when it does not.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ExpiredError(ClusterError):
    """The resource version, or the list's next page, is too old: 410 Gone.

    Attributes:
        continue_: A token to go on with at the newest version from where the list was; empty when there is none.
    """

    continue_: str = ""


class TooLargeError(ClusterError):
    """The answer has more bytes than may be read at once."""


def refusal(status: int, message: str, *, retry_after: float = 0.0, continue_: str = "") -> ClusterError:
    """Return the error for what an API server says, in an answer or in the middle of a watch."""
    said = message[:LONGEST_MESSAGE] or f"the API server returned {status}"
    if status != HTTPStatus.GONE:
        return ClusterError(said, status, retry_after)
    expired = ExpiredError(said, status, retry_after)
    expired.continue_ = continue_
    return expired
