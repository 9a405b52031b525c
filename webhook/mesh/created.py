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
    """Return a pod as it was before this webhook and Istio's injector, as far as decisions depend on it.

    The label `sidecar.istio.io/inject` is again what the author wrote: see `label_as_created`.
    An author who sets that annotation by hand gains nothing: `/mutate` overwrites it where a policy decides,
    and its record of the label is ignored where the pod itself refutes it.

    Args:
        document: The pod as it is about to be stored, as plain values of the types that the API gives them.
        namespace_labels: The labels of its namespace; None when they are unknown.
        believed: Whether to trust this webhook's annotations for the original label; see `is_refuted`.

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
    """Return whether a pod refutes what this webhook's annotations on it record of its author's label.

    No decision is made about a pod outside of the mesh, nor, where pods may choose, about one that does: so this
    webhook's annotations are on such a pod only if its author wrote them, to exempt the pod.

    Args:
        pod: The pod as received.
        namespace: The namespace of the pod.
        namespace_labels: The labels of its namespace; None when they are unknown.
        decision: The decision about it as it was created according to these annotations.
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
    """Return whether the pod has the label that implements a decision; see `LABELS`."""
    return pod.labels.get(eligibility.INJECT) == LABELS.get(decision.action)


def has_leftover(pod: Pod) -> bool:
    """Return whether the pod excludes ports because a decision bypassed them when it was created."""
    bypassed = decided_action(pod) == Action.BYPASS.value
    return bypassed and eligibility.EXCLUDE_OUTBOUND_PORTS in pod.annotations
