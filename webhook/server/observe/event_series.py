"""Write one Event and its series to the API server.

Several replicas write to the same object. Each adds to the stored count with optimistic concurrency, so that none
overwrites another's.

Source of the rules for series: KEP-383, and client-go tools/events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from webhook.cluster.client import Client
from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.server.observe import event_text
from webhook.server.observe.event_text import Message, Regarding

_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403
# Each conflict means that another replica has succeeded.
_ATTEMPTS = 5
_REQUEST_SECONDS = 5.0
_RIGHTS = "RBAC: grant the webhook create and patch on events of events.k8s.io"


class EventOutcome(StrEnum):
    """The outcome of one occurrence. The values are a metric's label values."""

    SENT = "sent"
    """An Event was created."""
    REPEATED = "repeated"
    """The series of an existing Event was updated."""
    DROPPED = "dropped"
    """The queue was full, or the process ended before."""
    FAILED = "failed"
    """The API server refused the request, or did not respond."""


@dataclass(slots=True)
class Series:
    """One Event and its occurrences.

    Attributes:
        name: The Event's name in the API.
        about: The object that it regards.
        message: Its reason, action and note.
        last: Time of the last occurrence, a MicroTime.
        last_seen: The same on the monotonic clock, in seconds.
        pending: Occurrences since the last write.
        exists: Whether the Event is known to exist in the API server.
        count: Occurrences stored in the API server.
        version: The resource version of that count; empty if it must be read first.
    """

    name: str
    about: Regarding
    message: Message
    last: str = ""
    last_seen: float = 0.0
    pending: int = 0
    exists: bool = False
    count: int = 0
    version: str = ""


class _EventMeta(Struct, rename="camel"):
    resource_version: str = ""


class _StoredSeries(Struct, rename="camel"):
    count: int = 0
    last_observed_time: str = ""


class _StoredEvent(Struct):
    metadata: _EventMeta
    series: _StoredSeries | None = None


_STORED_EVENT = msgspec.json.Decoder(_StoredEvent)


class SeriesWriter:
    """Writes Events, and logs each new problem once, and the recovery."""

    def __init__(self, client: Client, *, instance: str, log: FilteringBoundLogger) -> None:
        self._client = client
        self._instance = instance
        self._log = log
        self._problems: dict[str, int | str] = {}

    async def write(self, series: Series) -> EventOutcome | None:
        """Write the pending occurrences of an Event. `pending` itself is reset by the caller.

        Args:
            series: The Event; updated from the API server's response.

        Returns:
            The outcome: sent, repeated or failed; None if every attempt conflicted with another replica.
        """
        path = event_text.collection(series.about)
        for _ in range(_ATTEMPTS):
            verb = "patch" if series.exists else "create"
            try:
                await (self._add(f"{path}/{series.name}", series) if series.exists else self._create(path, series))
            except ClusterError as error:
                series.version = ""
                if error.status == _CONFLICT:
                    series.exists = True
                elif error.status == _NOT_FOUND and series.exists:
                    # Events expire, by default an hour after the last write.
                    series.exists = False
                else:
                    self._log_failure(verb, error)
                    return EventOutcome.FAILED
            else:
                self._log_recovery(verb)
                outcome = EventOutcome.REPEATED if series.exists else EventOutcome.SENT
                series.exists = True
                return outcome
        return None

    async def _create(self, path: str, series: Series) -> None:
        event = event_text.body(series.about, series.message, instance=self._instance, time=series.last)
        if series.pending > 1:
            event["series"] = event_text.series(series.pending, series.last)
        _refresh(series, await self._client.post(path, event, seconds=_REQUEST_SECONDS))

    async def _add(self, path: str, series: Series) -> None:
        if not series.version:
            # An empty patch returns the Event, so that permission to get Events is not required.
            _refresh(series, await self._client.merge(path, {}, seconds=_REQUEST_SECONDS))
        more = {
            "metadata": {"resourceVersion": series.version},
            "series": event_text.series(series.count + series.pending, series.last),
        }
        _refresh(series, await self._client.merge(path, more, seconds=_REQUEST_SECONDS))

    def _log_failure(self, verb: str, error: ClusterError) -> None:
        """Log a problem if it differs from the last one: by status, since each text contains the name of an Event."""
        problem = str(error) if error.status is None else error.status
        if self._problems.get(verb) != problem:
            hint = _RIGHTS if error.status == _FORBIDDEN and "cannot" in str(error) else ""
            self._log.warning("writing Events failed", verb=verb, problem=str(error), status=error.status, hint=hint)
        self._problems[verb] = problem

    def _log_recovery(self, verb: str) -> None:
        if self._problems.pop(verb, None) is not None:
            self._log.info("writing Events resumed", verb=verb)


def _refresh(series: Series, answer: bytes) -> None:
    """Update an Event's count and version from the API server's response.

    Raises:
        ClusterError: The response is not an Event.
    """
    try:
        stored = _STORED_EVENT.decode(answer)
    except UNREADABLE:
        raise ClusterError("unexpected response of the API server") from None
    series.version = stored.metadata.resource_version
    series.count = stored.series.count if stored.series else 1
    if stored.series:
        series.last = max(series.last, stored.series.last_observed_time)
