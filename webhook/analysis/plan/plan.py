"""The plan of a policy change: the workloads that change, the pods to restart, and the impact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from webhook.analysis.connections import connections_of, rendering_of
from webhook.analysis.plan.changes import Change, changes
from webhook.analysis.plan.flows import NO_FLOWS, Flows, flows_of
from webhook.analysis.plan.impact import Warned, consequences
from webhook.analysis.workloads import Decided, decide_by
from webhook.decision.drift import Drifted, drifted
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.policy.compiled import CompiledPolicy
from webhook.verdicts.rendering import Rendering

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
        consequences: The impact of lost sidecars on what Istio is configured for.
        flows: The connections that would break, flow again, or lose mutual TLS.
        left_out: Namespace and name of pods that cannot be read.
    """

    now: str
    then: str
    changes: Sequence[Change]
    restarts_now: Sequence[Drifted]
    restarts_then: Sequence[Drifted]
    consequences: Sequence[Warned]
    flows: Flows = NO_FLOWS
    left_out: Sequence[tuple[str, str]] = ()


def plan_of(
    now: CompiledPolicy,
    then: CompiledPolicy,
    inventory: Inventory,
    istio: IstioConfiguration,
    *,
    native: bool = True,
) -> Plan:
    """Compare what two policies decide about an inventory.

    Args:
        now: The current policy.
        then: The proposed policy.
        inventory: The manifests or the snapshot of a cluster.
        istio: Istio's configuration in it.
        native: Whether Istio renders native sidecars where no running pod shows it.
    """
    before, after = decide_by(now, inventory), decide_by(then, inventory)
    compared = list(_compared(before, after))
    left_out: dict[tuple[str, str], None] = {}
    return Plan(
        now=now.version,
        then=then.version,
        changes=changes(compared),
        restarts_now=list(_drifted(inventory, now, left_out)),
        restarts_then=list(_drifted(inventory, then, left_out)),
        consequences=[
            warned for change in compared if change.loses_sidecar for warned in consequences(change, inventory, istio)
        ],
        flows=_flows(now, then, inventory, before, after, rendering_of(inventory, istio, native=native)),
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


def _flows(
    now: CompiledPolicy,
    then: CompiledPolicy,
    inventory: Inventory,
    before: Sequence[Decided],
    after: Sequence[Decided],
    rendering: Rendering,
) -> Flows:
    least = min(now.min_confidence, then.min_confidence, key=lambda confidence: confidence.rank)
    return flows_of(
        connections_of(before, inventory, now, rendering, least=least),
        connections_of(after, inventory, then, rendering, least=least),
    )
