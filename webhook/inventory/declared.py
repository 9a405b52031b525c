"""An index of the Services of all namespaces by the ports that they declare as HTTP."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from webhook.core.surroundings import Service, Services
from webhook.mesh.protocols import select

MOST: Final = 256
"""Services in one answer: the oldest decides, and a cached decision compares all of them."""
_NONE = Services()


class Declared:
    """The Services that declare ports as HTTP, by number. One thread changes it, any may read it."""

    def __init__(self) -> None:
        self._ports: dict[int, _Port] = {}

    def http(self, number: int) -> Services:
        """Return the Services that declare a TCP port as HTTP, the oldest first, then by name and namespace.

        Only the first `MOST`; `cut` says whether there are more.
        """
        port = self._ports.get(number)
        return _NONE if port is None else port.services()

    def change(self, before: Service | None, after: Service | None) -> None:
        """Replace a Service; None where it was not there, or is gone."""
        if before is not None:
            for number in _http_ports(before):
                port = self._ports[number]
                port.remove(before)
                if not port:
                    del self._ports[number]
        if after is not None:
            for number in _http_ports(after):
                self._ports.setdefault(number, _Port()).add(after)


class _Port:
    """The Services of one port, sorted.

    The computed answer is in a list of its own, which a change replaces: a thread that computes it from outdated
    entries therefore adds it to one that is no longer read.
    """

    __slots__ = ("_answer", "_entries")

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, str, Service]] = []
        self._answer: list[Services] = []

    def __len__(self) -> int:
        return len(self._entries)

    def services(self) -> Services:
        answer = self._answer
        if not answer:
            first = self._entries[: MOST + 1]
            services = Services(entry[-1] for entry in first[:MOST])
            services.cut = len(first) > MOST
            answer.append(services)
        return answer[0]

    def add(self, service: Service) -> None:
        entry = (*_age(service), service)
        at = bisect_left(self._entries, entry)
        self._entries.insert(at, entry)
        self._forget(at)

    def remove(self, service: Service) -> None:
        at = bisect_left(self._entries, _age(service))
        del self._entries[at]
        self._forget(at)

    def _forget(self, at: int) -> None:
        if at <= MOST:
            self._answer = []


def _age(service: Service) -> tuple[str, str, str]:
    return service.created, service.name, service.namespace


def _http_ports(service: Service) -> set[int]:
    declared = ((port.number, select(port).protocol) for port in service.ports if port.transport == "TCP")
    return {number for number, protocol in declared if protocol is not None and protocol.is_http}
