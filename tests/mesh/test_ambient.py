"""Connections of pods in ambient mode."""

from dataclasses import replace

import msgspec
import pytest
from judged import Registry

from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import Wire
from webhook.inventory.objects import ServiceObject, service_of
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Connection, Mesh, judge
from webhook.mesh.destination import Destination
from webhook.mesh.party import Party, Plane

HTTP = Service("shop", "cache", (ServicePort(6379, "http"),), {"app": "cache"})
TCP = Service("shop", "cache", (ServicePort(6379, "tcp"),), {"app": "cache"})
STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}
AMBIENT, SIDECAR, NONE = Plane.AMBIENT, Plane.SIDECAR, Plane.NONE


class Waypoints(Registry):
    def namespace_labels(self, namespace):
        return {"istio.io/use-waypoint": "waypoint"}


def judged(client, server, service=TCP, *peers, wire=Wire.CLIENT_FIRST, registry=Registry):
    parties = [
        Party(name, "shop", {"app": name}, planes=(plane,)) for name, plane in (("web", client), ("cache", server))
    ]
    connection = Connection(parties[0], Destination(6379, service, servers=parties[1:]), (wire,))
    verdict = judge(connection, Mesh(IstioConfiguration.of(peers), registry([service])))
    return verdict.code, verdict.missing


@pytest.mark.parametrize(
    ("client", "server", "service", "strict", "code"),
    [
        (AMBIENT, AMBIENT, HTTP, True, "flows-mtls"),
        (AMBIENT, NONE, HTTP, True, "flows-plaintext"),
        (AMBIENT, SIDECAR, TCP, False, "flows"),
        (AMBIENT, SIDECAR, HTTP, False, "http-declared"),
        (AMBIENT, SIDECAR, TCP, True, "hbone"),
        (NONE, AMBIENT, HTTP, False, "flows-plaintext"),
        (NONE, AMBIENT, HTTP, True, "strict-refuses"),
        (SIDECAR, AMBIENT, TCP, False, "flows"),
        (SIDECAR, AMBIENT, TCP, True, "hbone"),
    ],
)
def test_what_becomes_of_a_connection_depends_on_both_ends(client, server, service, strict, code):
    assert judged(client, server, service, *([STRICT] if strict else []))[0] == code


def test_a_sidecar_still_waits_for_bytes_where_the_server_is_in_ambient_mode():
    assert judged(SIDECAR, AMBIENT, HTTP, wire=Wire.SERVER_FIRST)[0] == "http-declared"


def test_what_a_waypoint_does_is_not_known():
    assert judged(AMBIENT, AMBIENT, registry=Waypoints) == ("waypoint", ("what the waypoint does",))


def test_what_depends_on_hbone_says_so():
    assert "HBONE" in judged(AMBIENT, SIDECAR, TCP, STRICT)[1][0]


def test_a_services_waypoint_overrides_that_of_its_namespace():
    assert judged(AMBIENT, AMBIENT, replace(TCP, waypoint="wp"))[0] == "waypoint"
    assert judged(AMBIENT, AMBIENT, replace(TCP, waypoint="none"), registry=Waypoints)[0] == "flows-mtls"


def test_the_label_of_a_service_names_its_waypoint():
    read = {"metadata": {"name": "cache", "labels": {"istio.io/use-waypoint": "wp"}}}
    assert service_of(msgspec.convert(read, ServiceObject), "shop").waypoint == "wp"
