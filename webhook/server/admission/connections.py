"""What a pod's author is told of connections that break: warnings, and the audit log's annotation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from webhook.core.decision import Action, Decision
from webhook.verdicts.foreseen import Connections, Foreseen

MOST: Final = 4
"""Connections in the warnings about one pod; of more, only the number."""
_MOST_CODES: Final = 16
_DONE: Final = {Action.SKIP: "the sidecar is skipped", Action.INJECT: "a sidecar is requested"}


def harm(decision: Decision, connections: Connections) -> Sequence[str]:
    """Return warnings of connections that break by the decision, and would flow without it."""
    by = "the policy's default" if decision.rule is None else f"rule {decision.rule}"
    done = _DONE.get(decision.action, "its port is excluded from the sidecar")
    return _limited(
        [f"{by} breaks the connection to {one}: {done}, and without that it flows" for one in _harmed(connections)]
    )


def lost(connections: Connections) -> Sequence[str]:
    """Return warnings of connections that break because the pod is not as it was decided."""
    return _limited([f"so the connection to {one} breaks, which would flow as decided" for one in _harmed(connections)])


def broken(connections: Connections) -> dict[str, str]:
    """Return the audit annotation with the number of broken connections for each code, as "strict-refuses=2"."""
    counts = Counter(one.code for one in connections.shown)
    listed = ",".join(f"{code}={number}" for code, number in sorted(counts.items())[:_MOST_CODES])
    return {"broken-connections": listed} if listed else {}


def _harmed(connections: Connections) -> list[Foreseen]:
    return [one for one in connections.shown if one.harmed]


def _limited(warnings: list[str]) -> Sequence[str]:
    more = len(warnings) - MOST
    return warnings if more <= 0 else [*warnings[:MOST], f"{more} more connections break for such reasons"]
