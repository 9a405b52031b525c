"""Where a connection leads, and what the sidecars of a namespace know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Protocol

from webhook.core.surroundings import Service, ServicePort, Services
from webhook.mesh.config import IstioConfiguration, exported, names
from webhook.mesh.entries import Listed
from webhook.mesh.objects import OWN, DestinationRule, EgressListener, IstioPort, ServiceEntry, Sidecar
from webhook.mesh.party import Address, Party
from webhook.mesh.protocols import Selection, parse, select


class Registry(Protocol):
    """The Services of the cluster. Implemented by every inventory."""

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Return the namespace's labels, or None when it is unknown."""
        ...

    def services(self, namespace: str) -> Services:
        """Return all Services of a namespace."""
        ...

    def http_services(self, port: int) -> Sequence[Service]:
        """Return the Services of all namespaces that declare this TCP port as HTTP, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a connection leads.

    Attributes:
        port: The port that is called.
        service: The Service that is called by its name; None for another host.
        host: The host that is called, as HTTP and TLS clients send it; empty for the Service's own name.
        servers: The pods that answer: those behind a Service, or the one whose address is called; None where they are
            not known, empty where there are none, and for hosts outside of the cluster.
        address: The address that is called, of a Service its cluster IP; None where it is not known.
    """

    port: int
    service: Service | None = None
    host: str = ""
    servers: Sequence[Party] | None = ()
    address: Address | None = None

    @property
    def is_external(self) -> bool:
        """Whether it is not known to lead to any pod."""
        return self.service is None and not self.servers

    @property
    def service_port(self) -> ServicePort | None:
        """The port as the Service declares it; None where it does not list it."""
        return None if self.service is None else port_of(self.service, self.port)

    @property
    def name(self) -> str:
        """The host as called, or the Service's name."""
        return self.host or (self.service.name if self.service else "")

    def __str__(self) -> str:
        """Return host and port, as "cache:6379"."""
        return f"{self.name}:{self.port}"


def port_of(service: Service, number: int) -> ServicePort | None:
    """Return a Service's TCP port, or None."""
    return next((port for port in service.ports if port.number == number and port.transport == "TCP"), None)


@dataclass(frozen=True, slots=True)
class Known:
    """A host that a sidecar knows at a port: a Service's, or a ServiceEntry's.

    Attributes:
        declared: The protocol of the port.
        service: The Service; None for a ServiceEntry.
        entry: The ServiceEntry; None for a Service.
    """

    declared: Selection
    service: Service | None = None
    entry: ServiceEntry | None = None

    @property
    def age(self) -> tuple[str, str, str]:
        """The key by which Istio orders what it knows: the oldest first, then by name, a ServiceEntry's is its host."""
        if self.service is not None:
            return self.service.created, self.service.name, self.service.namespace
        return ("", "", "") if self.entry is None else self.entry.age_of_host

    def endpoints_elsewhere(self, to: Destination) -> str:
        """Return that connections to somebody else are sent to endpoints of this, as a sentence; empty where not."""
        if self.entry is None or self.entry.spec.resolution == "NONE":
            return ""
        if to.service is None and self.entry.names(to.host):
            return ""
        if to.service is None and not to.servers and has_address(self.entry, to.address):
            return ""
        return f"{self} has no address, so that its endpoints get what is for others at its ports"

    def __str__(self) -> str:
        """Return the object, as "Service shop/cache" or "ServiceEntry shop/database"."""
        if self.service is not None:
            return f"Service {self.service.namespace}/{self.service.name}"
        return f"ServiceEntry {self.entry.metadata}" if self.entry is not None else "the client's Sidecar object"


