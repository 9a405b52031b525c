"""Istio's own configuration in one place, and what it says about a pod, a port or a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

from webhook.core.surroundings import Service
from webhook.kubernetes.unread import Unread, understood
from webhook.mesh.entries import EntriesAtPort
from webhook.mesh.objects import (
    EVERYWHERE,
    OWN,
    UNSET,
    DestinationRule,
    IstioMeta,
    Mtls,
    PeerAuthentication,
    PeerSpec,
    ServiceEntry,
    Sidecar,
    VirtualService,
)
from webhook.mesh.settings import CONFIG_MAP, DEFAULTS, ROOT, MeshSettings, is_settings, settings_of

T = TypeVar("T", PeerAuthentication, DestinationRule, Sidecar)
IstioObject = PeerAuthentication | DestinationRule | VirtualService | Sidecar | ServiceEntry
_NETWORKING = "/apis/networking.istio.io/v1"
KINDS: Final = (
    ("PeerAuthentication", "/apis/security.istio.io/v1", "peerauthentications"),
    ("DestinationRule", _NETWORKING, "destinationrules"),
    ("VirtualService", _NETWORKING, "virtualservices"),
    ("Sidecar", _NETWORKING, "sidecars"),
    ("ServiceEntry", _NETWORKING, "serviceentries"),
)
"""Kind, path and plural of each of Istio's objects that are read."""
TYPES: Final[Mapping[str, type[IstioObject]]] = {
    "PeerAuthentication": PeerAuthentication,
    "DestinationRule": DestinationRule,
    "VirtualService": VirtualService,
    "Sidecar": Sidecar,
    "ServiceEntry": ServiceEntry,
}
"""The type of each kind."""
FIELDS: Final[Mapping[str, str]] = {
    "PeerAuthentication": "peers",
    "DestinationRule": "destinations",
    "VirtualService": "routes",
    "Sidecar": "sidecars",
    "ServiceEntry": "entries",
}
"""The field of `IstioConfiguration` with the objects of each kind."""
SETTINGS: Final = f"the ConfigMap {CONFIG_MAP} in {ROOT}"
"""The mesh's settings, as a phrase for `IstioConfiguration.missing`."""
PERMISSIVE: Final = "PERMISSIVE"
_NO_ENTRIES: Final = EntriesAtPort((), 0)


def plural(kind: str) -> str:
    """Return the plural of one of Istio's kinds, as "ServiceEntries", a phrase for `IstioConfiguration.missing`."""
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


