"""An Event of events.k8s.io/v1: what is told of a decision, and about which object. No I/O.

An Event's name is made from its owner, its reason and its note, so that all replicas of the webhook, and one that was
started anew, come to the same object. Nothing of one pod is in it: pods of one owner that are decided alike are told
as one series.

What the API server accepts, source: kubernetes pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from webhook.core.decision import Action, Decision, Dependency, Mode, Reason
from webhook.core.facts import owners_of
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec

REPORTER: Final = "sidecar-policy.dev/webhook"
MAX_NOTE: Final = 1024
"""Bytes."""
AUDIT_ONLY: Final = "AuditOnly"

_MAX_CODE = 128
_MAX_NAME = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_REASONS = {
    Action.SKIP: "SidecarSkipped",
    Action.INJECT: "SidecarInjected",
    Action.BYPASS: "PortsBypassed",
    Action.INHERIT: "ApplicationHeld",
}
_ACTIONS = {Action.SKIP: "Skip", Action.INJECT: "Inject", Action.BYPASS: "Bypass", Action.INHERIT: "Hold"}

Resolve = Callable[[str, str, str], str | None]
"""The uid of the object in this namespace, of this kind and name; None when it is not known."""


@dataclass(frozen=True, slots=True)
class Message:
    """What an Event says.

    Attributes:
        reason: Why, as a stable code in CamelCase.
        action: What was done, as a stable code.
        note: The sentence for people, at most MAX_NOTE bytes.
        warning: Whether somebody should look at it.
    """

    reason: str
    action: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """A pod's owner as the pod names it.

    Attributes:
        namespace: The pod's and so the owner's.
        reference: The entry of metadata.ownerReferences.
        deployment: The Deployment's name where the owner is a ReplicaSet of one, else empty.
    """

    namespace: str
    reference: OwnerReference
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


def owner_of(pod: Pod, namespace: str) -> Owner | None:
    """The owner that Events about a pod go to: the one that manages it, or the first.

    Returns:
        None for a pod without one, for it does not exist yet when it is decided about; and for a mirror pod, whose
        owner is its Node: it runs already, from a file.
    """
    references = [one for one in pod.metadata.owner_references or () if one.uid and one.kind != "Node"]
    if not references:
        return None
    reference = next((one for one in references if one.controller), references[0])
    alone = Pod(ObjectMeta(labels=pod.labels, owner_references=[reference]), PodSpec())
    nearest = owners_of(alone)[0]
    of_a_deployment = nearest is not reference and nearest.kind == "Deployment"
    return Owner(namespace, reference, nearest.name if of_a_deployment else "")


def regarding(owner: Owner, resolve: Resolve) -> Regarding:
    """The object to tell: the Deployment of a ReplicaSet when its uid is known, else the owner itself."""
    reference = owner.reference
    if owner.deployment and (uid := resolve(owner.namespace, "Deployment", owner.deployment)):
        return Regarding("apps/v1", "Deployment", owner.namespace, owner.deployment, uid)
    return Regarding(reference.api_version, reference.kind, owner.namespace, reference.name, reference.uid)


def is_told(decision: Decision) -> bool:
    """Whether the policy decided to change something, or would have in audit mode."""
    if not decision.by_policy:
        return False
    match decision.action:
        case Action.INHERIT:
            return decision.hold
        case Action.BYPASS:
            return bool(decision.ports) or decision.hold
        case _:
            return True


def tell(decision: Decision) -> Message:
    """What to say of a decision that `is_told`: no more than the pod's author may see."""
    decision = decision.shown
    audit = decision.mode is Mode.AUDIT
    done = " and ".join(_deeds(decision, audit=audit))
    by = f"rule {decision.rule}"
    if decision.rule is None:
        by = "onUnknown" if decision.reason is Reason.UNKNOWN else "the default"
    note = f"{'Audit only: ' if audit else ''}{done} by {by} (policy {decision.policy})"
    if decision.matched:
        note += f": {'; '.join(decision.matched)}"
    if trail := list(dict.fromkeys(found.evidence for found in _matched(decision))):
        note += f". Evidence: {'; '.join(trail)}"
    only_held = decision.action is Action.BYPASS and not decision.ports
    action = Action.INHERIT if only_held else decision.action
    return Message(
        reason=AUDIT_ONLY if audit else _REASONS[action],
        action=_ACTIONS[action],
        note=_fit(note[0].upper() + note[1:]),
    )


