"""The ServiceEntries with a port, by what a connection to it depends on.

Tenants write thousands at one port, and few matter to a connection: those with its host, its address, a range or a
wildcard, and of all others the oldest of each kind, for a listener that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from webhook.mesh.objects import IstioPort, ServiceEntry
from webhook.mesh.protocols import parse

Listed = tuple[ServiceEntry, IstioPort]
"""A ServiceEntry, and the port of it that has the number."""
_MOST_VIEWS: Final = 4096


class EntriesAtPort:
    """The ServiceEntries with one port, the oldest first."""

    def __init__(self, entries: Sequence[ServiceEntry], number: int) -> None:
        """Index them.

        Args:
            entries: ServiceEntries with the port, the oldest first.
            number: The port.
        """
        self._listed = [(entry, port) for entry in entries for port in entry.spec.ports or () if port.number == number]
        self._by_host: dict[str, list[int]] = {}
        self._by_address: dict[IPv4Address | IPv6Address, list[int]] = {}
        self._alike: dict[Hashable, list[int]] = {}
        self._for_many: list[int] = []
        self._oldest: dict[Hashable, tuple[int, ...]] = {}
        for place, (entry, port) in enumerate(self._listed):
            self._add(place, entry, port)
        for alike in self._alike.values():
            alike.sort(key=lambda place: self._listed[place][0].age_of_host)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._listed)

    def concerning(
        self,
        host: str,
        address: IPv4Address | IPv6Address | None,
        view: Hashable,
        visible: Callable[[ServiceEntry], bool],
    ) -> list[Listed]:
        """Return those that decide about a connection, the oldest first.

        Args:
            host: The host that is called.
            address: Its address; None where it is not known.
            view: What `visible` depends on.
            visible: Whether the client's sidecar knows a ServiceEntry.
        """
        places = {*self._by_host.get(host, ()), *self._for_many}
        if address is not None:
            places.update(self._by_address.get(address, ()))
        found = {place for place in places if visible(self._listed[place][0])}
        return [self._listed[place] for place in sorted(found.union(self._oldest_for(view, visible)))]

    def _oldest_for(self, view: Hashable, visible: Callable[[ServiceEntry], bool]) -> tuple[int, ...]:
        """Return the oldest of each kind that a sidecar knows: they make the listener that all of a port share."""
        known = self._oldest.get(view)
        if known is None:
            firsts = (
                next((one for one in alike if visible(self._listed[one][0])), None) for alike in self._alike.values()
            )
            known = tuple(first for first in firsts if first is not None)
            if len(self._oldest) >= _MOST_VIEWS:
                self._oldest.clear()
            self._oldest[view] = known
        return known

    def _add(self, place: int, entry: ServiceEntry, port: IstioPort) -> None:
        hosts, addresses = entry.spec.hosts or (), entry.spec.addresses or ()
        for host in dict.fromkeys(hosts):
            self._by_host.setdefault(host, []).append(place)
        ranged = False
        for text in addresses:
            try:
                self._by_address.setdefault(ip_address(text), []).append(place)
            except ValueError:
                ranged = True
        if ranged or any(host.startswith("*") for host in hosts):
            self._for_many.append(place)
        kind = parse(port.protocol), frozenset("/" in text for text in addresses)
        self._alike.setdefault(kind, []).append(place)
