"""What detection may ask about the cluster around a pod.

Two implementations stand behind this interface: manifest files (`webhook.inventory.manifests`) and a live cluster
(`webhook.inventory.live`). Both answer from memory, and both hold what values say, never the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from webhook.detection.content import Content

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. `target` is a number or a container port's name; None means the same number."""

    number: int
    name: str | None = None
    target: int | str | None = None
    app_protocol: str | None = None
    transport: str = "TCP"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service and what stands behind it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        ports: Its ports, in order.
        selector: The labels it selects pods by; empty for Services without a selector.
        external_name: The DNS name that an ExternalName Service stands for.
        images: Images of the containers of the workloads that the selector matches.
    """

    namespace: str
    name: str
    ports: tuple[ServicePort, ...] = ()
    selector: Mapping[str, str] | None = None
    external_name: str | None = None
    images: tuple[str, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether pods with these labels are behind the Service."""
        return bool(self.selector) and (self.selector or {}).items() <= labels.items()


class SurroundingsUnknownError(Exception):
    """Nothing can be said about the surroundings yet: the cluster has not been read once."""


class Surroundings(Protocol):
    """Read-only view of the cluster, or of the manifests that stand for it.

    Every question may raise SurroundingsUnknownError.
    """

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """The namespace's labels, or None when the namespace is not known."""
        ...

    def service(self, namespace: str, name: str) -> Service | None:
        """The Service of that name, or None."""
        ...

    def services(self, namespace: str) -> Sequence[Service]:
        """All Services of a namespace."""
        ...

    def config_map(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """What each key of the ConfigMap says, or None when there is no such ConfigMap."""
        ...

    def secret(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """The same for a Secret; None also when Secrets may not be read."""
        ...


class Reference(NamedTuple):
    """An object that somebody asked for by name; `kind` is "Namespace", "Service", "ConfigMap" or "Secret"."""

    kind: str
    namespace: str
    name: str


class Asked:
    """Surroundings that remember what they were asked for and did not have.

    Attributes:
        missed: The objects, in the order of the questions. A Service counts only where its namespace is known, since
            the second label of any host name could be one.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.missed: dict[Reference, None] = {}
        self._surroundings = surroundings

    def namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        """As `Surroundings`."""
        return self._noted("Namespace", "", namespace, self._surroundings.namespace_labels(namespace))

    def service(self, namespace: str, name: str) -> Service | None:
        """As `Surroundings`."""
        found = self._surroundings.service(namespace, name)
        if found is None and self._surroundings.namespace_labels(namespace) is None:
            return None
        return self._noted("Service", namespace, name, found)

    def services(self, namespace: str) -> Sequence[Service]:
        """As `Surroundings`."""
        return self._surroundings.services(namespace)

    def config_map(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """As `Surroundings`."""
        return self._noted("ConfigMap", namespace, name, self._surroundings.config_map(namespace, name))

    def secret(self, namespace: str, name: str) -> Mapping[str, Content] | None:
        """As `Surroundings`."""
        return self._noted("Secret", namespace, name, self._surroundings.secret(namespace, name))

    def _noted(self, kind: str, namespace: str, name: str, found: T | None) -> T | None:
        if found is None:
            self.missed[Reference(kind, namespace, name)] = None
        return found
