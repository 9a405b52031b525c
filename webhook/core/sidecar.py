"""Whether a pod is to get Istio's sidecar, and whether one that runs has it."""

from __future__ import annotations

from webhook.core import mesh
from webhook.core.decision import Action, Decision, Reason
from webhook.core.patch import binds
from webhook.core.pod import Container, Pod

PROXY = "istio-proxy"
"""What Istio calls the sidecar's container."""
_IN_MESH = frozenset({Reason.RULE, Reason.DEFAULT, Reason.EXPLICIT_POD, Reason.EXEMPT_NAMESPACE})


def in_mesh(decision: Decision) -> bool:
    """Whether Istio's injector is asked about the pod, and the pod does not bring a sidecar along.

    Where the namespace's labels are not known, that is not known, and nobody should be told of a pod that differs.
    """
    return decision.reason in _IN_MESH or (decision.reason is Reason.UNKNOWN and decision.findings.cut)


def gets_sidecar(pod: Pod, decision: Decision) -> bool:
    """Whether the pod is to have a sidecar.

    Args:
        pod: The pod as it is created, or a workload's template.
        decision: What was decided about it.

    Returns:
        What comes of the decision together with Istio's own rule: an audited or inherited decision changes nothing.
    """
    if decision.reason is Reason.ALREADY_INJECTED:
        return True
    if not in_mesh(decision):
        return False
    if binds(decision) and decision.action in {Action.SKIP, Action.INJECT}:
        return decision.action is Action.INJECT
    return mesh.explicit_choice(pod) is not mesh.Explicit.SKIP


def proxy_of(pod: Pod) -> Container | None:
    """The sidecar of a pod that runs, or None."""
    return next((container for container in pod.containers() if container.name == PROXY), None)


def is_native(pod: Pod) -> bool:
    """Whether a running pod's sidecar is a native one: an init container that goes on running."""
    return any(container.name == PROXY for container in pod.spec.init_containers or ())
