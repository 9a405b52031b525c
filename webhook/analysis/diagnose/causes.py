"""The cause of each connection that does not flow, and the Service whose declaration is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.analysis.diagnose.finding import Code
from webhook.analysis.diagnose.picture import Call, Picture
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import End, Verdict, Wire
from webhook.mesh.arrival import target
from webhook.mesh.destination import Destination, port_of
from webhook.mesh.party import Party, Plane
from webhook.mesh.protocols import select

OF_PORTS: Final = frozenset(
    {Code.HTTP_DECLARED, Code.TLS_DECLARED_HTTP, Code.HTTP_VERSION, Code.SERVER_FIRST, Code.PERMISSIVE_WAITS}
)
"""The causes that a Service's declaration of a port is, or the mode of mutual TLS at the port."""
_BY_CODE: Final = {code.code: code for code in Code}
_HTTP: Final = frozenset({Wire.HTTP1, Wire.HTTP2})


def cause_of(call: Call) -> Code:
    """Return why a connection does not flow."""
    judged = call.judged
    declared = None if call.service is None or judged.port is None else port_of(call.service, judged.port)
    return cause(judged.verdict, call.party, judged.wire, declared, early=judged.init)


def cause(
    verdict: Verdict, client: Party, wire: Wire | None, declared: ServicePort | None, *, early: bool = False
) -> Code:
    """Return the cause that a verdict has, or behind which there is another.

    A client's sidecar passes what is not HTTP through in plaintext where the port is declared HTTP. That such plaintext
    is refused, by a server that demands mutual TLS, or by the sidecar itself, which lets nothing unknown out, is not at
    fault: the declaration is.

    Args:
        verdict: A verdict of a connection that breaks.
        client: Who makes it.
        wire: What is said first, if it is known.
        declared: The port as the Service that is called declares it.
        early: Whether an init container makes it.
    """
    found = _BY_CODE[verdict.code]
    if found not in {Code.STRICT_REFUSES, Code.NOT_IN_REGISTRY} or client.planes != (Plane.SIDECAR,):
        return found
    if early and not client.native:
        return Code.INIT_BEFORE_SIDECAR
    if declared is None or wire in _HTTP or client.intercepted.outbound(declared.number, None) is False:
        return found
    protocol = select(declared).protocol
    if protocol is None or not protocol.is_http:
        return found
    return Code.TLS_DECLARED_HTTP if wire is Wire.TLS else Code.HTTP_DECLARED


def at_fault(
    picture: Picture, service: Service, port: int, code: Code, at: End | None
) -> tuple[Service, ServicePort | None]:
    """Return the Service whose declaration breaks connections, and its port.

    Args:
        picture: The cluster.
        service: The Service that is called.
        port: The port that is called.
        code: The cause.
        at: The end that breaks them.

    Returns:
        That which is called, unless it declares its port as nothing that explains the cause, and another Service, which
        leads to the same port of the pods, decides what their sidecars do.
    """
    own = port_of(service, port)
    protocol = None if own is None else select(own).protocol
    if code is Code.PERMISSIVE_WAITS or at is not End.SERVER or (protocol is not None and protocol.is_http):
        return service, own
    for server in picture.neighbours.servers(service) or ():
        for other, found in _leading(picture, server, target(Destination(port, service), server)):
            return other, found
    return service, own


def _leading(picture: Picture, server: Party, number: int | None) -> Iterator[tuple[Service, ServicePort]]:
    """Yield the Services' ports that lead to a port of a pod, the oldest first: that decides."""
    selecting = picture.surroundings.services(server.namespace).selecting(server.labels)
    for service in sorted(selecting, key=lambda service: (service.created, service.name)):
        for port in service.ports:
            if port.transport == "TCP" and port.leads_to(server.named_ports) == number:
                yield service, port
