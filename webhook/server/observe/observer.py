"""Record each request once: metrics, one log line, and Events."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from webhook.core.decision import Decision
from webhook.decision.conformance import Contradiction
from webhook.kubernetes import names
from webhook.kubernetes.admission import AdmissionRequest
from webhook.kubernetes.pod import Pod
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.observe.logs import describe
from webhook.server.observe.metrics import Metrics
from webhook.verdicts.foreseen import Connections

_DECIDED = frozenset({Outcome.PATCHED, Outcome.UNCHANGED})
_COUNTERS = 4096
_QUIET = frozenset({Outcome.IGNORED, Outcome.CONFORMS})


class Events(Protocol):
    """Records Events in the cluster. Both methods return immediately and never raise."""

    def offer(self, decision: Decision, pod: Pod, namespace: str, *, dry_run: bool, connections: Connections) -> None:
        """Record a decision, with what becomes of the pod's connections."""
        ...

    def contradiction(self, code: str, sentence: str, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Record a pod that contradicts its decision."""
        ...


class Observer:
    """Counts and logs requests. Nothing that it records contains a value of a pod's configuration."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger, events: Events | None = None) -> None:
        """Prepare.

        Args:
            metrics: Counts every request.
            log: Logs every request.
            events: Records decisions and contradictions as Events; None without a cluster.
        """
        self.metrics = metrics
        self.log = log
        self._events = events
        for contradiction in Contradiction:
            metrics.contradictions.labels(contradiction.code)  # begins at zero
        # Looking up the counter for label values takes many times as long as incrementing it.
        self._requests = lru_cache(_COUNTERS)(metrics.requests.labels)
        self._duration = lru_cache(_COUNTERS)(metrics.duration.labels)
        self._decisions = lru_cache(_COUNTERS)(metrics.decisions.labels)
        self._detections = lru_cache(_COUNTERS)(metrics.detections.labels)
        self._connections = lru_cache(_COUNTERS)(metrics.connections.labels)

    def admission(self, admission: Admission, seconds: float) -> None:
        """Record one request after its response, or after the client has disconnected.

        Args:
            admission: The request and its outcome.
            seconds: Its duration.
        """
        request = admission.request
        dry_run = request is not None and bool(request.dry_run)
        self._requests(admission.webhook, admission.outcome.value, "true" if dry_run else "false").inc()
        self._duration(admission.webhook).observe(seconds)
        fields = _identity(admission) | {"dry_run": dry_run, "ms": round(seconds * 1000, 3)}
        decided = {} if admission.decision is None else admission.decision.summary
        connections = admission.connections
        if connections.error is not None:
            self.metrics.connection_faults.inc()
            self.log.error("judging connections failed", **describe(connections.error), **fields)
        if connections.broken:
            decided = {**decided, "broken_connections": connections.broken}
        if admission.contradiction is not None:
            code = admission.contradiction.code
            self.metrics.contradictions.labels(code).inc()
            self.log.error("contradiction", contradiction=code, **decided, **fields)
        elif admission.error is not None:
            self.log.error("admission", **describe(admission.error), **fields)
        elif admission.outcome in _QUIET:
            self.log.debug("admission", **fields)
        elif admission.decision is not None:
            self._count(admission.decision, connections)
            if admission.decision.findings.cut:
                overloaded = admission.outcome is Outcome.OVERLOADED
                self.metrics.cut.labels("overload" if overloaded else "budget").inc()
            self.log.info("decision", **decided, **fields)
        else:
            self.log.warning("admission", detail=admission.detail, **fields)
        if self._events is not None and request is not None and admission.pod is not None:
            self._record_event(self._events, admission, admission.pod, request)

    def _record_event(self, events: Events, admission: Admission, pod: Pod, request: AdmissionRequest) -> None:
        dry_run, found = bool(request.dry_run), admission.contradiction
        if found is not None:
            events.contradiction(found.code, found.sentence, pod, request.namespace, dry_run=dry_run)
        elif admission.outcome in _DECIDED and admission.decision is not None:
            events.offer(admission.decision, pod, request.namespace, dry_run=dry_run, connections=admission.connections)

    def _count(self, decision: Decision, connections: Connections) -> None:
        summary = decision.summary
        self._decisions(summary["action"], summary["rule"] or "", summary["mode"], summary["reason"]).inc()
        # Dependencies are ordered by descending confidence, so in reverse the last one put into the dict is the surest.
        surest = {found.kind: found.confidence for found in reversed(decision.findings.dependencies)}
        for kind, confidence in surest.items():
            self._detections(kind, confidence.value).inc()
        for labels, number in connections.counts:
            self._connections(*labels).inc(number)


async def watch_loop_lag(metrics: Metrics, stop: asyncio.Event, *, every: float = 0.5) -> None:
    """Measure the event loop's scheduling delay until `stop` is set: what one slow request costs the others.

    Args:
        metrics: Records the delay.
        stop: Ends the measurement.
        every: Seconds between two measurements.
    """
    clock = asyncio.get_running_loop().time
    while not stop.is_set():
        due = clock() + every
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            metrics.lag.observe(max(0.0, clock() - due))


def _identity(admission: Admission) -> dict[str, Any]:
    request = admission.request
    if request is None:
        return {"webhook": admission.webhook, "outcome": admission.outcome.value}
    meta = admission.pod.metadata if admission.pod is not None else None
    return {
        "webhook": admission.webhook,
        "outcome": admission.outcome.value,
        "uid": request.uid,
        "namespace": request.namespace,
        "name": (request.name or (meta and (meta.name or meta.generate_name)) or "")[: names.LONGEST],
    }