@dataclass(frozen=True)
class IstioConfiguration:
    """Istio's own configuration.

    Tenants write thousands of these objects, so they are looked up by indexes, which are computed once.

    Attributes:
        peers: PeerAuthentications.
        destinations: DestinationRules.
        routes: VirtualServices.
        sidecars: Sidecars.
        entries: ServiceEntries.
        settings: The mesh's settings; Istio's defaults where they are not known.
        unread: Objects and settings that could not be read, and are skipped.
        missing: What of the configuration was not read, as phrases: "PeerAuthentications".
    """

    peers: Sequence[PeerAuthentication] = ()
    destinations: Sequence[DestinationRule] = ()
    routes: Sequence[VirtualService] = ()
    sidecars: Sequence[Sidecar] = ()
    entries: Sequence[ServiceEntry] = ()
    settings: MeshSettings = DEFAULTS
    unread: Sequence[Unread] = ()
    missing: Sequence[str] = ()

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]], *, missing: Sequence[str] = ()) -> IstioConfiguration:
        """Read Istio's objects, and the mesh's settings, from among other objects."""
        read: dict[str, list[Any]] = {kind: [] for kind in TYPES}
        settings = DEFAULTS
        unread: list[Unread] = []
        for document in documents:
            kind = document.get("kind", "")
            if is_settings(document):
                settings, unreadable = settings_of(document)
                unread += unreadable
            if kind not in TYPES or ".istio.io/" not in str(document.get("apiVersion")):
                continue
            found = understood(document, TYPES[kind])
            if isinstance(found, Unread):
                unread.append(found)
            else:
                read[kind].append(found)
        for objects in read.values():
            objects.sort(key=lambda found: found.metadata.age)
        by_field = {FIELDS[kind]: found for kind, found in read.items()}
        return cls(**by_field, settings=settings, unread=unread, missing=missing)

    @cached_property
    def possible(self) -> Sequence[IstioConfiguration]:
        """What the configuration may be: where PeerAuthentications were not read, with each mode for the whole mesh."""
        if not any(phrase.startswith(plural("PeerAuthentication")) for phrase in self.missing):
            return (self,)
        place = IstioMeta("not-read", self.settings.root_namespace)
        unread = (PeerAuthentication(place, PeerSpec(mtls=Mtls(mode))) for mode in (PERMISSIVE, "STRICT", "DISABLE"))
        return tuple(replace(self, peers=[*self.peers, peer], missing=()) for peer in unread)

    def destinations_in(self, namespace: str) -> Sequence[DestinationRule]:
        """Return the DestinationRules of a namespace, the oldest first."""
        return self._destinations.get(namespace, ())

    def entries_at(self, port: int) -> EntriesAtPort:
        """Return the ServiceEntries with a port."""
        return self._entries.get(port, _NO_ENTRIES)

    def extent(self, namespaces: Iterable[str], port: int) -> int:
        """Return how many objects are gone through for a connection between namespaces to a port."""
        of_namespaces = (self._peers, self._sidecars, self._destinations)
        spaces = {*namespaces, self.settings.root_namespace}
        return len(self.entries_at(port)) + sum(len(index.get(name, ())) for index in of_namespaces for name in spaces)

    def mode(
        self, namespace: str, labels: Mapping[str, str], port: int | None
    ) -> tuple[str, PeerAuthentication | None]:
        """Return the mode of mutual TLS that servers enforce, and the object that sets it, None for Istio's default.

        Of those for some pods, for the namespace and for the mesh each the oldest counts, and the first of the three
        that sets a mode decides. One in the root namespace that selects pods counts nowhere.

        Args:
            namespace: The namespace of the pods.
            labels: Their labels.
            port: The port of theirs that is called; None for any.
        """
        root = self.settings.root_namespace
        here = self._peers.get(namespace, ()) if namespace != root else ()
        levels = (
            [peer for peer in here if peer.selects and peer.selects.items() <= labels.items()],
            [peer for peer in here if not peer.selects],
            [peer for peer in self._peers.get(root, ()) if not peer.selects],
        )
        for peers in levels:
            peer = min(peers, key=lambda peer: peer.metadata.age, default=None)
            if peer is not None and (mode := peer.mode(port)) != UNSET:
                return mode, peer
        return PERMISSIVE, None

    def strict(self, namespace: str, labels: Mapping[str, str], port: int | None = None) -> PeerAuthentication | None:
        """Return the PeerAuthentication that requires mutual TLS of pods, or None; see `mode`."""
        mode, peer = self.mode(namespace, labels, port)
        return peer if mode == "STRICT" else None

    def sidecar_for(self, namespace: str, labels: Mapping[str, str]) -> Sidecar | None:
        """Return the Sidecar object that configures the sidecars of pods.

        The oldest that selects them, else the oldest of the namespace without a selector, else that of the root
        namespace without one.
        """
        here = self._sidecars.get(namespace, ())
        selecting = (found for found in here if found.selects and found.selects.items() <= labels.items())
        for_all = (found for found in here if not found.selects)
        of_mesh = (found for found in self._sidecars.get(self.settings.root_namespace, ()) if not found.selects)
        return next(selecting, None) or next(for_all, None) or next(of_mesh, None)

    @cached_property
    def _peers(self) -> Mapping[str, Sequence[PeerAuthentication]]:
        return _by_namespace(self.peers)

    @cached_property
    def _destinations(self) -> Mapping[str, Sequence[DestinationRule]]:
        return _by_namespace(self.destinations)

    @cached_property
    def _sidecars(self) -> Mapping[str, Sequence[Sidecar]]:
        return _by_namespace(self.sidecars)

    @cached_property
    def _entries(self) -> Mapping[int, EntriesAtPort]:
        found: dict[int, list[ServiceEntry]] = {}
        for entry in self.entries:
            for number in dict.fromkeys(port.number for port in entry.spec.ports or ()):
                found.setdefault(number, []).append(entry)
        return {number: EntriesAtPort(entries, number) for number, entries in found.items()}


def _by_namespace(objects: Iterable[T]) -> Mapping[str, Sequence[T]]:
    found: dict[str, list[T]] = {}
    for each in objects:
        found.setdefault(each.metadata.namespace, []).append(each)
    return found


def exported(export_to: Iterable[str], written_in: str, namespace: str) -> bool:
    """Return whether an object that is exported to some namespaces is visible in one."""
    return any(target in {EVERYWHERE, namespace} or (target == OWN and written_in == namespace) for target in export_to)


def names(host: str, written_in: str, service: Service) -> bool:
    """Return whether a host of Istio's configuration names a Service.

    Args:
        host: As written: short, fully qualified, or with a wildcard. With the namespace alone, "cache.shop", it is for
            Istio a host of that name outside of the cluster.
        written_in: The namespace of the object that it is written in.
        service: The Service.
    """
    whole = f"{service.name}.{service.namespace}.svc.cluster.local"
    if host.startswith("*"):
        return whole.endswith(host[1:])
    if "." not in host:
        return (host, written_in) == (service.name, service.namespace)
    return host == whole
