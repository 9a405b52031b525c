"""Compare a running pod with what would be decided about it now, and judge its connections."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from webhook.core.budget import Budget
from webhook.decision.drift import Decided, Drift, compared, decided_now, restart_command
from webhook.decision.policy import Policy
from webhook.kubernetes.pod import Pod
from webhook.server.admission.deciding import Decider
from webhook.verdicts.foreseen import NONE, Connections
from webhook.verdicts.judge import MOST_UNITS

# A mirror pod represents a static pod, which the kubelet runs from a file whatever was decided.
_MIRROR = "kubernetes.io/config.mirror"
# The deadline for deciding about one pod. A pod that exceeds it is not reported.
_LONGEST_SECONDS = 4.0


class Workload(NamedTuple):
    """Pods of one owner with the same drift, decision and rule."""

    namespace: str
    kind: str
    name: str
    drift: Drift
    action: str
    rule: str | None
    restart: str | None


class Judged(NamedTuple):
    """A running pod.

    Attributes:
        workload: Its workload, if it has drifted.
        connections: What becomes of its connections, as it runs.
    """

    workload: Workload | None = None
    connections: Connections = NONE


NOTHING: Final = Judged()


def judge(item: Raw, decider: Decider, policy: Policy) -> Judged:
    """Return whether a pod has drifted, and what becomes of its connections.

    Args:
        item: The pod's JSON.
        decider: Decides about the pod.
        policy: The active policy.

    Raises:
        msgspec.DecodeError, RecursionError, UnicodeDecodeError: The pod cannot be decoded.
    """
    document = msgspec.json.decode(item, type=dict)
    pod = msgspec.convert(document, Pod)
    if document["metadata"].get("deletionTimestamp") or _MIRROR in pod.annotations:
        return NOTHING
    deadline = time.monotonic() + _LONGEST_SECONDS
    now = decided_now(
        pod,
        document,
        surroundings=decider.surroundings,
        policy=policy,
        detect=decider.cache.detect,
        budget=Budget(cancelled=lambda: time.monotonic() > deadline),
    )
    if now is None:
        return NOTHING
    connections = NONE
    if decider.connections is not None:
        budget = Budget(MOST_UNITS, lambda: time.monotonic() > deadline)
        namespace = pod.metadata.namespace or ""
        connections = decider.connections.final(pod, now.created, namespace, now.decision, policy, budget)
    return Judged(_drifted(pod, now), connections)


def _drifted(pod: Pod, now: Decided) -> Workload | None:
    found = compared(pod, now)
    if found is None:
        return None
    kind, name = (found.owner.kind, found.owner.name) if found.owner is not None else ("Pod", found.name)
    restart = restart_command(found.namespace, found.owner)
    return Workload(found.namespace, kind, name, found.drift, found.decision.action.value, found.decision.rule, restart)
