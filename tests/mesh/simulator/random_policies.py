"""Istio's objects at random, for random meshes.

Not drawn, since the judge of connections does not model them: several ServiceEntries for one host; a Sidecar object's
port for which a host is headless, UDP or a ServiceEntry's, or which is not TCP or lets in only some hosts; `~/*` beside
other hosts; DestinationRules of one host of which one selects clients and another is exported to its own namespace
alone; settings of a DestinationRule for one port that say nothing of TLS; subsets; VirtualServices;
a port that is declared `http_proxy`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from api import Object
from simulator import istio

PORTS = (80, 443, 3306, 5432, 5672, 6379, 8080, 9000, 27017)
MODES = ("PERMISSIVE", "STRICT", "DISABLE", "UNSET")
TLS_MODES = ("DISABLE", "ISTIO_MUTUAL")
PROTOCOLS = ("TCP", "HTTP", "TLS", "HTTPS", "GRPC", "HTTP2", "MYSQL", "MONGO", "tcp")
OUTSIDE = ("203.0.113.7", "203.0.113.200")
"""Addresses of external hosts."""
OUTSIDE_NAMES = ("outside.example.com", "other.example.com", "third.example.com")
ROOT = "istio-system"


@dataclass
class Place:
    """What a random mesh is made of.

    Attributes:
        draw: What all is drawn with.
        spaces: Its namespaces; the clients' and the servers'.
        servers: The labels `app` of its servers, with their namespaces and container ports.
        services: Name and namespace of each of its Services, with its ports.
        root: Whether it has objects in Istio's root namespace.
    """

    draw: random.Random
    spaces: list[str]
    root: bool = False
    servers: list[tuple[str, str, list[int]]] = field(default_factory=list)
    services: list[tuple[str, str, list[int]]] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    at_all_addresses: set[int] = field(default_factory=set)

    def chance(self, share: float) -> bool:
        """True as often as this share says."""
        return self.draw.random() < share

    def space(self) -> str:
        """A namespace."""
        return ROOT if self.root and self.chance(0.4) else self.draw.choice(self.spaces)

    def is_mixed(self, host: str) -> bool:
        """Whether a Service, as name.namespace, is headless and has several pods."""
        return host in self.mixed

    def made(self, kind: str, name: str, namespace: str, spec: Object) -> Object:
        """An object, of one of three ages."""
        one = istio(kind, name, namespace, spec)
        one["metadata"]["creationTimestamp"] = self.age()
        return one

    def age(self) -> str:
        """One of three times of creation."""
        return f"2026-01-01T00:00:0{self.draw.randrange(3)}Z"

    def exported(self) -> list[str]:
        """The namespaces that something is exported to."""
        return self.draw.choice((["."], ["*"], self.spaces[:1], self.spaces))


def policies(place: Place) -> Iterator[Object]:
    """Objects of each kind, more or less often."""
    for kind, share in (
        (_peer_authentication, 0.6),
        (_destination_rule, 0.5),
        (_sidecar, 0.35),
        (_service_entry, 0.35),
    ):
        for number in range(3):
            if not place.chance(share):
                break
            yield kind(place, number)


def _peer_authentication(place: Place, number: int) -> Object:
    draw = place.draw
    name, there, ports = draw.choice(place.servers)
    spec: Object = {"mtls": {"mode": draw.choice(MODES)}} if place.chance(0.9) else {}
    if place.chance(0.5):
        spec["selector"] = {"matchLabels": {"app": name}}
        if place.chance(0.5):
            spec["portLevelMtls"] = {
                str(port): {"mode": draw.choice(MODES)} for port in draw.sample(ports, draw.randint(1, len(ports)))
            }
    else:
        there = place.space()
    if place.root and place.chance(0.3):
        there = ROOT
    return place.made("PeerAuthentication", f"peer-{number}", there, spec)


def _destination_rule(place: Place, number: int) -> Object:
    draw = place.draw
    name, there, ports = draw.choice(place.services)
    whole = f"{name}.{there}.svc.cluster.local"
    host = draw.choice((whole, whole, name, f"{name}.{there}", f"*.{there}.svc.cluster.local", "*.local"))
    policy: Object = {}
    if place.chance(0.8):
        policy["tls"] = {"mode": draw.choice((*TLS_MODES, *TLS_MODES, "SIMPLE"))}
    if place.chance(0.3):
        tls: Object = {"tls": {"mode": draw.choice(TLS_MODES)}}
        policy["portLevelSettings"] = [{"port": {"number": draw.choice(ports)}, **tls}]
    spec: Object = {"host": host} | ({"trafficPolicy": policy} if policy else {})
    if place.chance(0.15):
        # Istio takes but one namespace from those that select clients.
        spec |= {"workloadSelector": {"matchLabels": {"app": draw.choice(("sidecar", "excluded"))}}, "exportTo": ["."]}
    elif place.chance(0.3):
        spec["exportTo"] = place.spaces[:1]
    return place.made("DestinationRule", f"rule-{number}", draw.choice((there, place.space())), spec)


def _sidecar(place: Place, number: int) -> Object:
    draw = place.draw
    spec: Object = {}
    if place.chance(0.4):
        name, there, ports = draw.choice(place.servers)
        spec["ingress"] = [
            {"port": _port(port, draw, "TCP", "HTTP", "GRPC", "TLS", "MYSQL")}
            for port in draw.sample(ports, draw.randint(1, len(ports)))
        ]
    else:
        name, there = draw.choice(("sidecar", "excluded")), place.space()
        spec["egress"] = _egress(place)
    if place.chance(0.6):
        spec["workloadSelector"] = {"labels": {"app": name}}
    if place.chance(0.3):
        spec["outboundTrafficPolicy"] = {"mode": draw.choice(("ALLOW_ANY", "REGISTRY_ONLY"))}
    if not spec.get("ingress") and place.root and place.chance(0.3):
        there = ROOT
        spec.pop("workloadSelector", None)
    return place.made("Sidecar", f"sidecar-{number}", there, spec)


def _egress(place: Place) -> list[Object]:
    draw = place.draw
    # What a headless or UDP Service makes of a listener that a Sidecar object has for its port is not modelled.
    found: list[Object] = [
        {"port": _port(port, draw, "TCP"), "hosts": ["*/*"]}
        for port in draw.sample(PORTS, draw.choice((0, 1, 1, 2)))
        if port not in place.at_all_addresses
    ]
    place.at_all_addresses.update(one["port"]["number"] for one in found)
    if not found or place.chance(0.7):
        found.append({"hosts": _hosts(place)})
    return found


def _hosts(place: Place) -> list[str]:
    name, there, _ = place.draw.choice(place.services)
    every = ("*/*", "./*", f"{there}/*", f"*/{name}.{there}.svc.cluster.local", f"./{OUTSIDE_NAMES[0]}")
    if place.chance(0.1):
        return ["~/*"]
    return place.draw.sample(every, place.draw.choice((1, 1, 2)))


def _service_entry(place: Place, number: int) -> Object:
    draw = place.draw
    addresses = draw.choice(([], [OUTSIDE[0]], [OUTSIDE[0]], ["203.0.113.0/25"], list(OUTSIDE)))
    ranges = any("/" in one for one in addresses)
    resolution = draw.choice(("NONE", "STATIC") if ranges else ("NONE", "STATIC", "STATIC", "DNS"))
    ports = [_port(port, draw, *PROTOCOLS) for port in draw.sample(PORTS, draw.randint(1, 3))]
    ports = [port for port in ports if port["number"] not in place.at_all_addresses] or [_port(8443, draw, *PROTOCOLS)]
    # Which of several objects of one host counts is not modelled: each has hosts of its own.
    hosts = [OUTSIDE_NAMES[number]]
    # Istio takes several hosts only of ports at which connections name theirs.
    if {port["protocol"] for port in ports} <= {"HTTP", "HTTP2", "GRPC", "TLS", "HTTPS"} and place.chance(0.5):
        hosts.append(f"more-{number}.example.com")
    spec: Object = {
        "hosts": hosts,
        "resolution": resolution,
        "location": draw.choice(("MESH_EXTERNAL", "MESH_EXTERNAL", "MESH_INTERNAL")),
        "ports": ports,
    }
    if addresses:
        spec["addresses"] = addresses
    if resolution == "STATIC":
        spec["endpoints"] = [{"address": OUTSIDE[0]}]
    if place.chance(0.3):
        spec["exportTo"] = place.exported()
    return place.made("ServiceEntry", f"entry-{number}", place.space(), spec)


def _port(port: int, draw: random.Random, *protocols: str) -> Object:
    return {"number": port, "protocol": draw.choice(protocols), "name": f"p{port}"}
