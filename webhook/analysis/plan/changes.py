"""Which workloads another policy would treat otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.core.decision import Action, Decision
from webhook.kubernetes.pod import Pod
from webhook.mesh.sidecar import gets_sidecar


@dataclass(frozen=True, slots=True)
class Change:
    """One workload that would be treated otherwise.

    Attributes:
        kind: "Deployment".
        namespace: Its namespace.
        name: Its name.
        pod: The pod that it makes.
        before: What is decided now.
        after: What would be.
    """

    kind: str
    namespace: str
    name: str
    pod: Pod
    before: Decision
    after: Decision

    @property
    def loses_sidecar(self) -> bool:
        """Whether its pods have a sidecar now and would have none."""
        return gets_sidecar(self.pod, self.before) and not gets_sidecar(self.pod, self.after)

    @property
    def gains_sidecar(self) -> bool:
        """The other way round."""
        return gets_sidecar(self.pod, self.after) and not gets_sidecar(self.pod, self.before)


def changes(compared: Iterable[Change]) -> list[Change]:
    """Those of the workloads for which another thing would be done; another rule that says the same is no change."""
    return [one for one in compared if _done(one.before) != _done(one.after)]


def _done(decision: Decision) -> tuple[object, ...]:
    if decision.action is Action.INHERIT and not decision.hold:
        return (Action.INHERIT,)  # in audit mode, too, nothing is done
    return decision.action, decision.mode, decision.ports, decision.hold
