"""The read-only view of the cluster around a pod that detection queries.

Two implementations: manifest files (`webhook.inventory.manifests`) and a live cluster (`webhook.inventory.live`).
Both answer from memory, and both contain the parsed shapes of values, never the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from webhook.core.backing import Backing, Backings
from webhook.core.values import Content

__all__ = [
    "Backing",
    "Backings",
    "Reference",
    "Service",
    "ServicePort",
    "Services",
    "Surroundings",
    "SurroundingsUnknownError",
    "as_variable",
    "ask",
]

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. `target` is a number or a container port's name; None means the same number."""

    number: int
    name: str | None = None
    target: int | str | None = None
    app_protocol: str | None = None
    transport: str = "TCP"

    def leads_to(self, named: Mapping[str, int]) -> int | None:
        """Return the number of the container's port that it leads to.

        Args:
            named: The numbers of the containers' ports that have names.

        Returns:
            None where it leads to a name that no container has.
        """
        return named.get(self.target) if isinstance(self.target, str) else self.target or self.number


@dataclass(frozen=True, slots=True)
class Service:
    """A Service and the images behind it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        ports: Its ports, in order.
        selector: The labels it selects pods by; empty for Services without a selector.
        external_name: The DNS name that an ExternalName Service is an alias for.
        headless: Whether it has no cluster IP (`clusterIP: None`).
        exposed: Whether clients outside of the cluster reach it: its type is NodePort or LoadBalancer.
        created: When it was created, as the API writes it; empty where that is unknown, as in files.
        export_to: The namespaces whose sidecars know it, as its annotation lists them; None where it has none.
        addresses: Its cluster IPs; empty where it has none, or they are not known, as in most files.
        images: Images of the containers of the workloads that the selector matches.
        waypoint: The waypoint that its label names, "none" for none; None where it has no such label.
        extent: Units of work to go through its ports, images and labels: see `webhook.core.budget`.
    """

    namespace: str
    name: str
    ports: tuple[ServicePort, ...] = ()
    selector: Mapping[str, str] | None = None
    external_name: str | None = None
    images: tuple[str, ...] = ()
    headless: bool = False
    exposed: bool = False
    created: str = ""
    export_to: tuple[str, ...] | None = None
    waypoint: str | None = None
    addresses: tuple[str, ...] = ()
    extent: int = field(init=False, repr=False, compare=False)
    _digest: bytes = field(init=False, repr=False, compare=False, default=b"")

    def __post_init__(self) -> None:
        """Compute `extent`, which is charged to the budget of each pod that names the Service."""
        object.__setattr__(self, "extent", (len(self.ports) + len(self.images) + len(self.selector or ())) // 8)

    @property
    def digest(self) -> bytes:
        """The same of Services that are equal, and of no others."""
        if not self._digest:
            object.__setattr__(self, "_digest", sha256(_ENCODER.encode(self)).digest())
        return self._digest

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether the Service selects pods with these labels."""
        return self.selector.items() <= labels.items() if self.selector else False


def as_variable(name: str) -> str:
    """Return the name of a Service or port as service links write it: "my-redis" -> "MY_REDIS"."""
    return name.upper().replace("-", "_")


class Services(tuple[Service, ...]):  # noqa: SLOT001 - it caches its indexes
    """Several Services, as all of a namespace, without the images behind them.

    Immutable: where one of them changes, the whole is replaced.

    Attributes:
        cut: Whether there are more, which are not among them.
    """

    cut: bool = False

    @cached_property
    def digest(self) -> bytes:
        """As that of one Service."""
        return sha256(b"".join(service.digest for service in self) + bytes([self.cut])).digest()

    def selecting(self, labels: Mapping[str, str]) -> Iterator[Service]:
        """Yield the Services that select pods with these labels."""
        for label in labels.items():
            for service in self._by_label.get(label, ()):
                if service.selects(labels):
                    yield service

    def linked(self, variable: str) -> Service | None:
        """Return the Service whose links begin with `variable`; only those with a cluster IP and ports have links."""
        return self._by_variable.get(variable)

    @cached_property
    def _by_variable(self) -> Mapping[str, Service]:
        linked = (service for service in self if service.ports and not service.headless and not service.external_name)
        return {as_variable(service.name): service for service in linked}

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str], Sequence[Service]]:
        """Each Service once, under a label that it selects: a namespace may have hundreds, and a pod a few labels."""
        found: dict[tuple[str, str], list[Service]] = {}
        for service in self:
            if service.selector:
                found.setdefault(next(iter(service.selector.items())), []).append(service)
        return found


class SurroundingsUnknownError(Exception):
    """The cluster cache has not synced yet, so lookups cannot be answered."""


class Surroundings(Protocol):
    """Read-only view of the cluster, or of the manifests that replace it.

    Every lookup may raise SurroundingsUnknownError.
    """

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Return the namespace's labels, or None when the namespace is unknown."""
        ...

    def service(self, namespace: str, name: str) -> Service | None:
        """Return the Service of that name, or None."""
        ...

    def mentioned(self, namespace: str, name: str) -> Service | None:
        """As `service`, for what may be any word: a miss is not looked up at the API server."""
        ...

    def services(self, namespace: str) -> Services:
        """Return all Services of a namespace, without the images behind them."""
        ...

    def config_map(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """Return the parsed content of each key of the ConfigMap, or None when it does not exist."""
        ...

    def secret(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """Return the same for a Secret; None also when Secrets may not be read."""
        ...

    def behind(self, namespace: str, name: str) -> Backings | None:
        """Return the workloads whose pods a Service selects; None where not all of them are known, or none is."""
        ...

    def http_services(self, port: int) -> Services:
        """Return the Services of all namespaces that declare a TCP port as HTTP, without images, the oldest first.

        `cut` says whether there are more.
        """
        ...


class Reference(Struct, frozen=True, gc=False):
    """A lookup: an object by its name, or all Services of a namespace.

    `kind` is "Namespace", "Service", "ConfigMap" or "Secret"; "Services" has no name, and "Mention" is a Service that
    a word may name, or may not. "Behind" are the workloads behind the Service of that name, and "HTTP" the Services
    that declare the port whose number is the name as HTTP.
    """

    kind: str
    namespace: str
    name: str


def ask(surroundings: Surroundings, question: Reference) -> Any:  # noqa: ANN401 - as many types as kinds
    """Return the result of a lookup.

    Raises:
        SurroundingsUnknownError: The cluster cache has not synced yet.
    """
    match question.kind:
        case "Service":
            return surroundings.service(question.namespace, question.name)
        case "ConfigMap":
            return surroundings.config_map(question.namespace, question.name)
        case "Mention":
            return surroundings.mentioned(question.namespace, question.name)
        case "Services":
            return surroundings.services(question.namespace)
        case "Namespace":
            return surroundings.namespace_labels(question.name)
        case "Behind":
            return surroundings.behind(question.namespace, question.name)
        case "HTTP":
            return surroundings.http_services(int(question.name))
        case _:
            return surroundings.secret(question.namespace, question.name)
