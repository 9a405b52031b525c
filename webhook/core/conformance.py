"""Whether the pod that is about to be stored is what was decided about it.

A validating webhook sees the pod after every mutating one. What is decided here once more is the pod as it was before
this webhook and Istio's injector touched it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import convert

from webhook.core import mesh
from webhook.core.decision import Action, Decision, Reason
from webhook.core.patch import AUTHORS_LABEL, DECISION, REASON, RULE, binds, label_as_created, remedies
from webhook.core.pod import Container, Pod

_OURS = frozenset({DECISION, RULE, REASON, AUTHORS_LABEL})

_LOST = "another webhook took it off"
_LATE = (
    "/mutate was not called, or only after Istio's injector; "
    "the name of sidecar-policy's MutatingWebhookConfiguration has to sort before istio-"
)


class Contradiction(Enum):
    """How a pod contradicts its decision: a stable code (metrics, Events) and the sentence for people."""

    LABEL_LOST = (
        "label-lost",
        f"the pod is to have no sidecar, but has one, for the label {mesh.INJECT} is gone: {_LOST}",
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
    """Return whether the pod has our annotations, as at a second call of `/mutate`."""
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
        The same without what was added; `document` itself is left as it is.
    """
    metadata, spec = dict(document["metadata"]), dict(document["spec"])
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    said = label_as_created(labels, annotations, namespace_labels)
    if believed and said != labels.get(mesh.INJECT):
        others = {key: value for key, value in labels.items() if key != mesh.INJECT}
        metadata["labels"] = others if said is None else others | {mesh.INJECT: said}
    added = {*_OURS, mesh.STATUS}
    metadata["annotations"] = {key: value for key, value in annotations.items() if key not in added}
    for field in ("initContainers", "containers"):
        containers = spec.get(field) or []
        spec[field] = [one for one in containers if not _is_istios(one)]
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
    chosen = (pod.annotations.get(mesh.INJECT) if label is None else label) in {"true", "false"}
    if chosen and mesh.explicit_choice(pod) is None:
        return True
    outside = decision.reason is not Reason.EXPLICIT_POD
    return outside and mesh.unselected(namespace, namespace_labels or {}, pod) is None


def _is_istios(container: dict[str, Any]) -> bool:
    return mesh.is_istio_name(container.get("name", "")) and mesh.is_istio_container(convert(container, Container))


def contradiction(pod: Pod, decision: Decision) -> Contradiction | None:
    """How a pod contradicts what was decided about it.

    Args:
        pod: The pod as it is about to be stored.
        decision: What was decided about it as it was created.

    Returns:
        None for a pod that is as it was meant, and for decisions that are not to be carried out.
    """
    injected, decided = mesh.sidecar_of(pod) is not None, DECISION in pod.annotations
    if not binds(decision):
        return None
    if not injected:
        return Contradiction.NO_SIDECAR_DESPITE_INJECT if decision.action is Action.INJECT else None
    if decision.action is Action.SKIP:
        # A label that is still there was put there after the sidecar.
        lost = decided and pod.labels.get(mesh.INJECT) != "false"
        return Contradiction.LABEL_LOST if lost else Contradiction.INJECTED_UNDECIDED
    if remedies(pod, decision):
        return Contradiction.REMEDY_LOST if decided else Contradiction.INJECTED_UNDECIDED
    return None
