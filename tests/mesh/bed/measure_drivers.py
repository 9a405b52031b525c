"""Measure what real drivers say of real servers behind sidecars, by how the ports are declared.

Usage: mesh_sandbox.py python measure_drivers.py  (writes tests/mesh/drivers.yaml)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backends
import bed as bed_
import debian
import network
import sidecar
import yaml
from api import Object, eventually
from backends import BACKENDS
from bed import Bed, Pod
from drivers import DRIVERS, NO_TIMEOUT, PATIENCE
from sidecar import Sidecar

RECORD = Path(__file__).resolve().parents[1] / "drivers.yaml"
HEADER = """\
# What real drivers say of real servers behind Istio's sidecars: driver -> situation -> client's sidecar -> outcome.
# `works`; `error`: the driver's own text; `hangs`: its text when the time-out that it was given was over; `varies`: one
# of these texts, by chance.
# Written by `make mesh-drivers`, which `make e2e-mesh` measures again; docs/symptoms.md explains each text.
"""
NAMESPACE = "shop"
SERVER = "server"
CLIENTS: dict[str, Sidecar | None] = {"sidecar": Sidecar(), "no sidecar": None}
PROGRAM = Path(__file__).with_name("drivers.py")
PEER_AUTHENTICATION = "security.istio.io/v1/PeerAuthentication"
WORKS = "works"
Seen = dict[str, dict[str, Any]]
"""Outcomes by driver and client."""
RESET = "(104, 'Connection reset by peer')"
LOST = "pika.exceptions.IncompatibleProtocolError: StreamLostError"
VARIES = {
    "redis-py": (
        "redis.exceptions.TimeoutError: Timeout reading from socket",
        f"redis.exceptions.ConnectionError: Error while reading from redis.shop:6379 : {RESET}",
    ),
    "redis-cli": (NO_TIMEOUT, "Error: Connection reset by peer"),
    "pika": (
        f"{LOST}: ('Transport indicated EOF',)",
        f'{LOST}: ("Stream connection lost: ConnectionResetError{RESET}",)',
    ),
    "amqp-declare-queue": (
        "logging in to AMQP server: connection closed unexpectedly",
        "logging in to AMQP server: a socket error occurred",
    ),
    "python-tds": ("TimeoutError", "pytds.tds_base.ClosedConnectionError: Server closed connection"),
}
"""What differs from run to run where a server gets a ClientHello that it was not to get.

Redis waits for the end of the line, which a ClientHello has if one of its random bytes is a line feed; and of
RabbitMQ's answer, either the end or the reset of the connection comes first. python-tds tries again until its time is
over, which is before or after an attempt.
"""


@dataclass(frozen=True)
class Situation:
    """How the servers' ports are declared, and how the servers' sidecar is set up.

    Attributes:
        port: What the Service says of the port, beside its number.
        mtls: The spec of a PeerAuthentication, if there is one.
        excluded: Whether the server's sidecar excludes the ports (`excludeInboundPorts`).
    """

    port: Object
    mtls: Object | None = None
    excluded: bool = False


HTTP = {"name": "http"}
TCP = {"name": "http", "appProtocol": "tcp"}
"""The misdeclared port, fixed as docs/diagnose.md says: `appProtocol` takes precedence over the name."""
PORT_LEVEL = {
    "selector": {"matchLabels": {"app": SERVER}},
    "portLevelMtls": {str(one.port): {"mode": "DISABLE"} for one in BACKENDS.values()},
}
SITUATIONS = {
    "http": Situation(HTTP),
    "undeclared": Situation({}),
    "tcp": Situation(TCP),
    "tcp, STRICT": Situation(TCP, {"mtls": {"mode": "STRICT"}}),
    "tcp, mTLS disabled for the port": Situation(TCP, PORT_LEVEL),
    "tcp, port excluded at the server": Situation(TCP, excluded=True),
    "http, port excluded at the server": Situation(HTTP, excluded=True),
}
"""In an order in which the exclusion, which pods get when they are created, comes last."""


@contextmanager
def stage(bed: Bed) -> Iterator[Bed]:
    """All servers in one pod with a sidecar, and the clients; they go with the context."""
    bed.namespace(NAMESPACE)
    for name, proxy in CLIENTS.items():
        bed.pod(_pod(name), NAMESPACE, proxy=proxy)
    server = bed.pod(SERVER, NAMESPACE, proxy=Sidecar(), ports=[one.port for one in BACKENDS.values()])
    running = backends.start(server)
    bed.ready()
    try:
        yield bed
    finally:
        for program in running:
            program.stop(grace=0)
        _authenticate(bed, None)
        for name in BACKENDS:
            bed.delete("Service", name, NAMESPACE)
        for name in [SERVER, *map(_pod, CLIENTS)]:
            bed.delete_pod(name)


def confirmed(bed: Bed, situation: Situation) -> Seen:
    """What two measurements say, of two or three: on a busy machine, an answer may come after a driver's time-out."""
    seen = [ask(bed, situation), ask(bed, situation)]
    if seen[0] != seen[1]:
        third = ask(bed, situation)
        for driver, outcomes in third.items():
            for client in outcomes:
                if seen[0][driver][client] == seen[1][driver][client]:
                    outcomes[client] = seen[0][driver][client]
        return third
    return seen[0]


