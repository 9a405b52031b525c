"""The decision about every workload of an inventory, the first step of all analyses; or why a kind is not detected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook.core.decision import Decision
from webhook.decision.engine import decide
from webhook.detection.whynot import WhyNot, why_not
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


@dataclass(frozen=True, slots=True)
class Answered:
    """One workload, and why it is not found to be a client of a kind."""

    workload: Workload
    kind: str
    why_not: WhyNot


def decide_by(policy: CompiledPolicy, inventory: Inventory) -> list[Decided]:
    """Return a policy's decision for every workload, in the inventory's order."""
    return [Decided(workload, decide_about(workload, policy, inventory)) for workload in inventory.workloads]


def decide_about(workload: Workload, policy: CompiledPolicy, inventory: Inventory) -> Decision:
    """Return a policy's decision about one workload, with all findings."""
    return decide(
        workload.pod,
        workload.namespace,
        document=lambda: workload.document,
        surroundings=inventory,
        policy=policy,
        always_detect=True,
    )


def why_not_by(policy: CompiledPolicy, inventory: Inventory, kind: str) -> list[Answered]:
    """Return for every workload why it is not found to be a client of a kind of the policy's catalog."""
    return [
        Answered(workload, kind, why_not(workload.pod, workload.namespace, inventory, policy.catalog, kind))
        for workload in inventory.workloads
    ]
