"""Build Events of events.k8s.io/v1 from decisions. No I/O.

An Event's name is derived from its owner, reason and note, so that all replicas of the webhook, also after a restart,
write to the same object. It does not depend on the pod: equal decisions about pods of one owner form one series.

Source of the API server's limits: kubernetes pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple, assert_never

from webhook.core.decision import Action, Decision, Dependency, Mode, Reason
from webhook.core.facts import owners_of
from webhook.kubernetes.pod import ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.verdicts.foreseen import NONE, Connections, Foreseen

REPORTER: Final = "sidecar-policy.dev/webhook"
MAX_NOTE: Final = 1024
"""Maximum size of a note in bytes."""
AUDIT_ONLY: Final = "AuditOnly"

_MAX_CODE = 128
_MAX_NAME = 253
_MOST_BROKEN = 6
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

Resolve = Callable[[str, str, str], str | None]
"""Returns the uid of an object by namespace, kind and name; None if it is unknown."""


@dataclass(frozen=True, slots=True)
class Message:
    """The content of an Event.

    Attributes:
        reason: A stable code in CamelCase.
        action: The action taken, as a stable code.
        note: A sentence for users, at most MAX_NOTE bytes.
        warning: Whether the Event's type is Warning instead of Normal.
    """

    reason: str
    action: str
    note: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """A pod's owner, from its ownerReferences.

    Attributes:
        namespace: The namespace of the pod and of its owner.
        reference: The entry of metadata.ownerReferences.
        deployment: The Deployment's name if the owner is its ReplicaSet, else empty.
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
    """Return the owner that a pod's Events regard: its controller, or else its first owner.

    Args:
        pod: The pod.
        namespace: The pod's namespace.

    Returns:
        The owner; None for a pod without one, since the pod itself does not exist yet during admission, and for a
        mirror pod, whose owner is its Node.
    """
    references = [owner for owner in pod.metadata.owner_references or () if owner.uid and owner.kind != "Node"]
    if not references:
        return None
    reference = next((owner for owner in references if owner.controller), references[0])
    alone = Pod(ObjectMeta(labels=pod.labels, owner_references=[reference]), PodSpec())
    nearest = owners_of(alone)[0]
    of_a_deployment = nearest is not reference and nearest.kind == "Deployment"
    return Owner(namespace, reference, nearest.name if of_a_deployment else "")


def regarding(owner: Owner, resolve: Resolve) -> Regarding:
    """Return the object that an Event regards: a ReplicaSet's Deployment if its uid is known, else the owner itself.

    Args:
        owner: The pod's owner.
        resolve: Looks up the uid of the Deployment.
    """
    reference = owner.reference
    if owner.deployment and (uid := resolve(owner.namespace, "Deployment", owner.deployment)):
        return Regarding("apps/v1", "Deployment", owner.namespace, owner.deployment, uid)
    return Regarding(reference.api_version, reference.kind, owner.namespace, reference.name, reference.uid)


def is_reported(decision: Decision) -> bool:
    """Return whether a decision is reported as an Event: the policy changes something, or would in audit mode."""
    return decision.by_policy and any(_effects(decision.shown))


def of_decision(decision: Decision, connections: Connections = NONE) -> Message:
    """Return the Event's content for a decision that `is_reported`, limited to what the pod's author may see.

    Args:
        decision: The decision.
        connections: What becomes of the pod's connections.
    """
    decision = decision.shown
    audit = decision.mode is Mode.AUDIT
    first, *others = _effects(decision)
    done = " and ".join(effect.clause(audit=audit) for effect in (first, *others))
    by = f"rule {decision.rule}"
    if decision.rule is None:
        by = "onUnknown" if decision.reason is Reason.UNKNOWN else "the default"
    note = f"{'Audit only: ' if audit else ''}{done} by {by} (policy {decision.policy})"
    if decision.matched:
        note += f": {'; '.join(decision.matched)}"
    if connections.shown:
        note += f". Connections that break: {'; '.join(_listed(connections.shown))}"
    if evidence := list(dict.fromkeys(found.evidence for found in _matched(decision))):
        note += f". Evidence: {'; '.join(evidence)}"
    return Message(
        reason=AUDIT_ONLY if audit else first.reason,
        action=first.action,
        note=_fit(note[0].upper() + note[1:]),
        warning=any(one.harmed for one in connections.shown),
    )


