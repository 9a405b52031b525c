"""Resolve a host name to a Service from the pod's point of view."""

from __future__ import annotations

import re

from msgspec import Struct

from webhook.core.facts import is_batch
from webhook.core.surroundings import Service, Surroundings
from webhook.detection.catalog import Catalog
from webhook.detection.words import words
from webhook.kubernetes.pod import Pod

_LOCAL = r"localhost|127(?:\.\d{1,3}){3}|0\.0\.0\.0|::1?|ip6-localhost|localhost\.localdomain"
_REMOTE = re.compile(rf"(?!(?:{_LOCAL})\Z)(?:[a-z0-9_](?:[a-z0-9_.-]{{0,252}})|[0-9a-f:.]{{2,45}})")
_NOT_HOSTS = frozenset("true false yes no on off none null nil default auto all any enabled disabled example".split())

# Resolvers give up on longer chains of aliases, and the API server accepts no more search domains.
_MOST_ALIASES = 8
_MOST_SEARCHES = 32
_LONGEST_SEARCHES = 2048
"""Characters of all search domains with a space between them."""


class Place(Struct, frozen=True, gc=False):
    """The resolved target of a mention.

    Attributes:
        host: The host name as configured, in lower case.
        port: The TCP port, or None.
        service: The Service that the host names, behind any aliases that are Services themselves; of an alias for a
            host that is not a Service, the alias. None for hosts that no known Service has.
        target: The host that ExternalName Services are aliases for; "" where there is none.
        elsewhere: Whether an object of another namespace than the pod's contributed to it.
    """

    host: str
    port: int | None
    service: Service | None
    target: str = ""
    elsewhere: bool = False

    def __str__(self) -> str:
        """Return the host as a part of an evidence chain."""
        target = f" → {self.target}" if self.target else ""
        port = "" if self.port is None else f":{self.port}"
        return f"{'' if self.service is None else 'Service '}{self.host}{target}{port}"

    def named(self, catalog: Catalog, *, weak: bool = True) -> str | None:
        """Return the kind that its name names, see `named_in`; behind aliases, the name that is really dialled."""
        behind = named_in(self.target, catalog, weak=weak) if self.target else None
        return behind or named_in(self.host, catalog, weak=weak)


class Places:
    """The resolver of host names for one pod.

    Attributes:
        met_elsewhere: Whether a lookup found an object of another namespace so far.
    """

    def __init__(self, pod: Pod, namespace: str, surroundings: Surroundings, *, only_own: bool = False) -> None:
        """Read the pod's host names and search domains.

        Args:
            pod: The pod.
            namespace: Where it runs.
            surroundings: The Services that it can resolve.
            only_own: Resolve as if other namespaces had no objects.
        """
        self.met_elsewhere = False
        self._pod = pod
        # A Job's pods are not servers, even where a Service's selector happens to match them.
        self._serves = not is_batch(pod)
        self._namespace = namespace
        self._surroundings = surroundings
        self._only_own = only_own
        self._addresses = _addresses(pod) if pod.spec.host_aliases else {}
        self._searches = _searches(pod) if pod.spec.dns_config is not None else ()
        self._ask = surroundings.service

    def resolve(self, host: str, port: str, *, look_up: bool = True) -> Place | None:
        """Resolve a host; return None when it is empty, the pod itself, or not a host.

        Args:
            host: The host.
            port: Its port; an invalid one counts as none.
            look_up: Whether an unknown Service may be looked up at the API server by this name.
        """
        self._ask = self._surroundings.service if look_up else self._surroundings.mentioned
        host = host.lower().rstrip(".")
        if host.count(":") == 1:
            host, _, port = host.partition(":")
        if host in _NOT_HOSTS or not _REMOTE.fullmatch(host):
            return None
        number = int(port) if port.isdigit() and 0 < int(port) < 65536 else None
        if self._addresses and (address := self._addresses.get(host)) is not None:
            return Place(host, number, None) if _REMOTE.fullmatch(address.lower()) else None
        service = self._service(host)
        if service is None:
            return Place(host, number, None)
        if service.external_name:
            return self._behind(host, number, service)
        if service.namespace != self._namespace:
            return Place(host, number, service, elsewhere=True)
        return None if self._is_own(service) else Place(host, number, service)

    def _behind(self, host: str, port: int | None, service: Service) -> Place | None:
        """Return the host behind a chain of Services that are aliases."""
        target, elsewhere = "", service.namespace != self._namespace
        for _ in range(_MOST_ALIASES):
            if not service.external_name:
                break
            target = service.external_name.lower().rstrip(".")
            if not _REMOTE.fullmatch(target):
                return None
            # An alias is a full name: search domains do not complete it.
            behind = self._completed(target) if "." in target else None
            if behind is None:
                break
            service = behind
            elsewhere = elsewhere or service.namespace != self._namespace
        return None if self._is_own(service) else Place(host, port, service, target, elsewhere)

    def _is_own(self, service: Service) -> bool:
        """Return whether the pod itself is behind the Service."""
        return self._serves and service.namespace == self._namespace and service.selects(self._pod.labels)

    def _service(self, host: str) -> Service | None:
        """Look up `name`, `name.ns`, `name.ns.svc…`, and before any of them a StatefulSet pod's `pod.name`."""
        while host[0] == "_" and "." in host:
            host = host.partition(".")[2]  # an SRV record's _port._tcp
        found = self._completed(host)
        if found is None and self._searches:
            names = (self._completed(f"{host}.{search}") for search in self._searches)
            found = next((service for service in names if service is not None), None)
        return found

    def _completed(self, host: str) -> Service | None:
        name, _, rest = host.partition(".")
        found = self._named(name, rest)
        if found is None and rest:
            name, _, rest = rest.partition(".")
            found = self._named(name, rest)
        return found

    def _named(self, name: str, rest: str) -> Service | None:
        """Return the Service of that name; the rest of the host is empty, its namespace, or that and `svc…`."""
        if not rest:
            return self._ask(self._namespace, name)
        namespace, _, domain = rest.partition(".")
        if domain and domain.partition(".")[0] != "svc":
            return None
        if namespace != self._namespace:
            return self._elsewhere(namespace, name)
        return self._ask(namespace, name)

    def _elsewhere(self, namespace: str, name: str) -> Service | None:
        found = None if self._only_own else self._ask(namespace, name)
        self.met_elsewhere = self.met_elsewhere or found is not None
        return found


def _addresses(pod: Pod) -> dict[str, str]:
    """Return the address of each name in the pod's own hosts file."""
    return {name.lower(): alias.ip for alias in pod.spec.host_aliases or () for name in alias.hostnames or ()}


def _searches(pod: Pod) -> list[str]:
    """Return the pod's search domains that Services can be in; none where the API server rejects the pod."""
    searches = (pod.spec.dns_config.searches if pod.spec.dns_config is not None else None) or []
    if len(searches) > _MOST_SEARCHES or sum(map(len, searches)) + len(searches) - 1 > _LONGEST_SEARCHES:
        return []
    return [search.lower().strip(".") for search in searches if "svc" in search.lower()]


def named_in(host: str, catalog: Catalog, *, weak: bool = True) -> str | None:
    """Return the kind that a host name names; of cluster names only the Service's part counts, not its namespace.

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
