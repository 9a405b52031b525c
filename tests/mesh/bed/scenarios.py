"""What no single cell of the matrix shows: Services that disturb each other, hosts outside, and changes.

Each scenario undoes what it did to the mesh. A Service gets its ports from nobody else's numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api import Object
from network import Network
from sidecar import Sidecar
from stage import ELSEWHERE, HERE, OUTSIDE, OUTSIDE_NAME, Stage, port, service

FOUR = {"client-first": 0, "server-first": 1, "tls": 2, "http1": 3}
"""Protocols, and how far their port is from the first."""
ENTRY = "networking.istio.io/v1/ServiceEntry"
SIDECAR = "networking.istio.io/v1/Sidecar"
PEER = "security.istio.io/v1/PeerAuthentication"


def two_services(stage: Stage) -> None:
    """Two Services lead to one container port, and declare it differently; the older one comes last by its name."""
    spoken = {7101: "client-first"}
    for older, newer in (("http", "tcp"), ("tcp", "http")):
        scenario = f"two Services, one container port: {older}, and later {newer}"
        with _pod(stage, "two", Sidecar()) as server:
            stage.bed.apply(service("two-b", "two", port(7101, older)))
            time.sleep(1.1)  # creation times are whole seconds
            stage.bed.apply(service("two-a", "two", port(7102, newer, 7101)))
            for name, called, declared in (("two-b", 7101, older), ("two-a", 7102, newer)):
                step = f"the one declared {declared} is called"
                stage.look(scenario, step, server(), spoken, address=name, ports={7101: called})
            wrong, right, called = ("two-b", "two-a", 7102) if older == "http" else ("two-a", "two-b", 7101)
            stage.bed.delete("Service", wrong, HERE)
            step = "the one declared http is deleted, the other called"
            stage.look(scenario, step, server(), spoken, address=right, ports={7101: called})
            stage.bed.delete("Service", right, HERE)


def captured_ports(stage: Stage) -> None:
    """Somebody's Service takes a port from external hosts that have nothing to do with it."""
    scenario = "an external host, and a Service elsewhere with its port"
    spoken = {3309 + offset: protocol for protocol, offset in FOUR.items()}
    _outside(stage, scenario, "no such Service", spoken)
    with _pod(stage, "capturer", None, namespace=ELSEWHERE):
        for what, declared, more in (
            ("cluster IP, declared http", "http", {}),
            ("cluster IP, undeclared", "undeclared", {}),
            ("cluster IP, declared tcp", "tcp", {}),
            ("headless, declared http", "http", {"clusterIP": "None"}),
            ("headless, undeclared", "undeclared", {"clusterIP": "None"}),
            ("headless, declared tcp", "tcp", {"clusterIP": "None"}),
            ("headless without pods, declared http", "http", {"clusterIP": "None"}),
            ("headless without pods, undeclared", "undeclared", {"clusterIP": "None"}),
            ("headless without pods, declared tcp", "tcp", {"clusterIP": "None"}),
            ("ExternalName, declared http", "http", {"type": "ExternalName", "externalName": "example.com"}),
            ("ExternalName, undeclared", "undeclared", {"type": "ExternalName", "externalName": "example.com"}),
            ("ExternalName, declared tcp", "tcp", {"type": "ExternalName", "externalName": "example.com"}),
        ):
            ports = [port(number, declared) for number in spoken]
            selector = None if "type" in more else "nobody" if "without pods" in what else "capturer"
            made = service("capturer", selector, *ports, namespace=ELSEWHERE, **more)
            stage.bed.apply(made)
            _outside(stage, scenario, what, spoken)
            if what == "cluster IP, declared http":
                made["metadata"]["annotations"] = {"networking.istio.io/exportTo": "."}
                stage.bed.apply(made)
                _outside(stage, scenario, f"{what}, exported to its namespace", spoken)
            stage.bed.delete("Service", "capturer", ELSEWHERE)


def service_entries(stage: Stage) -> None:
    """An external host is declared, rightly or wrongly."""
    spoken = {7301 + offset: protocol for protocol, offset in FOUR.items()}
    for mode in ("ALLOW_ANY", "REGISTRY_ONLY"):
        stage.bed.outbound_policy(mode)
        scenario = f"an external host under {mode}, and a ServiceEntry"
        _outside(stage, scenario, "none", spoken)
        for declared in ("TCP", "HTTP", "TLS"):
            stage.bed.apply(_entry(declared, *spoken))
            _outside(stage, scenario, f"declared {declared}", spoken)
        stage.bed.delete(ENTRY, "outside", HERE)
    stage.bed.outbound_policy("ALLOW_ANY")


