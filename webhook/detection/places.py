"""A host name as a pod sees it -> the Service it leads to, or that it leads to the pod itself."""

from __future__ import annotations

import re

from msgspec import Struct

from webhook.core.facts import is_batch
from webhook.core.pod import Pod
from webhook.core.surroundings import Service, Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.words import words

_LOCAL = r"localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|::1?|ip6-localhost|localhost\.localdomain"
_REMOTE = re.compile(rf"(?!(?:{_LOCAL})\Z)(?:[a-z0-9_](?:[a-z0-9_.-]{{0,252}})|[0-9a-f:.]{{2,45}})")
_NOT_HOSTS = frozenset("true false yes no on off none null nil default auto all any enabled disabled example".split())


class Place(Struct, frozen=True, gc=False):
    """Where a mention leads.

    Attributes:
        host: The host name as configured, in lower case.
        port: The TCP port, or None.
        service: The Service that the host names, or None for hosts that no known Service answers for.
    """

    host: str
    port: int | None
    service: Service | None

    def __str__(self) -> str:
        """The place for a trail."""
        port = "" if self.port is None else f":{self.port}"
        if self.service is None:
            return f"{self.host}{port}"
        return f"Service {self.host}{port}"


class Places:
    """Resolves host names for one pod."""

    def __init__(self, pod: Pod, namespace: str, surroundings: Surroundings) -> None:
        self._pod = pod
        # A Job's pods serve nothing, even where a Service's selector happens to match them.
        self._serves = not is_batch(pod)
        self._namespace = namespace
        self._surroundings = surroundings
        self._ask = surroundings.service

    def resolve(self, host: str, port: str, *, look_up: bool = True) -> Place | None:
        """Return the place, or None when the host is empty, the pod itself, or no host at all.

        Args:
            host: The host.
            port: Its port; what is no port counts as none.
            look_up: Whether a Service that is not known may be looked for at the API server by this name.
        """
        self._ask = self._surroundings.service if look_up else self._surroundings.mentioned
        host = host.lower().rstrip(".")
        if host.count(":") == 1:
            host, _, port = host.partition(":")
        if host in _NOT_HOSTS or not _REMOTE.fullmatch(host):
            return None
        service = self._service(host)
        if service is not None and self._is_own(service):
            return None
        number = int(port) if port.isdigit() and 0 < int(port) < 65536 else None
        return Place(host, number, service)

    def _is_own(self, service: Service) -> bool:
        """Whether the pod itself stands behind the Service."""
        return self._serves and service.namespace == self._namespace and service.selects(self._pod.labels)

    def _service(self, host: str) -> Service | None:
        """`name`, `name.ns`, `name.ns.svc…`, and a StatefulSet pod's `pod.name` before any of them."""
        name, _, rest = host.partition(".")
        found = self._named(name, rest)
        if found is None and rest:
            name, _, rest = rest.partition(".")
            found = self._named(name, rest)
        return found

    def _named(self, name: str, rest: str) -> Service | None:
        """The Service of that name; behind it in the host stand nothing, its namespace, or that and `svc…`."""
        if not rest:
            return self._ask(self._namespace, name)
        namespace, _, domain = rest.partition(".")
        if domain and domain.partition(".")[0] != "svc":
            return None
        return self._ask(namespace, name)


def named_in(host: str, catalog: Catalog, *, weak: bool = True) -> str | None:
    """The kind that a host name names; of cluster names only the Service's part counts, not its namespace.

    Args:
        host: The host.
        catalog: The backends to look for.
        weak: Whether names count that may also mean something else ("mail").
    """
    labels = host.split(".")
    inside = len(labels) <= 2 or "svc" in labels
    return catalog.named(
        tuple(word for label in (labels[:1] if inside else labels) for word in words(label)), host=weak
    )
