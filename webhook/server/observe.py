"""What is told about each request: one count, one duration, one log line."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.typing import FilteringBoundLogger

from webhook.core.decision import Decision
from webhook.server.admission import dependency_kinds
from webhook.server.logs import describe
from webhook.server.metrics import Metrics
from webhook.server.outcome import Admission, Outcome

_QUIET = frozenset({Outcome.IGNORED, Outcome.CONFORMS})


class Observer:
    """Counts and logs requests. Nothing that it tells holds a value of a pod's configuration."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.metrics = metrics
        self.log = log

    def admission(self, admission: Admission, seconds: float) -> None:
        """Tell about one request, once it has been answered or lost.

        Args:
            admission: What is known of it.
            seconds: How long it took.
        """
        request = admission.request
        dry_run = request is not None and bool(request.dry_run)
        self.metrics.requests.labels(admission.webhook, admission.outcome.value, str(dry_run).lower()).inc()
        self.metrics.duration.labels(admission.webhook).observe(seconds)
        fields = {"webhook": admission.webhook, "outcome": admission.outcome.value, **_identity(admission)}
        fields |= {"dry_run": dry_run, "ms": round(seconds * 1000, 3)}
        if admission.contradiction is not None:
            code = admission.contradiction.code
            self.metrics.contradictions.labels(code).inc()
            self.log.error("contradiction", contradiction=code, **_decided(admission.decision), **fields)
        elif admission.error is not None:
            self.log.error("admission", **describe(admission.error), **fields)
        elif admission.outcome in _QUIET:
            self.log.debug("admission", **fields)
        elif admission.decision is not None:
            self._decision(admission.decision)
            self.log.info("decision", **_decided(admission.decision), **fields)
        else:
            self.log.warning("admission", detail=admission.detail, **fields)

    def _decision(self, decision: Decision) -> None:
        self.metrics.decisions.labels(
            decision.action.value, decision.rule or "", decision.mode.value, decision.reason.code
        ).inc()
        # Dependencies come surest first, so the last to be put in the dict is the surest when they are reversed.
        surest = {found.kind: found.confidence for found in reversed(decision.findings.dependencies)}
        for kind, confidence in surest.items():
            self.metrics.detections.labels(kind, confidence.value).inc()


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
        return {}
    meta = admission.pod.metadata if admission.pod is not None else None
    name = request.name or (meta and (meta.name or meta.generate_name)) or ""
    return {"uid": request.uid, "namespace": request.namespace, "name": name}


def _decided(decision: Decision | None) -> dict[str, Any]:
    if decision is None:
        return {}
    return {
        "action": decision.action.value,
        "rule": decision.rule,
        "mode": decision.mode.value,
        "reason": decision.reason.code,
        "dependencies": dependency_kinds(decision),
        "policy": decision.policy,
    }
