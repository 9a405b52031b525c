"""What is told about each request: one count, one duration, one log line."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, Protocol

from structlog.typing import FilteringBoundLogger

from webhook.core.decision import Decision
from webhook.kubernetes import names
from webhook.kubernetes.admission import AdmissionRequest
from webhook.kubernetes.pod import Pod
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.observe.logs import describe
from webhook.server.observe.metrics import Metrics

_DECIDED = frozenset({Outcome.PATCHED, Outcome.UNCHANGED})
_COUNTERS = 4096
_QUIET = frozenset({Outcome.IGNORED, Outcome.CONFORMS})


class Events(Protocol):
    """Tells decisions to whoever looks at the cluster. Both methods return at once and never raise."""

    def offer(self, decision: Decision, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Tell a decision."""
        ...

    def contradiction(self, code: str, sentence: str, pod: Pod, namespace: str, *, dry_run: bool) -> None:
        """Warn of a pod that is not as decided."""
        ...


class Observer:
    """Counts and logs requests. Nothing that it tells holds a value of a pod's configuration."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger, events: Events | None = None) -> None:
        """Take what is told to.

        Args:
            metrics: Every request is counted.
            log: Every request is logged.
            events: Decisions and contradictions are told; None where there is no cluster.
        """
        self.metrics = metrics
        self.log = log
        self._events = events
        # To find the counter of some label values takes many times as long as to count.
        self._requests = lru_cache(_COUNTERS)(metrics.requests.labels)
        self._duration = lru_cache(_COUNTERS)(metrics.duration.labels)
        self._decisions = lru_cache(_COUNTERS)(metrics.decisions.labels)
        self._detections = lru_cache(_COUNTERS)(metrics.detections.labels)

    def admission(self, admission: Admission, seconds: float) -> None:
        """Tell about one request, once it has been answered or lost.

        Args:
            admission: What is known of it.
            seconds: How long it took.
        """
        request = admission.request
        dry_run = request is not None and bool(request.dry_run)
        self._requests(admission.webhook, admission.outcome.value, "true" if dry_run else "false").inc()
        self._duration(admission.webhook).observe(seconds)
        fields = _identity(admission) | {"dry_run": dry_run, "ms": round(seconds * 1000, 3)}
        decided = {} if admission.decision is None else admission.decision.summary
        if admission.contradiction is not None:
            code = admission.contradiction.code
            self.metrics.contradictions.labels(code).inc()
            self.log.error("contradiction", contradiction=code, **decided, **fields)
        elif admission.error is not None:
            self.log.error("admission", **describe(admission.error), **fields)
        elif admission.outcome in _QUIET:
            self.log.debug("admission", **fields)
        elif admission.decision is not None:
            self._count(admission.decision)
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
            events.offer(admission.decision, pod, request.namespace, dry_run=dry_run)

    def _count(self, decision: Decision) -> None:
        summary = decision.summary
        self._decisions(summary["action"], summary["rule"] or "", summary["mode"], summary["reason"]).inc()
        # Dependencies come surest first, so the last to be put in the dict is the surest when they are reversed.
        surest = {found.kind: found.confidence for found in reversed(decision.findings.dependencies)}
        for kind, confidence in surest.items():
            self._detections(kind, confidence.value).inc()


async def watch_loop_lag(metrics: Metrics, stop: asyncio.Event, *, every: float = 0.5) -> None:
    """Measure, until `stop` is set, how late the event loop wakes up: what one slow request costs the others.

    Args:
        metrics: Where it is recorded.
        stop: Ends the watch.
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
