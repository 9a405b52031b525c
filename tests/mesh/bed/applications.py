"""Ten applications that Istio's sidecars break, each in another way, and whom each calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from api import Object

DIRECTORY = Path(__file__).parents[1] / "broken"
RECORD = Path(__file__).parents[1] / "comparison.yaml"
OUTSIDE = {"db.example.com": "203.0.113.20"}
"""The hosts outside of the cluster, and their addresses."""


@dataclass(frozen=True)
class Application:
    """An application, and the connection of it that does not work.

    Attributes:
        name: Of its manifests' file, without the suffix.
        client: The Deployment that calls, as NAMESPACE/NAME.
        host: Whom it calls, as SERVICE.NAMESPACE, or a host outside of the cluster.
        port: At which port.
        server: The Deployment behind that Service, as NAMESPACE/NAME; empty for a host outside.
        target: The server's port.
        speaks: What the client and the server speak.
        protocol: The one of `speakers` that stands for it.
    """

    name: str
    client: str
    host: str
    port: int
    server: str
    target: int
    speaks: str
    protocol: str

    @property
    def file(self) -> Path:
        return DIRECTORY / f"{self.name}.yaml"

    def documents(self) -> list[Object]:
        return list(yaml.safe_load_all(self.file.read_text()))

    def namespaces(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.documents() if one["kind"] == "Namespace"]


def _application(name: str, client: str, server: str, speaks: str, protocol: str, *, at: str = "") -> Application:
    """An application whose server's Service is called like the Deployment, and has the container's port.

    Args:
        name: The file's name.
        client: NAMESPACE/NAME.
        server: NAMESPACE/NAME:PORT.
        speaks: For people.
        protocol: For `speakers`.
        at: The host outside, instead of a server, as HOST:PORT.
    """
    behind, _, port = (at or server).rpartition(":")
    host = behind if at else ".".join(reversed(behind.split("/")))
    return Application(name, client, host, int(port), "" if at else behind, int(port), speaks, protocol)


APPLICATIONS = (
    _application("redis-behind-http", "basket/basket-api", "basket/basket-data:6379", "Redis", "client-first"),
    _application(
        "redis-client-skipped", "basket-skipped/basket-api", "basket-skipped/basket-data:6379", "Redis", "client-first"
    ),
    _application("nats-undeclared", "orders/order-processor", "orders/nats:4222", "NATS", "server-first"),
    _application("mysql-plain-client", "reports/sales-report", "store/mysql:3306", "MySQL", "server-first"),
    _application("strict-plain-client", "billing/invoicing", "payments/payments:8080", "HTTP/1.1", "http1"),
    _application("captured-port", "inventory/inventory", "", "MySQL", "server-first", at="db.example.com:3306"),
    _application("excluded-inbound", "catalog/catalog-api", "catalog/postgres:5432", "PostgreSQL", "client-first"),
    _application("https-behind-http", "identity/webapp", "identity/identity:8443", "HTTPS", "tls"),
    _application("grpc-behind-http", "ordering/aggregator", "ordering/ordering-grpc:8081", "HTTP/2", "http2"),
    _application("two-services-one-port", "shipping/shipping", "shipping/sqlserver:1433", "TDS", "client-first"),
)
