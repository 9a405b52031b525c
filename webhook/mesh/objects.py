"""Istio's configuration objects, as far as they decide what becomes of connections.

Source: istio.io reference, PeerAuthentication, DestinationRule, VirtualService, Sidecar and ServiceEntry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from webhook.kubernetes.labels import LabelSelector

MESH = "mesh"
UNSET = "UNSET"
EVERYWHERE: Final = "*"
"""In exportTo: all namespaces."""
OWN: Final = "."
"""In exportTo and in egress hosts: the namespace of the object."""


class IstioMeta(Struct, frozen=True, rename="camel"):
    """The metadata of an object. One without a `creation_timestamp` counts as the oldest, as for Istio."""

    name: str = ""
    namespace: str = "default"
    creation_timestamp: str | None = None

    def __str__(self) -> str:
        """Return namespace and name, as "shop/default"."""
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[str, str, str]:
        """The key by which Istio orders objects: the oldest first, then by name and namespace."""
        return self.creation_timestamp or "", self.name, self.namespace


class Mtls(Struct, frozen=True):
    """A mode of mutual TLS: STRICT, PERMISSIVE, DISABLE, UNSET; of a DestinationRule also SIMPLE and others."""

    mode: str | None = None


class PeerSpec(Struct, frozen=True, rename="camel"):
    """The spec of a PeerAuthentication."""

    selector: LabelSelector | None = None
    mtls: Mtls | None = None
    port_level_mtls: dict[int, Mtls] | None = None


class PeerAuthentication(Struct, frozen=True):
    """Istio's setting for whether servers accept plaintext."""

    metadata: IstioMeta
    spec: PeerSpec = PeerSpec()

    @property
    def selects(self) -> Mapping[str, str]:
        """The labels of the pods that it applies to; empty for all."""
        return (self.spec.selector and self.spec.selector.match_labels) or {}

    def mode(self, port: int | None) -> str:
        """Return the mode for a port; None for any port. Only those with a selector can set modes of single ports."""
        by_port = (self.spec.port_level_mtls or {}).get(port) if self.selects and port is not None else None
        modes = (mtls.mode for mtls in (by_port, self.spec.mtls) if mtls is not None)
        return next((mode for mode in modes if mode and mode != UNSET), UNSET)


class PortNumber(Struct, frozen=True):
    """A port of a Service, in `portLevelSettings`."""

    number: int = 0


class TrafficPolicy(Struct, frozen=True, rename="camel"):
    """How clients connect; `port` is set in `portLevelSettings` only."""

    tls: Mtls | None = None
    port: PortNumber | None = None
    port_level_settings: list[TrafficPolicy] | None = None

    @property
    def is_mutual(self) -> bool:
        """Whether it makes clients use Istio's own certificates, for any port."""
        here = self.tls is not None and self.tls.mode == "ISTIO_MUTUAL"
        return here or any(policy.is_mutual for policy in self.port_level_settings or ())

    def mode(self, number: int) -> str | None:
        """Return the TLS mode for one port of the host; None where nothing is set.

        Of a port's own settings, what they leave out is not that of all ports but Istio's default; only that all ports
        are not to have mutual TLS holds for them too.
        """
        of_all = None if self.tls is None else self.tls.mode or "DISABLE"
        here = (policy for policy in self.port_level_settings or () if policy.port and policy.port.number == number)
        policy = next(here, None)
        if policy is None:
            return of_all
        if policy.tls is not None:
            return policy.tls.mode or "DISABLE"
        return None if of_all in {None, "ISTIO_MUTUAL"} else "DISABLE"


class Subset(Struct, frozen=True, rename="camel"):
    """A part of a host's pods."""

    name: str = ""
    labels: dict[str, str] | None = None
    traffic_policy: TrafficPolicy | None = None


class DestinationSpec(Struct, frozen=True, rename="camel"):
    """The spec of a DestinationRule."""

    host: str = ""
    traffic_policy: TrafficPolicy | None = None
    subsets: list[Subset] | None = None
    export_to: list[str] | None = None
    workload_selector: LabelSelector | None = None


