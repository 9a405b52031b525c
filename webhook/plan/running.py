"""Whether a pod that runs has the sidecar that a policy would give it if it were created now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from webhook.core.conformance import as_created
from webhook.core.decision import Action, Decision
from webhook.core.engine import decide
from webhook.core.facts import owners_of
from webhook.core.patch import DECISION, binds, remedies
from webhook.core.pod import OwnerReference, Pod
from webhook.core.sidecar import gets_sidecar, proxy_of
from webhook.core.surroundings import Surroundings
from webhook.core.verdict import Policy


class Contrast(Enum):
    """How a running pod differs from its decision: a stable code and the sentence for people."""

    HAS_SIDECAR = ("has-sidecar", "has a sidecar, and is to have none")
    NO_SIDECAR = ("no-sidecar", "has no sidecar, and is to have one")
    WITHOUT_REMEDY = ("without-remedy", "has a sidecar without the exceptions that were decided")
    OLD_REMEDY = ("old-remedy", "has exceptions in its sidecar that are no longer decided")

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Outdated:
    """A pod that runs otherwise than it would be created.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        owner: What to restart, or None for a pod that nobody owns.
        contrast: How it differs.
        decision: What would be decided now.
    """

    namespace: str
    name: str
    owner: OwnerReference | None
    contrast: Contrast
    decision: Decision


def outdated(
    document: dict[str, Any], namespace: str, *, surroundings: Surroundings, policy: Policy
) -> Outdated | None:
    """Compare a running pod with what a policy decides about it now.

    Args:
        document: The pod as the API server has it.
        namespace: Its namespace.
        surroundings: What is around it.
        policy: The policy.

    Returns:
        None for a pod that is as it would be created.

    Raises:
        msgspec.ValidationError: The pod is not understood.
    """
    created = as_created(document)
    before, now = msgspec.convert(created, Pod), msgspec.convert(document, Pod)
    decision = decide(before, namespace, document=lambda: created, surroundings=surroundings, policy=policy)
    contrast = _contrast(now, decision, wanted=gets_sidecar(before, decision))
    if contrast is None:
        return None
    owners = owners_of(now)
    return Outdated(namespace, now.metadata.name or "", owners[-1] if owners else None, contrast, decision)


def _contrast(pod: Pod, decision: Decision, *, wanted: bool) -> Contrast | None:
    has = proxy_of(pod) is not None
    if has != wanted:
        return Contrast.HAS_SIDECAR if has else Contrast.NO_SIDECAR
    if not has:
        return None
    if binds(decision) and remedies(pod, decision):
        return Contrast.WITHOUT_REMEDY
    bypassed = pod.annotations.get(DECISION) == Action.BYPASS.value
    return Contrast.OLD_REMEDY if bypassed and not (binds(decision) and decision.action is Action.BYPASS) else None


_RESTARTABLE = frozenset({"Deployment", "StatefulSet", "DaemonSet"})


def restart_command(one: Outdated) -> str | None:
    """The command that creates the pod anew; None where there is none."""
    if one.owner is None or one.owner.kind not in _RESTARTABLE:
        return None
    return f"kubectl -n {one.namespace} rollout restart {one.owner.kind.lower()}/{one.owner.name}"
