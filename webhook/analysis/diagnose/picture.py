"""The input of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook.core.decision import Confidence, Decision, Dependency
from webhook.core.surroundings import Service, ServicePort, Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.resolve.places import Places
from webhook.kubernetes.pod import Pod
from webhook.mesh import eligibility
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.eligibility import NATIVE
from webhook.mesh.sidecar import gets_sidecar, is_native


@dataclass(frozen=True, slots=True)
class Member:
    """A workload, the pod that it creates, and the decision about that pod."""

    kind: str
    namespace: str
    name: str
    pod: Pod
    decision: Decision

    @property
    def label(self) -> str:
        """The usual notation, as "Deployment/web"."""
        return f"{self.kind}/{self.name}"

    @property
    def gets_sidecar(self) -> bool:
        """Whether its pods should have a sidecar."""
        return gets_sidecar(self.pod, self.decision)


@dataclass(frozen=True, slots=True)
class Sidecars:
    """How Istio renders its sidecar in this cluster.

    Attributes:
        native: The default: whether it is a native sidecar where nothing else is known.
        seen: For each namespace whether the running sidecars are native.
        held: Whether the mesh's own configuration holds applications until the proxy is ready.
        outlived: For each workload, as (namespace, kind, name), a pod whose application has exited and whose sidecar
            is still running.
    """

    native: bool = True
    seen: Mapping[str, bool] = field(default_factory=dict)
    held: bool = False
    outlived: Mapping[tuple[str, str, str], str] = field(default_factory=dict)

    def is_native(self, member: Member) -> tuple[bool, str]:
        """Return whether a workload's sidecar is native, and the evidence for it."""
        if eligibility.sidecar_of(member.pod) is not None:
            return is_native(member.pod), f"the pod spec contains container {eligibility.PROXY}"
        setting = member.pod.annotations.get(NATIVE)
        if setting in {"true", "false"}:
            return setting == "true", f"annotation {NATIVE} is {setting}"
        if member.namespace in self.seen:
            kind = "native sidecars" if self.seen[member.namespace] else "regular containers"
            return self.seen[member.namespace], f"running sidecars in {member.namespace} are {kind}"
        return self.native, "Istio renders native sidecars" if self.native else "Istio renders regular containers here"


@dataclass(frozen=True, slots=True)
class Picture:
    """The cluster under diagnosis.

    Attributes:
        members: The workloads.
        surroundings: The cluster context of the workloads.
        catalog: The backends to look for.
        least: The least confidence of a dependency to count.
        webhooks: The MutatingWebhookConfigurations, as plain values.
        istio: Istio's own configuration.
        sidecars: How Istio renders its sidecar.
        namespaces: The namespaces to diagnose.
    """

    members: Sequence[Member]
    surroundings: Surroundings
    catalog: Catalog
    least: Confidence = Confidence.PROBABLE
    webhooks: Sequence[Mapping[str, Any]] = ()
    istio: IstioConfiguration = field(default_factory=IstioConfiguration)
    sidecars: Sidecars = Sidecars()
    namespaces: Sequence[str] = ()

    def behind(self, service: Service) -> list[Member]:
        """Return the workloads that a Service selects."""
        here = (member for member in self.members if member.namespace == service.namespace)
        return [member for member in here if service.selects(member.pod.labels)]

    def called(self, member: Member) -> Iterator[tuple[Dependency, Service, ServicePort]]:
        """Yield the Services' ports that a workload is known to be a client of."""
        places = Places(member.pod, member.namespace, self.surroundings)
        for dependency in member.decision.findings.dependencies:
            if dependency.host is None or dependency.confidence.rank < self.least.rank:
                continue
            place = places.resolve(dependency.host, str(dependency.port or ""))
            if place is None or place.service is None:
                continue
            for port in place.service.ports:
                if port.number == place.port:
                    yield dependency, place.service, port
