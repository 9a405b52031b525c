"""What is seen in scenarios, as meshes for the simulator; where something changes, as it is before and after that.

The scenarios are those of `bed/scenarios.py`, and their steps have the same names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from api import Object
from simulator import Call, Mesh, addresses, istio, pod, service
from truth import Sight

OUTSIDE, OUTSIDE_NAME = "203.0.113.10", "outside.example.com"
PROTOCOLS = ("client-first", "server-first", "tls", "http1")
FIRST_PORT = 3309
"""Of the host outside, which speaks each protocol at a port of its own."""


def every() -> Iterator[tuple[list[Sight], Mesh]]:
    """All that is seen, each list with the mesh whose calls are of it; but what becomes of connections kept open."""
    yield from itertools.chain(two_services(), captured_ports(), service_entries(), changes())


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


def changes() -> Iterator[tuple[list[Sight], Mesh]]:
    """What is so before a change, and after it."""
    fixed = "a Service declared http is declared tcp"
    ingress = {"ingress": [{"port": {"number": 7401, "protocol": "TCP", "name": "tcp"}}]}
    object_ = istio("Sidecar", "server", "here", {"workloadSelector": {"labels": {"app": "server"}}, **ingress})
    for what, told, made in (
        ("server with a sidecar", {}, []),
        ("server without a sidecar", {"injected": False}, []),
        ("server's inbound port excluded", {"exclude_inbound": [7401]}, []),
        ("server's Sidecar object has the port as TCP", {}, [object_]),
    ):
        yield _answered(f"{fixed}, {what}", "before", "http", *made, **told)
        yield _answered(f"{fixed}, {what}", "after", "tcp", *made, **told)
    yield _answered("then its server is created anew without the exclusion", "before", "tcp", exclude_inbound=[7401])
    yield _answered("then its server is created anew without the exclusion", "after", "tcp")
    for before, after in (("PERMISSIVE", "STRICT"), ("STRICT", "DISABLE"), ("DISABLE", "PERMISSIVE")):
        for step, mode in (("before", before), ("after", after)):
            spec = {"selector": {"matchLabels": {"app": "server"}}, "mtls": {"mode": mode}}
            peer = istio("PeerAuthentication", "server", "here", spec)
            yield _answered(f"a PeerAuthentication {before} becomes {after}", step, "tcp", peer)
    for what, *sidecars in (
        ("as it was", True, True),
        ("without its sidecar", True, False),
        ("with a sidecar again", False, True),
    ):
        for step, injected in zip(("before", "after"), sidecars, strict=True):
            yield _answered(f"a server, declared tcp, is created anew {what}", step, "tcp", injected=injected)


def _answered(scenario: str, step: str, declared: str, *objects: Object, **told: Any) -> tuple[list[Sight], Mesh]:
    """Two clients call a Service, whose port is declared so, of one server."""
    clients = {"sidecar": True, "none": False}
    server = pod("server", "here", "10.9.0.2", ports=[7401], **told)
    made = service("server", "here", "10.9.0.1", "server", {"name": declared, "port": 7401})
    callers = [pod(name, "here", f"10.9.0.{3 + one}", injected=clients[name]) for one, name in enumerate(clients)]
    calls = [Call(f"here/{client}", "10.9.0.1", 7401, "client-first") for client in clients]
    sights = [Sight(scenario, step, client, "client-first") for client in clients]
    return sights, Mesh(f"{scenario}: {step}", [server, made, *callers, *objects], calls)


def _outside(scenario: str, step: str, mode: str, *objects: Object) -> tuple[list[Sight], Mesh]:
    calls = [Call("here/client", OUTSIDE, port, one, OUTSIDE_NAME) for port, one in _spoken().items()]
    sights = [Sight(scenario, step, "sidecar", one) for one in PROTOCOLS]
    client = pod("client", "here", "10.9.0.3")
    return sights, Mesh(f"{scenario}: {step}", [client, *objects], calls, outbound_policy=mode)


def _spoken() -> dict[int, str]:
    return {FIRST_PORT + number: protocol for number, protocol in enumerate(PROTOCOLS)}
