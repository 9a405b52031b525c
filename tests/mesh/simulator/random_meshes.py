"""Meshes at random: a few namespaces, servers with Services, clients of each kind, Istio's objects, and calls."""

from __future__ import annotations

import random
from collections.abc import Iterator

from api import Object
from random_policies import OUTSIDE, OUTSIDE_NAMES, PORTS, Place, policies
from simulator import Call, Mesh, addresses, pod, service

PROTOCOLS = ("client-first", "request-like", "server-first", "tls", "http1", "http2")
NAMES = ("http", "grpc", "tcp", "https", "tls", "redis", "mysql", "mongo", "p", "http2", "grpc-web", "udp")
APP_PROTOCOLS = (
    *("tcp", "http", "grpc", "https", "postgresql", "kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"),
    *("HTTP", "gRPC", "Redis", "TLS", "grpc-web", "mongo", "mysql", "http2-x", "udp", "Kubernetes.io/h2c"),
)
CLIENTS = ("sidecar", "none", "excluded")
CALLS = 10
ADDRESSES = 32
"""That one mesh may use."""


def meshes(seed: int, count: int, *, root: float = 0.0) -> Iterator[Mesh]:
    """Meshes by a seed; a share of them has objects in the root namespace, and shares a fake istiod with no other."""
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        yield random_mesh(number, draw, root=draw.random() < root)


def random_mesh(number: int, draw: random.Random, *, root: bool = False) -> Mesh:
    """A mesh whose namespaces and addresses no mesh of another number has."""
    own = addresses(0, 1 + ADDRESSES * number)
    place = Place(draw, [f"m{number}-a", f"m{number}-b"], root)
    objects: list[Object] = []
    reached = [(draw.choice(OUTSIDE), port, draw.choice(OUTSIDE_NAMES)) for port in draw.sample(PORTS, 3)]
    for index in range(draw.randint(1, 3)):
        objects += _server(f"server-{index}", place, own, reached)
    callers = []
    for kind in CLIENTS:
        there = draw.choice(place.spaces)
        excluded = draw.sample(PORTS, 4) if kind == "excluded" else []
        objects.append(pod(kind, there, next(own), injected=kind != "none", exclude_outbound=excluded))
        callers.append(f"{there}/{kind}")
    objects += policies(place)
    # Whether mutual TLS is started with a pod of a headless Service depends on the others, which its address is not.
    headless = {host for _, _, host in reached if place.is_mixed(host)}
    calls = {}
    for _ in range(2 * CALLS):
        address, port, host = draw.choice(reached)
        named = host if host and (draw.random() < 0.8 or host in headless) else "server.test"
        call = Call(draw.choice((callers[0], callers[0], *callers[1:])), address, port, draw.choice(PROTOCOLS), named)
        calls[call] = None
    policy = draw.choice(("ALLOW_ANY", "ALLOW_ANY", "REGISTRY_ONLY"))
    return Mesh(str(number), objects, list(calls)[:CALLS], policy, auto_mtls=draw.random() >= 0.1)


def _server(name: str, place: Place, own: Iterator[str], reached: list[tuple[str, int, str]]) -> Iterator[Object]:
    """A server's pods with its Services; adds where they are reached."""
    draw, there = place.draw, draw_space(place)
    targets = draw.sample(PORTS, draw.randint(1, 3))
    place.servers.append((name, there, targets))
    pods = [next(own) for _ in range(draw.choice((1, 1, 1, 2)))]
    for index, address in enumerate(pods):
        excluded = [draw.choice(targets)] if place.chance(0.25) else []
        injected = place.chance(0.75)
        made = pod(f"{name}-pod-{index}", there, address, injected=injected, ports=targets, exclude_inbound=excluded)
        made["metadata"]["labels"]["app"] = name
        for port in made["spec"]["containers"][0]["ports"]:
            port["name"] = f"c{port['containerPort']}"
        yield made
        if len(pods) == 1:
            reached.append((address, draw.choice((*targets, *PORTS)), ""))
    for index in range(draw.randint(1, 3)):
        yield _service(f"{name}-{index}" if index else name, name, there, targets, place, pods, own, reached)


def draw_space(place: Place) -> str:
    """A namespace for pods: never the root namespace."""
    return place.draw.choice(place.spaces)


def _service(
    name: str,
    app: str,
    there: str,
    targets: list[int],
    place: Place,
    pods: list[str],
    own: Iterator[str],
    reached: list[tuple[str, int, str]],
) -> Object:
    """A Service of some pods; adds where it is reached."""
    draw = place.draw
    kind = draw.choice(("cluster IP", "cluster IP", "cluster IP", "headless", "external"))
    address = {"cluster IP": next(own), "headless": "None", "external": ""}[kind]
    ports = {draw.choice((target, *PORTS)): target for target in targets}
    made = service(name, there, address, app, *(_port(port, target, place) for port, target in ports.items()))
    made["metadata"]["creationTimestamp"] = place.age()
    if kind == "external":
        made["spec"] |= {"type": "ExternalName", "externalName": OUTSIDE_NAMES[0]}
        del made["spec"]["selector"]
    if place.chance(0.15):
        made["metadata"]["annotations"] = {"networking.istio.io/exportTo": ",".join(place.exported())}
    place.services.append((name, there, list(ports)))
    for port in made["spec"]["ports"]:
        if (
            kind == "headless"
            or "udp" in f"{port['name']} {port.get('appProtocol')} {port.get('protocol', '').lower()}"
        ):
            place.at_all_addresses.add(port["port"])
    if kind == "headless":
        # One without an endpoint at a port takes the port for all addresses; the judge knows it of HTTP ones alone.
        for port in made["spec"]["ports"]:
            if port.get("targetPort") == "nowhere":
                del port["targetPort"]
    if kind == "headless" and len(pods) > 1:
        place.mixed.add(f"{name}.{there}")
        # Of a sniffed port of several pods, the simulation asks for its routes twice, and gets them once.
        for port in made["spec"]["ports"]:
            port["appProtocol"] = draw.choice(("tcp", "http", "https", "grpc", "redis"))
    called = {"cluster IP": [address], "headless": pods, "external": []}[kind]
    reached += [(one, port, f"{name}.{there}") for one in called for port in (*ports, draw.choice(PORTS))]
    return made


def _port(number: int, target: int, place: Place) -> Object:
    draw = place.draw
    made: Object = {"name": f"{draw.choice(NAMES)}-{number}", "port": number}
    if number != target or place.chance(0.5):
        made["targetPort"] = draw.choice((target, target, f"c{target}", f"c{target}", "nowhere"))
    if place.chance(0.4):
        made["appProtocol"] = draw.choice(APP_PROTOCOLS)
    if place.chance(0.04):
        made["protocol"] = "UDP"
    return made
