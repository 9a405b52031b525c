"""The plan of a policy change: the workloads that change, the pods to restart, and the impact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from webhook.analysis.plan.changes import Change, changes
from webhook.analysis.plan.impact import Consequences, Party, Warned
from webhook.analysis.workloads import Decided, decide_by
from webhook.decision.drift import Drifted, drifted
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.sidecar import gets_sidecar
from webhook.policy.compiled import CompiledPolicy

if TYPE_CHECKING:
    from webhook.analysis.workloads import Inventory


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between the active and a proposed policy.

    Attributes:
        now: Name and generation of the current policy.
        then: The same of the proposed one.
        changes: The workloads that would be treated differently.
        restarts_now: Running pods that differ from what the current policy decides.
        restarts_then: Running pods that differ from what the proposed policy decides.
        consequences: The impact of lost sidecars.
        left_out: Namespace and name of pods that cannot be read.
    """

    now: str
    then: str
    changes: Sequence[Change]
    restarts_now: Sequence[Drifted]
    restarts_then: Sequence[Drifted]
    consequences: Sequence[Warned]
    left_out: Sequence[tuple[str, str]] = ()


def plan_of(now: CompiledPolicy, then: CompiledPolicy, inventory: Inventory, istio: IstioConfiguration) -> Plan:
    """Compare what two policies decide about an inventory.

    Args:
        now: The current policy.
        then: The proposed policy.
        inventory: The manifests or the snapshot of a cluster.
        istio: Istio's configuration in it.
    """
    before, after = decide_by(now, inventory), decide_by(then, inventory)
    left_out: dict[tuple[str, str], None] = {}
    return Plan(
        now=now.version,
        then=then.version,
        changes=changes(_compared(before, after)),
        restarts_now=list(_drifted(inventory, now, left_out)),
        restarts_then=list(_drifted(inventory, then, left_out)),
        consequences=list(_consequences(inventory, istio, before, after)),
        left_out=tuple(left_out),
    )


def _compared(before: Sequence[Decided], after: Sequence[Decided]) -> Iterator[Change]:
    for current, proposed in zip(before, after, strict=True):
        workload = current.workload
        decisions = current.decision, proposed.decision
        yield Change(workload.kind, workload.namespace, workload.name, workload.pod, *decisions)


def _drifted(inventory: Inventory, policy: CompiledPolicy, left_out: dict[tuple[str, str], None]) -> Iterator[Drifted]:
    for running in inventory.running:
        document = running.document()
        try:
            pod = msgspec.convert(document, Pod)
        except msgspec.ValidationError:
            left_out[running.namespace, running.name] = None
            continue
        found = drifted(pod, document, surroundings=inventory, policy=policy)
        if found is not None:
            yield found


def _consequences(
    inventory: Inventory,
    istio: IstioConfiguration,
    before: Sequence[Decided],
    after: Sequence[Decided],
) -> Iterator[Warned]:
    compared = _compared(before, after)
    losing = {(change.kind, change.namespace, change.name) for change in compared if change.loses_sidecar}
    parties = []
    for decided in after:
        workload = decided.workload
        key = workload.kind, workload.namespace, workload.name
        calls = decided.decision.findings.called if key in losing else {}
        parties.append(Party(*key, workload.pod, gets_sidecar(workload.pod, decided.decision), calls))
    consequences = Consequences(parties, inventory, istio)
    for party in parties:
        if (party.kind, party.namespace, party.name) in losing:
            yield from consequences.of(party)
