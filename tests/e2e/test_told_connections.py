"""Connections that a decision breaks, told by the running server to who creates the pod, with Istio's real objects."""

import shop
from api import eventually, has_sidecar
from workloads import KINDS

WARNING = (
    '299 - "sidecar-policy: rule clients breaks the connection to redis at {}/basket-data:6379 '
    "(strict-refuses, server): "
    'the sidecar is skipped, and without that it flows"'
)
OBJECTS = "sidecar_policy_inventory_objects"


def declared(document):
    """The same with ports that are declared as what they are, so that a client with a sidecar gets through."""
    if document["kind"] != "Service":
        return document
    ports = [port | {"name": "tcp"} for port in document["spec"]["ports"]]
    return document | {"spec": document["spec"] | {"ports": ports}}


def test_a_client_that_is_skipped_is_warned_of_where_servers_are_strict(istio, make_namespace, start_server):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*map(declared, shop.OBJECTS))
    server = start_server(shop.policy(shop.SKIP_CLIENTS))
    server.register(namespace.name)
    namespace.create(KINDS["Deployment"]("basket-data", {"containers": [{"name": "redis", "image": "redis:7"}]}))
    eventually(lambda: server.log("decision"), what="the server's pod was decided about")

    assert not has_sidecar(namespace.create(shop.pod("before", shop.client_spec())))
    permissive = istio.api.warnings
    before = server.metric(OBJECTS, resource="PeerAuthentication")
    strict = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"}}
    namespace.create(strict | {"spec": {"mtls": {"mode": "STRICT"}}})
    eventually(lambda: server.metric(OBJECTS, resource="PeerAuthentication") == before + 1, what="it is watched")

    def warned():
        namespace.create(shop.pod("after", shop.client_spec()), dry_run=True)
        return istio.api.warnings

    assert permissive == ()
    assert eventually(warned, what="the warning") == (WARNING.format(namespace.name),)
    assert server.metric("sidecar_policy_connections_total", outcome="refused", code="strict-refuses", at="server") >= 1