def fixed_service(stage: Stage) -> None:
    """A Service's port, declared http, is declared tcp while clients call."""
    setups: dict[str, tuple[Sidecar | None, Object | None]] = {
        "server with a sidecar": (Sidecar(), None),
        "server without a sidecar": (None, None),
        "server's inbound port excluded": (Sidecar(exclude_inbound=(7401,)), None),
        "server's Sidecar object has the port as TCP": (Sidecar(), {"ingress": [{"port": _tcp(7401)}]}),
    }
    for what, (proxy, ingress) in setups.items():
        scenario = f"a Service declared http is declared tcp, {what}"
        with _pod(stage, "fixed", proxy) as server:
            stage.bed.apply(service("fixed", "fixed", port(7401, "http")))
            if ingress is not None:
                stage.bed.apply(
                    _of_pod(SIDECAR, "fixed", {"workloadSelector": {"labels": {"app": "fixed"}}, **ingress})
                )

            def fix() -> None:
                stage.bed.apply(service("fixed", "fixed", port(7401, "http") | {"appProtocol": "tcp"}))

            stage.change(scenario, server, 7401, fix, address="fixed")
            if "excluded" in what:
                stage.change(
                    "then its server is created anew without the exclusion",
                    server,
                    7401,
                    lambda: _anew(stage, "fixed", Sidecar()),
                    address="fixed",
                )
            if ingress is not None:
                stage.bed.delete(SIDECAR, "fixed", HERE)
            stage.bed.delete("Service", "fixed", HERE)


def tightened(stage: Stage) -> None:
    """A PeerAuthentication is tightened, and loosened again, while clients call."""
    with _pod(stage, "tightened", Sidecar()) as server:

        def peer(mode: str) -> Callable[[], None]:
            spec = {"selector": {"matchLabels": {"app": "tightened"}}, "mtls": {"mode": mode}}
            return lambda: stage.bed.apply(_of_pod(PEER, "tightened", spec))

        stage.bed.apply(service("tightened", "tightened", port(7501, "tcp")))
        peer("PERMISSIVE")()
        for before, after in (("PERMISSIVE", "STRICT"), ("STRICT", "DISABLE"), ("DISABLE", "PERMISSIVE")):
            scenario = f"a PeerAuthentication {before} becomes {after}"
            stage.change(scenario, server, 7501, peer(after), address="tightened")
        stage.bed.delete(PEER, "tightened", HERE)
        stage.bed.delete("Service", "tightened", HERE)


def created_anew(stage: Stage) -> None:
    """A server is replaced, with and without a sidecar, while clients call."""
    with _pod(stage, "anew", Sidecar()) as server:
        stage.bed.apply(service("anew", "anew", port(7601, "tcp")))
        for what, proxy in (
            ("as it was", Sidecar()),
            ("without its sidecar", None),
            ("with a sidecar again", Sidecar()),
        ):
            stage.change(
                f"a server, declared tcp, is created anew {what}",
                server,
                7601,
                lambda proxy=proxy: _anew(stage, "anew", proxy),
                address="anew",
            )
        stage.bed.delete("Service", "anew", HERE)


SCENARIOS = (two_services, captured_ports, service_entries, fixed_service, tightened, created_anew)


@contextmanager
def _pod(stage: Stage, name: str, proxy: Sidecar | None, *, namespace: str = HERE) -> Iterator[Callable[[], Network]]:
    """A pod while the context lasts; gives what knows its network, as it may be recreated."""
    stage.bed.pod(name, namespace, proxy=proxy)
    stage.bed.ready()
    yield lambda: stage.bed.pods[name].network
    stage.bed.delete_pod(name)


def _anew(stage: Stage, name: str, proxy: Sidecar | None) -> None:
    stage.bed.delete_pod(name)
    stage.bed.pod(name, HERE, proxy=proxy)
    stage.bed.ready()


def _outside(stage: Stage, scenario: str, step: str, spoken: dict[int, str]) -> None:
    stage.look(scenario, step, stage.outside, spoken, address=OUTSIDE, clients=("sidecar",))


def _entry(declared: str, *ports: int) -> Object:
    return _of_pod(
        ENTRY,
        "outside",
        {
            "hosts": [OUTSIDE_NAME],
            "addresses": [OUTSIDE],
            "endpoints": [{"address": OUTSIDE}],
            "resolution": "STATIC",
            "location": "MESH_EXTERNAL",
            "ports": [{"name": f"p{one}", "number": one, "protocol": declared} for one in ports],
        },
    )


def _of_pod(kind: str, name: str, spec: Object) -> Object:
    version, _, kind = kind.rpartition("/")
    return {"apiVersion": version, "kind": kind, "metadata": {"namespace": HERE, "name": name}, "spec": spec}


def _tcp(number: int) -> Object:
    return {"number": number, "protocol": "TCP", "name": f"tcp-{number}"}
