"""What is told about the policy in force: in the log, in metrics, in readiness and at /policy."""

from __future__ import annotations

from typing import Any

from structlog.typing import FilteringBoundLogger

from webhook.policy.source import PolicySource, PolicyStatus, ReloadOutcome
from webhook.problem import Problem
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Health


class PolicyTelling:
    """Logs and counts every change of the policy's status."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log

    def start(self, source: PolicySource) -> None:
        """Tell of the first policy."""
        for warning in source.current.warnings:
            self._log.warning("policy warning", problem=str(warning))
        self(ReloadOutcome.LOADED, source.status)

    def __call__(self, outcome: ReloadOutcome, status: PolicyStatus) -> None:
        """Tell of one change; "unchanged" means that a fault is gone and the content in force is the file's again."""
        self._metrics.policy_loads.labels(outcome.value).inc()
        self._metrics.policy_rejected.set(outcome is ReloadOutcome.REJECTED)
        known = {"policy": status.name, "generation": status.generation, "source": status.source}
        if outcome is ReloadOutcome.REJECTED:
            self._log.error("policy rejected", problems=[str(problem) for problem in status.problems or ()], **known)
            return
        # The file is good: what is in force is what it says.
        self._metrics.policy.show({(status.name, status.generation): 1})
        self._metrics.policy_loaded.set(status.loaded_at.timestamp())
        self._log.info("policy loaded", **known)


def policy_health(source: PolicySource) -> Health:
    """There is always a good policy in force, so this check passes; a rejected edit is remarked."""
    problems = source.status.problems
    if problems is None:
        return Health(ok=True)
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    first = str(problems[0]) if problems else "the files cannot be read"
    return Health(ok=True, remark=f"generation {source.status.generation} stays active: {first}{more}")


def policy_document(source: PolicySource) -> dict[str, Any]:
    """What GET /policy shows."""
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
