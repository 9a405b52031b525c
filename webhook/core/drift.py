"""Whether a pod that runs has the sidecar that it would get if it were created today.

A pod keeps what it was created with. What is decided about its like may change afterwards: by an edit of the policy, of
a ConfigMap or of a Service, by a label on the namespace, or because nobody answered when it was created.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from webhook.core import mesh
from webhook.core.budget import Budget
from webhook.core.conformance import as_created, is_refuted
from webhook.core.decision import Action, Decision, Reason
from webhook.core.engine import Detect, decide
from webhook.core.facts import owners_of
from webhook.core.names import LABEL, SUBDOMAIN
from webhook.core.patch import DECISION, binds, remedies
from webhook.core.pod import OwnerReference, Pod
from webhook.core.sidecar import gets_sidecar, in_mesh
from webhook.core.surroundings import Surroundings
from webhook.core.verdict import Policy
from webhook.detection.detect import detect as detect_anew

_RESTARTED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


class Drift(Enum):
    """How a pod differs from what would be created today: a stable code (metrics, /drift) and the sentence for people.

    | it would be created              | the pod has                                         | drift            |
    |----------------------------------|-----------------------------------------------------|------------------|
    | without a sidecar                | a sidecar                                           | sidecar-unwanted |
    | with one                         | none                                                | sidecar-missing  |
    | with ports left alone, or held   | a sidecar without that                              | remedy-missing   |
    | without ports left alone         | a sidecar that leaves alone what a decision said    | remedy-unwanted  |
    """

    SIDECAR_UNWANTED = ("sidecar-unwanted", "has a sidecar, and would have none")
    SIDECAR_MISSING = ("sidecar-missing", "has no sidecar, and would have one")
    REMEDY_MISSING = ("remedy-missing", "has a sidecar that lacks the ports to leave alone, or the application to hold")
    REMEDY_UNWANTED = ("remedy-unwanted", "has a sidecar that leaves ports alone that it would not leave alone")

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Drifted:
    """A pod that runs otherwise than it would be created.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        owner: What makes such pods, as people think of it; None for a pod that nobody owns.
        drift: How it differs.
        decision: What would be decided now.
    """

    namespace: str
    name: str
    owner: OwnerReference | None
    drift: Drift
    decision: Decision


def drifted(
    document: dict[str, Any],
    namespace: str,
    *,
    surroundings: Surroundings,
    policy: Policy,
    detect: Detect = detect_anew,
    budget: Budget | None = None,
) -> Drifted | None:
    """Compare a pod that runs with what a policy decides about it now.

    Args:
        document: The pod as the API server has it.
        namespace: Its namespace.
        surroundings: What is around it.
        policy: The policy.
        detect: As in `webhook.core.engine.decide`.
        budget: As there. Of a pod that could not be decided about in time, nothing is said.

    Returns:
        None for a pod that a restart would not change.

    Raises:
        msgspec.ValidationError: The pod is not understood.
    """
    namespace_labels = surroundings.namespace_labels(namespace)
    pod, budget = msgspec.convert(document, Pod), budget or Budget()

    def decided(*, believed: bool) -> tuple[Pod, Decision]:
        original = as_created(document, namespace_labels, believed=believed)
        created = msgspec.convert(original, Pod)
        return created, decide(
            created,
            namespace,
            document=lambda: original,
            surroundings=surroundings,
            policy=policy,
            detect=detect,
            budget=budget,
        )

    created, decision = decided(believed=True)
    if is_refuted(pod, namespace, namespace_labels, decision):
        created, decision = decided(believed=False)
    if budget.cancelled:
        return None
    found = drift(pod, created, decision)
    if found is None:
        return None
    owners = owners_of(pod)
    return Drifted(namespace, pod.metadata.name or "", owners[-1] if owners else None, found, decision)


def drift(pod: Pod, created: Pod, decision: Decision) -> Drift | None:
    """How a pod contradicts what is decided about it now.

    Args:
        pod: The pod as it runs.
        created: The same as it was created, before any webhook: see `webhook.core.conformance.as_created`.
        decision: What is decided about `created` now.

    Returns:
        None for a pod that a restart would not change; for any outside of the mesh, where a sidecar may have been
        written into the workload by hand; and in namespaces that the policy exempts.
    """
    if not in_mesh(decision) or decision.reason is Reason.EXEMPT_NAMESPACE:
        return None
    has_sidecar = mesh.sidecar_of(pod) is not None
    if has_sidecar != gets_sidecar(created, decision):
        return Drift.SIDECAR_UNWANTED if has_sidecar else Drift.SIDECAR_MISSING
    if not has_sidecar:
        return None
    if binds(decision) and remedies(pod, decision):
        return Drift.REMEDY_MISSING
    bypassed = pod.annotations.get(DECISION) == Action.BYPASS.value and mesh.EXCLUDE_OUTBOUND_PORTS in pod.annotations
    still = binds(decision) and decision.action is Action.BYPASS
    return Drift.REMEDY_UNWANTED if bypassed and not still else None


def restart_command(namespace: str, owner: OwnerReference | None) -> str | None:
    """Return the command that restarts the pods of an owner, or None.

    The author of a pod writes its owner, and somebody else runs the command: only what can be an object gets one.
    """
    if owner is None or owner.kind not in _RESTARTED or owner.api_version.partition("/")[0] != "apps":
        return None
    if not (LABEL.fullmatch(namespace) and SUBDOMAIN.fullmatch(owner.name)):
        return None
    return f"kubectl -n {namespace} rollout restart {owner.kind.lower()}/{owner.name}"
