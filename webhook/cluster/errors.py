"""What can go wrong with a cluster. Apart from the client, so that it can be named without the client's slow import."""

from __future__ import annotations

from http import HTTPStatus


class NoClusterError(Exception):
    """There is no configuration to reach a cluster with. Its text says what was tried and how to mend it."""


class ClusterError(Exception):
    """The API server refused, or could not be asked.

    Attributes:
        status: The HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ExpiredError(ClusterError):
    """The resource version, or the list's next page, is too old: 410 Gone."""


def refusal(status: int, message: str) -> ClusterError:
    """The error for what an API server says, in an answer or in the middle of a watch."""
    kind = ExpiredError if status == HTTPStatus.GONE else ClusterError
    return kind(message or f"the API server answers {status}", status)
