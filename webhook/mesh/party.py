"""One end of a connection: a pod as it runs or would be created, and which of its traffic its sidecar gets.

| annotation traffic.sidecar.istio.io/... | what the sidecar gets                             |
|-----------------------------------------|---------------------------------------------------|
| excludeOutboundPorts                    | not these                                         |
| excludeOutboundIPRanges                 | not these                                         |
| includeOutboundPorts                    | these, whatever includeOutboundIPRanges says      |
| includeOutboundIPRanges                 | only these; "*", the default, is all; "" is none  |
| includeInboundPorts                     | only these; "*", the default, is all; "" is none  |
| excludeInboundPorts                     | not these, where all are included                 |

The first row that concerns a connection decides. Source: istio.io, Resource Annotations; istio/istio
tools/istio-iptables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

_PREFIX: Final = "traffic.sidecar.istio.io/"
_MOST_CHARACTERS: Final = 4096
_MOST_ITEMS: Final = 256
_ALL: Final = "*"
_MODE: Final = "sidecar.istio.io/interceptionMode"
_COMMON: Final = 4
"""The version of IP of addresses that are not known."""
_OWN_PORTS: Final = frozenset({15020, 15021, 15090})
"""Ports of the sidecar itself, which it never intercepts."""

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network


class Plane(StrEnum):
    """What a pod's traffic goes through."""

    NONE = "none"
    SIDECAR = "sidecar"
    AMBIENT = "ambient"


@dataclass(frozen=True, slots=True)
class Interception:
    """Which connections a sidecar gets.

    Attributes:
        excluded_out: Ports that clients of the pod call directly.
        included_out: Ports that go through the sidecar, whatever addresses are included.
        excluded_ranges: Addresses that are called directly.
        included_ranges: Addresses that go through the sidecar; None for all.
        excluded_in: Ports at which the pod is called directly.
        included_in: The only ports at which the sidecar receives; None for all.
    """

    excluded_out: frozenset[int] = frozenset()
    included_out: frozenset[int] = frozenset()
    excluded_ranges: tuple[Range, ...] = ()
    included_ranges: tuple[Range, ...] | None = None
    excluded_in: frozenset[int] = _OWN_PORTS
    included_in: frozenset[int] | None = None

    def outbound(self, port: int, address: Address | None) -> bool | None:
        """Return whether the sidecar gets a connection that the pod makes; None where that depends on the address."""
        excluded = _within(self.excluded_ranges, address)
        if port in self.excluded_out or excluded:
            return False
        included: bool | None = True
        if port not in self.included_out and self.included_ranges is not None:
            included = _within(self.included_ranges, address)
        return None if excluded is None and included else included

    def ways(self, port: int, address: Address | None) -> tuple[Interception, ...]:
        """Return this; where it depends on the address, one that gets the connection and one that does not."""
        if self.outbound(port, address) is not None:
            return (self,)
        through = replace(self, excluded_ranges=(), included_ranges=None)
        return through, replace(self, excluded_out=self.excluded_out | {port})

    def inbound(self, port: int) -> bool:
        """Return whether the sidecar gets a connection that is made to the pod."""
        return port not in self.excluded_in if self.included_in is None else port in self.included_in


ALL: Final = Interception()


@lru_cache(maxsize=256)
def _intercepted(
    excluded_out: str, included_out: str, excluded_ranges: str, included_ranges: str, excluded_in: str, included_in: str
) -> Interception:
    return Interception(
        excluded_out=_ports(excluded_out),
        included_out=_ports(included_out),
        excluded_ranges=_ranges(excluded_ranges),
        included_ranges=None if _ALL in included_ranges.split(",") else _ranges(included_ranges),
        excluded_in=_ports(excluded_in) | _OWN_PORTS,
        included_in=None if included_in == _ALL else _ports(included_in),
    )


def interception_of(annotations: Mapping[str, str]) -> Interception:
    """Return what the annotations of a pod leave to its sidecar."""
    if annotations.get(_MODE) == "NONE":
        return Interception(included_ranges=(), included_in=frozenset())
    if not any(name.startswith(_PREFIX) for name in annotations):
        return ALL
    return _intercepted(
        *(
            annotations.get(f"{_PREFIX}{name}", default)[:_MOST_CHARACTERS]
            for name, default in (
                ("excludeOutboundPorts", ""),
                ("includeOutboundPorts", ""),
                ("excludeOutboundIPRanges", ""),
                ("includeOutboundIPRanges", _ALL),
                ("excludeInboundPorts", ""),
                ("includeInboundPorts", _ALL),
            )
        )
    )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",", _MOST_ITEMS)[:_MOST_ITEMS] if item.strip()]


def _ports(text: str) -> frozenset[int]:
    return frozenset(int(item) for item in _items(text) if item.isascii() and item.isdigit() and len(item) <= 5)


def _ranges(text: str) -> tuple[Range, ...]:
    found: list[Range] = []
    for item in _items(text):
        try:
            found.append(ip_network(item, strict=False))
        except ValueError:
            continue
    return tuple(found)


def _within(ranges: tuple[Range, ...], address: Address | None) -> bool | None:
    """Return whether an address is in any range; None where that depends on the address, which is not known."""
    if address is not None:
        return any(address in network for network in ranges)
    if any(network.version == _COMMON and not network.prefixlen for network in ranges):
        return True
    return None if ranges else False


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a connection.

    Attributes:
        name: As users know it, "Deployment/web"; for evidence.
        namespace: Its namespace.
        labels: Its labels.
        planes: What its traffic goes through; more than one where that is not known.
        unknown: Why that is not known, as a phrase: "whether the policy gives Deployment/web a sidecar".
        intercepted: What its sidecar gets.
        native: Whether its sidecar is a native one, which starts before all but the init containers that precede it.
        held: Whether its application waits for its sidecar.
        batch: Whether it is to complete.
        named_ports: The numbers of the containers' ports that have names.
        listening: The ports that anything listens at; None where that is not known, as of nearly all pods.
        takes_mtls: Whether its endpoints say that it takes mutual TLS, if it has a sidecar.
        as_proxy: Whether its containers run as the sidecar's own user, whose traffic the sidecar does not get; both
            where some do.
        init_as_proxy: The same of its init containers.
    """

    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    planes: tuple[Plane, ...] = (Plane.SIDECAR,)
    unknown: str = ""
    intercepted: Interception = ALL
    native: bool = True
    held: bool = False
    batch: bool = False
    named_ports: Mapping[str, int] = field(default_factory=dict)
    listening: frozenset[int] | None = None
    takes_mtls: bool = True
    as_proxy: tuple[bool, ...] = (False,)
    init_as_proxy: tuple[bool, ...] = (False,)

    def calls_as_proxy(self, *, early: bool) -> tuple[bool, ...]:
        """Return whether connections of its init containers, or of its others, are those of the sidecar's user."""
        return self.init_as_proxy if early else self.as_proxy