def warn(code: str, sentence: str) -> Message:
    """What to say of a pod that has come out of admission otherwise than it was decided.

    Args:
        code: What is wrong, as "label-lost"; its words in CamelCase are the Event's reason.
        sentence: The same for people. It must hold no value of the pod's configuration, and not name the pod, or else
            each pod is told apart.
    """
    reason = "".join(word[:1].upper() + word[1:] for word in code.split("-"))
    return Message(reason=reason[:_MAX_CODE], action="Validate", note=_fit(sentence), warning=True)


def name_of(about: Regarding, message: Message) -> str:
    """The Event's name: the same for the same object, reason and note."""
    said = (about.uid, message.reason, message.action, message.note)
    suffix = "." + sha256("\0".join(said).encode()).hexdigest()[:16]
    stem = about.name[: _MAX_NAME - len(suffix)].rstrip("-.")
    return (stem if _SUBDOMAIN.fullmatch(stem) else "sidecar-policy") + suffix


def collection(about: Regarding) -> str:
    """The path that Events about an object are created under."""
    return f"/apis/events.k8s.io/v1/namespaces/{about.namespace}/events"


def body(about: Regarding, message: Message, *, instance: str, time: str) -> dict[str, Any]:
    """The Event.

    Args:
        about: The object.
        message: What is said of it.
        instance: Which of the replicas says so.
        time: When it was first seen, a MicroTime.

    Returns:
        The document to create.
    """
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": about.namespace, "name": name_of(about, message)},
        "type": "Warning" if message.warning else "Normal",
        "reason": message.reason,
        "action": message.action,
        "note": message.note,
        "eventTime": time,
        "reportingController": REPORTER,
        "reportingInstance": instance[:_MAX_CODE],
        "regarding": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }


def series(count: int, last: str) -> dict[str, Any]:
    """The `series` of an Event that was seen more than once.

    Args:
        count: How often; the API server takes 2 and more.
        last: When it was last seen, a MicroTime.
    """
    return {"count": count, "lastObservedTime": last}


def micro_time(time: datetime) -> str:
    """A MicroTime of the API; texts of it are ordered as the times are."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _deeds(decision: Decision, *, audit: bool) -> list[str]:
    ports = ", ".join(map(str, decision.ports))
    deeds = []
    if decision.action is Action.SKIP:
        deeds.append("sidecar would be skipped" if audit else "sidecar skipped")
    if decision.action is Action.INJECT:
        deeds.append("sidecar would be requested" if audit else "sidecar requested")
    if decision.action is Action.BYPASS and ports:
        deeds.append(f"outbound ports {ports} {'would be excluded' if audit else 'excluded'} from interception")
    if decision.hold and decision.action is not Action.SKIP:
        deeds.append(f"application {'would be held' if audit else 'held'} until the sidecar is ready")
    return deeds


def _matched(decision: Decision) -> list[Dependency]:
    """The dependencies that made the rule match, or whose ports are bypassed."""
    kinds = {phrase.removeprefix("dependency ") for phrase in decision.matched if phrase.startswith("dependency ")}
    return [found for found in decision.findings.dependencies if found.kind in kinds or found.port in decision.ports]


def _fit(text: str) -> str:
    """One line of printable characters, cut to MAX_NOTE bytes between two of them."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    encoded = line.encode()
    if len(encoded) <= MAX_NOTE:
        return line
    return encoded[: MAX_NOTE - len("…".encode())].decode(errors="ignore") + "…"
