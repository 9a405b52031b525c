"""Where the cells of the matrix are: which of them share pods and Services, and the objects that make them so.

What is a pod's own (its sidecar, its PeerAuthentication, its `Sidecar` object) makes pods; what is a Service's own
(its address, its DestinationRule) makes Services; and the rest makes ports. A port is no other cell's in the whole
mesh, so that no listener of one cell captures connections of another.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from api import Object
from matrix import Cell

NAMESPACE = "cells"
FIRST_PORT = 16000
OTHER_PORT = 6000
"""How much higher the container's port is where it is another: both are below what the kernel gives to clients."""
WELL_KNOWN = (3306, 27017, 25, 53)


@dataclass(frozen=True)
class Place:
    """A port of a Service, and what is behind it.

    Attributes:
        server: The server pod's name.
        service: The Service's name.
        port: The Service's port.
        target: The container's port.
        cell: One of the cells whose place it is.
    """

    server: str
    service: str
    port: int
    target: int
    cell: Cell


@dataclass
class _Server:
    """A server pod, while places are given out."""

    name: str
    ports: set[int] = field(default_factory=set)
    service_ports: set[tuple[str, int]] = field(default_factory=set)


@dataclass(frozen=True)
class Placement:
    """All places.

    Attributes:
        places: The place of each cell.
    """

    places: dict[Cell, Place]

    def servers(self) -> dict[str, list[Place]]:
        """The places of each server pod."""
        found: dict[str, list[Place]] = {}
        for place in dict.fromkeys(self.places.values()):
            found.setdefault(place.server, []).append(place)
        return found

    def clients(self) -> dict[str, list[Place]]:
        """The places that each client pod calls."""
        found: dict[str, list[Place]] = {}
        for cell, place in self.places.items():
            found.setdefault(client_of(cell), []).append(place)
        return found

    def objects(self) -> Iterator[Object]:
        """The Services, and Istio's objects."""
        by_service = itertools.groupby(sorted(dict.fromkeys(self.places.values()), key=_by_service), key=_by_service)
        for _, places in by_service:
            yield from _service(list(places))
        for server, places_there in self.servers().items():
            yield _peer_authentication(server, places_there)
            if places_there[0].cell.sidecar == "ingress":
                yield _sidecar(server, {"ingress": [{"port": _tcp(place.target)} for place in places_there]})
        for client, called in self.clients().items():
            if client.endswith("-egress"):
                ports = sorted({place.port for place in called})
                egress = [{"port": _tcp(port), "hosts": ["*/*"]} for port in ports]
                yield _sidecar(client, {"egress": [*egress, {"hosts": ["*/*"]}]})


def client_of(cell: Cell) -> str:
    """The client pod's name."""
    return f"client-{cell.client}{'-egress' if cell.sidecar == 'egress' else ''}"


def place(cells: Iterable[Cell]) -> Placement:
    """Give each cell its place."""
    ports = itertools.count(FIRST_PORT)
    servers: dict[str, list[_Server]] = {}
    given: dict[Cell, Place] = {}
    places = {}
    for cell in sorted(cells):
        behind = _behind(cell)
        if behind not in given:
            pods = servers.setdefault(_server_of(behind), [])
            given[behind] = _place(behind, pods, next(ports))
        places[cell] = given[behind]
    return Placement(places)


def _behind(cell: Cell) -> Cell:
    """The same for all cells that differ in the client alone.

    The outbound policy makes another place: what arrives there is seen over the whole time.
    """
    return replace(cell, client="sidecar", sidecar="none" if cell.sidecar == "egress" else cell.sidecar)


def _server_of(cell: Cell) -> str:
    ingress = "-ingress" if cell.sidecar == "ingress" else ""
    return f"server-{cell.server}-{cell.peer.lower()}{ingress}"


def _place(cell: Cell, pods: list[_Server], free: int) -> Place:
    """A place at the first pod of its kind that has the port free; at a further one, if none has."""
    for number in itertools.count():
        if number == len(pods):
            pods.append(_Server(f"{_server_of(cell)}{f'-{number}' if number else ''}"))
        server = pods[number]
        for port in WELL_KNOWN if cell.declared == "well-known" else (free,):
            target = port if cell.target == "same" else free + OTHER_PORT
            # At a headless Service, clients call the Service's port at the pod's address.
            ports = {target, port} if cell.address == "headless" else {target}
            service = f"{server.name}-{cell.address}-{cell.rule.lower().replace('_', '-')}"
            if server.ports.isdisjoint(ports) and (service, port) not in server.service_ports:
                server.ports |= ports
                server.service_ports.add((service, port))
                return Place(server.name, service, port, target, cell)
    raise AssertionError


def _service(places: list[Place]) -> Iterator[Object]:
    first = places[0]
    meta = {"namespace": NAMESPACE, "name": first.service}
    headless = {"clusterIP": "None"} if first.cell.address == "headless" else {}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"selector": {"app": first.server}, "ports": [_port(place) for place in places], **headless},
    }
    if first.cell.rule != "none":
        yield {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": meta,
            "spec": {
                "host": f"{first.service}.{NAMESPACE}.svc.cluster.local",
                "trafficPolicy": {"tls": {"mode": first.cell.rule}},
            },
        }


def _port(place: Place) -> Object:
    port: Object = {"port": place.port, "targetPort": place.target}
    match place.cell.declared:
        case "undeclared" | "well-known":
            return port | {"name": f"p{place.port}"}
        case "unknown":  # and what it hides
            return port | {"name": f"http-{place.port}", "appProtocol": "postgresql"}
        case declared:
            return port | {"name": f"{declared}-{place.port}"}


def _peer_authentication(server: str, places: list[Place]) -> Object:
    peer = places[0].cell.peer
    apart = peer.removeprefix("port-")
    spec: Object = {"selector": {"matchLabels": {"app": server}}, "mtls": {"mode": peer}}
    if apart != peer:
        spec["mtls"] = {"mode": {"DISABLE": "STRICT", "STRICT": "PERMISSIVE"}[apart]}
        spec["portLevelMtls"] = {str(place.target): {"mode": apart} for place in places}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"namespace": NAMESPACE, "name": server},
        "spec": spec,
    }


def _sidecar(pod: str, spec: Object) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"namespace": NAMESPACE, "name": pod},
        "spec": {"workloadSelector": {"labels": {"app": pod}}, **spec},
    }


def _tcp(port: int) -> Object:
    return {"number": port, "protocol": "TCP", "name": f"tcp-{port}"}


def _by_service(one: Place) -> str:
    return one.service
