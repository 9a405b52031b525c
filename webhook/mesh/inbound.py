"""What the sidecar of a server does with a connection.

It has one configuration for each port of the pod: that of the oldest Service that leads there, or of a Sidecar object's
ingress; for all other ports it sniffs.

| plaintext arrives                  | port is HTTP       | port is TCP           | port is sniffed    |
|------------------------------------|--------------------|-----------------------|--------------------|
| an HTTP request                    | parsed             | passed on             | parsed             |
| other bytes                        | answered 400       | passed on             | passed on          |
| other TLS than the mesh's          | refused            | passed on             | passed on          |
| the same under DISABLE             | answered 400       | passed on             | passed on          |
| nothing, until the server speaks   | waits              | waits; not if DISABLE | waits              |

Under STRICT plaintext is refused, and other TLS is taken for the mesh's and fails. The mesh's TLS is terminated unless
the mode is DISABLE; inside it the first two rows apply, and silence only waits where HTTP is parsed. Source:
istio/istio pilot/pkg/networking/core (listener_inbound.go, filterchain_options.go), and tests/mesh/truth.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from webhook.core.verdict import Wire
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.destination import Registry, declared_by
from webhook.mesh.outbound import upstream
from webhook.mesh.party import Party
from webhook.mesh.protocols import Selection, select
from webhook.mesh.trace import SPOKEN, Arrived, Result, Stream

DISABLE, PERMISSIVE, STRICT = "DISABLE", "PERMISSIVE", "STRICT"


@dataclass(frozen=True, slots=True)
class Received:
    """A connection that a server's sidecar hands to its application.

    Attributes:
        stream: What the application gets.
        parsed: Whether the sidecar parses it as HTTP.
        evidence: What the sidecar does, as a sentence.
    """

    stream: Stream
    parsed: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A connection that a server's sidecar does not hand on.

    Attributes:
        result: What the peer sees.
        code: The cause.
        arrived: What arrived at the sidecar.
        evidence: What the sidecar does, as a sentence.
        parsed: Whether the sidecar parses it as HTTP.
        terminated: Whether the mesh's TLS was terminated before.
    """

    result: Result
    code: str
    arrived: Arrived
    evidence: str
    parsed: bool = False
    terminated: bool = False


