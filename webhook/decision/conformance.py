"""Whether the pod that is about to be stored conforms to its decision.

A validating webhook sees the pod after every mutating one. The decision is made again for the pod as it was before
this webhook and Istio's injector changed it.
"""

from __future__ import annotations

from enum import Enum

from webhook.core.decision import Decision
from webhook.kubernetes.pod import Pod
from webhook.mesh import MESH

_LATE = f"/mutate was not called, or only after Istio's injector; {MESH.CALL_ORDER}"


class Contradiction(Enum):
    """How a pod contradicts its decision: a stable code (metrics, Events) and a sentence for users."""

    LABEL_LOST = (
        "label-lost",
        f"policy says no sidecar, but one was injected: another webhook removed the label {MESH.CHOICE}",
    )
    REMEDY_LOST = (
        "remedy-lost",
        "the excludeOutboundPorts or holdApplicationUntilProxyStarts annotation was removed by another webhook",
    )
    INJECTED_UNDECIDED = (
        "injected-undecided",
        f"a sidecar was injected before sidecar-policy made a decision: {_LATE}",
    )
    NO_SIDECAR_DESPITE_INJECT = (
        "no-sidecar-despite-inject",
        "policy says inject, but the pod has no sidecar: Istio's injector ran before sidecar-policy, or not at all",
    )

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


def contradiction(pod: Pod, decision: Decision) -> Contradiction | None:
    """Return how a pod contradicts what was decided about it.

    Args:
        pod: The pod as it is about to be stored.
        decision: The decision about it as it was created.

    Returns:
        None for a pod in the desired state, and for decisions that are not enforced.
    """
    if not decision.is_enforced:
        return None
    if not MESH.has_sidecar(pod):
        return Contradiction.NO_SIDECAR_DESPITE_INJECT if decision.action.sidecar else None
    decided = MESH.decided_action(pod) is not None
    if decision.action.sidecar is False:
        # A label that is still there was put there after the sidecar.
        lost = decided and not MESH.is_labelled(pod, decision)
        return Contradiction.LABEL_LOST if lost else Contradiction.INJECTED_UNDECIDED
    if MESH.required_annotations(pod, decision):
        return Contradiction.REMEDY_LOST if decided else Contradiction.INJECTED_UNDECIDED
    return None
