"""Make connections of what detection found, and judge them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Protocol

from webhook.core.decision import Call, Confidence, Dependency, Findings
from webhook.core.surroundings import Service, Surroundings
from webhook.core.verdict import Outcome, Verdict, Wire
from webhook.mesh.connections import Connection, Mesh, judge
from webhook.mesh.destination import Destination, port_of
from webhook.mesh.party import Address, Party
from webhook.mesh.protocols import select

UNKNOWN: Final = "not-known"
_ANYTHING: Final = (Wire.HTTP1, Wire.HTTP2, Wire.TLS, Wire.CLIENT_FIRST, Wire.SERVER_FIRST)
_PLAIN_OR_TLS: Final = (Wire.CLIENT_FIRST, Wire.TLS)


class Neighbours(Protocol):
    """The pods behind Services."""

    def servers(self, service: Service) -> Sequence[Party] | None:
        """Return the pods that a Service selects; None where they are not all known."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A connection of a pod, and what becomes of it.

    Attributes:
        found: What detection found: a backend, or another Service that is called.
        service: The Service that is called, if it is known.
        verdict: What becomes of it.
    """

    found: Dependency | Call
    service: Service | None
    verdict: Verdict

    @property
    def kind(self) -> str | None:
        """The backend's kind; None for a Service that is no backend."""
        return self.found.kind if isinstance(self.found, Dependency) else None

    @property
    def confidence(self) -> Confidence:
        """How sure it is that the pod makes the connection."""
        return self.found.confidence if isinstance(self.found, Dependency) else Confidence.PROBABLE

    @property
    def host(self) -> str | None:
        """The host that is called, as configured; None where only the kind is known."""
        return self.found.host if isinstance(self.found, Dependency) else self.found.service

    @property
    def port(self) -> int | None:
        """The port that is called; None where it is unknown."""
        return self.found.port

    @property
    def wire(self) -> Wire | None:
        """What is said first; None where it is not known."""
        return self.found.wire

    @property
    def init(self) -> bool:
        """Whether only init containers make it."""
        return self.found.init

    @property
    def redirects(self) -> str:
        """Where the server sends its clients on to, at other ports; "" where it does not."""
        return self.found.redirects if isinstance(self.found, Dependency) else ""

    @property
    def evidence(self) -> str:
        """How detection found it."""
        return self.found.evidence

    @property
    def place(self) -> str:
        """Where it leads: "db.example.com:3306", or of a Service that is known "shop/cache:6379"."""
        name = self.host or self.kind or ""
        if self.service is not None:
            name = f"{self.service.namespace}/{self.service.name}"
        return f"{name}:{self.port}" if self.port is not None else name


class Composer:
    """Judges the connections of pods of one cluster, or of one set of manifests."""

    def __init__(self, mesh: Mesh, surroundings: Surroundings, neighbours: Neighbours) -> None:
        """Take the configuration of the mesh, the Services, and the pods behind them."""
        self._mesh = mesh
        self._surroundings = surroundings
        self._neighbours = neighbours

    def judged(self, client: Party, findings: Findings, least: Confidence) -> Iterator[Judged]:
        """Yield a verdict for each connection that a pod is found to make.

        Args:
            client: The pod.
            findings: What detection found of it.
            least: The least confidence of a dependency to count.
        """
        for dependency in findings.dependencies:
            if dependency.confidence.rank >= least.rank:
                yield self._of_dependency(client, dependency)
        for call in findings.calls:
            yield self._of_call(client, call)

    def judge(self, client: Party, to: Destination, wires: tuple[Wire, ...], *, early: bool = False) -> Verdict:
        """Judge one connection."""
        return judge(Connection(client, to, wires, early=early), self._mesh)

    def destination(self, host: str, port: int, service: Service | None) -> Destination:
        """Return where a host and a port lead.

        Args:
            host: The host as configured.
            port: The port that is called.
            service: The Service that the host resolves to; of an alias for a host outside of the cluster, the alias.
        """
        if service is None:
            return Destination(port, None, host, (), _address(host))
        if service.external_name is not None:
            return Destination(port, None, service.external_name)
        address = _address(service.addresses[0]) if len(service.addresses) == 1 else None
        return Destination(port, service, "", self._neighbours.servers(service), address)

    def _of_dependency(self, client: Party, found: Dependency) -> Judged:
        service = None if found.service is None else self._surroundings.service(*found.service)
        wires = _PLAIN_OR_TLS if found.wire is None else (found.wire,)
        return Judged(found, service, self._verdict(client, found.host, found, service, wires))

    def _of_call(self, client: Party, found: Call) -> Judged:
        service = self._surroundings.service(found.namespace, found.service)
        wires: tuple[Wire, ...] = _ANYTHING if found.wire is None else (found.wire,)
        if (
            found.wire is Wire.HTTP1
            and service is not None
            and found.port is not None
            and _is_http2(service, found.port)
        ):
            wires = (Wire.HTTP1, Wire.HTTP2)  # clients of gRPC are given http:// URLs, too
        return Judged(found, service, self._verdict(client, found.service, found, service, wires))

    def _verdict(
        self,
        client: Party,
        host: str | None,
        found: Dependency | Call,
        service: Service | None,
        wires: tuple[Wire, ...],
    ) -> Verdict:
        if host is None:
            return _unknown("the host that is called")
        if service is None and not is_outside(host):
            return _unknown(f"the Service that {host} names")
        if found.port is None:
            return _unknown("the port that is called")
        return self.judge(client, self.destination(host, found.port, service), wires, early=found.init)


def _unknown(missing: str) -> Verdict:
    return Verdict(Outcome.UNKNOWN, UNKNOWN, missing=(missing,))


def _is_http2(service: Service, port: int) -> bool:
    declared = port_of(service, port)
    protocol = None if declared is None else select(declared).protocol
    return protocol is not None and protocol.is_http2


def is_outside(host: str) -> bool:
    """Return whether a host that no known Service has is outside of the cluster: it is a full name, or an address.

    One of two labels may be the name and the namespace of a Service that is not known.
    """
    labels = host.rstrip(".").split(".")
    return (len(labels) > 2 and "svc" not in labels[1:]) or _address(host) is not None


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
