"""A pod as it was before this webhook and Istio's injector changed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import convert

from webhook.core.decision import Action, Decision, Reason
from webhook.kubernetes.pod import Container, Pod
from webhook.mesh import eligibility
from webhook.mesh.patch import AUTHORS_LABEL, DECISION, LABELS, REASON, RULE, label_as_created

_OURS = frozenset({DECISION, RULE, REASON, AUTHORS_LABEL})


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
        spec[field] = [container for container in containers if not _is_injected(container)]
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


def _is_injected(container: dict[str, Any]) -> bool:
    return eligibility.is_istio_name(container.get("name", "")) and eligibility.is_istio_container(
        convert(container, Container)
    )


def decided_action(pod: Pod) -> str | None:
    """Return the action that the pod's annotation has, as its decision wrote it; None where it has none."""
    return pod.annotations.get(DECISION)


def is_labelled(pod: Pod, decision: Decision) -> bool:
    """Return whether the pod has the label that implements a decision to skip or to inject."""
    return pod.labels.get(eligibility.INJECT) == LABELS[decision.action]


def has_leftover(pod: Pod) -> bool:
    """Return whether the pod excludes ports because a decision bypassed them when it was created."""
    bypassed = decided_action(pod) == Action.BYPASS.value
    return bypassed and eligibility.EXCLUDE_OUTBOUND_PORTS in pod.annotations