class Sight:
    """What the sidecar of one client knows."""

    def __init__(self, client: Party, istio: IstioConfiguration, registry: Registry) -> None:
        self.sidecar: Sidecar | None = istio.sidecar_for(client.namespace, client.labels)
        self._client = client
        self._istio = istio
        self._registry = registry

    @property
    def registry_only(self) -> bool:
        """Whether the sidecar closes connections to what it does not know."""
        policy = self.sidecar.spec.outbound_traffic_policy if self.sidecar is not None else None
        return self._istio.settings.registry_only if policy is None else policy.mode == "REGISTRY_ONLY"

    def egress_at(self, port: int) -> EgressListener | None:
        """Return the listener for one port of the Sidecar object that configures the client, or None."""
        for listener in self._egress():
            if listener.port is None or listener.port.number != port or listener.capture_mode == "NONE":
                continue
            # One that lets nothing in is none.
            if any(not text.startswith("~") for text in listener.hosts or ()):
                return listener
        return None

    def sees(self, service: Service, listener: EgressListener | None = None) -> bool:
        """Return whether the sidecar knows a Service; for a listener of one port: at that listener."""
        exports = service.export_to or tuple(self._istio.settings.exports_services_to())
        if not exported(exports, service.namespace, self._client.namespace):
            return False
        labels = self._registry.namespace_labels(service.namespace)
        if labels is not None and not self._istio.settings.discovers(labels):
            return False
        whole = f"{service.name}.{service.namespace}.svc.cluster.local"
        return self._imports(service.namespace, whole, listener)

    def entries(self, to: Destination, listener: EgressListener | None = None) -> Sequence[Listed]:
        """Return the ServiceEntries that the sidecar knows, and that decide about a connection, the oldest first.

        Args:
            to: Where the connection leads.
            listener: The listener for its port of the client's Sidecar object; None for that of all ports.
        """

        def visible(entry: ServiceEntry) -> bool:
            space = entry.metadata.namespace
            if not exported(entry.spec.export_to or ("*",), space, self._client.namespace):
                return False
            return any(self._imports(space, host, listener) for host in entry.spec.hosts or ())

        # The configuration keeps both objects for as long as it is used.
        view = self._client.namespace, id(self.sidecar), id(listener)
        return self._istio.entries_at(to.port).concerning(to.host, to.address, view, visible)

    def http_at(self, port: int, listener: EgressListener | None = None) -> Known | None:
        """Return the oldest Service that the sidecar knows and that declares a port as HTTP, or None.

        For a listener of one port: the oldest headless one.
        """
        for service in self._registry.http_services(port):
            declared = port_of(service, port)
            if declared is None or service.external_name is not None or (listener is not None and not service.headless):
                continue
            if self.sees(service, listener):
                return Known(select(declared), service)
        return None

    def headless_at(self, server: Party, port: int) -> list[Known]:
        """Return the headless Services with a port that select a server and that the sidecar knows, oldest first."""
        found = []
        for service in self._registry.services(server.namespace).selecting(server.labels):
            declared = port_of(service, port) if service.headless else None
            if declared is not None and declared.leads_to(server.named_ports) is not None and self.sees(service):
                found.append(Known(select(declared), service))
        return sorted(found, key=lambda known: known.age)

    def tls_mode(self, destination: Known, port: int) -> tuple[str | None, str]:
        """Return what DestinationRules say of TLS for a host, and the one that says it, for evidence.

        Those of the client's namespace count first, then those of the host's, then those of the root namespace; in the
        first of these that has any, those with the most specific host.
        """
        space = destination.service.namespace if destination.service else ""
        if destination.entry is not None:
            space = destination.entry.metadata.namespace
        for namespace in dict.fromkeys((self._client.namespace, space, self._istio.settings.root_namespace)):
            there = [rule for rule in self._istio.destinations_in(namespace) if self._concerns(rule, destination)]
            if there:
                rule = self._of_host(there)
                if rule is None or rule.spec.traffic_policy is None:
                    return None, ""
                return rule.spec.traffic_policy.mode(port), f"DestinationRule {rule.metadata}"
        return None, ""

    def _of_host(self, rules: Sequence[DestinationRule]) -> DestinationRule | None:
        """Return the one of a namespace's DestinationRules that counts: one that selects the client before all others.

        Of those that are exported alike Istio makes one, whose policy is that of the oldest that has any. One that is
        not exported like all before it is kept apart as well, and the last of these counts.
        """
        whole = [rule for rule in rules if not rule.spec.host.startswith("*")]
        longest = max(len(rule.spec.host) for rule in rules)
        rules = whole or [rule for rule in rules if len(rule.spec.host) == longest]
        selecting = [rule for rule in rules if rule.spec.workload_selector is not None]
        of_all = [rule for rule in rules if rule.spec.workload_selector is None]
        for_client = [
            rule
            for rule in selecting
            if rule.spec.workload_selector is not None and rule.spec.workload_selector.holds(self._client.labels)
        ]
        groups: list[tuple[frozenset[str], list[DestinationRule]]] = []
        for rule in of_all:
            exports = frozenset(rule.spec.export_to or ())
            alike = [group for group in groups if group[0] == exports]
            for _, group in alike:
                group.append(rule)
            if len(alike) == len(groups) > 0:
                continue
            groups.append((exports, [rule]))
        counting = for_client or (groups[-1][1] if groups else [])
        return next((rule for rule in counting if rule.spec.traffic_policy is not None), None)

    def _concerns(self, rule: DestinationRule, destination: Known) -> bool:
        host, written_in = rule.spec.host, rule.metadata.namespace
        exports = rule.spec.export_to or self._istio.settings.default_destination_rule_export_to or ("*",)
        if rule.spec.workload_selector is not None:
            exports = (OWN,)
        if not exported(exports, written_in, self._client.namespace):
            return False
        if destination.service is not None:
            return names(host, written_in, destination.service)
        return host in (destination.entry.spec.hosts or ()) if destination.entry is not None else False

    def _egress(self) -> Sequence[EgressListener]:
        return (self.sidecar.spec.egress or ()) if self.sidecar is not None else ()

    def _imports(self, namespace: str, host: str, listener: EgressListener | None) -> bool:
        """Return whether the client's Sidecar object lets a host of a namespace in; without one, all are."""
        if not self._egress():
            return True
        if listener is None:
            listener = next((found for found in self._egress() if found.port is None), None)
        return listener is not None and any(self._matches(text, namespace, host) for text in listener.hosts or ())

    def _matches(self, text: str, namespace: str, host: str) -> bool:
        space, _, wanted = text.partition("/")
        here = space in {"*", namespace} or (space == "." and namespace == self._client.namespace)
        suffix = wanted.removeprefix("*")
        return here and (host == wanted or (wanted.startswith("*") and host.endswith(suffix)))


def declared_by(port: IstioPort) -> Selection:
    """Return the protocol that a port of Istio's own objects declares."""
    return Selection(parse(port.protocol), f"its protocol is {port.protocol or 'not set'}")


def is_ranged(entry: ServiceEntry) -> bool:
    """Return whether a ServiceEntry lists ranges of addresses, and no single address."""
    listed = entry.spec.addresses or ()
    return bool(listed) and all("/" in address for address in listed)


def has_address(entry: ServiceEntry, address: Address | None) -> bool | None:
    """Return whether a ServiceEntry lists an address; None where it lists some, and the address is not known."""
    listed = entry.spec.addresses or ()
    if not listed or address is None:
        return None if listed else False
    return any(_contains(text, address) for text in listed)


def _contains(text: str, address: Address) -> bool:
    try:
        return address in ip_network(text, strict=False)
    except ValueError:
        return False
