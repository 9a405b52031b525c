"""Verdicts of a whole cluster cost seconds, and their cost grows with the connections and not with the mesh."""

import time

import pytest
from judged import Registry

from webhook.core.surroundings import Service, ServicePort, Services
from webhook.core.verdict import Outcome, Wire
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Connection, Mesh, judge
from webhook.mesh.destination import Destination
from webhook.mesh.party import Party

SPACES = 100
WORKLOADS = 1000
EACH = 5
"""Connections of each workload."""
LIMIT = 2.0
"""Seconds of processor time for all verdicts, on any machine that runs these tests."""


class Indexed(Registry):
    """As an inventory keeps Services: by namespace, and by the ports that they declare HTTP."""

    def __init__(self, services):
        super().__init__(services)
        self._by_space = {
            f"n{number}": Services(one for one in services if one.namespace == f"n{number}") for number in range(SPACES)
        }
        self._http = {}

    def services(self, namespace):
        return self._by_space[namespace]

    def http_services(self, port):
        if port not in self._http:
            self._http[port] = super().http_services(port)
        return self._http[port]


def service(number):
    name = f"s{number}"
    ports = ServicePort(8080, "http" if number % 3 else "tcp"), ServicePort(6379, "tcp-redis")
    return Service(f"n{number % SPACES}", name, ports, {"app": name}, created=f"2026-01-01T00:00:{number % 60:02}Z")


def objects(count):
    for number in range(count):
        space, name = f"n{number % SPACES}", f"o{number}"
        meta = {"name": name, "namespace": space, "creationTimestamp": f"2026-01-01T00:00:{number % 60:02}Z"}
        selects = {"app": f"s{number}"}
        mtls = {"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": selects}}
        yield {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta, "spec": mtls}
        rule = {"host": name, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
        yield {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta, "spec": rule}
        sidecar = {"workloadSelector": {"labels": selects}, "egress": [{"hosts": ["*/*"]}]}
        yield {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": meta, "spec": sidecar}


def seconds(mesh, services, workloads=WORKLOADS):
    """Processor time of the verdicts on all connections."""
    parties = [Party(one.name, one.namespace, {"app": one.name}) for one in services]
    connections = [
        Connection(
            parties[number % len(parties)],
            Destination(8080 if each % 2 else 6379, services[called], servers=[parties[called]]),
            (Wire.CLIENT_FIRST,),
        )
        for number in range(workloads)
        for each in range(EACH)
        for called in [(number * 7 + each) % len(services)]
    ]
    judge(connections[0], mesh)
    before = time.process_time()
    found = [judge(connection, mesh) for connection in connections]
    took = time.process_time() - before
    assert {one.outcome for one in found} >= {Outcome.FLOWS}
    return took


@pytest.mark.parametrize("made", [0, 2000])
def test_verdicts_of_a_thousand_workloads_take_two_seconds(made):
    services = [service(number) for number in range(2000)]
    mesh = Mesh(IstioConfiguration.of(objects(made)), Indexed(services))
    took = seconds(mesh, services)
    print(f"{WORKLOADS * EACH} verdicts with {made} objects of each kind: {took:.2f} s")
    assert took <= LIMIT
