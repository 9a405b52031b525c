"""Istio's own configuration, as far as a pod without a sidecar contradicts it.

Source: istio.io reference, PeerAuthentication, DestinationRule and VirtualService.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml
from msgspec import Struct

from webhook.core.surroundings import Service
from webhook.kubernetes.labels import LabelSelector
from webhook.kubernetes.unread import Unread, understood
from webhook.kubernetes.yaml import CONFIGURATION, load

ROOT = "istio-system"
CONFIG_MAP = "istio"
"""The ConfigMap in `ROOT` with the mesh's own configuration."""
KINDS = (
    ("PeerAuthentication", "/apis/security.istio.io/v1", "peerauthentications"),
    ("DestinationRule", "/apis/networking.istio.io/v1", "destinationrules"),
    ("VirtualService", "/apis/networking.istio.io/v1", "virtualservices"),
)
"""Kind, path and plural of each of Istio's objects that are read."""
MESH = "mesh"
UNSET = "UNSET"


class IstioMeta(Struct, frozen=True, rename="camel"):
    """The metadata of an object. One without a `creation_timestamp` counts as the oldest, as for Istio."""

    name: str = ""
    namespace: str = "default"
    creation_timestamp: str | None = None

    def __str__(self) -> str:
        """Return namespace and name, as "shop/default"."""
        return f"{self.namespace}/{self.name}"


class Mtls(Struct, frozen=True):
    """A mode of mutual TLS: STRICT, PERMISSIVE, DISABLE, UNSET."""

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

    @property
    def age(self) -> tuple[str, str]:
        """The key by which Istio orders those of a namespace: the oldest first, then by name."""
        return self.metadata.creation_timestamp or "", self.metadata.name

    def mode(self, port: int | None) -> str:
        """Return the mode for a port; None for any port. Only those with a selector can set modes of single ports."""
        by_port = (self.spec.port_level_mtls or {}).get(port) if self.selects and port is not None else None
        modes = (mtls.mode for mtls in (by_port, self.spec.mtls) if mtls is not None)
        return next((mode for mode in modes if mode and mode != UNSET), UNSET)


class TrafficPolicy(Struct, frozen=True, rename="camel"):
    """How clients connect."""

    tls: Mtls | None = None
    port_level_settings: list[TrafficPolicy] | None = None

    @property
    def is_mutual(self) -> bool:
        """Whether it makes clients use Istio's own certificates, for any port."""
        here = self.tls is not None and self.tls.mode == "ISTIO_MUTUAL"
        return here or any(policy.is_mutual for policy in self.port_level_settings or ())


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


class VirtualSpec(Struct, frozen=True):
    """The spec of a VirtualService."""

    hosts: list[str] | None = None
    gateways: list[str] | None = None


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


@dataclass(frozen=True, slots=True)
class IstioConfiguration:
    """Istio's own configuration.

    Attributes:
        peers: PeerAuthentications.
        destinations: DestinationRules.
        routes: VirtualServices.
        unread: Objects that could not be read, and are skipped.
    """

    peers: Sequence[PeerAuthentication] = ()
    destinations: Sequence[DestinationRule] = ()
    routes: Sequence[VirtualService] = ()
    unread: Sequence[Unread] = ()

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> IstioConfiguration:
        """Read Istio's objects from among others."""
        read: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
        unread = []
        for document in documents:
            kind = document.get("kind", "")
            if kind not in _KINDS or ".istio.io/" not in str(document.get("apiVersion")):
                continue
            found = understood(document, _KINDS[kind])
            if isinstance(found, Unread):
                unread.append(found)
            else:
                read[kind].append(found)
        return cls(read["PeerAuthentication"], read["DestinationRule"], read["VirtualService"], unread)

    def strict(self, namespace: str, labels: Mapping[str, str], port: int | None = None) -> PeerAuthentication | None:
        """Return the PeerAuthentication that requires mutual TLS of pods, or None.

        Of those for some pods, for the namespace and for the mesh each the oldest counts, and the first of the three
        that sets a mode decides. One in the root namespace that selects pods counts nowhere.

        Args:
            namespace: The namespace of the pods.
            labels: Their labels.
            port: The port of theirs that is called; None for any.
        """
        here = [peer for peer in self.peers if peer.metadata.namespace == namespace != ROOT]
        levels = (
            [peer for peer in here if peer.selects and peer.selects.items() <= labels.items()],
            [peer for peer in here if not peer.selects],
            [peer for peer in self.peers if peer.metadata.namespace == ROOT and not peer.selects],
        )
        for peers in levels:
            peer = min(peers, key=lambda peer: peer.age, default=None)
            if peer is not None and (mode := peer.mode(port)) != UNSET:
                return peer if mode == "STRICT" else None
        return None


_KINDS: Mapping[str, type[Struct]] = {
    "PeerAuthentication": PeerAuthentication,
    "DestinationRule": DestinationRule,
    "VirtualService": VirtualService,
}


def names(host: str, written_in: str, service: Service) -> bool:
    """Return whether a host of Istio's configuration names a Service.

    Args:
        host: As written: short, with its namespace, fully qualified, or with a wildcard.
        written_in: The namespace of the object that it is written in.
        service: The Service.
    """
    whole = f"{service.name}.{service.namespace}.svc.cluster.local"
    if host.startswith("*"):
        return fnmatchcase(whole, host)
    if "." not in host:
        return (host, written_in) == (service.name, service.namespace)
    return host in {whole, f"{service.name}.{service.namespace}", f"{service.name}.{service.namespace}.svc"}


def mesh_holds(documents: Sequence[dict[str, Any]]) -> bool:
    """Return whether the mesh's own configuration, in ConfigMap istio, holds applications; the rest is ignored."""
    for document in documents:
        if document.get("kind") != "ConfigMap":
            continue
        found = understood(document, _MeshConfiguration)
        if isinstance(found, Unread) or (found.metadata.name, found.metadata.namespace) != (CONFIG_MAP, ROOT):
            continue
        try:
            mesh = load((found.data or {}).get("mesh") or "{}", CONFIGURATION)
        except yaml.YAMLError:
            continue
        defaults = mesh.get("defaultConfig") if isinstance(mesh, dict) else None
        return isinstance(defaults, dict) and defaults.get("holdApplicationUntilProxyStarts") is True
    return False


class _MeshConfiguration(Struct, frozen=True):
    metadata: IstioMeta
    data: dict[str, str | None] | None = None
