"""Istio's own simulation as a second oracle: what becomes of connections in meshes that nobody has to build.

The program beside this file works out what istiod would tell each sidecar, and follows connections through it. It
models Istio's configuration and not Envoy; where the two differ, Envoy is right.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import toolbox
from api import Object

MODULE = Path(__file__).parent
PROCESS = 500
"""Meshes for one process, since what a fake istiod has registered is not all given back when it ends."""
BATCH = 100
"""Meshes that share a fake istiod: more make each push of it slower, fewer make more of its starts."""


@dataclass(frozen=True)
class Call:
    """A connection.

    Attributes:
        origin: The client pod, as namespace/name.
        address: Whom it calls.
        port: At which port.
        protocol: What it speaks: client-first, request-like, server-first, tls, http1 or http2.
        host: Of HTTP requests, and the server name of its own TLS.
    """

    origin: str
    address: str
    port: int
    protocol: str
    host: str = "server.test"


@dataclass
class Mesh:
    """Objects as a cluster has them, and the calls to follow.

    A Pod has a sidecar if it has the label that the injector sets, its annotations exclude ports, and what listens in
    it are its container ports. Endpoints are made by the Services' selectors.

    Attributes:
        name: Tells its answers from those of others.
        objects: Pods, Services and Istio's objects, each with its namespace.
        calls: What to follow.
        outbound_policy: meshConfig.outboundTrafficPolicy.
        auto_mtls: meshConfig.enableAutoMtls.
    """

    name: str
    objects: list[Object]
    calls: list[Call]
    outbound_policy: str = "ALLOW_ANY"
    auto_mtls: bool = True

    def line(self) -> str:
        """The mesh as the program reads it."""
        return json.dumps(
            {
                "id": self.name,
                "objects": self.objects,
                "outboundTrafficPolicy": self.outbound_policy,
                "noAutoMtls": not self.auto_mtls,
                "calls": [vars(one) for one in self.calls],
            }
        )


@dataclass(frozen=True)
class Answer:
    """What becomes of a call.

    Attributes:
        result: In the words of the matrix, or unknown.
        wire: What arrives at the server's pod: nothing, connection, plain or mtls.
        why: In a sentence.
        outbound: What the client's sidecar matched: listener, chain, cluster, and whether it parses HTTP.
        inbound: What the server's matched.
    """

    result: str
    wire: str
    why: str
    outbound: dict[str, object] = field(default_factory=dict, compare=False)
    inbound: dict[str, object] = field(default_factory=dict, compare=False)


class SimulatorError(RuntimeError):
    """The program refused a mesh, or failed. Its text is for people."""


def simulate(meshes: Iterable[Mesh], *, batch: int = BATCH, seconds: float = 900) -> dict[str, list[Answer]]:
    """Follow the calls of meshes.

    Args:
        meshes: Of different names; those that share namespaces or addresses are not run together.
        batch: How many share a fake istiod at most.
        seconds: For all of them, after which the program is killed.

    Returns:
        The answers to each mesh's calls, in their order.

    Raises:
        SimulatorError: A mesh is none, or the program failed.
        ToolError: The program cannot be built here.
        subprocess.TimeoutExpired: It took longer.
    """
    program = toolbox.build(("simulator",), MODULE) / "simulator"
    lines = [mesh.line() for mesh in meshes]
    deadline = time.monotonic() + seconds
    found: dict[str, list[Answer]] = {}
    for start in range(0, len(lines), PROCESS):
        done = subprocess.run(
            [program, f"-batch={batch}"],
            input="\n".join(lines[start : start + PROCESS]),
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline - time.monotonic(),
        )
        if done.returncode:
            raise SimulatorError(done.stderr.strip()[-2000:])
        for line in done.stdout.splitlines():
            read = json.loads(line)
            mesh = read.pop("mesh")
            read.pop("call")
            found.setdefault(mesh, []).append(Answer(**read))
    return found


def addresses(network: int, start: int = 1) -> Iterator[str]:
    """Addresses of 10.0.0.0/8 without end."""
    for number in itertools.count((10 << 24) + (network << 12) + start):
        yield ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def pod(
    name: str,
    namespace: str,
    address: str,
    *,
    injected: bool = True,
    ports: Iterable[int] = (),
    exclude_inbound: Iterable[int] = (),
    exclude_outbound: Iterable[int] = (),
) -> Object:
    """A running pod.

    Args:
        name: Its name, and its label `app`.
        namespace: Its namespace.
        address: Its address.
        injected: Whether it has a sidecar.
        ports: What listens in it.
        exclude_inbound: Ports that its sidecar does not get.
        exclude_outbound: The same for connections that it makes.
    """
    mode = {"security.istio.io/tlsMode": "istio"} if injected else {}
    excluded = {
        f"traffic.sidecar.istio.io/exclude{way}Ports": ",".join(str(port) for port in those)
        for way, those in (("Inbound", exclude_inbound), ("Outbound", exclude_outbound))
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name, **mode}, "annotations": excluded},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": port} for port in ports]}]},
        "status": {"podIP": address},
    }


def service(name: str, namespace: str, address: str, selector: str, *ports: Object) -> Object:
    """A Service of the pods whose label `app` is the selector."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": address, "selector": {"app": selector}, "ports": list(ports)},
    }


def istio(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """An object of Istio's."""
    group = "security" if kind == "PeerAuthentication" else "networking"
    meta = {"namespace": namespace, "name": name}
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}
