"""The connections of every workload of an inventory, each with its verdict."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from webhook.core.decision import Confidence
from webhook.core.facts import owners_of
from webhook.core.surroundings import Service, Surroundings
from webhook.core.verdict import Outcome
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Mesh
from webhook.mesh.eligibility import AMBIENT, DATAPLANE_MODE, sidecar_of
from webhook.mesh.party import Party, Plane
from webhook.mesh.sidecar import is_native
from webhook.verdicts.compose import Composer, Judged
from webhook.verdicts.parties import as_decided, as_running
from webhook.verdicts.rendering import Rendering

if TYPE_CHECKING:
    from webhook.analysis.workloads import Decided, Inventory
    from webhook.inventory.workloads import RunningPod, Workload
    from webhook.policy.compiled import CompiledPolicy

Key = tuple[str, str, str]
"""A workload: kind, namespace, name."""


def key_of(workload: Workload) -> Key:
    """Return the key of a workload."""
    return workload.kind, workload.namespace, workload.name


@dataclass(frozen=True, slots=True)
class Connected:
    """A workload with its connections.

    Attributes:
        decided: The workload and the decision about its pods.
        party: Its pods as they would be created, or as they run.
        connections: What they call, and what becomes of it; of pods that differ, the worst.
        each: The same of each kind of pod, where pods that run differ.
    """

    decided: Decided
    party: Party
    connections: Sequence[Judged]
    each: Sequence[tuple[Party, Sequence[Judged]]] = ()


def rendering_of(inventory: Inventory, istio: IstioConfiguration, *, native: bool) -> Rendering:
    """Return how sidecars are rendered: as those that run, else as `native` says."""
    seen: dict[str, bool] = {}
    for running, pod in pods_of(inventory):
        if sidecar_of(pod) is not None:
            seen[running.namespace] = seen.get(running.namespace, True) and is_native(pod)
    return Rendering(native=native, seen=seen, held=istio.settings.held)


def pods_of(inventory: Inventory) -> Iterator[tuple[RunningPod, Pod]]:
    """Yield the pods that run, without those that cannot be read."""
    for running in inventory.running:
        try:
            yield running, msgspec.convert(running.document(), Pod)
        except msgspec.ValidationError:
            continue


class Parties:
    """The pods of an inventory as ends of connections. Implements `webhook.verdicts.compose.Neighbours`.

    Attributes:
        created: Each workload's pods as they would be created now.
        running: Each workload's pods as they run, one party for all that do not differ.
    """

    def __init__(
        self, inventory: Inventory, decided: Iterable[Decided], rendering: Rendering, *, as_they_run: bool
    ) -> None:
        """Collect them.

        Args:
            inventory: The manifests or the snapshot of a cluster.
            decided: The decision about each workload.
            rendering: How sidecars are rendered.
            as_they_run: Whether pods that run are judged, where there are any, instead of those to be created.
        """
        self.created: dict[Key, Party] = {}
        self.running: dict[Key, list[Party]] = {}
        self._as_they_run = as_they_run
        self._read = {running.namespace for running in inventory.running}
        self._labelled: dict[tuple[str, tuple[str, str]], list[Party]] = {}
        for each in decided:
            workload = each.workload
            name = f"{workload.kind}/{workload.name}"
            party = as_decided(name, workload.namespace, workload.pod, each.decision, rendering)
            self.created[key_of(workload)] = party
        self._run(inventory, rendering)
        for key, party in self.created.items():
            parties = (as_they_run and self.running.get(key)) or [party]
            self._add(parties)
        for key, parties in self.running.items():
            if key not in self.created:
                self._add(parties)

    def servers(self, service: Service) -> Sequence[Party] | None:
        """Return the pods that a Service selects; None where it selects none of those that are known."""
        first = next(iter((service.selector or {}).items()), None)
        known = () if first is None else self._labelled.get((service.namespace, first), ())
        found = [party for party in known if service.selects(party.labels)]
        if found:
            return found
        return () if service.namespace in self._read and service.selector else None

    def clients(self, key: Key) -> Sequence[Party]:
        """Return a workload's pods: those that run, if they are asked for and there are any."""
        return (self._as_they_run and self.running.get(key)) or [self.created[key]]

    def _add(self, parties: Iterable[Party]) -> None:
        for party in parties:
            for label in party.labels.items():
                self._labelled.setdefault((party.namespace, label), []).append(party)

    def _run(self, inventory: Inventory, rendering: Rendering) -> None:
        for running, pod in pods_of(inventory):
            ambient = (inventory.namespace_labels(running.namespace) or {}).get(DATAPLANE_MODE) == AMBIENT
            keys: list[tuple[str, str]] = [(owner.kind, owner.name) for owner in owners_of(pod)]
            kind, name = next(iter(keys), ("Pod", running.name))
            party = as_running(f"{kind}/{name}", running.namespace, pod, rendering, ambient=ambient)
            alike = self.running.setdefault((kind, running.namespace, name), [])
            if not any(_same(party, other) for other in alike):
                alike.append(party)


