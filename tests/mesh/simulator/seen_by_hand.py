"""What was seen by hand on a real Envoy before there was a matrix, as meshes: the first cells of the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api import Object
from simulator import Call, Mesh, addresses, istio, pod, service

NAMESPACE = "shop"
Port = tuple[tuple[str, Any], ...]
"""A port of a Service, as an object's items."""


@dataclass(frozen=True)
class Row:
    """A connection to a server through its Service, and what was seen of it.

    Attributes:
        seen: The result, and what arrives at the server's pod.
        protocol: What is spoken.
        port: The port of the Service and of the container, with what its declaration says.
        client: The client's sidecar: sidecar, none, or excluded for the outbound port.
        server: The same for the server, and its inbound port.
        mode: Of the server's PeerAuthentication; `port-MODE` for that port alone.
        rule: TLS mode of the Service's DestinationRule, if there is one.
        ingress: Whether a `Sidecar` object has the server's port as TCP.
        outbound_policy: meshConfig.outboundTrafficPolicy.
        second: Another Service's port that leads to the same container port.
    """

    seen: tuple[str, str]
    protocol: str
    port: Port
    client: str = "sidecar"
    server: str = "sidecar"
    mode: str = ""
    rule: str = ""
    ingress: bool = False
    outbound_policy: str = "ALLOW_ANY"
    second: Port = ()

    def mesh(self, number: int) -> Mesh:
        """The row as a mesh that shares nothing with others."""
        own, there = addresses(number), f"{NAMESPACE}-{number}"
        declared = dict(self.port)
        port = declared["port"]
        client = pod(
            "client",
            there,
            next(own),
            injected=self.client != "none",
            exclude_outbound=[port] if self.client == "excluded" else [],
        )
        server = pod(
            "server",
            there,
            next(own),
            injected=self.server != "none",
            ports=[port],
            exclude_inbound=[port] if self.server == "excluded" else [],
        )
        called = next(own)
        objects = [client, server, service("server", there, called, "server", declared), *self._istio(there, port)]
        if self.second:
            objects.append(service("second", there, next(own), "server", dict(self.second)))
        call = Call(f"{there}/client", called, port, self.protocol)
        return Mesh(str(number), objects, [call], outbound_policy=self.outbound_policy)

    def _istio(self, there: str, port: int) -> list[Object]:
        objects = []
        if self.mode:
            mtls: Object = {"mtls": {"mode": self.mode}}
            if apart := self.mode.removeprefix("port-") if self.mode.startswith("port-") else "":
                mtls = {"portLevelMtls": {str(port): {"mode": apart}}}
            spec = {"selector": {"matchLabels": {"app": "server"}}, **mtls}
            objects.append(istio("PeerAuthentication", "server", there, spec))
        if self.rule:
            host = f"server.{there}.svc.cluster.local"
            spec = {"host": host, "trafficPolicy": {"tls": {"mode": self.rule}}}
            objects.append(istio("DestinationRule", "server", there, spec))
        if self.ingress:
            ingress = [{"port": {"number": port, "protocol": "TCP", "name": "tcp"}}]
            spec = {"workloadSelector": {"labels": {"app": "server"}}, "ingress": ingress}
            objects.append(istio("Sidecar", "server", there, spec))
        return objects


def _port(name: str, number: int = 6379, app: str = "") -> Port:
    return (("name", name), ("port", number), *((("appProtocol", app),) if app else ()))


ERROR, PLAIN, MTLS = ("protocol error", "plain"), ("works", "plain"), ("works", "mtls")
HTTP, GRPC, TCP = _port("http"), _port("http", app="grpc"), _port("http", app="tcp")
CLIENT, SERVER = "client-first", "server-first"
MYSQL, ODD, ODD_HTTP, ODD_TCP = _port("db", 3306), _port("db", 7306), _port("http", 7306), _port("db", 7306, "tcp")
SILENT = ("hangs", "connection")
"""The server's sidecar waits for bytes."""
UNHEARD = ("hangs", "nothing")
"""The client's does."""

