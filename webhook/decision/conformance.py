"""Whether the pod that is about to be stored conforms to its decision.

A validating webhook sees the pod after every mutating one. The decision is made again for the pod as it was before
this webhook and Istio's injector changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import convert

from webhook.core.decision import Action, Decision, Reason
from webhook.kubernetes.pod import Container, Pod
from webhook.mesh import eligibility
from webhook.mesh.patch import AUTHORS_LABEL, DECISION, REASON, RULE, binds, label_as_created, remedies

_OURS = frozenset({DECISION, RULE, REASON, AUTHORS_LABEL})

_LATE = (
    "/mutate was not called, or only after Istio's injector; "
    "the name of sidecar-policy's MutatingWebhookConfiguration must sort before istio-"
)


class Contradiction(Enum):
    """How a pod contradicts its decision: a stable code (metrics, Events) and a sentence for users."""

    LABEL_LOST = (
        "label-lost",
        f"policy says no sidecar, but one was injected: another webhook removed the label {eligibility.INJECT}",
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


def is_decided(pod: Pod) -> bool:
    """Return whether the pod has this webhook's annotations, as at a second call of `/mutate`."""
    return not _OURS.isdisjoint(pod.annotations)


def as_created(
    document: dict[str, Any], namespace_labels: Mapping[str, str] | None = None, *, believed: bool = True
) -> dict[str, Any]:
    """A pod as it was before this webhook and Istio's injector, as far as decisions look at it.

    The label `sidecar.istio.io/inject` is again what the author wrote: see `label_as_created`.
    An author who writes our annotation by hand gains nothing: `/mutate` writes its own over it where a policy decides,
    and what it says of the label is not believed where the pod itself refutes it.

    Args:
        document: The pod as it is about to be stored, as plain values of the types that the API gives them.
        namespace_labels: The labels of its namespace; None when they are not known.
        believed: Whether our annotations say what the label was; see `is_refuted`.

    Returns:
        A copy without what was added; `document` itself is not changed.
    """
    metadata, spec = dict(document["metadata"]), dict(document["spec"])
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    label = label_as_created(labels, annotations, namespace_labels)
    if believed and label != labels.get(eligibility.INJECT):
        others = {key: value for key, value in labels.items() if key != eligibility.INJECT}
        metadata["labels"] = others if label is None else others | {eligibility.INJECT: label}
    added = {*_OURS, eligibility.STATUS}
    metadata["annotations"] = {key: value for key, value in annotations.items() if key not in added}
    for field in ("initContainers", "containers"):
        containers = spec.get(field) or []
        spec[field] = [container for container in containers if not _is_istios(container)]
    return document | {"metadata": metadata, "spec": spec}


def is_refuted(pod: Pod, namespace: str, namespace_labels: Mapping[str, str] | None, decision: Decision) -> bool:
    """Return whether a pod shows that our annotations on it do not say how its author labelled it.

    Nobody decides about a pod outside of the mesh, and where pods choose for themselves, about one that does: so no
    annotation of ours is on such a pod, unless its author wrote it to have the pod left alone.

    Args:
        pod: The pod as it is.
        namespace: Where it is to be created.
        namespace_labels: The labels of its namespace; None when they are not known.
        decision: What is decided about it as our annotations say that it was created.
    """
    if decision.reason not in {Reason.EXPLICIT_POD, Reason.NOT_IN_MESH, Reason.AMBIENT}:
        return False
    label = label_as_created(pod.labels, pod.annotations, namespace_labels)
    chosen = (pod.annotations.get(eligibility.INJECT) if label is None else label) in {"true", "false"}
    if chosen and eligibility.explicit_choice(pod) is None:
        return True
    outside = decision.reason is not Reason.EXPLICIT_POD
    return outside and eligibility.unselected(namespace, namespace_labels or {}, pod) is None


def _is_istios(container: dict[str, Any]) -> bool:
    return eligibility.is_istio_name(container.get("name", "")) and eligibility.is_istio_container(
        convert(container, Container)
    )


def contradiction(pod: Pod, decision: Decision) -> Contradiction | None:
    """Return how a pod contradicts what was decided about it.

    Args:
        pod: The pod as it is about to be stored.
        decision: What was decided about it as it was created.

    Returns:
        None for a pod in the desired state, and for decisions that are not enforced.
    """
    injected, decided = eligibility.sidecar_of(pod) is not None, DECISION in pod.annotations
    if not binds(decision):
        return None
    if not injected:
        return Contradiction.NO_SIDECAR_DESPITE_INJECT if decision.action is Action.INJECT else None
    if decision.action is Action.SKIP:
        # A label that is still there was put there after the sidecar.
        lost = decided and pod.labels.get(eligibility.INJECT) != "false"
        return Contradiction.LABEL_LOST if lost else Contradiction.INJECTED_UNDECIDED
    if remedies(pod, decision):
        return Contradiction.REMEDY_LOST if decided else Contradiction.INJECTED_UNDECIDED
    return None
