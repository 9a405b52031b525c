"""The pods behind Services as they would be created now, for the server: it watches workloads, and no pods.

Of a workload only an outline is kept, without what detection reads. Where the policy's rules need no more, they decide
about the outline. Where they do, what was last decided about a pod of the workload counts, if the same policy decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from webhook.core.backing import Backing, Backings
from webhook.core.decision import Decision, Reason
from webhook.core.facts import owners_of
from webhook.core.surroundings import Service, Surroundings
from webhook.decision.engine import decide
from webhook.decision.policy import Policy
from webhook.kubernetes.pod import Pod
from webhook.mesh.party import Party, Plane
from webhook.mesh.sidecar import gets_sidecar
from webhook.verdicts.parties import as_decided
from webhook.verdicts.recent import Recent
from webhook.verdicts.rendering import Rendering

MOST_SERVERS: Final = 8
"""Workloads behind one Service that are judged; of more, it counts as unknown which answers."""
_MOST_DECIDED: Final = 8192
_MOST_OUTLINES: Final = 2048
_EITHER: Final = (Plane.NONE, Plane.SIDECAR)
_UNREAD: Final = "only an outline of the workload is known"

Owner = tuple[str, str, str]
"""Namespace, kind and name of a workload."""


class Decided:
    """Whether the pods of workloads got sidecars when they were last decided about.

    Attributes:
        changes: A number that grows with each change of what was asked for.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._known: Recent[Owner, tuple[str, bool]] = Recent(_MOST_DECIDED)
        self._asked: Recent[Owner, bool] = Recent(_MOST_DECIDED)

    def remember(self, pod: Pod, namespace: str, decision: Decision, party: Party | None) -> None:
        """Record a decision about a pod with an owner, unless it was made without the pod's configuration.

        Args:
            pod: The pod as submitted.
            namespace: Where it is to be created.
            decision: The decision about it.
            party: The pod as it would be created, if it is at hand.
        """
        owners = owners_of(pod)
        if owners and decision.reason is not Reason.UNKNOWN:
            sidecar = gets_sidecar(pod, decision) if party is None else party.planes[0] is Plane.SIDECAR
            owner, now = (namespace, owners[0].kind, owners[0].name), (decision.policy, sidecar)
            # Most workloads are servers of nobody whose connections were judged.
            if self._known.put(owner, now) != now and self._asked.get(owner):
                self.changes += 1

    def has_sidecar(self, owner: Owner, policy: str) -> bool | None:
        """Return whether the pods of a workload get a sidecar, by a policy's version; None where that is not known."""
        # Before the answer, so that no change is missed.
        self._asked.put(owner, True)  # noqa: FBT003 - the value of an entry
        known = self._known.get(owner)
        return known[1] if known is not None and known[0] == policy else None


class View(Protocol):
    """What the servers of a connection depend on; each answer is recorded."""

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """As `Surroundings`."""
        ...

    def behind(self, namespace: str, name: str) -> Backings | None:
        """As `Surroundings`."""
        ...

    def has_sidecar(self, owner: Owner, policy: str) -> bool | None:
        """As `Decided`."""
        ...


class Outlines:
    """The pods of workloads, by what a policy decides about their outlines. Bounded; thread-safe."""

    def __init__(self) -> None:
        self._known: Recent[tuple[Backing, str], tuple[Mapping[str, str] | None, Party]] = Recent(_MOST_OUTLINES)

    def party(self, backing: Backing, policy: Policy, rendering: Rendering, surroundings: Surroundings) -> Party:
        """Return a workload's pods; where the outline does not show it, with and without a sidecar."""
        labels = surroundings.namespace_labels(backing.namespace)
        known = self._known.get((backing, policy.version))
        if known is None or known[0] != labels:
            known = labels, _outlined(backing, policy, rendering, surroundings)
            self._known.put((backing, policy.version), known)
        return known[1]


class Servers:
    """The pods behind Services. Implements `webhook.verdicts.compose.Neighbours`."""

    def __init__(self, view: View, policy: Policy, outlined: Callable[[Backing], Party]) -> None:
        """Take what is known of them.

        Args:
            view: The cluster context.
            policy: The policy that would decide about them.
            outlined: Returns the pods of a workload, as `Outlines.party`.
        """
        self._view = view
        self._policy = policy
        self._outlined = outlined

    def servers(self, service: Service) -> Sequence[Party] | None:
        """Return the pods that a Service selects; None where they are not all known, or too many to judge each."""
        backings = self._view.behind(service.namespace, service.name)
        if backings is None or len(backings) > MOST_SERVERS:
            return None
        # The decision about each depends on the labels of the namespace, which are recorded here.
        self._view.namespace_labels(service.namespace)
        return [self._party(backing) for backing in backings]

    def _party(self, backing: Backing) -> Party:
        party = self._outlined(backing)
        if len(party.planes) == 1:
            return party
        decided = self._view.has_sidecar((backing.namespace, backing.kind, backing.name), self._policy.version)
        return party if decided is None else replace(party, planes=(_EITHER[decided],), unknown="")


def _outlined(backing: Backing, policy: Policy, rendering: Rendering, surroundings: Surroundings) -> Party:
    pod, name = backing.outline, f"{backing.kind}/{backing.name}"
    decision = decide(
        pod,
        backing.namespace,
        document=lambda: _document(pod),
        surroundings=surroundings,
        policy=policy,
        unread=_UNREAD,
    )
    party = as_decided(name, backing.namespace, pod, decision, rendering)
    if backing.cut or decision.reason is Reason.UNKNOWN:
        return replace(party, planes=_EITHER, unknown=f"what the policy decides about {name}")
    return party


def _document(pod: Pod) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(pod)
    return document
