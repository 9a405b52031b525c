"""One Event and its series, written to the API server.

Several replicas write to the same object. Each adds to the count that it finds, under the object's resource version,
so none overwrites another's.

Source of the series' rules: KEP-383, and client-go tools/events.
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
# Each attempt that meets a conflict means that another replica got through.
_ATTEMPTS = 5
_REQUEST_SECONDS = 5.0
_RIGHTS = "RBAC: grant the webhook create and patch on events of events.k8s.io"


class EventOutcome(StrEnum):
    """What became of an occurrence. The names are a metric's label values."""

    SENT = "sent"
    """A new Event says so."""
    REPEATED = "repeated"
    """It is counted in the series of an Event that was there."""
    DROPPED = "dropped"
    """There was too much to tell, or the process ended before."""
    FAILED = "failed"
    """The API server refused it, or did not answer."""


@dataclass(slots=True)
class Series:
    """One Event.

    Attributes:
        name: Its own, as the API server has it.
        about: The object it regards.
        message: What it says.
        last: When it was last seen, a MicroTime.
        heard: The same on the monotonic clock.
        pending: How often it was seen since it was last written.
        exists: Whether the API server is known to have it.
        count: How often it was seen, as the API server has it.
        version: The resource version of that; empty when the API server must be asked.
    """

    name: str
    about: Regarding
    message: Message
    last: str = ""
    heard: float = 0.0
    pending: int = 0
    exists: bool = False
    count: int = 0
    version: str = ""


class _Meta(Struct, rename="camel"):
    resource_version: str = ""


class _Seen(Struct, rename="camel"):
    count: int = 0
    last_observed_time: str = ""


class _Stored(Struct):
    metadata: _Meta
    series: _Seen | None = None


_STORED = msgspec.json.Decoder(_Stored)


class SeriesWriter:
    """Writes Events, and logs once for each problem that it cannot, and when it can again."""

    def __init__(self, client: Client, *, instance: str, log: FilteringBoundLogger) -> None:
        self._client = client
        self._instance = instance
        self._log = log
        self._problems: dict[str, int | str] = {}

    async def write(self, series: Series) -> EventOutcome | None:
        """Write what is pending of an Event. `pending` itself is left to the caller.

        Args:
            series: The Event; what the API server answers is taken over.

        Returns:
            What became of it: sent, repeated or failed; None where other replicas were quicker each time.
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
                    # Events expire, by default an hour after they were last written.
                    series.exists = False
                else:
                    self._fail(verb, error)
                    return EventOutcome.FAILED
            else:
                self._mend(verb)
                outcome = EventOutcome.REPEATED if series.exists else EventOutcome.SENT
                series.exists = True
                return outcome
        return None

    async def _create(self, path: str, series: Series) -> None:
        event = event_text.body(series.about, series.message, instance=self._instance, time=series.last)
        if series.pending > 1:
            event["series"] = event_text.series(series.pending, series.last)
        _learn(series, await self._client.post(path, event, seconds=_REQUEST_SECONDS))

    async def _add(self, path: str, series: Series) -> None:
        if not series.version:
            # A patch of nothing answers with the Event as it is, so the right to read Events is not needed.
            _learn(series, await self._client.merge(path, {}, seconds=_REQUEST_SECONDS))
        more = {
            "metadata": {"resourceVersion": series.version},
            "series": event_text.series(series.count + series.pending, series.last),
        }
        _learn(series, await self._client.merge(path, more, seconds=_REQUEST_SECONDS))

    def _fail(self, verb: str, error: ClusterError) -> None:
        """Log a problem when it is another one than last time: the texts name an Event each, so the status decides."""
        problem = str(error) if error.status is None else error.status
        if self._problems.get(verb) != problem:
            hint = _RIGHTS if error.status == _FORBIDDEN and "cannot" in str(error) else ""
            self._log.warning("writing Events failed", verb=verb, problem=str(error), status=error.status, hint=hint)
        self._problems[verb] = problem

    def _mend(self, verb: str) -> None:
        if self._problems.pop(verb, None) is not None:
            self._log.info("writing Events resumed", verb=verb)


def _learn(series: Series, answer: bytes) -> None:
    """Take over what the API server has of an Event.

    Raises:
        ClusterError: The answer is no Event.
    """
    try:
        stored = _STORED.decode(answer)
    except UNREADABLE:
        raise ClusterError("unexpected response of the API server") from None
    series.version = stored.metadata.resource_version
    series.count = stored.series.count if stored.series else 1
    if stored.series:
        series.last = max(series.last, stored.series.last_observed_time)