class DestinationRule(Struct, frozen=True):
    """How clients with a sidecar connect to a host."""

    metadata: IstioMeta
    spec: DestinationSpec = DestinationSpec()

    def is_mutual_for(self, labels: Mapping[str, str]) -> bool:
        """Return whether clients use ISTIO_MUTUAL for pods with these labels, which then need a sidecar."""
        if self.spec.traffic_policy is not None and self.spec.traffic_policy.is_mutual:
            return True
        return any(
            subset.traffic_policy is not None
            and subset.traffic_policy.is_mutual
            and (subset.labels or {}).items() <= labels.items()
            for subset in self.spec.subsets or ()
        )


class Route(Struct, frozen=True):
    """A route of a VirtualService, which is not followed: that there is one is enough."""


class VirtualSpec(Struct, frozen=True, rename="camel"):
    """The spec of a VirtualService."""

    hosts: list[str] | None = None
    gateways: list[str] | None = None
    tcp: list[Route] | None = None
    tls: list[Route] | None = None
    export_to: list[str] | None = None


class VirtualService(Struct, frozen=True):
    """Routes, which the sidecars of clients follow, and gateways where it names them."""

    metadata: IstioMeta
    spec: VirtualSpec = VirtualSpec()

    @property
    def is_for_sidecars(self) -> bool:
        """Whether it applies to the sidecars of clients."""
        return MESH in (self.spec.gateways or [MESH])

    @property
    def gateways(self) -> list[str]:
        """The gateways that it applies to as well."""
        return [name for name in self.spec.gateways or () if name != MESH]


class IstioPort(Struct, frozen=True, rename="camel"):
    """A port of a Sidecar's listener, or of a ServiceEntry."""

    number: int = 0
    protocol: str = ""
    name: str = ""
    target_port: int | None = None


class IngressListener(Struct, frozen=True):
    """A port that a sidecar receives at, instead of those of the Services."""

    port: IstioPort = IstioPort()
    tls: Mtls | None = None


class EgressListener(Struct, frozen=True, rename="camel"):
    """What a sidecar sends to: at one port, or without a port at all others. Hosts are namespace/name."""

    port: IstioPort | None = None
    bind: str = ""
    capture_mode: str = ""
    hosts: list[str] | None = None


class OutboundPolicy(Struct, frozen=True):
    """What a sidecar does with connections to unknown destinations: ALLOW_ANY or REGISTRY_ONLY."""

    mode: str = ""


class SidecarSpec(Struct, frozen=True, rename="camel"):
    """The spec of a Sidecar."""

    workload_selector: WorkloadSelector | None = None
    ingress: list[IngressListener] | None = None
    egress: list[EgressListener] | None = None
    outbound_traffic_policy: OutboundPolicy | None = None


class WorkloadSelector(Struct, frozen=True):
    """The labels of the pods that a Sidecar configures."""

    labels: dict[str, str] | None = None


class Sidecar(Struct, frozen=True):
    """The configuration of the sidecars of some pods, or of a namespace."""

    metadata: IstioMeta
    spec: SidecarSpec = SidecarSpec()

    @property
    def selects(self) -> Mapping[str, str]:
        """The labels of the pods that it configures; empty for all."""
        return (self.spec.workload_selector and self.spec.workload_selector.labels) or {}


class EntrySpec(Struct, frozen=True, rename="camel"):
    """The spec of a ServiceEntry."""

    hosts: list[str] | None = None
    addresses: list[str] | None = None
    ports: list[IstioPort] | None = None
    location: str = "MESH_EXTERNAL"
    resolution: str = "NONE"
    export_to: list[str] | None = None
    workload_selector: WorkloadSelector | None = None


class ServiceEntry(Struct, frozen=True):
    """A host that the mesh knows, beside Kubernetes' Services."""

    metadata: IstioMeta
    spec: EntrySpec = EntrySpec()

    def names(self, host: str) -> int:
        """Return how exactly it names a host, by its own name or a wildcard; 0 if it does not."""
        return max((_exactness(listed, host) for listed in self.spec.hosts or ()), default=0)

    @property
    def age_of_host(self) -> tuple[str, str, str]:
        """The key by which Istio orders hosts: the oldest first, then by the host's name and namespace."""
        created, _, namespace = self.metadata.age
        return created, next(iter(self.spec.hosts or ()), ""), namespace


def _exactness(listed: str, host: str) -> int:
    if listed == host:
        return len(host) + 1
    return len(listed) if host and listed.startswith("*") and host.endswith(listed[1:]) else 0
