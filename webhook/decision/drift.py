"""Detect drift: running pods whose sidecar differs from the one that they would get if they were created now.

A pod keeps the sidecar that it was created with. The decision about such a pod may change afterwards: by an edit of the
policy, of a ConfigMap or of a Service, by a label on the namespace, or because the webhook was unavailable when it was
created.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from webhook.core.budget import Budget
from webhook.core.decision import Action, Decision, Reason
from webhook.core.facts import owners_of
from webhook.core.surroundings import Surroundings
from webhook.decision.created import AsCreated
from webhook.decision.engine import Detect, decide
from webhook.decision.policy import Policy
from webhook.detection.detect import detect as detect_uncached
from webhook.kubernetes.names import LABEL, SUBDOMAIN
from webhook.kubernetes.pod import OwnerReference, Pod
from webhook.mesh import MESH

_RESTARTED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


class Drift(Enum):
    """How a pod differs from what would be created now: a stable code (metrics, /drift) and a sentence for users.

    | it would be created              | the pod has                                         | drift            |
    |----------------------------------|-----------------------------------------------------|------------------|
    | without a sidecar                | a sidecar                                           | sidecar-unwanted |
    | with one                         | none                                                | sidecar-missing  |
    | with ports excluded, or held     | a sidecar without that                              | remedy-missing   |
    | without ports excluded           | a sidecar that excludes ports of an old decision    | remedy-unwanted  |
    """

    SIDECAR_UNWANTED = ("sidecar-unwanted", "the pod has a sidecar, but should have none")
    SIDECAR_MISSING = ("sidecar-missing", "the pod has no sidecar, but should have one")
    REMEDY_MISSING = ("remedy-missing", "sidecar lacks the excluded ports or hold setting that the policy requires")
    REMEDY_UNWANTED = ("remedy-unwanted", "sidecar still excludes ports that the policy no longer excludes")

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Drifted:
    """A running pod that differs from the one that would be created now.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        owner: The workload that it belongs to; None for a pod without an owner.
        drift: How it differs.
        decision: What would be decided now.
    """

    namespace: str
    name: str
    owner: OwnerReference | None
    drift: Drift
    decision: Decision


@dataclass(frozen=True, slots=True)
class Decided:
    """What is decided now about a pod that runs.

    Attributes:
        created: The pod as it was created, before any webhook.
        decision: The decision.
    """

    created: Pod
    decision: Decision


def decided_now(
    pod: Pod,
    document: dict[str, Any],
    *,
    surroundings: Surroundings,
    policy: Policy,
    detect: Detect = detect_uncached,
    budget: Budget | None = None,
) -> Decided | None:
    """Decide about a running pod as if it were created now.

    Args:
        pod: The pod as the API server has it.
        document: The same as plain values.
        surroundings: The cluster context of the pod.
        policy: The policy.
        detect: As in `webhook.decision.engine.decide`.
        budget: As there.

    Returns:
        None where the pod could not be decided about in time.
    """
    namespace = pod.metadata.namespace or ""
    budget = budget or Budget()
    as_created = AsCreated(pod, namespace, lambda: document, surroundings)

    def decided() -> Decided:
        created, whole = as_created()
        decision = decide(
            created,
            namespace,
            document=whole,
            surroundings=surroundings,
            policy=policy,
            detect=detect,
            budget=budget,
        )
        return Decided(created, decision)

    now = decided()
    if as_created.is_refuted_by(now.decision):
        now = decided()
    return None if budget.cancelled else now


def drifted(
    pod: Pod,
    document: dict[str, Any],
    *,
    surroundings: Surroundings,
    policy: Policy,
) -> Drifted | None:
    """Compare a running pod with what is decided about it now; see `decided_now` and `compared`."""
    now = decided_now(pod, document, surroundings=surroundings, policy=policy)
    return None if now is None else compared(pod, now)


def compared(pod: Pod, now: Decided) -> Drifted | None:
    """Compare a running pod with what is decided about it now; return None for one that a restart would not change."""
    found = drift(pod, now.created, now.decision)
    if found is None:
        return None
    owners = owners_of(pod)
    namespace, name = pod.metadata.namespace or "", pod.metadata.name or ""
    return Drifted(namespace, name, owners[-1] if owners else None, found, now.decision)


def drift(pod: Pod, created: Pod, decision: Decision) -> Drift | None:
    """Return how a pod contradicts what is decided about it now.

    Args:
        pod: The pod as it runs.
        created: The same pod as it was created, before any webhook: see `webhook.mesh.created.as_created`.
        decision: What is decided about `created` now.

    Returns:
        None for a pod that a restart would not change; for any outside of the mesh, where a sidecar may have been
        written into the workload by hand, unless a decision brought it in; where it is unknown whether the pod is in
        the mesh; and in namespaces that the policy exempts.
    """
    if decision.reason is Reason.EXEMPT_NAMESPACE:
        return None
    has_sidecar = MESH.has_sidecar(pod)
    if not MESH.in_mesh(decision):
        brought_in = has_sidecar and MESH.decided_action(pod) == Action.INJECT.value
        return Drift.SIDECAR_UNWANTED if brought_in and decision.reason is not Reason.UNKNOWN else None
    if has_sidecar != MESH.gets_sidecar(created, decision):
        return Drift.SIDECAR_UNWANTED if has_sidecar else Drift.SIDECAR_MISSING
    if not has_sidecar:
        return None
    if decision.is_enforced and MESH.required_annotations(pod, decision):
        return Drift.REMEDY_MISSING
    still = decision.is_enforced and decision.action is Action.BYPASS
    return Drift.REMEDY_UNWANTED if MESH.has_leftover(pod) and not still else None


def restart_command(namespace: str, owner: OwnerReference | None) -> str | None:
    """Return the command that restarts the pods of an owner, or None.

    The author of a pod writes its owner, and another person runs the command: only valid object names get one.
    """
    if owner is None or owner.kind not in _RESTARTED or owner.api_version.partition("/")[0] != "apps":
        return None
    if not (LABEL.fullmatch(namespace) and SUBDOMAIN.fullmatch(owner.name)):
        return None
    return f"kubectl -n {namespace} rollout restart {owner.kind.lower()}/{owner.name}"
