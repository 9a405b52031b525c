"""What is seen in scenarios in which nothing changes while clients call, as meshes for the simulator.

The scenarios are those of `bed/scenarios.py`, and their steps have the same names.
"""

from __future__ import annotations

from collections.abc import Iterator

from api import Object
from simulator import Call, Mesh, addresses, istio, pod, service
from truth import Sight

OUTSIDE, OUTSIDE_NAME = "203.0.113.10", "outside.example.com"
PROTOCOLS = ("client-first", "server-first", "tls", "http1")
FIRST_PORT = 3309
"""Of the host outside, which speaks each protocol at a port of its own."""


def two_services() -> Iterator[tuple[list[Sight], Mesh]]:
    """Two Services lead to one container port, and declare it differently; the older one comes last by its name."""
    for older, newer in (("http", "tcp"), ("tcp", "http")):
        wrong = "two-b" if older == "http" else "two-a"
        for called, declared in (("two-b", older), ("two-a", newer)):
            yield _two(older, newer, called, f"the one declared {declared} is called")
        right = "two-a" if older == "http" else "two-b"
        yield _two(older, newer, right, "the one declared http is deleted, the other called", deleted=wrong)


def _two(older: str, newer: str, called: str, step: str, deleted: str = "") -> tuple[list[Sight], Mesh]:
    scenario = f"two Services, one container port: {older}, and later {newer}"
    own, there = addresses(4000), "here"
    clients = {"sidecar": True, "none": False}
    objects = [pod("server", there, next(own), ports=[7101])]
    objects += [pod(name, there, next(own), injected=injected) for name, injected in clients.items()]
    calls = []
    for name, port, declared, second in (("two-b", 7101, older, 1), ("two-a", 7102, newer, 2)):
        address = next(own)
        made = service(name, there, address, "server", {"name": declared, "port": port, "targetPort": 7101})
        made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{second}Z"
        objects += [made] if name != deleted else []
        if name == called:
            calls = [Call(f"{there}/{client}", address, port, "client-first") for client in clients]
    sights = [Sight(scenario, step, client, "client-first") for client in clients]
    return sights, Mesh(f"{scenario}: {step}", objects, calls)


def captured_ports() -> Iterator[tuple[list[Sight], Mesh]]:
    """Somebody's Service takes a port from external hosts that have nothing to do with it."""
    kinds: dict[str, Object] = {
        "cluster IP": {},
        "headless": {"clusterIP": "None"},
        "headless without pods": {"clusterIP": "None", "selector": {"app": "nobody"}},
        "ExternalName": {"clusterIP": "", "type": "ExternalName", "externalName": "example.com"},
    }
    yield _captured("no such Service")
    for kind, spec in kinds.items():
        for what, name in (("declared http", "http"), ("undeclared", "p"), ("declared tcp", "tcp")):
            ports = [{"name": f"{name}-{port}" if name != "p" else f"p{port}", "port": port} for port in _spoken()]
            made = service("capturer", "elsewhere", "10.9.0.1", "capturer", *ports)
            made["spec"] |= spec
            yield _captured(f"{kind}, {what}", made)
            if (kind, name) == ("cluster IP", "http"):
                annotated = {**made["metadata"], "annotations": {"networking.istio.io/exportTo": "."}}
                yield _captured(f"{kind}, {what}, exported to its namespace", made | {"metadata": annotated})


def _captured(step: str, *made: Object) -> tuple[list[Sight], Mesh]:
    scenario = "an external host, and a Service elsewhere with its port"
    capturer = pod("capturer", "elsewhere", "10.9.0.2", injected=False, ports=_spoken())
    return _outside(scenario, step, "ALLOW_ANY", capturer, *made)


def service_entries() -> Iterator[tuple[list[Sight], Mesh]]:
    """An external host is declared, rightly or wrongly."""
    for mode in ("ALLOW_ANY", "REGISTRY_ONLY"):
        scenario = f"an external host under {mode}, and a ServiceEntry"
        yield _outside(scenario, "none", mode)
        for declared in ("TCP", "HTTP", "TLS"):
            spec = {
                "hosts": [OUTSIDE_NAME],
                "addresses": [OUTSIDE],
                "endpoints": [{"address": OUTSIDE}],
                "resolution": "STATIC",
                "location": "MESH_EXTERNAL",
                "ports": [{"name": f"p{port}", "number": port, "protocol": declared} for port in _spoken()],
            }
            yield _outside(scenario, f"declared {declared}", mode, istio("ServiceEntry", "outside", "here", spec))


def _outside(scenario: str, step: str, mode: str, *objects: Object) -> tuple[list[Sight], Mesh]:
    calls = [Call("here/client", OUTSIDE, port, one, OUTSIDE_NAME) for port, one in _spoken().items()]
    sights = [Sight(scenario, step, "sidecar", one) for one in PROTOCOLS]
    client = pod("client", "here", "10.9.0.3")
    return sights, Mesh(f"{scenario}: {step}", [client, *objects], calls, outbound_policy=mode)


def _spoken() -> dict[int, str]:
    return {FIRST_PORT + number: protocol for number, protocol in enumerate(PROTOCOLS)}