@dataclass(frozen=True, slots=True)
class _Port:
    """A port of a pod, as its sidecar has it configured.

    Attributes:
        who: The sidecar, for sentences.
        declared: The protocol.
        has: What declares it, for sentences.
        mode: The mode of mutual TLS.
        policy: What sets the mode, for sentences.
    """

    who: str
    declared: Selection
    has: str
    mode: str
    policy: str
    http: bool = field(init=False)

    def __post_init__(self) -> None:
        protocol = self.declared.protocol
        object.__setattr__(self, "http", protocol is not None and protocol.is_http)

    def receive(self, stream: Stream) -> Received | Failed:
        """Follow a connection."""
        if stream.is_silent and (self.mode != DISABLE or self.declared.protocol is None):
            return self._silent()
        if stream.mtls and self.mode == DISABLE:
            return self._not_terminated(stream)
        if not stream.mtls and (failed := self._refused(stream)) is not None:
            return failed
        sniffed = self.declared.protocol is None and stream.is_http and (stream.parsed or not stream.mtls)
        secured = "terminates mutual TLS and " if stream.mtls else ""
        if not self.http and not sniffed:
            said = f"{self.who} {secured}passes the bytes on: {self.has}"
            return Received(Stream(stream.wire), parsed=False, evidence=said)
        said = f"{self.who} {secured}parses it as HTTP: {self.has}"
        if stream.is_http:
            return Received(Stream(upstream(self.declared, stream.wire)), parsed=True, evidence=said)
        return self._not_http(stream, f"{said}, and the client speaks {SPOKEN[stream.wire]}")

    def _silent(self) -> Failed:
        """Return how a connection ends on which the sidecar waits for bytes before anything else."""
        if self.mode == DISABLE:
            code, said = "server-first-sniffed", f"waits for the client's first bytes: {self.has}"
        else:
            said = f"waits for the client's first bytes, to see whether they are TLS: {self.policy}"
            code = "strict-refuses" if self.mode == STRICT else "http-declared" if self.http else "permissive-waits"
        return Failed(Result.HANGS, code, Arrived.CONNECTION, f"{self.who} {said}")

    def _not_terminated(self, stream: Stream) -> Received | Failed:
        """Return what becomes of the mesh's TLS where it is not terminated."""
        if self.http:
            said = f"{self.who} parses the mesh's TLS as HTTP: {self.policy}, and {self.has}"
            return Failed(Result.PROTOCOL_ERROR, "mtls-not-terminated", Arrived.MTLS, said, parsed=True)
        said = f"{self.who} passes the mesh's TLS on to the application: {self.policy}"
        return Received(stream, parsed=False, evidence=said)

    def _refused(self, stream: Stream) -> Failed | None:
        """Return how a connection in plaintext ends before it is parsed; None where it does not."""
        tls = stream.wire is Wire.TLS
        if self.mode == STRICT:
            result = Result.PROTOCOL_ERROR if tls else Result.RESET
            does = "takes the client's TLS for the mesh's, and fails the handshake" if tls else "refuses plaintext"
            return Failed(result, "strict-refuses", Arrived.PLAIN, f"{self.who} {does}: {self.policy}", self.http)
        if tls and self.http:
            result = Result.RESET if self.mode == PERMISSIVE else Result.PROTOCOL_ERROR
            does = "refuses TLS that is not the mesh's" if self.mode == PERMISSIVE else "parses TLS as HTTP"
            return Failed(result, "tls-declared-http", Arrived.PLAIN, f"{self.who} {does}: {self.has}", parsed=True)
        return None

    def _not_http(self, stream: Stream, said: str) -> Failed:
        """Return how a connection ends that is parsed as HTTP, and is not."""
        waits = stream.wire in {Wire.SERVER_FIRST, Wire.REQUEST_LIKE}
        arrived = Arrived.MTLS if stream.mtls else Arrived.CONNECTION if stream.is_silent else Arrived.PLAIN
        code = "tls-declared-http" if stream.wire is Wire.TLS else "http-declared"
        result = Result.HANGS if waits else Result.PROTOCOL_ERROR
        return Failed(result, code, arrived, said, parsed=True, terminated=stream.mtls)


def receive(
    server: Party, port: int, stream: Stream, istio: IstioConfiguration, registry: Registry
) -> Received | Failed:
    """Follow a connection through the sidecar of a server.

    Args:
        server: The server, with a sidecar that gets connections to the port.
        port: The port of the pod.
        stream: What arrives.
        istio: Istio's configuration.
        registry: The Services.
    """
    declared, by = configured(server, port, istio, registry)
    mode, peer = istio.mode(server.namespace, server.labels, port)
    has = f"{by} has port {port} {'sniffed' if declared.protocol is None else f'declared {declared.protocol}'}"
    policy = f"PeerAuthentication {peer.metadata} is {mode}" if peer is not None else f"mutual TLS is {mode} by default"
    return _Port(f"the sidecar of {server.name}", declared, has, mode, policy).receive(stream)


def configured(server: Party, port: int, istio: IstioConfiguration, registry: Registry) -> tuple[Selection, str]:
    """Return the protocol that a server's sidecar has a port configured for, and the object that declares it."""
    sidecar = istio.sidecar_for(server.namespace, server.labels)
    if sidecar is not None and sidecar.spec.ingress:
        for listener in sidecar.spec.ingress:
            if listener.port.number == port:
                return declared_by(listener.port), f"Sidecar {sidecar.metadata}"
        return Selection(None, "no ingress has it"), f"Sidecar {sidecar.metadata}"
    selecting = registry.services(server.namespace).selecting(server.labels)
    # Of Services of the same age, Istio takes the first by its host name: "web-a.shop" is before "web.shop".
    for service in sorted(selecting, key=lambda service: (service.created, f"{service.name}.")):
        for found in service.ports:
            # A UDP port is for Istio one more port of the pod, whose bytes are passed on; names are those of TCP ports.
            named = found.transport == "TCP" or not isinstance(found.target, str)
            if named and found.leads_to(server.named_ports) == port:
                return select(found), f"Service {service.namespace}/{service.name}"
    return Selection(None, "no Service leads there"), "no Service"
