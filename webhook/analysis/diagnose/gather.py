"""Assemble the input of a diagnosis from an inventory and its decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from webhook.analysis.connections import Parties, connect, key_of, pods_of, rendering_of
from webhook.analysis.diagnose.assumed import Assumed
from webhook.analysis.diagnose.picture import Member, Picture
from webhook.core.facts import owners_of
from webhook.kubernetes.unread import Unread, understood
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Mesh
from webhook.mesh.other_meshes import linkerd_in
from webhook.mesh.webhook_order import KIND, Configuration
from webhook.verdicts.compose import Composer

if TYPE_CHECKING:
    from webhook.analysis.workloads import Decided, Inventory
    from webhook.policy.compiled import CompiledPolicy


def picture_of(
    inventory: Inventory,
    istio: IstioConfiguration,
    policy: CompiledPolicy,
    decided: Sequence[Decided],
    *,
    namespace: str | None,
    native: bool,
    as_they_run: bool = False,
) -> Picture:
    """Assemble the input of a diagnosis.

    Args:
        inventory: The manifests or the snapshot of a cluster.
        istio: Istio's configuration in it.
        policy: The policy that decided; namespaces that it exempts are not diagnosed.
        decided: Its decisions.
        namespace: The only namespace to diagnose; None for all.
        native: Whether Istio renders native sidecars where no running pod shows it.
        as_they_run: Whether pods that run are judged, instead of those that would be created now.
    """
    rendering = rendering_of(inventory, istio, native=native)
    parties = Parties(inventory, decided, rendering, as_they_run=as_they_run)
    neighbours = Assumed(parties, inventory)
    composer = Composer(Mesh(istio, inventory), inventory, neighbours)
    members = [
        Member(
            workload, each.decided.decision, parties.created[key_of(workload)], each.party, each.connections, each.each
        )
        for each in connect(decided, parties, composer, inventory, policy.catalog, policy.min_confidence)
        for workload in (each.decided.workload,)
    ]
    return Picture(
        members=members,
        surroundings=inventory,
        catalog=policy.catalog,
        composer=composer,
        neighbours=neighbours,
        webhooks=_webhooks(inventory),
        istio=istio,
        rendering=rendering,
        outlived=_outlived(inventory),
        others=linkerd_in(inventory.documents, ((each.namespace, each.pod) for each in members)),
        namespaces=[name for name in inventory.namespaces if not policy.exempts(name) and namespace in {None, name}],
    )


def unread_webhooks(inventory: Inventory) -> list[Unread]:
    """Return the webhook configurations that cannot be read."""
    read = (understood(document, Configuration) for document in _webhooks(inventory))
    return [unread for unread in read if isinstance(unread, Unread)]


def _webhooks(inventory: Inventory) -> list[dict[str, Any]]:
    return [document for document in inventory.documents if document.get("kind") == KIND]


def _outlived(inventory: Inventory) -> Mapping[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for running, pod in pods_of(inventory):
        if running.outlived:
            found |= {(running.namespace, owner.kind, owner.name): running.name for owner in owners_of(pod)}
    return found
