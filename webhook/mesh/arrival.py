"""What becomes of a connection between the client's pod and whoever answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from webhook.core.verdict import End, Wire
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.destination import Destination, Known, Registry, Sight, port_of
from webhook.mesh.inbound import DISABLE, STRICT, Failed, receive
from webhook.mesh.outbound import Sent
from webhook.mesh.party import Party, Plane
from webhook.mesh.trace import EITHER, HBONE, SPOKEN, Arrived, Result, Stream, Trace


@dataclass(frozen=True, slots=True)
class Arrival:
    """A connection on its way to a server.

    Attributes:
        to: Where it leads.
        server: The pod that answers; None for a host that is no pod, or where there is none.
        said: What the client says.
        sent: What its sidecar did; None where it has none, or does not get the connection.
        stream: What the client's pod sends.
    """

    to: Destination
    server: Party | None
    said: Wire
    sent: Sent | None
    stream: Stream

    def trace(self, istio: IstioConfiguration, registry: Registry) -> Trace:
        """Follow it to its end."""
        if self.server is None:
            return self._at_no_pod()
        port = target(self.to, self.server)
        if port is None:
            return self._at_no_pod()
        name, plane = self.server.name, self.server.planes[0]
        if plane is Plane.AMBIENT:
            return self._at_ambient(self.server, port, istio)
        if plane is Plane.NONE:
            return self._at_application(self.server, port, self.stream, None, f"{name} has no sidecar")
        if not self.server.intercepted.inbound(port):
            said = f"{name} excludes port {port} from its sidecar"
            return self._at_application(self.server, port, self.stream, None, said)
        found = receive(self.server, port, self.stream, istio, registry)
        if not isinstance(found, Failed):
            return self._at_application(self.server, port, found.stream, found.parsed, found.evidence)
        if self._is_parsed or (self.stream.mtls and not found.terminated):
            return self._ended(found.code, found.evidence, arrived=found.arrived, parsed=found.parsed)
        return Trace(found.result, found.arrived, found.code, End.SERVER, (found.evidence,))

    @property
    def _arrived(self) -> Arrived:
        return Arrived.MTLS if self.stream.mtls else Arrived.PLAIN

    @property
    def _is_parsed(self) -> bool:
        return self.sent is not None and self.sent.parsed

    def _at_no_pod(self) -> Trace:
        """Follow it to a host outside of the cluster, or to a Service without a pod that answers."""
        if not self.to.is_external:
            listed = self.to.service is None or self.to.service_port is not None
            said = f"no pod answers at {self.to}" if listed else f"the Service has no port {self.to.port}"
            if self.sent is None:
                return Trace(Result.REFUSED, Arrived.NOTHING, "no-endpoint", End.SERVER, (said,))
            return self._ended("no-endpoint", said, arrived=Arrived.NOTHING)
        if self.stream.mtls:
            return self._ended("mtls-not-terminated", "the host does not terminate the mesh's TLS")
        if self.stream.wire is not self.said:
            return self._changed(self.stream.wire)
        return Trace(Result.WORKS, Arrived.PLAIN, "flows")

    def _at_ambient(self, server: Party, port: int, istio: IstioConfiguration) -> Trace:
        """Follow it to a pod in ambient mode; see `webhook.mesh.ambient`."""
        mode, peer = istio.mode(server.namespace, server.labels, port)
        said = f"{server.name} is in ambient mode"
        if mode == STRICT and peer is not None and not self.stream.mtls:
            refuses = f"its ztunnel refuses plaintext: PeerAuthentication {peer.metadata} is STRICT"
            code = "strict-refuses" if self.sent is None else HBONE
            return Trace(Result.RESET, Arrived.PLAIN, code, End.SERVER, (said, refuses))
        trace = self._at_application(server, port, self.stream, None, said)
        by_sidecar = self.sent is not None and trace.result is Result.WORKS
        return replace(trace, code=EITHER) if by_sidecar else trace

    def _at_application(self, server: Party, port: int, stream: Stream, parsed: bool | None, said: str) -> Trace:  # noqa: FBT001 - None where no sidecar looked
        """Follow it to the application in a pod."""
        if server.listening is not None and port not in server.listening:
            silent = f"nothing in {server.name} listens at port {port}"
            if parsed is not None:
                return self._ended("no-endpoint", said, silent, parsed=parsed)
            if self.sent is None:
                return Trace(Result.REFUSED, Arrived.CONNECTION, "no-endpoint", End.SERVER, (said, silent))
            return self._ended("no-endpoint", said, silent, arrived=Arrived.CONNECTION)
        if stream.mtls:
            lost = "nobody terminates the mutual TLS that the client's sidecar starts"
            return self._ended("mtls-not-terminated", said, lost, parsed=bool(parsed))
        if stream.wire is not self.said:
            return self._changed(stream.wire, said, parsed=bool(parsed))
        return Trace(Result.WORKS, self._arrived, "flows", None, (said,))

    def _changed(self, wire: Wire, *before: str, parsed: bool = False) -> Trace:
        """Return how a request ends that a sidecar sends on in another version of HTTP."""
        said = f"the request arrives as {SPOKEN[wire]}, and client and server speak {SPOKEN[self.said]}"
        return self._ended("http-version", *before, said, parsed=parsed)

    def _ended(self, code: str, *said: str, arrived: Arrived | None = None, parsed: bool = False) -> Trace:
        """Return what a client sees of a connection that sidecars have accepted and cannot hand on."""
        result = Result.ERROR_RESPONSE if parsed or self._is_parsed else Result.RESET
        return Trace(result, arrived or self._arrived, code, End.SERVER, said)


def target(to: Destination, server: Party) -> int | None:
    """Return the port of a pod that a connection arrives at; None where the Service leads to none."""
    port = to.service_port
    if to.service is None or to.service.headless:
        return to.port
    return None if port is None else port.leads_to(server.named_ports)


def starts_mtls(
    known: Known, to: Destination, server: Party | None, sight: Sight, istio: IstioConfiguration
) -> tuple[bool | None, str]:
    """Return whether a client's sidecar starts mutual TLS, and why.

    Args:
        known: The host that the sidecar sends to.
        to: Where the connection leads.
        server: The pod that answers; None for a host outside of the mesh.
        sight: What the client's sidecar knows.
        istio: Istio's configuration.

    Returns:
        None where it starts TLS of another kind.
    """
    mode, rule = sight.tls_mode(known, to.port)
    if mode is not None:
        does = {"ISTIO_MUTUAL": "starts mutual TLS", DISABLE: "sends plaintext"}.get(mode, "starts TLS of another kind")
        return {"ISTIO_MUTUAL": True, DISABLE: False}.get(mode), f"it {does}: {rule} is {mode}"
    plaintext = _plaintext(known, to, server, istio)
    if plaintext or server is None:
        return False, f"it sends plaintext: {plaintext or 'the host is outside of the mesh'}"
    return True, f"it starts mutual TLS: {server.name} has a sidecar"


def _plaintext(known: Known, to: Destination, server: Party | None, istio: IstioConfiguration) -> str:
    """Return why a client's sidecar does not start mutual TLS of its own accord; empty where it does."""
    if server is None or known.service is None:
        return "the host is outside of the mesh"
    if not istio.settings.enable_auto_mtls:
        return "the mesh's enableAutoMtls is off"
    if server.planes[0] is not Plane.SIDECAR or not server.takes_mtls:
        return f"{server.name} has no sidecar that takes mutual TLS"
    if known.service.headless:
        # To the pods of a headless Service, Istio starts mutual TLS if there are any and all of them take it.
        port = port_of(known.service, to.port)
        behind = [one for one in to.servers or () if port is not None and port.leads_to(one.named_ports) is not None]
        if to.servers and not behind:
            return f"no pod has the port that {known} names"
        for other in behind:
            if Plane.SIDECAR not in other.planes or not other.takes_mtls:
                return f"{other.name}, behind the same headless Service, has no sidecar that takes mutual TLS"
    if istio.mode(known.service.namespace, {}, None)[0] == DISABLE:
        return f"mutual TLS is disabled in {known.service.namespace}"
    mode, peer = istio.mode(server.namespace, server.labels, target(to, server))
    # To the address of a headless Service's pod, Istio does not ask for the mode of the pod.
    if mode == DISABLE and peer is not None and not known.service.headless:
        return f"PeerAuthentication {peer.metadata} is DISABLE"
    return ""
