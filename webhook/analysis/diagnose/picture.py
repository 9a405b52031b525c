"""The input of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from webhook.analysis.diagnose.assumed import Assumed
from webhook.core.decision import Decision
from webhook.core.surroundings import Service, Surroundings
from webhook.detection.catalog import Catalog
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.party import Party, Plane
from webhook.mesh.sidecar import gets_sidecar
from webhook.verdicts.compose import Composer, Judged
from webhook.verdicts.rendering import Rendering

if TYPE_CHECKING:
    from webhook.inventory.workloads import Workload

Place = tuple[str, str, int]
"""A Service's namespace and name, and the number of one of its ports."""


@dataclass(frozen=True, slots=True)
class Member:
    """A workload, the decision about the pods that it creates, and their connections.

    Attributes:
        workload: The workload.
        decision: The decision about its pods.
        created: Its pods as they would be created.
        party: The same; in a live cluster as they run.
        connections: What they call, and what becomes of it.
        each: The same of each kind of pod, where pods that run differ.
    """

    workload: Workload
    decision: Decision
    created: Party
    party: Party
    connections: Sequence[Judged]
    each: Sequence[tuple[Party, Sequence[Judged]]]

    @property
    def kind(self) -> str:
        """Its kind, as "Deployment"."""
        return self.workload.kind

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.workload.namespace

    @property
    def name(self) -> str:
        """Its name."""
        return self.workload.name

    @property
    def pod(self) -> Pod:
        """The pod that it creates."""
        return self.workload.pod

    @property
    def label(self) -> str:
        """The usual notation, as "Deployment/web"."""
        return f"{self.kind}/{self.name}"

    @property
    def gets_sidecar(self) -> bool:
        """Whether its pods should have a sidecar."""
        return gets_sidecar(self.pod, self.decision)

    @property
    def has_sidecar(self) -> bool:
        """Whether its pods have one: those that run, where they are judged."""
        return self.party.planes == (Plane.SIDECAR,)


@dataclass(frozen=True, slots=True)
class Call:
    """A connection of a workload.

    Attributes:
        client: The workload.
        party: Those of its pods that make it.
        judged: The connection, and what becomes of it.
    """

    client: Member
    party: Party
    judged: Judged

    @property
    def service(self) -> Service | None:
        """The Service whose pods are called; None for a host outside of the cluster, also behind an alias."""
        service = self.judged.service
        return None if service is None or service.external_name is not None else service

    @property
    def evidence(self) -> str:
        """Who makes it, and how that is known, as a sentence."""
        return f"client {self.client.label}: {self.judged.evidence}"


@dataclass(frozen=True)
class Picture:
    """The cluster under diagnosis.

    Attributes:
        members: The workloads.
        surroundings: The cluster context of the workloads.
        catalog: The backends to look for.
        composer: The judge of connections.
        neighbours: The pods behind Services; where they are not known, those that their namespace would make of them.
        webhooks: The MutatingWebhookConfigurations, as plain values.
        istio: Istio's own configuration.
        rendering: How Istio renders its sidecar.
        outlived: For each workload, as (namespace, kind, name), a pod whose application has exited and whose sidecar
            is still running.
        others: The namespaces of other meshes, each with what shows it, as a sentence.
        namespaces: The namespaces to diagnose.
    """

    members: Sequence[Member]
    surroundings: Surroundings
    catalog: Catalog
    composer: Composer
    neighbours: Assumed
    webhooks: Sequence[Mapping[str, Any]] = ()
    istio: IstioConfiguration = field(default_factory=IstioConfiguration)
    rendering: Rendering = field(default_factory=Rendering)
    outlived: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    namespaces: Sequence[str] = ()

    def behind(self, service: Service) -> list[Member]:
        """Return the workloads that a Service selects."""
        first = next(iter((service.selector or {}).items()), None)
        if first is None:
            return []
        return [one for one in self._labelled.get((service.namespace, first), ()) if service.selects(one.pod.labels)]

    @cached_property
    def _labelled(self) -> Mapping[tuple[str, tuple[str, str]], Sequence[Member]]:
        """The workloads by namespace and each label of their pods."""
        found: dict[tuple[str, tuple[str, str]], list[Member]] = {}
        for member in self.members:
            for label in member.pod.labels.items():
                found.setdefault((member.namespace, label), []).append(member)
        return found

    def calls(self) -> Iterator[Call]:
        """Yield every connection."""
        for member in self.members:
            for party, connections in member.each:
                yield from (Call(member, party, judged) for judged in connections)