def of_contradiction(code: str, sentence: str) -> Message:
    """Return the Event's content for a pod that contradicts its decision after admission.

    Args:
        code: The contradiction's code, such as "label-lost"; in CamelCase it is the Event's reason.
        sentence: The same for users. It must contain no value of the pod's configuration, nor the pod's name, which
            would result in an Event for each pod.
    """
    reason = "".join(word[:1].upper() + word[1:] for word in code.split("-"))
    return Message(reason=reason[:_MAX_CODE], action="Validate", note=_fit(sentence), warning=True)


def name_of(about: Regarding, message: Message) -> str:
    """Return the Event's name: the same for the same object, reason, action and note.

    Args:
        about: The object that it regards.
        message: Its content.

    Returns:
        A valid name of at most 253 characters.
    """
    parts = (about.uid, message.reason, message.action, message.note)
    suffix = "." + sha256("\0".join(parts).encode()).hexdigest()[:16]
    stem = about.name[: _MAX_NAME - len(suffix)].rstrip("-.")
    return (stem if _SUBDOMAIN.fullmatch(stem) else "sidecar-policy") + suffix


def collection(about: Regarding) -> str:
    """Return the collection in which Events about an object are created."""
    return f"/apis/events.k8s.io/v1/namespaces/{about.namespace}/events"


def body(about: Regarding, message: Message, *, instance: str, time: str) -> dict[str, Any]:
    """Return an Event to create.

    Args:
        about: The object that it regards.
        message: Its content.
        instance: The reporting replica.
        time: Time of the first occurrence, a MicroTime.

    Returns:
        The Event as plain data.
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
    """Return the `series` field of an Event with several occurrences.

    Args:
        count: Number of occurrences; the API server requires at least 2.
        last: Time of the last occurrence, a MicroTime.
    """
    return {"count": count, "lastObservedTime": last}


def micro_time(time: datetime) -> str:
    """Format a time as the API's MicroTime, whose strings sort chronologically."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _Effect(NamedTuple):
    """One effect of a decision on a pod: the Event's reason and action, and the subject and predicate of its note."""

    reason: str
    action: str
    subject: str
    done: str

    def clause(self, *, audit: bool) -> str:
        return f"{self.subject} would be {self.done}" if audit else f"{self.subject} {self.done}"


def _effects(decision: Decision) -> Iterator[_Effect]:
    match decision.action:
        case Action.INHERIT:
            pass
        case Action.SKIP:
            yield _Effect("SidecarSkipped", "Skip", "sidecar", "skipped")
        case Action.INJECT:
            yield _Effect("SidecarInjected", "Inject", "sidecar", "requested")
        case Action.BYPASS:
            if decision.ports:
                ports = ", ".join(map(str, decision.ports))
                yield _Effect("PortsBypassed", "Bypass", f"outbound ports {ports}", "excluded from interception")
        case _:
            assert_never(decision.action)
    if decision.hold and decision.action.sidecar is not False:
        yield _Effect("ApplicationHeld", "Hold", "application", "held until the sidecar is ready")


def _listed(broken: Sequence[Foreseen]) -> Iterator[str]:
    yield from map(str, broken[:_MOST_BROKEN])
    if len(broken) > _MOST_BROKEN:
        yield f"{len(broken) - _MOST_BROKEN} more"


def _matched(decision: Decision) -> list[Dependency]:
    """Return the dependencies that the rule matched, or whose ports are bypassed."""
    kinds = {phrase.removeprefix("dependency ") for phrase in decision.matched if phrase.startswith("dependency ")}
    return [found for found in decision.findings.dependencies if found.kind in kinds or found.port in decision.ports]


def _fit(text: str) -> str:
    """Return one line of printable characters, truncated to MAX_NOTE bytes."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    encoded = line.encode()
    if len(encoded) <= MAX_NOTE:
        return line
    return encoded[: MAX_NOTE - len("…".encode())].decode(errors="ignore") + "…"
