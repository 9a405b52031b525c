"""How Istio chooses the protocol of a Service's port.

| first row that holds                                                        | protocol                      |
|-----------------------------------------------------------------------------|-------------------------------|
| the port is UDP                                                             | udp                           |
| appProtocol is kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss     | http2, http, https            |
| appProtocol, or without one the port's name, is a protocol or begins "p-"   | that protocol                 |
| the port is 25, 53, 3306 or 27017                                           | tcp                           |
| otherwise                                                                   | sniffed from the first bytes  |

An appProtocol unknown to Istio hides the name. Case does not count. Sources: istio.io "Protocol Selection";
istio/istio pkg/config/kube (ConvertProtocol) and pkg/config/protocol (Parse).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webhook.core.surroundings import ServicePort


class Protocol(StrEnum):
    """A protocol that Istio supports."""

    HTTP = "http"
    HTTP_PROXY = "http_proxy"
    HTTP2 = "http2"
    GRPC = "grpc"
    GRPC_WEB = "grpc-web"
    HTTPS = "https"
    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"
    MONGO = "mongo"
    REDIS = "redis"
    MYSQL = "mysql"

    @property
    def is_http(self) -> bool:
        """Whether the proxy parses the bytes as HTTP of some version."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether the proxy speaks HTTP/2 to the server."""
        return self in _HTTP2


_HTTP2 = frozenset({Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_HTTP = frozenset({Protocol.HTTP, Protocol.HTTP_PROXY, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_KUBERNETES = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
_NAMES = frozenset(Protocol)
_WELL_KNOWN = frozenset({25, 53, 3306, 27017})


@dataclass(frozen=True, slots=True)
class Selection:
    """The protocol of one port.

    Attributes:
        protocol: The protocol, or None where Istio sniffs it.
        because: The reason, as a phrase: "its name is 'http'".
    """

    protocol: Protocol | None
    because: str


def select(port: ServicePort) -> Selection:
    """Return the protocol that Istio selects for a Service's port."""
    if port.transport == "UDP":
        return Selection(Protocol.UDP, "it is a UDP port")
    if port.app_protocol in _KUBERNETES:
        return Selection(_KUBERNETES[port.app_protocol], f"its appProtocol is '{port.app_protocol}'")
    # As Istio does, an appProtocol that is there but empty counts as one.
    declared = port.name or "" if port.app_protocol is None else port.app_protocol
    where = "its name" if port.app_protocol is None else "its appProtocol"
    if (protocol := _named(declared.lower())) is not None:
        return Selection(protocol, f"{where} is '{declared}'")
    if port.number in _WELL_KNOWN:
        return Selection(Protocol.TCP, f"{port.number} is a port that Istio knows")
    return Selection(None, f"{where} is '{declared}'" if declared else "it has neither appProtocol nor name")


def parse(written: str) -> Protocol | None:
    """Return the protocol that a port of Istio's own objects declares; None where Istio sniffs it."""
    name = written.lower()
    return Protocol(name) if name in _NAMES else None


def _named(written: str) -> Protocol | None:
    if written.startswith(Protocol.GRPC_WEB):
        return Protocol.GRPC_WEB
    prefix = written.partition("-")[0]
    return Protocol(prefix) if prefix in _NAMES else None
