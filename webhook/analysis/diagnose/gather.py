"""Assemble the input of a diagnosis from an inventory and its decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from webhook.analysis.diagnose.picture import Member, Picture, Sidecars
from webhook.core.facts import owners_of
from webhook.kubernetes.pod import Pod
from webhook.kubernetes.unread import Unread, understood
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.eligibility import sidecar_of
from webhook.mesh.sidecar import is_native
from webhook.mesh.webhook_order import KIND, Configuration

if TYPE_CHECKING:
    from webhook.analysis.workloads import Decided, Inventory
    from webhook.core.decision import Decision
    from webhook.inventory.workloads import RunningPod, Workload
    from webhook.policy.compiled import CompiledPolicy


def picture_of(
    inventory: Inventory,
    istio: IstioConfiguration,
    policy: CompiledPolicy,
    decided: Sequence[Decided],
    *,
    namespace: str | None,
    native: bool,
) -> Picture:
    """Assemble the input of a diagnosis.

    Args:
        inventory: The manifests or the snapshot of a cluster.
        istio: Istio's configuration in it.
        policy: The policy that decided; namespaces that it exempts are not diagnosed.
        decided: Its decisions.
        namespace: The only namespace to diagnose; None for all.
        native: Whether Istio renders native sidecars where no running pod shows it.
    """
    return Picture(
        members=[_member(each.workload, each.decision) for each in decided],
        surroundings=inventory,
        catalog=policy.catalog,
        least=policy.min_confidence,
        webhooks=_webhooks(inventory),
        istio=istio,
        sidecars=_sidecars(inventory.running, held=istio.settings.held, native=native),
        namespaces=[name for name in inventory.namespaces if not policy.exempts(name) and namespace in {None, name}],
    )


def unread_webhooks(inventory: Inventory) -> list[Unread]:
    """Return the webhook configurations that cannot be read."""
    read = (understood(document, Configuration) for document in _webhooks(inventory))
    return [unread for unread in read if isinstance(unread, Unread)]


def _member(workload: Workload, decision: Decision) -> Member:
    return Member(workload.kind, workload.namespace, workload.name, workload.pod, decision)


def _webhooks(inventory: Inventory) -> list[dict[str, Any]]:
    return [document for document in inventory.documents if document.get("kind") == KIND]


def _sidecars(running: Sequence[RunningPod], *, held: bool, native: bool) -> Sidecars:
    seen: dict[str, bool] = {}
    outlived: dict[tuple[str, str, str], str] = {}
    for running_pod in running:
        pod = msgspec.convert(running_pod.document(), Pod)
        if sidecar_of(pod) is None:
            continue
        namespace = running_pod.namespace
        seen[namespace] = seen.get(namespace, True) and is_native(pod)
        if running_pod.outlived:
            outlived |= {(namespace, owner.kind, owner.name): running_pod.name for owner in owners_of(pod)}
    return Sidecars(native=native, seen=seen, held=held, outlived=outlived)
