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

_LOST = "another webhook took it off"
_LATE = (
    "/mutate was not called, or only after Istio's injector; "
    "the name of sidecar-policy's MutatingWebhookConfiguration has to sort before istio-"
)


class Contradiction(Enum):
    """How a pod contradicts its decision: a stable code (metrics, Events) and a sentence for users."""

    LABEL_LOST = (
        "label-lost",
        f"the pod is to have no sidecar, but has one, for the label {eligibility.INJECT} is gone: {_LOST}",
    )
    REMEDY_LOST = (
        "remedy-lost",
        f"the annotation that takes ports out of the pod's sidecar, or holds the application, is gone: {_LOST}",
    )
    INJECTED_UNDECIDED = ("injected-undecided", f"the pod was given a sidecar that nobody had decided about: {_LATE}")
    NO_SIDECAR_DESPITE_INJECT = (
        "no-sidecar-despite-inject",
        "the pod is to have a sidecar, but has none: Istio's injector was called before sidecar-policy, or not at all",
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
    """Return a pod as it was before this webhook and Istio's injector, as far as decisions depend on it.

    The label `sidecar.istio.io/inject` is again what the author wrote: see `label_as_created`.
    An author who sets that annotation by hand gains nothing: `/mutate` overwrites it where a policy decides,
    and its record of the label is ignored where the pod itself refutes it.

    Args:
        document: The pod as it is about to be stored, as plain values of the types that the API gives them.
        namespace_labels: The labels of its namespace; None when they are not known.
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
        spec[field] = [container for container in containers if not _is_istios(container)]
    return document | {"metadata": metadata, "spec": spec}


def is_refuted(pod: Pod, namespace: str, namespace_labels: Mapping[str, str] | None, decision: Decision) -> bool:
    """Return whether a pod refutes what this webhook's annotations on it record of its author's label.

    No decision is made about a pod outside of the mesh, nor, where pods may choose, about one that does: so this
    webhook's annotations are on such a pod only if its author wrote them, to exempt the pod.

    Args:
        pod: The pod as received.
        namespace: Where it is to be created.
        namespace_labels: The labels of its namespace; None when they are not known.
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