def ask(bed: Bed, situation: Situation) -> Seen:
    """Have every driver make a connection from every client."""
    # Both clients at once: most of the time is time-outs.
    asked = {name: _start(bed.pods[_pod(name)]) for name in CLIENTS}
    seen = {name: finish() for name, finish in asked.items()}
    return {
        driver: {client: _constant(driver, seen[client][driver], situation) for client in CLIENTS} for driver in DRIVERS
    }


def arrange(bed: Bed, situation: Situation) -> None:
    """Bring a situation about."""
    for name, backend in BACKENDS.items():
        spec = {"selector": {"app": SERVER}, "ports": [{"port": backend.port, **situation.port}]}
        meta = {"namespace": NAMESPACE, "name": name}
        bed.apply({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    _authenticate(bed, situation.mtls)
    eventually(lambda: _ports_are_named(bed, situation), what="endpoints have the name of the Service's port")
    bed.in_force()
    _exclude(bed.pods[SERVER], wanted=situation.excluded)


def outcome(seconds: float, error: str) -> Any:
    """What the record has of a driver's attempt."""
    if not error:
        return WORKS
    return {"hangs" if seconds >= PATIENCE - 0.5 else "error": normalised(error)}


def normalised(error: str) -> str:
    """An error's text without what differs from run to run."""
    error = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "<address>", error)
    # mysql prints the last error of a system call; it means something where it is ETIMEDOUT.
    return re.sub(r"system error: (?!110\b)\d+", "system error: <number>", error)


def record(bed: Bed) -> Object:
    """Measure everything."""
    with stage(bed):
        seen = {}
        for name, situation in SITUATIONS.items():
            arrange(bed, situation)
            seen[name] = confirmed(bed, situation)
    return {
        "on": bed_.versions(bed),
        "servers": {name: one.version() or "a responder, see tds.py" for name, one in BACKENDS.items()},
        "drivers": {
            name: {
                "backend": one.backend,
                "package": one.package,
                "version": one.version(),
                "outcomes": {situation: seen[situation][name] for situation in SITUATIONS},
            }
            for name, one in DRIVERS.items()
        },
    }


def missing() -> str:
    """Which packages this machine lacks, as a sentence; empty if none."""
    programs = {one.program: one.package for one in BACKENDS.values()}
    programs |= {one.program: one.package for one in DRIVERS.values()}
    lacking = sorted({package for program, package in programs.items() if program and not debian.path(program)})
    return f"on Debian, install {' '.join(lacking)}" if lacking else ""


def _constant(driver: str, seen: Any, situation: Situation) -> Any:
    """The outcome, or all of those that it is one of."""
    varying = VARIES.get(driver, ()) if situation.excluded else ()
    return {"varies": list(varying)} if seen != WORKS and set(seen.values()) <= set(varying) else seen


def _authenticate(bed: Bed, spec: Object | None) -> None:
    version, _, kind = PEER_AUTHENTICATION.rpartition("/")
    meta = {"namespace": NAMESPACE, "name": "mtls"}
    if spec:
        bed.apply({"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec})
    elif bed.plane.api.list(PEER_AUTHENTICATION, NAMESPACE):
        bed.delete(PEER_AUTHENTICATION, meta["name"], NAMESPACE)


def _ports_are_named(bed: Bed, situation: Situation) -> bool:
    """Whether endpoints have followed a change of the port's name; no cluster IP leads anywhere until they have."""
    made = network.ready_endpoints(bed.plane.api)
    return all(set(made.get((NAMESPACE, name), {})) == {situation.port.get("name", "")} for name in BACKENDS)


def _pod(client: str) -> str:
    return f"client-{client.replace(' ', '-')}"


def _start(pod: Pod) -> Callable[[], dict[str, Any]]:
    """Have the pod's drivers ask; return what waits for their answers."""
    command = [*sidecar.entering(pod.network), sys.executable, PROGRAM, NAMESPACE]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish() -> dict[str, Any]:
        try:
            printed, complaint = running.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise
        if running.returncode:
            raise RuntimeError(f"the drivers of {pod.network.name}: {complaint[-1000:]}")
        return {name: outcome(**one) for name, one in json.loads(printed).items()}

    return finish


def _exclude(server: Pod, *, wanted: bool) -> None:
    """Have the rules for the ports that `istio-iptables -d` writes, or not.

    The pod would be recreated; its servers take longer to start than all the rest takes.
    """
    rules = ["-t", "nat"]
    for backend in BACKENDS.values():
        rule = ["ISTIO_INBOUND", "-p", "tcp", "--dport", str(backend.port), "-j", "RETURN"]
        there = server.output("/usr/sbin/iptables", *rules, "-C", *rule).returncode == 0
        if there != wanted:
            done = server.output("/usr/sbin/iptables", *rules, "-I" if wanted else "-D", *rule)
            if done.returncode:
                raise RuntimeError(f"iptables: {done.stderr.strip()}")


if __name__ == "__main__":
    if reason := missing():
        sys.exit(f"error: not all servers and clients are here: {reason}")
    with bed_.mesh_bed() as mesh:
        text = yaml.safe_dump(record(mesh), sort_keys=False, width=1000, allow_unicode=True)
    RECORD.write_text(HEADER + text)
