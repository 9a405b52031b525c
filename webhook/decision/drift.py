"""Whether a pod that runs has the sidecar that it would get if it were created today.

A pod keeps what it was created with. What is decided about its like may change afterwards: by an edit of the policy, of
a ConfigMap or of a Service, by a label on the namespace, or because nobody answered when it was created.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from webhook.core.budget import Budget
from webhook.core.decision import Action, Decision, Reason
from webhook.core.facts import owners_of
from webhook.core.surroundings import Surroundings
from webhook.decision.conformance import as_created
from webhook.decision.engine import Detect, decide
from webhook.decision.policy import Policy
from webhook.detection.detect import detect as detect_anew
from webhook.kubernetes.names import LABEL, SUBDOMAIN
from webhook.kubernetes.pod import OwnerReference, Pod
from webhook.mesh import eligibility
from webhook.mesh.patch import DECISION, binds, remedies
from webhook.mesh.sidecar import gets_sidecar, in_mesh

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

    SIDECAR_UNWANTED = ("sidecar-unwanted", "the pod has a sidecar, but the policy requires none")
    SIDECAR_MISSING = ("sidecar-missing", "the pod has no sidecar, but the policy requires one")
    REMEDY_MISSING = ("remedy-missing", "sidecar lacks the excluded ports or hold setting that the policy requires")
    REMEDY_UNWANTED = ("remedy-unwanted", "sidecar still excludes ports that the policy no longer excludes")

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
        detect: As in `webhook.decision.engine.decide`.
        budget: As there. Of a pod that could not be decided about in time, nothing is said.

    Returns:
        None for a pod that a restart would not change.

    Raises:
        msgspec.ValidationError: The pod is not understood.
    """
    original = as_created(document, surroundings.namespace_labels(namespace))
    created, pod = msgspec.convert(original, Pod), msgspec.convert(document, Pod)
    budget = budget or Budget()
    decision = decide(
        created,
        namespace,
        document=lambda: original,
        surroundings=surroundings,
        policy=policy,
        detect=detect,
        budget=budget,
    )
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
        created: The same as it was created, before any webhook: see `webhook.decision.conformance.as_created`.
        decision: What is decided about `created` now.

    Returns:
        None for a pod that a restart would not change; for any outside of the mesh, where a sidecar may have been
        written into the workload by hand; and in namespaces that the policy exempts.
    """
    if not in_mesh(decision) or decision.reason is Reason.EXEMPT_NAMESPACE:
        return None
    has_sidecar = eligibility.sidecar_of(pod) is not None
    if has_sidecar != gets_sidecar(created, decision):
        return Drift.SIDECAR_UNWANTED if has_sidecar else Drift.SIDECAR_MISSING
    if not has_sidecar:
        return None
    if binds(decision) and remedies(pod, decision):
        return Drift.REMEDY_MISSING
    bypassed = (
        pod.annotations.get(DECISION) == Action.BYPASS.value and eligibility.EXCLUDE_OUTBOUND_PORTS in pod.annotations
    )
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
