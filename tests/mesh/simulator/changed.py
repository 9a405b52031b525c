"""Random meshes of which one field, or one object, is changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from api import Object
from random_meshes import APP_PROTOCOLS, NAMES
from random_policies import MODES, PORTS, TLS_MODES
from simulator import Mesh

EXPORT_TO = "networking.istio.io/exportTo"
MODE = "security.istio.io/tlsMode"


def changed(mesh: Mesh, draw: random.Random) -> Mesh:
    """The same mesh with the same calls, but for one change."""
    every = list(_changes(mesh))
    while True:
        made = copy.deepcopy(mesh)
        draw.choice(every)(made, draw)
        if made != mesh:
            return made


def _changes(mesh: Mesh) -> Iterator[Any]:
    """Each change that there can be, as a function of a mesh and what it is drawn with."""
    yield _outbound_policy
    yield _auto_mtls
    callers = {call.origin for call in mesh.calls}
    called = {call.address for call in mesh.calls}
    for number, one in enumerate(mesh.objects):
        for change in _OF_KIND.get(one["kind"], ()):
            yield lambda made, draw, number=number, change=change: change(made.objects[number], draw)
        name = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        reached = one["spec"].get("clusterIP"), one.get("status", {}).get("podIP")
        if name not in callers and called.isdisjoint(reached):
            yield lambda made, draw, number=number: made.objects.pop(number)


def _outbound_policy(mesh: Mesh, draw: random.Random) -> None:
    mesh.outbound_policy = draw.choice(("ALLOW_ANY", "REGISTRY_ONLY"))


def _auto_mtls(mesh: Mesh, draw: random.Random) -> None:
    mesh.auto_mtls = not mesh.auto_mtls


def _injected(pod: Object, draw: random.Random) -> None:
    labels = pod["metadata"]["labels"]
    if labels.pop(MODE, None) is None:
        labels[MODE] = "istio"


def _excluded(pod: Object, draw: random.Random) -> None:
    way = draw.choice(("Inbound", "Outbound"))
    ports = draw.sample(PORTS, draw.randint(0, 3))
    pod["metadata"]["annotations"][f"traffic.sidecar.istio.io/exclude{way}Ports"] = ",".join(map(str, ports))


def _age(one: Object, draw: random.Random) -> None:
    one["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{draw.randrange(3)}Z"


def _name_of_port(service: Object, draw: random.Random) -> None:
    port = draw.choice(service["spec"]["ports"])
    port["name"] = f"{draw.choice([name for name in NAMES if name != 'udp'])}-{port['port']}"


def _app_protocol(service: Object, draw: random.Random) -> None:
    if service["spec"]["clusterIP"] == "None":
        return
    port = draw.choice(service["spec"]["ports"])
    app = draw.choice(["", *(one for one in APP_PROTOCOLS if one != "udp")])
    port.pop("appProtocol", None)
    if app:
        port["appProtocol"] = app


def _target(service: Object, draw: random.Random) -> None:
    draw.choice(service["spec"]["ports"])["targetPort"] = draw.choice(PORTS)


def _exported(service: Object, draw: random.Random) -> None:
    service["metadata"].setdefault("annotations", {})[EXPORT_TO] = draw.choice(("*", "."))


def _mode(peer: Object, draw: random.Random) -> None:
    peer["spec"]["mtls"] = {"mode": draw.choice(MODES)}


def _rule(rule: Object, draw: random.Random) -> None:
    rule["spec"].setdefault("trafficPolicy", {})["tls"] = {"mode": draw.choice(TLS_MODES)}


def _policy(sidecar: Object, draw: random.Random) -> None:
    sidecar["spec"]["outboundTrafficPolicy"] = {"mode": draw.choice(("ALLOW_ANY", "REGISTRY_ONLY"))}


def _location(entry: Object, draw: random.Random) -> None:
    entry["spec"]["location"] = draw.choice(("MESH_EXTERNAL", "MESH_INTERNAL"))


_OF_KIND = {
    "Pod": (_excluded, _injected),
    "Service": (_age, _name_of_port, _app_protocol, _target, _exported),
    "PeerAuthentication": (_age, _mode),
    "DestinationRule": (_age, _rule),
    "Sidecar": (_age, _policy),
    "ServiceEntry": (_age, _location),
}


def renamed(mesh: Mesh, name: str) -> Mesh:
    """The same mesh by another name."""
    return replace(mesh, name=name)
