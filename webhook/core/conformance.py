"""Whether the pod that is about to be stored is what was decided about it.

A validating webhook sees the pod after every mutating one. What is decided here once more is the pod as it was before
this webhook and Istio's injector touched it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from webhook.core import mesh
from webhook.core.decision import Action, Decision
from webhook.core.patch import DECISION, REASON, RULE, binds, remedies
from webhook.core.pod import Container, Pod

_OURS = frozenset({DECISION, RULE, REASON})
_LABELLED = frozenset({Action.SKIP.value, Action.INJECT.value})


_LATE = "the name of sidecar-policy's MutatingWebhookConfiguration has to sort before istio-"
_LOST = "another webhook took that off it, or /mutate was not called"


class Contradiction(Enum):
    """How a pod contradicts its decision: a stable code (metrics, Events) and the sentence for people."""

    INJECTED_BEFORE_SKIP = (
        "injected-before-skip",
        f"the pod is to have no sidecar, but Istio's injector was called first and gave it one: {_LATE}",
    )
    SIDECAR_DESPITE_SKIP = (
        "sidecar-despite-skip",
        f"the pod is to have no sidecar, but has one, and does not say {mesh.INJECT}=false: {_LOST}",
    )
    NO_SIDECAR_DESPITE_INJECT = (
        "no-sidecar-despite-inject",
        "the pod is to have a sidecar, but Istio's injector gave it none: it was called first, or not at all",
    )
    REMEDY_LOST = (
        "remedy-lost",
        f"the pod lacks the annotation that takes ports out of its sidecar or holds the application: {_LOST}",
    )
    INJECTED_BEFORE_BYPASS = (
        "injected-before-bypass",
        f"ports are to be taken out of the pod's sidecar, but Istio's injector was called first: {_LATE}",
    )

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


def as_created(document: dict[str, Any]) -> dict[str, Any]:
    """A pod as it was before this webhook and Istio's injector, as far as decisions look at it.

    The label `sidecar.istio.io/inject` goes where our annotation says that we put it there. An author who writes that
    annotation by hand gains nothing: the label does not count then.

    Args:
        document: The pod as it is about to be stored, as plain values of the types that the API gives them.

    Returns:
        The same without what was added; `document` itself is left as it is.
    """
    metadata, spec = dict(document["metadata"]), dict(document["spec"])
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    if annotations.get(DECISION) in _LABELLED:
        metadata["labels"] = {key: value for key, value in labels.items() if key != mesh.INJECT}
    added = {*_OURS, mesh.STATUS}
    metadata["annotations"] = {key: value for key, value in annotations.items() if key not in added}
    for field in ("initContainers", "containers"):
        containers = spec.get(field) or []
        spec[field] = [one for one in containers if not mesh.is_istio_name(one.get("name", ""))]
    return document | {"metadata": metadata, "spec": spec}


def contradictions(pod: Pod, decision: Decision) -> tuple[Contradiction, ...]:
    """How a pod contradicts what was decided about it.

    Args:
        pod: The pod as it is about to be stored.
        decision: What was decided about it as it was created.

    Returns:
        Nothing for a pod that is as it was meant, and for decisions that are not to be carried out.
    """
    return tuple(_contradictions(pod, decision)) if binds(decision) else ()


def _contradictions(pod: Pod, decision: Decision) -> Iterator[Contradiction]:
    injected = mesh.STATUS in pod.annotations
    if decision.action is Action.SKIP and injected:
        late = mesh.explicit_choice(pod) is mesh.Explicit.SKIP
        yield Contradiction.INJECTED_BEFORE_SKIP if late else Contradiction.SIDECAR_DESPITE_SKIP
    if decision.action is Action.INJECT and not injected:
        yield Contradiction.NO_SIDECAR_DESPITE_INJECT
    if injected and decision.action is not Action.SKIP:
        if remedies(pod, decision):
            yield Contradiction.REMEDY_LOST
        elif decision.action is Action.BYPASS and not _excluded(pod, decision.ports):
            yield Contradiction.INJECTED_BEFORE_BYPASS


def _excluded(pod: Pod, ports: tuple[int, ...]) -> bool:
    """Whether the traffic rules that istio-init sets up leave the ports out; where CNI does that, nothing shows."""
    rules = next((one for one in pod.containers() if one.name == "istio-init"), Container())
    arguments = rules.args or []
    if "-o" not in arguments[:-1]:
        return not arguments
    return {str(port) for port in ports} <= {*arguments[arguments.index("-o") + 1].split(","), "*"}
