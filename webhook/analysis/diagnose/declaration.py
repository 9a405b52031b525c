"""Sentences about a Service's port that is declared wrongly, and the fix."""

from __future__ import annotations

from collections.abc import Iterator

from webhook.analysis.diagnose.finding import Code, Fix
from webhook.analysis.diagnose.fix import except_port, patch_service_port
from webhook.analysis.diagnose.picture import Picture
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import End, Outcome, Verdict, Wire
from webhook.mesh.arrival import target
from webhook.mesh.destination import Destination
from webhook.mesh.party import Party, Plane
from webhook.mesh.protocols import Protocol, select
from webhook.mesh.trace import SPOKEN

_ENDS = {
    Outcome.PROTOCOL_ERROR: "get an answer that is not the server's",
    Outcome.HANGS: "hang",
    Outcome.REFUSED: "are reset",
    Outcome.BLACKHOLED: "are closed",
}


def declared(port: ServicePort) -> str:
    """Return how Istio treats a port, and why, as a sentence."""
    selection = select(port)
    treats = "Istio sniffs its protocol" if selection.protocol is None else f"Istio treats it as {selection.protocol}"
    return f"{treats}: {selection.because}"


def what(kind: str | None, wires: tuple[Wire | None, ...]) -> str:
    """Return what a port speaks: the backend, and what is said first where that is the point."""
    (wire, *more) = wires or (None,)
    said = "TLS" if wire is Wire.TLS else SPOKEN.get(wire) if wire is not None else None
    if kind is None or more or said is None:
        return kind or said or "another protocol"
    return f"{kind} in TLS of its own" if wire is Wire.TLS else kind


def does(code: Code, verdict: Verdict, port: ServicePort) -> str:
    """Return what happens to connections, and at which end, as the second half of a sentence."""
    ends = f"connections {_ENDS.get(verdict.outcome, 'break')}"
    sidecar = "the client's sidecar" if verdict.at is End.CLIENT else "the server's sidecar"
    match code:
        case Code.SERVER_FIRST:
            return f"{sidecar} waits for the client's first bytes while the client waits for the server's: {ends}"
        case Code.PERMISSIVE_WAITS:
            said = f"{sidecar} waits for a client's first bytes, to see whether they are TLS: "
            return said + "those of clients without a sidecar hang"
        case Code.HTTP_VERSION:
            return f"{sidecar} passes it on as {select(port).protocol or 'HTTP'}: {ends}"
        case _:
            protocol = select(port).protocol
            return f"Istio parses it as {protocol}: {ends}, at {sidecar}" if protocol else f"{ends}, at {sidecar}"


def fix_of(
    picture: Picture, service: Service, port: ServicePort, code: Code, kind: str | None, wires: tuple[Wire | None, ...]
) -> Fix:
    """Return the fix of a port that is declared wrongly, or at which a sidecar waits for TLS."""
    if code is Code.PERMISSIVE_WAITS:
        return _disabled(picture, service, port)
    protocol = _protocol(code, kind, wires, picture)
    notes = [f"or name the port {protocol}-{kind or 'app'} and set no appProtocol"]
    if service.external_name is not None:
        notes.append("or leave its ports out: a Service of type ExternalName needs none")
    if wires == (Wire.SERVER_FIRST,):
        notes.append("clients without a sidecar take portLevelMtls DISABLE besides: see permissive-waits")
    excluding = [server.name for server, _ in _servers(picture, service, port) if not _receives(server, service, port)]
    if excluding:
        names = ", ".join(excluding)
        notes.insert(0, f"first remove the port from excludeInboundPorts of {names} and recreate the pods, or clients "
                        "with a sidecar start mutual TLS that nothing terminates")  # fmt: skip
    return patch_service_port(service, port, protocol, "; ".join(notes))


def _protocol(code: Code, kind: str | None, wires: tuple[Wire | None, ...], picture: Picture) -> str:
    """Return the protocol to declare."""
    if code is Code.TLS_DECLARED_HTTP or wires == (Wire.TLS,):
        over_http = kind is None or picture.catalog.speaks_http(kind)
        return (Protocol.HTTPS if over_http else Protocol.TLS).value
    if code is Code.HTTP_VERSION:
        return (Protocol.GRPC if wires == (Wire.HTTP2,) else Protocol.HTTP).value
    return Protocol.TCP.value


def _disabled(picture: Picture, service: Service, port: ServicePort) -> Fix:
    note = (
        f"apply it: port {port.number} then takes plaintext, and no client has mutual TLS there; "
        "or mode STRICT, and a sidecar for each client"
    )
    for server, number in _servers(picture, service, port):
        if number is not None:
            mode, peer = picture.istio.mode(server.namespace, server.labels, number)
            own = peer if peer is not None and peer.selects and mode != "DISABLE" else None
            name = own.metadata.name if own is not None else service.name
            return except_port(
                service.namespace, name, dict(service.selector or {}), number, note, exists=own is not None
            )
    return Fix(note=note)


def _servers(picture: Picture, service: Service, port: ServicePort) -> Iterator[tuple[Party, int | None]]:
    """Yield the pods behind a Service that have a sidecar, and the port of theirs that a port leads to."""
    for server in picture.neighbours.servers(service) or ():
        if server.planes == (Plane.SIDECAR,):
            yield server, target(Destination(port.number, service), server)


def _receives(server: Party, service: Service, port: ServicePort) -> bool:
    number = target(Destination(port.number, service), server)
    return number is None or server.intercepted.inbound(number)
