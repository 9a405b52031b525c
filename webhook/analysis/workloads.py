"""Decide about every workload of an inventory, the first step of all analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.core.decision import Decision
from webhook.decision.engine import decide
from webhook.inventory.workloads import Workload
from webhook.policy.compiled import CompiledPolicy

if TYPE_CHECKING:  # the module for live clusters is the slowest import
    from webhook.inventory.manifests import Manifests
    from webhook.inventory.snapshot import Snapshot

    Inventory = Manifests | Snapshot


@dataclass(frozen=True, slots=True)
class Decided:
    """One workload and the decision about its pods."""

    workload: Workload
    decision: Decision


def decide_by(policy: CompiledPolicy, inventory: Inventory) -> list[Decided]:
    """Return a policy's decision for every workload, in the inventory's order."""

    def decided(workload: Workload) -> Decided:
        decision = decide(
            workload.pod,
            workload.namespace,
            document=lambda: workload.document,
            surroundings=inventory,
            policy=policy,
            always_detect=True,
        )
        return Decided(workload, decision)

    return [decided(workload) for workload in inventory.workloads]
