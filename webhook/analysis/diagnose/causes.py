"""The cause of each connection that does not flow, and the Service whose declaration is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.analysis.diagnose.finding import Code
from webhook.analysis.diagnose.picture import Picture
from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import End, Verdict
from webhook.mesh.arrival import target
from webhook.mesh.destination import Destination, port_of
from webhook.mesh.party import Party
from webhook.mesh.protocols import select

OF_PORTS: Final = frozenset(
    {Code.HTTP_DECLARED, Code.TLS_DECLARED_HTTP, Code.HTTP_VERSION, Code.SERVER_FIRST, Code.PERMISSIVE_WAITS}
)
"""The causes that a Service's declaration of a port is, or the mode of mutual TLS at the port."""
_BY_CODE: Final = {code.code: code for code in Code}


def cause(verdict: Verdict) -> Code:
    """Return why a connection that breaks does."""
    return _BY_CODE[verdict.code]


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
    # As `webhook.mesh.inbound.configured`: of those of one age, by their hosts.
    for service in sorted(selecting, key=lambda service: (service.created, f"{service.name}.")):
        for port in service.ports:
            if port.transport == "TCP" and port.leads_to(server.named_ports) == number:
                yield service, port
