"""Report the active policy: in the log, in metrics, in readiness and at /policy."""

from __future__ import annotations

from typing import Any

from structlog.typing import FilteringBoundLogger

from webhook.policy.source import PolicySource, PolicyStatus, ReloadOutcome
from webhook.problem import Problem
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Health


class PolicyReporter:
    """Logs and counts every change of the policy's status."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        for outcome in ReloadOutcome:
            metrics.policy_loads.labels(outcome.value)  # begins at zero

    def start(self, source: PolicySource) -> None:
        """Record the first policy and its warnings."""
        for warning in source.current.warnings:
            self._log.warning("policy warning", problem=str(warning))
        self(ReloadOutcome.LOADED, source.status)

    def __call__(self, outcome: ReloadOutcome, status: PolicyStatus) -> None:
        """Record one load; "unchanged" means that an invalid edit was reverted to the active content."""
        self._metrics.policy_loads.labels(outcome.value).inc()
        self._metrics.policy_rejected.set(outcome is ReloadOutcome.REJECTED)
        known = {"policy": status.name, "generation": status.generation, "source": status.source}
        if outcome is ReloadOutcome.REJECTED:
            self._log.error("policy rejected", problems=[str(problem) for problem in status.problems or ()], **known)
            return
        # The file is valid, so the active policy is its content.
        self._metrics.policy.show({(status.name, status.generation): 1})
        self._metrics.policy_loaded.set(status.loaded_at.timestamp())
        self._log.info("policy loaded", **known)


def policy_health(source: PolicySource) -> Health:
    """Return ready, since there is always a valid active policy; with a notice for a rejected edit."""
    problems = source.status.problems
    if problems is None:
        return Health(ok=True)
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    first = str(problems[0]) if problems else "the files cannot be read"
    return Health(ok=True, notice=f"generation {source.status.generation} stays active: {first}{more}")


def policy_document(source: PolicySource) -> dict[str, Any]:
    """Return the response of GET /policy."""
    status = source.status
    return {
        "name": status.name,
        "generation": status.generation,
        "source": status.source,
        "loadedAt": status.loaded_at,
        "rejectedAt": status.rejected_at,
        "problems": [_problem(problem) for problem in status.problems or ()],
        "warnings": [_problem(problem) for problem in source.current.warnings],
        "policy": source.current.document,
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity,
        "file": problem.file,
        "line": problem.line,
        "field": problem.field,
        "message": problem.message,
        "hint": problem.hint,
    }