def _same(one: Party, other: Party) -> bool:
    """Return whether two pods of one workload differ in nothing that a verdict depends on but labels of their own."""
    return _differs_by(one) == _differs_by(other)


def _differs_by(party: Party) -> tuple[object, ...]:
    return party.planes, party.intercepted, party.native, party.held, party.as_proxy, party.init_as_proxy


def connections_of(
    decided: Sequence[Decided],
    inventory: Inventory,
    policy: CompiledPolicy,
    rendering: Rendering,
    *,
    as_they_run: bool = False,
    least: Confidence | None = None,
) -> list[Connected]:
    """Return every workload with its connections and their verdicts, in the order of `decided`.

    Args:
        decided: The decision about each workload, with all findings.
        inventory: The manifests or the snapshot of a cluster.
        policy: The policy that decided.
        rendering: How sidecars are rendered.
        as_they_run: Whether pods that run are judged, where there are any, instead of those to be created.
        least: The least confidence of a dependency to judge; None for the policy's.
    """
    parties = Parties(inventory, decided, rendering, as_they_run=as_they_run)
    composer = Composer(Mesh(inventory.istio, inventory), inventory, parties)
    return connect(decided, parties, composer, inventory, policy.catalog, least or policy.min_confidence)


def connect(
    decided: Iterable[Decided],
    parties: Parties,
    composer: Composer,
    surroundings: Surroundings,
    catalog: Catalog,
    least: Confidence,
) -> list[Connected]:
    """Return every workload with its connections, as `connections_of`, of parties that are collected already."""
    found = []
    for each in decided:
        workload = each.workload
        several: list[tuple[Party, list[Judged]]] = []
        for client in parties.clients(key_of(workload)):
            judged = list(composer.judged(client, each.decision.findings, least))
            if Plane.SIDECAR in client.planes and not client.native:
                judged += _early(client, workload, judged, composer, surroundings, catalog, least)
            several.append((client, judged))
        worst = [_worst(one) for one in itertools.zip_longest(*(judged for _, judged in several))]
        found.append(Connected(each, several[0][0], worst, several))
    return found


def _early(
    client: Party,
    workload: Workload,
    judged: Sequence[Judged],
    composer: Composer,
    surroundings: Surroundings,
    catalog: Catalog,
    least: Confidence,
) -> Iterator[Judged]:
    """Yield the connections that init containers make, too, before a sidecar that is no native one."""
    spec = workload.pod.spec
    if not spec.init_containers:
        return
    known = {(one.kind, one.host, one.port) for one in judged if one.init}
    pod = msgspec.structs.replace(workload.pod, spec=msgspec.structs.replace(spec, containers=[]))
    for one in composer.judged(client, detect(pod, workload.namespace, surroundings, catalog), least):
        if one.init and (one.kind, one.host, one.port) not in known:
            yield one


def _worst(each: Sequence[Judged | None]) -> Judged:
    """Return of one connection of pods that differ the one that breaks, else one that is not known."""
    judged = [one for one in each if one is not None]
    broken = (one for one in judged if one.verdict.outcome.breaks)
    unknown = (one for one in judged if one.verdict.outcome is Outcome.UNKNOWN)
    return next(broken, None) or next(unknown, None) or judged[0]


def by_key(connected: Iterable[Connected]) -> Mapping[Key, Connected]:
    """Return workloads by kind, namespace and name."""
    return {
        (each.decided.workload.kind, each.decided.workload.namespace, each.decided.workload.name): each
        for each in connected
    }
