"""Whether a pod should get Istio's sidecar, and whether a running pod has it."""

from __future__ import annotations

from webhook.core.decision import Decision, Reason
from webhook.kubernetes.pod import Pod
from webhook.mesh import eligibility
from webhook.mesh.data_plane import Explicit

_IN_MESH = frozenset({Reason.RULE, Reason.DEFAULT, Reason.UNKNOWN, Reason.EXPLICIT_POD, Reason.EXEMPT_NAMESPACE})


def in_mesh(decision: Decision) -> bool:
    """Return whether Istio's injector is called for the pod, or would be by the label that the decision sets.

    Where the namespace's labels are unknown, so is the result: no such pod is reported as different.
    """
    if decision.reason is Reason.UNKNOWN and not decision.findings.cut:
        return False
    return decision.reason in _IN_MESH and (decision.outside is None or decision.is_enforced)


def gets_sidecar(pod: Pod, decision: Decision) -> bool:
    """Return whether the pod should have a sidecar.

    Args:
        pod: The pod as it is created, or a workload's template.
        decision: What was decided about it.

    Returns:
        The outcome of the decision together with Istio's own rules: an audited or inherited decision changes nothing.
    """
    if eligibility.sidecar_of(pod) is not None:
        return True
    if not in_mesh(decision):
        return False
    if decision.is_enforced and decision.action.sidecar is not None:
        return decision.action.sidecar
    return eligibility.explicit_choice(pod) is not Explicit.SKIP


def is_native(pod: Pod) -> bool:
    """Return whether a pod's sidecar is a native one: an init container with `restartPolicy: Always`."""
    sidecar = eligibility.sidecar_of(pod)
    return sidecar is not None and sidecar in (pod.spec.init_containers or ())
