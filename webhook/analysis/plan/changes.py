"""The workloads that a proposed policy would treat differently."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.core.decision import Action, Decision
from webhook.kubernetes.pod import Pod
from webhook.mesh.sidecar import gets_sidecar


@dataclass(frozen=True, slots=True)
class Change:
    """One workload with its decisions under the current and the proposed policy.

    Attributes:
        kind: "Deployment".
        namespace: Its namespace.
        name: Its name.
        pod: The pod that it creates.
        before: The current decision.
        after: The proposed one.
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
        """Whether its pods have no sidecar now and would have one."""
        return gets_sidecar(self.pod, self.after) and not gets_sidecar(self.pod, self.before)


def changes(compared: Iterable[Change]) -> list[Change]:
    """Return the workloads that would be treated differently; another rule with the same effect does not count."""
    return [change for change in compared if _done(change.before) != _done(change.after)]


def _done(decision: Decision) -> tuple[object, ...]:
    if decision.action is Action.INHERIT and not decision.hold:
        return (Action.INHERIT,)  # in audit mode, too, nothing is done
    return decision.action, decision.mode, decision.ports, decision.hold
