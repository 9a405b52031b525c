"""Meshes at random, by a seed, and how long the simulator takes for them.

python tests/mesh/simulator/random_meshes.py --meshes 10000
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import resource
import sys
import time
from collections.abc import Iterator

from api import Object
from simulator import Answer, Call, Mesh, addresses, istio, pod, service, simulate

PROTOCOLS = ("client-first", "server-first", "tls", "http1", "http2")
NAMES = ("http", "grpc", "tcp", "https", "tls", "redis", "mysql", "mongo", "p")
APP_PROTOCOLS = ("", "", "", "tcp", "http", "grpc", "https", "postgresql", "kubernetes.io/h2c")
PORTS = (80, 443, 3306, 5432, 5672, 6379, 8080, 9000, 27017)
MODES = ("PERMISSIVE", "STRICT", "DISABLE")
TLS_MODES = ("DISABLE", "ISTIO_MUTUAL")
OUTSIDE = "203.0.113.7"
"""An external host."""


def meshes(seed: int, count: int) -> Iterator[Mesh]:
    """Meshes of two namespaces, with up to four servers, clients of each kind and up to ten calls."""
    for number in range(count):
        yield _mesh(number, random.Random(f"{seed}/{number}"))


def _mesh(number: int, draw: random.Random) -> Mesh:
    own = addresses(0, 1 + 32 * number)
    spaces = [f"m{number}-a", f"m{number}-b"]
    objects: list[Object] = []
    reached: list[tuple[str, int]] = [(OUTSIDE, port) for port in draw.sample(PORTS, 2)]
    for index in range(draw.randint(1, 4)):
        objects += _server(f"server-{index}", draw.choice(spaces), own, draw, reached)
    callers = []
    for kind in ("sidecar", "none", "excluded"):
        there = draw.choice(spaces)
        excluded = draw.sample(PORTS, 4) if kind == "excluded" else []
        objects.append(pod(kind, there, next(own), injected=kind != "none", exclude_outbound=excluded))
        callers.append(f"{there}/{kind}")
    objects += _policies(spaces, draw)
    calls = [Call(one, *place, draw.choice(PROTOCOLS)) for one, place in itertools.product(callers, reached)]
    policy = draw.choice(("ALLOW_ANY", "ALLOW_ANY", "REGISTRY_ONLY"))
    return Mesh(str(number), objects, draw.sample(calls, min(10, len(calls))), outbound_policy=policy)


def _server(
    name: str, there: str, own: Iterator[str], draw: random.Random, reached: list[tuple[str, int]]
) -> Iterator[Object]:
    """A server pod with its Services; adds where they are reached."""
    targets = draw.sample(PORTS, draw.randint(1, 3))
    address = next(own)
    excluded = [draw.choice(targets)] if draw.random() < 0.25 else []
    yield pod(name, there, address, injected=draw.random() < 0.75, ports=targets, exclude_inbound=excluded)
    for index in range(draw.randint(1, 2)):
        called = "None" if draw.random() < 0.25 else next(own)
        ports = {draw.choice((target, *PORTS)): target for target in targets}
        declared = [_port(port, target, draw) for port, target in ports.items()]
        made = service(f"{name}-{index}", there, called, name, *declared)
        if draw.random() < 0.1:
            made["metadata"]["annotations"] = {"networking.istio.io/exportTo": "."}
        yield made
        reached += [(address if called == "None" else called, port) for port in ports]
        if draw.random() < 0.2:
            host = f"{name}-{index}.{there}.svc.cluster.local"
            spec = {"host": host, "trafficPolicy": {"tls": {"mode": draw.choice(TLS_MODES)}}}
            yield istio("DestinationRule", f"{name}-{index}", there, spec)
    if draw.random() < 0.15:
        ingress = [{"port": _declared(port, draw, "TCP", "HTTP")} for port in targets]
        yield istio("Sidecar", name, there, {"workloadSelector": {"labels": {"app": name}}, "ingress": ingress})
    if draw.random() < 0.3:
        spec = {"selector": {"matchLabels": {"app": name}}, "mtls": {"mode": draw.choice(MODES)}}
        if draw.random() < 0.5:
            spec["portLevelMtls"] = {str(draw.choice(targets)): {"mode": draw.choice(MODES)}}
        yield istio("PeerAuthentication", name, there, spec)


def _port(number: int, target: int, draw: random.Random) -> Object:
    app = draw.choice(APP_PROTOCOLS)
    made: Object = {"name": f"{draw.choice(NAMES)}-{number}", "port": number, "targetPort": target}
    return made | ({"appProtocol": app} if app else {})


def _policies(spaces: list[str], draw: random.Random) -> Iterator[Object]:
    for there in spaces:
        if draw.random() < 0.3:
            yield istio("PeerAuthentication", "default", there, {"mtls": {"mode": draw.choice(MODES)}})
    if draw.random() < 0.2:
        ports = [_declared(port, draw, "TCP", "HTTP", "TLS") for port in PORTS[:3]]
        spec = {
            "hosts": ["outside.example.com"],
            "addresses": [OUTSIDE],
            "endpoints": [{"address": OUTSIDE}],
            "resolution": "STATIC",
            "location": "MESH_EXTERNAL",
            "ports": ports,
        }
        yield istio("ServiceEntry", "outside", spaces[0], spec)


def _declared(port: int, draw: random.Random, *protocols: str) -> Object:
    return {"number": port, "protocol": draw.choice(protocols), "name": f"p{port}"}


def main() -> None:
    """Measure, and say what came out how often."""
    parser = argparse.ArgumentParser(description="Follow the calls of random meshes, and measure how long it takes.")
    parser.add_argument("--meshes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=100)
    asked = parser.parse_args()
    simulate(meshes(asked.seed, 1))  # builds the program
    made = list(meshes(asked.seed, asked.meshes))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    answers = simulate(made, batch=asked.batch, seconds=3600)
    took = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total = sum(map(len, answers.values()))
    print(f"{len(answers)} meshes, {total} calls: {took:.1f} s, {processor:.1f} s of processor time")
    for (result, wire), count in _counted(answers).most_common():
        print(f"{count:8} {result}, {wire}")
    if len(answers) != asked.meshes:
        sys.exit(f"{asked.meshes - len(answers)} meshes have no answer")


def _counted(answers: dict[str, list[Answer]]) -> collections.Counter[tuple[str, str]]:
    return collections.Counter((one.result, one.wire) for several in answers.values() for one in several)


if __name__ == "__main__":
    main()