ROWS = (
    # The table of the finding.
    *(Row(ERROR, CLIENT, HTTP, client=client) for client in ("sidecar", "none", "excluded")),
    *(Row(PLAIN, CLIENT, HTTP, client=one, server=two) for one in ("sidecar", "none") for two in ("none", "excluded")),
    Row(MTLS, CLIENT, TCP),
    Row(PLAIN, CLIENT, TCP, client="none"),
    # Client first.
    *(Row(ERROR, CLIENT, GRPC, client=client) for client in ("sidecar", "none")),
    *(Row(MTLS, CLIENT, _port("http", app=app)) for app in ("redis", "https", "postgresql")),
    *(Row(PLAIN, CLIENT, _port("http", app=app), client="none") for app in ("redis", "https", "postgresql")),
    Row(MTLS, CLIENT, TCP, mode="STRICT"),
    Row(("reset", "plain"), CLIENT, TCP, client="none", mode="STRICT"),
    *(Row(("reset", "plain"), CLIENT, HTTP, client=client, mode="STRICT") for client in ("sidecar", "none")),
    Row(("reset", "mtls"), CLIENT, TCP, server="excluded"),
    Row(PLAIN, CLIENT, TCP, server="excluded", client="none"),
    Row(PLAIN, CLIENT, TCP, server="excluded", rule="DISABLE"),
    Row(MTLS, CLIENT, TCP, ingress=True),
    Row(PLAIN, CLIENT, TCP, ingress=True, client="none"),
    Row(PLAIN, CLIENT, HTTP, ingress=True),
    Row(PLAIN, CLIENT, HTTP, ingress=True, client="none"),
    Row(PLAIN, CLIENT, TCP, client="excluded"),
    Row(("reset", "plain"), CLIENT, TCP, client="excluded", mode="STRICT"),
    # Server first.
    Row(MTLS, SERVER, MYSQL),
    Row(SILENT, SERVER, MYSQL, client="none"),
    Row(UNHEARD, SERVER, ODD),
    Row(SILENT, SERVER, ODD, client="none"),
    Row(UNHEARD, SERVER, ODD_HTTP),
    Row(SILENT, SERVER, ODD_HTTP, client="none"),
    Row(MTLS, SERVER, ODD_TCP),
    *(Row(SILENT, SERVER, ODD_TCP, client=client) for client in ("none", "excluded")),
    *(Row(PLAIN, SERVER, ODD_TCP, client=client, mode="port-DISABLE") for client in ("sidecar", "none")),
    # Two Services that lead to one container port: the server has one chain, and it is that of HTTP.
    Row(("protocol error", "mtls"), CLIENT, _port("tcp"), second=(*_port("http", 80), ("targetPort", 6379))),
    # A Service named http, then declared tcp.
    Row(PLAIN, CLIENT, HTTP, server="none"),
    Row(PLAIN, CLIENT, TCP, server="none"),
    # REGISTRY_ONLY.
    *(
        Row(("black hole", "nothing"), CLIENT, HTTP, server=server, outbound_policy="REGISTRY_ONLY")
        for server in ("sidecar", "excluded")
    ),
    Row(PLAIN, CLIENT, HTTP, client="excluded", server="excluded", outbound_policy="REGISTRY_ONLY"),
)


def captured() -> list[tuple[tuple[str, str], Mesh]]:
    """An external server-first database at port 3309, and Services of another namespace with that port."""
    own = addresses(4000)
    outside = "203.0.113.9"
    external = {"type": "ExternalName", "externalName": "example.com"}
    found: list[tuple[tuple[str, str], Mesh]] = []
    changes: list[tuple[tuple[str, str], Any]] = [
        (PLAIN, None),
        (UNHEARD, {}),
        (PLAIN, {"metadata": {"annotations": {"networking.istio.io/exportTo": "."}}}),
        (PLAIN, {"spec": {"clusterIP": None} | external, "name": "tcp"}),
    ]
    for number, (seen, change) in enumerate(changes):
        here, there = f"here-{number}", f"there-{number}"
        objects = [pod("client", here, next(own)), pod("other", there, next(own), ports=[3309])]
        if change is not None:
            taking = service("other", there, next(own), "other", {"name": change.pop("name", "http"), "port": 3309})
            for part, value in change.items():
                taking[part] |= value
            objects.append(taking)
        found.append((seen, Mesh(f"captured-{number}", objects, [Call(f"{here}/client", outside, 3309, SERVER)])))
    return found
