"""Render a decision as a JSON Patch (RFC 6902) of labels and annotations.

The operations are built from the decision, not by comparing two pods: nothing that the decision does not cover can
change. A pod that is already in the desired state gets no operations, so a second review of a patched pod is a no-op.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, assert_never

import yaml

from webhook.core.decision import Action, Decision
from webhook.kubernetes.pod import Pod
from webhook.mesh import eligibility

DECISION = "sidecar-policy.dev/decision"
RULE = "sidecar-policy.dev/rule"
REASON = "sidecar-policy.dev/reason"
AUTHORS_LABEL = "sidecar-policy.dev/authors-label"
"""The annotation with the author's `sidecar.istio.io/inject` label, where the pod itself does not show it any more."""
NO_LABEL = "(none)"
"""The value of that annotation where there was no label."""
LABELS: Final = {action: "true" if action.sidecar else "false" for action in Action if action.sidecar is not None}
"""The value of the label for the actions that it implements."""
HOLD = "holdApplicationUntilProxyStarts"

Operation = dict[str, Any]

# As in `webhook.kubernetes.yaml`: the pure Python one writes the same, some five times slower.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def label_as_created(
    labels: Mapping[str, str], annotations: Mapping[str, str], namespace_labels: Mapping[str, str] | None
) -> str | None:
    """Return the value of the label `sidecar.istio.io/inject` before this webhook decided about the pod.

    Where an annotation of this webhook shows that a decision set the label, and none shows the previous value, it was
    "true" if only this label can have brought a skipped pod into the mesh: else there was nothing to decide.

    Args:
        labels: The pod's labels.
        annotations: The pod's annotations.
        namespace_labels: The labels of its namespace; None when they are unknown.

    Returns:
        None where there was no label.
    """
    decided = annotations.get(DECISION)
    if decided is not None and (recorded := annotations.get(AUTHORS_LABEL)) is not None:
        return None if recorded == NO_LABEL else recorded
    if decided not in LABELS:
        return labels.get(eligibility.INJECT)
    by_label = namespace_labels is not None and eligibility.is_by_label_only(namespace_labels, labels)
    return "true" if decided == Action.SKIP and by_label else None


def patch(
    pod: Pod, decision: Decision, namespace_labels: Mapping[str, str] | None = None, *, believed: bool = True
) -> list[Operation]:
    """Return the operations that carry out a decision on a pod.

    Args:
        pod: The pod as received.
        decision: What to do with it.
        namespace_labels: The labels of its namespace; None when they are unknown.
        believed: Whether to trust this webhook's annotations on the received pod for its original label.

    Returns:
        JSON Patch operations; empty when there is nothing to change, and always in audit mode.

    Example:
        patch(pod, decide(pod, "shop", document=..., surroundings=..., policy=...))
    """
    if not decision.is_enforced:
        return []
    labels = {eligibility.INJECT: LABELS[decision.action]} if decision.action in LABELS else {}
    annotations = required_annotations(pod, decision)
    if decision.rule is not None or decision.action is not Action.INHERIT:
        annotations |= _provenance(decision)
    # A second call must decide about the same pod, whatever the author wrote into this webhook's annotations.
    created = label_as_created(pod.labels, pod.annotations if believed else {}, namespace_labels)
    if label_as_created({**pod.labels, **labels}, {**pod.annotations, **annotations}, namespace_labels) != created:
        annotations[AUTHORS_LABEL] = NO_LABEL if created is None else created
    return [
        *_merge("/metadata/labels", pod.metadata.labels, labels),
        *_merge("/metadata/annotations", pod.metadata.annotations, annotations),
    ]


def required_annotations(pod: Pod, decision: Decision) -> dict[str, str]:
    """Return the annotations that implement bypass and hold, minus those already set."""
    annotations: dict[str, str] = {}
    match decision.action:
        case Action.INHERIT | Action.SKIP | Action.INJECT:
            pass
        case Action.BYPASS:
            annotations |= _excluded_ports(pod.annotations, decision.ports)
        case _:
            assert_never(decision.action)
    if decision.hold and decision.action.sidecar is not False:
        annotations |= _held(pod.annotations)
    return annotations


def _provenance(decision: Decision) -> dict[str, str]:
    reason = "; ".join(decision.shown.matched) or decision.reason.sentence
    annotations = {DECISION: decision.action.value, REASON: reason}
    return annotations if decision.rule is None else annotations | {RULE: decision.rule}


def _excluded_ports(annotations: Mapping[str, str], ports: tuple[int, ...]) -> dict[str, str]:
    """Return the author's list, unchanged, with the missing ports after it; ranges and "*" are kept."""
    present = annotations.get(eligibility.EXCLUDE_OUTBOUND_PORTS, "")
    listed = [item.strip() for item in present.split(",") if item.strip()]
    missing = [] if "*" in listed else [str(port) for port in ports if str(port) not in listed]
    return {eligibility.EXCLUDE_OUTBOUND_PORTS: ",".join([*listed, *missing])} if missing else {}


def _held(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the author's proxy configuration with hold added, unless it sets hold itself.

    One line is added to a block mapping, so that comments and spellings stay; only where that does not parse to the
    desired value (a JSON object, an indented mapping) is the whole written again. Both values are trees within the
    limits of an annotation, so they are compared and written in time.
    """
    config = eligibility.proxy_config(annotations)
    if config is None or HOLD in config:
        return {}
    wanted = config | {HOLD: True}
    text = f"{annotations.get(eligibility.PROXY_CONFIG, '').rstrip()}\n{HOLD}: true".lstrip("\n")
    if eligibility.parse_proxy_config(text) != wanted:
        text = yaml.dump(wanted, Dumper=_Dumper, sort_keys=False).rstrip()
    return {eligibility.PROXY_CONFIG: text}


def _merge(path: str, present: Mapping[str, str] | None, wanted: Mapping[str, str]) -> list[Operation]:
    """Return operations that add `wanted` to the map at `path`: a missing parent in one piece, else key by key."""
    if not wanted:
        return []
    if present is None:
        return [{"op": "add", "path": path, "value": dict(wanted)}]
    return [
        {"op": "add" if key not in present else "replace", "path": f"{path}/{_escape(key)}", "value": value}
        for key, value in wanted.items()
        if present.get(key) != value
    ]


def _escape(key: str) -> str:
    """Return a key as one reference token of a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
