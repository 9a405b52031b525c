"""From a decision to the JSON Patch (RFC 6902) that carries it out.

The operations are built from what is meant, not by comparing two pods: nothing that the decision does not speak of
can change. A pod that is already as wanted gives no operations, so a second review of a patched pod is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from webhook.core import mesh
from webhook.core.decision import Action, Decision, Mode
from webhook.core.pod import Pod

DECISION = "sidecar-policy.dev/decision"
RULE = "sidecar-policy.dev/rule"
REASON = "sidecar-policy.dev/reason"
AUTHORS_LABEL = "sidecar-policy.dev/authors-label"
"""What the label `sidecar.istio.io/inject` said as the pod was created, where the pod itself does not show it."""
NO_LABEL = "(none)"
"""What that annotation says where there was no label."""
_LABELS: Final = {Action.SKIP: "false", Action.INJECT: "true"}
"""What the label says for the decisions that it carries out."""
HOLD = "holdApplicationUntilProxyStarts"

Operation = dict[str, Any]

# As in `webhook.yamltext`: the pure one writes the same, some five times slower.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def label_as_created(
    labels: Mapping[str, str], annotations: Mapping[str, str], namespace_labels: Mapping[str, str] | None
) -> str | None:
    """Return what the label `sidecar.istio.io/inject` said before this webhook decided about the pod.

    Where an annotation of ours says that a decision put the label there, and nothing says what it was before, it was
    "true" if nothing but this label can have brought a skipped pod into the mesh: else nobody would have decided.

    Args:
        labels: The pod's labels.
        annotations: The pod's annotations.
        namespace_labels: The labels of its namespace; None when they are not known.

    Returns:
        None where there was no label.
    """
    decided = annotations.get(DECISION)
    if decided is not None and (said := annotations.get(AUTHORS_LABEL)) is not None:
        return None if said == NO_LABEL else said
    if decided not in _LABELS:
        return labels.get(mesh.INJECT)
    by_label = namespace_labels is not None and mesh.is_by_label_only(namespace_labels, labels)
    return "true" if decided == Action.SKIP and by_label else None


def patch(
    pod: Pod, decision: Decision, namespace_labels: Mapping[str, str] | None = None, *, believed: bool = True
) -> list[Operation]:
    """The operations that carry out a decision on a pod.

    Args:
        pod: The pod as it came.
        decision: What to do with it.
        namespace_labels: The labels of its namespace; None when they are not known.
        believed: Whether annotations of ours that the pod came with say what its label was.

    Returns:
        JSON Patch operations; empty when there is nothing to change, and always in audit mode.
    """
    if not binds(decision):
        return []
    labels = {mesh.INJECT: _LABELS[decision.action]} if decision.action in _LABELS else {}
    annotations = remedies(pod, decision)
    if decision.rule is not None or decision.action is not Action.INHERIT:
        annotations |= _provenance(decision)
    # A second call has to decide about the same pod, whatever the author wrote into our annotations.
    created = label_as_created(pod.labels, pod.annotations if believed else {}, namespace_labels)
    if label_as_created({**pod.labels, **labels}, {**pod.annotations, **annotations}, namespace_labels) != created:
        annotations[AUTHORS_LABEL] = NO_LABEL if created is None else created
    return [
        *_merge("/metadata/labels", pod.metadata.labels, labels),
        *_merge("/metadata/annotations", pod.metadata.annotations, annotations),
    ]


def binds(decision: Decision) -> bool:
    """Whether the decision is the policy's, and is to be carried out."""
    return decision.mode is Mode.ENFORCE and decision.by_policy


def remedies(pod: Pod, decision: Decision) -> dict[str, str]:
    """The annotations by which Istio does what the decision says; those that are on the pod already are left out."""
    annotations: dict[str, str] = {}
    if decision.action is Action.BYPASS and decision.ports:
        annotations |= _excluded_ports(pod.annotations, decision.ports)
    if decision.hold and decision.action is not Action.SKIP:
        annotations |= _held(pod.annotations)
    return annotations


def _provenance(decision: Decision) -> dict[str, str]:
    said = {DECISION: decision.action.value, REASON: "; ".join(decision.shown.matched) or decision.reason.sentence}
    return said if decision.rule is None else said | {RULE: decision.rule}


def _excluded_ports(annotations: Mapping[str, str], ports: tuple[int, ...]) -> dict[str, str]:
    """The author's list with ours after it. What the author wrote stays as it is, ranges and "*" included."""
    present = annotations.get(mesh.EXCLUDE_OUTBOUND_PORTS, "")
    listed = [item.strip() for item in present.split(",") if item.strip()]
    missing = [] if "*" in listed else [str(port) for port in ports if str(port) not in listed]
    return {mesh.EXCLUDE_OUTBOUND_PORTS: ",".join([*listed, *missing])} if missing else {}


def _held(annotations: Mapping[str, str]) -> dict[str, str]:
    """The author's proxy configuration with hold added, unless it says something about hold itself.

    One line is added to a block mapping, so that comments and spellings stay; only where that does not parse to
    what is meant (a JSON object, an indented mapping) is the whole written again. Both values are trees within the
    limits of an annotation, so they are compared and written in time.
    """
    config = mesh.proxy_config(annotations)
    if config is None or HOLD in config:
        return {}
    wanted = config | {HOLD: True}
    text = f"{annotations.get(mesh.PROXY_CONFIG, '').rstrip()}\n{HOLD}: true".lstrip("\n")
    if mesh.parse_proxy_config(text) != wanted:
        text = yaml.dump(wanted, Dumper=_Dumper, sort_keys=False).rstrip()
    return {mesh.PROXY_CONFIG: text}


def _merge(path: str, present: Mapping[str, str] | None, wanted: Mapping[str, str]) -> list[Operation]:
    """Operations that make `wanted` part of the map at `path`: the missing parent in one piece, else key by key."""
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
    """A key as one reference token of a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
