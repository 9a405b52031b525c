"""Whether a pod that runs has the sidecar that it would get if it were created today.

A pod keeps what it was created with. What is decided about its like may change afterwards: by an edit of the policy, of
a ConfigMap or of a Service, by a label on the namespace, or because nobody answered when it was created.
"""

from __future__ import annotations

from enum import Enum

from webhook.core import mesh
from webhook.core.decision import Action, Decision
from webhook.core.patch import DECISION, binds, remedies
from webhook.core.pod import Pod


class Drift(Enum):
    """How a pod differs from what would be created today: a stable code (metrics, /drift) and the sentence for people.

    | the decision now       | the pod has                                     | drift            |
    |------------------------|-------------------------------------------------|------------------|
    | skip                   | a sidecar                                       | sidecar-unwanted |
    | inject, bypass, inherit | none                                           | sidecar-missing  |
    | bypass, hold           | a sidecar without what the decision adds to it  | remedy-missing   |
    | inject, inherit        | a sidecar that bypasses what a decision said    | remedy-unwanted  |
    """

    SIDECAR_UNWANTED = ("sidecar-unwanted", "it has a sidecar, and would have none")
    SIDECAR_MISSING = ("sidecar-missing", "it has no sidecar, and would have one")
    REMEDY_MISSING = ("remedy-missing", "its sidecar lacks the ports to leave alone, or the application to hold")
    REMEDY_UNWANTED = ("remedy-unwanted", "its sidecar leaves ports alone that it would not leave alone")

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


def drift(pod: Pod, created: Pod, decision: Decision) -> Drift | None:
    """How a pod contradicts what is decided about it now.

    Args:
        pod: The pod as it runs.
        created: The same as it was created, before any webhook: see `webhook.core.conformance.as_created`.
        decision: What is decided about `created` now.

    Returns:
        None for a pod that a restart would not change, and where nothing is carried out: in audit mode, outside of the
        mesh, and for what the pod itself chose.
    """
    if not binds(decision):
        return None
    has_sidecar = mesh.STATUS in pod.annotations
    if has_sidecar != _wants_sidecar(created, decision):
        return Drift.SIDECAR_UNWANTED if has_sidecar else Drift.SIDECAR_MISSING
    if not has_sidecar:
        return None
    if remedies(pod, decision):
        return Drift.REMEDY_MISSING
    bypassed = pod.annotations.get(DECISION) == Action.BYPASS.value
    return Drift.REMEDY_UNWANTED if bypassed and decision.action is not Action.BYPASS else None


def _wants_sidecar(created: Pod, decision: Decision) -> bool:
    """Whether Istio would inject: it is asked only about pods that are in the mesh."""
    if decision.action is Action.INHERIT:
        return mesh.explicit_choice(created) is not mesh.Explicit.SKIP
    return decision.action is not Action.SKIP
