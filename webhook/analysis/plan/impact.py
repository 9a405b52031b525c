"""The impact of pods that lose their sidecar while Istio's configuration depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from webhook.core.surroundings import Service, ServicePort, Surroundings
from webhook.kubernetes.pod import Pod
from webhook.mesh.config import IstioConfiguration, names


class Consequence(Enum):
    """The kind of impact: a stable code, and whether connections fail."""

    STRICT_REFUSES = ("strict-refuses", True)
    MUTUAL_FAILS = ("mutual-fails", True)
    STRICT_GIVEN_UP = ("strict-given-up", False)
    ROUTES_NOT_FOLLOWED = ("routes-not-followed", False)

    def __init__(self, code: str, breaks: bool) -> None:  # noqa: FBT001 - a row of the table above
        self.code = code
        self.breaks = breaks


@dataclass(frozen=True, slots=True)
class Warned:
    """One consequence for one workload.

    Attributes:
        kind: "Deployment".
        namespace: Its namespace.
        name: Its name.
        consequence: The kind of impact.
        message: One sentence for users.
        evidence: The evidence, without any value.
    """

    kind: str
    namespace: str
    name: str
    consequence: Consequence
    message: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Party:
    """A workload as a client and server of others.

    Attributes:
        kind: "Deployment".
        namespace: Its namespace.
        name: Its name.
        pod: The pod that it creates.
        has_sidecar: Whether its pods would have one.
        calls: The Services that it calls, as namespace and name, each with its evidence chain.
    """

    kind: str
    namespace: str
    name: str
    pod: Pod
    has_sidecar: bool
    calls: Mapping[tuple[str, str], str]


class Consequences:
    """The impact of Istio's configuration on workloads without a sidecar."""

    def __init__(self, parties: Iterable[Party], surroundings: Surroundings, istio: IstioConfiguration) -> None:
        self._parties = list(parties)
        self._surroundings = surroundings
        self._istio = istio

    def of(self, party: Party) -> Iterator[Warned]:
        """Yield every consequence for one workload without a sidecar."""
        yield from self._as_client(party)
        yield from self._as_server(party)

    def refusals(self, party: Party) -> Iterator[Warned]:
        """Yield the servers that would reject the workload's plaintext traffic."""
        return (warned for warned in self._as_client(party) if warned.consequence is Consequence.STRICT_REFUSES)

    def _as_client(self, party: Party) -> Iterator[Warned]:
        for (namespace, name), evidence in party.calls.items():
            service = self._surroundings.service(namespace, name)
            if service is None:
                continue
            yield from self._refused(party, service, evidence)
            for route in self._istio.routes:
                if not route.is_for_sidecars:
                    continue
                if any(names(host, route.metadata.namespace, service) for host in route.spec.hosts or ()):
                    where = f"only at the gateway {', '.join(route.gateways)}" if route.gateways else "nowhere"
                    message = f"VirtualService {route.metadata} no longer applies to its calls to {name}: "
                    message += f"its routes would apply {where}"
                    yield _warned(party, Consequence.ROUTES_NOT_FOLLOWED, message, evidence)

    def _refused(self, party: Party, service: Service, evidence: str) -> Iterator[Warned]:
        for server in self._parties:
            if server.namespace != service.namespace or not service.selects(server.pod.labels):
                continue
            # Without a sidecar of its own a server enforces nothing.
            if not server.has_sidecar:
                continue
            for port in service.ports or (ServicePort(0),):
                peer = self._istio.strict(
                    server.namespace, server.pod.labels, port.leads_to(server.pod.named_ports) or port.number
                )
                if peer is not None:
                    message = f"PeerAuthentication {peer.metadata} makes {server.name} reject its plaintext traffic"
                    yield _warned(party, Consequence.STRICT_REFUSES, message, evidence)
                    return

    def _as_server(self, party: Party) -> Iterator[Warned]:
        peer = self._istio.strict(party.namespace, party.pod.labels)
        if peer is not None:
            message = (
                f"PeerAuthentication {peer.metadata} requires mutual TLS, but nothing enforces it without a sidecar: "
                "plaintext is accepted"
            )
            yield _warned(party, Consequence.STRICT_GIVEN_UP, message)
        for service in self._surroundings.services(party.namespace).selecting(party.pod.labels):
            for rule in self._istio.destinations:
                if names(rule.spec.host, rule.metadata.namespace, service) and rule.is_mutual_for(party.pod.labels):
                    message = (
                        f"DestinationRule {rule.metadata} makes clients use ISTIO_MUTUAL, "
                        "which the pod cannot terminate without a sidecar"
                    )
                    yield _warned(party, Consequence.MUTUAL_FAILS, message, f"Service {service.name} selects it")


def _warned(party: Party, consequence: Consequence, message: str, *evidence: str) -> Warned:
    return Warned(party.kind, party.namespace, party.name, consequence, message, evidence)
