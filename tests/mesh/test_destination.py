"""What the sidecar of a client knows: by exports, its Sidecar object and the mesh's settings; and DestinationRules."""

import json
from ipaddress import ip_address

import pytest
from judged import Registry

from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import Wire
from webhook.mesh.config import IstioConfiguration
from webhook.mesh.connections import Connection, Mesh, judge
from webhook.mesh.destination import Destination, Known, Sight, has_address, port_of
from webhook.mesh.objects import EntrySpec, IstioMeta, ServiceEntry
from webhook.mesh.party import Party
from webhook.mesh.protocols import select

WEB = Party("web", "web", {"app": "web"})
LABELS = {"shop": {"mesh": "yes"}, "web": {"mesh": "yes"}}


class Namespaces(Registry):
    """Services of namespaces with labels."""

    def namespace_labels(self, namespace):
        return LABELS.get(namespace)


def service(name="cache", namespace="shop", declared="tcp", created="2026-01-01T00:00:00Z", **more):
    return Service(namespace, name, (ServicePort(6379, declared),), {"app": name}, created=created, **more)


def sight(*objects, services=(), **settings):
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": json.dumps(settings)},
    }
    return Sight(WEB, IstioConfiguration.of([*objects, config]), Namespaces(services))


def istio(kind, namespace, spec, name="one", created="2026-01-01T00:00:00Z"):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("export_to", "seen"),
    [(None, True), (("*",), True), ((".",), False), (("web",), True), (("other", "web"), True), (("shop",), False)],
)
def test_a_service_is_known_where_it_is_exported(export_to, seen):
    assert sight().sees(service(export_to=export_to)) is seen


def test_what_a_service_does_not_say_the_mesh_says():
    assert sight(defaultServiceExportTo=["."]).sees(service()) is False
    assert sight(defaultServiceExportTo=["."]).sees(service(export_to=("*",))) is True
    assert sight(defaultServiceExportTo=["."]).sees(service(namespace="web")) is True


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["*/*"], True),
        (["./*"], False),
        (["shop/*"], True),
        (["other/*", "shop/cache.shop.svc.cluster.local"], True),
        (["shop/other.shop.svc.cluster.local"], False),
        (["*/*.shop.svc.cluster.local"], True),
        (["*/*.web.svc.cluster.local"], False),
        (["~/*"], False),
        ([], False),
    ],
)
def test_a_sidecar_object_lets_hosts_in(hosts, seen):
    there = sight(istio("Sidecar", "web", {"egress": [{"hosts": hosts}]}))
    assert there.sees(service()) is seen


def test_a_sidecar_object_of_other_pods_or_namespaces_keeps_nothing_out():
    spec = {"egress": [{"hosts": ["~/*"]}]}
    other = {**spec, "workloadSelector": {"labels": {"app": "other"}}}
    assert sight(istio("Sidecar", "shop", spec), istio("Sidecar", "web", other)).sees(service()) is True
    assert sight(istio("Sidecar", "istio-system", spec)).sees(service()) is False


def test_a_sidecar_object_without_egress_keeps_nothing_out():
    assert sight(istio("Sidecar", "web", {"ingress": []})).sees(service()) is True


def test_a_port_of_a_sidecar_object_lets_in_its_own_hosts():
    port = {"number": 6379, "protocol": "TCP", "name": "tcp"}
    there = sight(istio("Sidecar", "web", {"egress": [{"port": port, "hosts": ["shop/*"]}, {"hosts": ["./*"]}]}))
    assert there.egress_at(80) is None
    assert there.sees(service(), there.egress_at(6379)) is True
    assert there.sees(service()) is False


@pytest.mark.parametrize("listener", [{"captureMode": "NONE", "hosts": ["*/*"]}, {"hosts": ["~/*"]}])
def test_a_port_of_a_sidecar_object_that_captures_nothing_is_none(listener):
    port = {"number": 6379, "protocol": "TCP", "name": "tcp"}
    there = sight(istio("Sidecar", "web", {"egress": [{"port": port, **listener}]}))
    assert there.egress_at(6379) is None


@pytest.mark.parametrize(
    ("selectors", "seen"),
    [
        ([], True),
        ([{"matchLabels": {"mesh": "yes"}}], True),
        ([{"matchLabels": {"mesh": "no"}}], False),
        ([{"matchLabels": {"mesh": "no"}}, {"matchExpressions": [{"key": "mesh", "operator": "Exists"}]}], True),
    ],
)
def test_istio_knows_the_namespaces_that_discovery_selectors_select(selectors, seen):
    assert sight(discoverySelectors=selectors).sees(service()) is seen


def test_the_oldest_http_service_that_is_known_takes_a_port():
    young = service("young", declared="http", created="2026-01-02T00:00:00Z")
    old = service("old", declared="http", export_to=(".",))
    alias = service("alias", declared="http", created="2025-01-01T00:00:00Z", external_name="example.com")
    found = sight(services=[young, old, alias, service()]).http_at(6379)
    assert found is not None
    assert found.service is young
    assert sight(services=[old, service()]).http_at(6379) is None


@pytest.mark.parametrize(
    ("mesh", "sidecar", "closed"),
    [
        ("ALLOW_ANY", None, False),
        ("REGISTRY_ONLY", None, True),
        ("ALLOW_ANY", "REGISTRY_ONLY", True),
        ("REGISTRY_ONLY", "ALLOW_ANY", False),
    ],
)
def test_a_sidecar_objects_outbound_policy_is_before_the_meshs(mesh, sidecar, closed):
    objects = [istio("Sidecar", "web", {"outboundTrafficPolicy": {"mode": sidecar}})] if sidecar else []
    assert sight(*objects, outboundTrafficPolicy={"mode": mesh}).registry_only is closed


def rule(namespace, host, mode, **more):
    policy = {} if mode is None else {"trafficPolicy": {"tls": {"mode": mode}}}
    made = {name: more.pop(name) for name in ("name", "created") if name in more}
    return istio("DestinationRule", namespace, {"host": host, **policy, **more}, **made)


WHOLE = "cache.shop.svc.cluster.local"


@pytest.mark.parametrize(
    ("rules", "mode"),
    [
        ([], None),
        ([rule("shop", "cache", "DISABLE")], "DISABLE"),
        ([rule("web", "cache", "DISABLE")], None),  # there it is cache.web
        ([rule("web", WHOLE, "DISABLE")], "DISABLE"),
        ([rule("other", WHOLE, "DISABLE")], None),
        ([rule("istio-system", WHOLE, "DISABLE")], "DISABLE"),
        ([rule("istio-system", "*.local", "ISTIO_MUTUAL")], "ISTIO_MUTUAL"),
        ([rule("shop", "cache.shop", "DISABLE")], None),  # a host of that name, outside of the cluster
        ([rule("web", WHOLE, "DISABLE"), rule("shop", "cache", "ISTIO_MUTUAL")], "DISABLE"),
        ([rule("shop", "cache", "ISTIO_MUTUAL"), rule("istio-system", WHOLE, "DISABLE")], "ISTIO_MUTUAL"),
        ([rule("shop", "*.shop.svc.cluster.local", "DISABLE"), rule("shop", "*.local", "ISTIO_MUTUAL")], "DISABLE"),
        ([rule("shop", "*.local", "ISTIO_MUTUAL"), rule("shop", "cache", "DISABLE")], "DISABLE"),
        ([rule("shop", "cache", "DISABLE", exportTo=["."])], None),
        ([rule("web", WHOLE, "DISABLE", exportTo=["."])], "DISABLE"),
        ([rule("shop", "cache", "DISABLE", exportTo=["web"])], "DISABLE"),
        ([rule("web", WHOLE, "DISABLE", workloadSelector={"matchLabels": {"app": "web"}})], "DISABLE"),
        ([rule("web", WHOLE, "DISABLE", workloadSelector={"matchLabels": {"app": "other"}})], None),
        ([rule("shop", "cache", "DISABLE", workloadSelector={"matchLabels": {"app": "web"}})], None),
        (
            [
                rule("shop", "cache", "DISABLE", name="young", created="2026-01-02T00:00:00Z"),
                rule("shop", "cache", "ISTIO_MUTUAL", name="old"),
            ],
            "ISTIO_MUTUAL",
        ),
        ([rule("shop", "cache", None, name="first"), rule("shop", "cache", "DISABLE", name="second")], "DISABLE"),
        (
            [rule("shop", "cache", "DISABLE", name="first"), rule("shop", WHOLE, "ISTIO_MUTUAL", name="second")],
            "DISABLE",
        ),
    ],
)
def test_the_destination_rule_that_counts(rules, mode):
    one = service()
    known = Known(select(one.ports[0]), one)
    assert sight(*rules).tls_mode(known, 6379)[0] == mode


@pytest.mark.parametrize(("of_all", "of_port"), [("ISTIO_MUTUAL", None), ("DISABLE", "DISABLE"), ("SIMPLE", "DISABLE")])
def test_what_a_port_of_a_destination_rule_leaves_out_is_not_that_of_all_ports(of_all, of_port):
    port = {"port": {"number": 6379}, "loadBalancer": {"simple": "RANDOM"}}
    policy = {"portLevelSettings": [port], "tls": {"mode": of_all}}
    there = sight(istio("DestinationRule", "shop", {"host": "cache", "trafficPolicy": policy}))
    known = Known(select(service().ports[0]), service())
    assert (there.tls_mode(known, 6379)[0], there.tls_mode(known, 80)[0]) == (of_port, of_all)


def test_a_port_of_a_destination_rule_is_before_all_ports():
    spec = {
        "portLevelSettings": [{"port": {"number": 6379}, "tls": {"mode": "DISABLE"}}],
        "tls": {"mode": "ISTIO_MUTUAL"},
    }
    there = sight(istio("DestinationRule", "shop", {"host": "cache", "trafficPolicy": spec}))
    known = Known(select(service().ports[0]), service())
    assert (there.tls_mode(known, 6379)[0], there.tls_mode(known, 80)[0]) == ("DISABLE", "ISTIO_MUTUAL")


@pytest.mark.parametrize(
    ("listed", "address", "expected"),
    [
        (None, "192.0.2.1", False),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.0/24"], "192.0.2.1", True),
        (["192.0.2.2", "nonsense"], "192.0.2.1", False),
        (["192.0.2.1"], None, None),
        (None, None, None),
    ],
)
def test_a_service_entry_lists_addresses(listed, address, expected):
    entry = ServiceEntry(IstioMeta("one", "shop"), EntrySpec(addresses=listed))
    found = has_address(entry, None if address is None else ip_address(address))
    assert found is expected or (not listed and not found)


def test_a_udp_port_is_no_port_to_connect_to():
    both = Service("shop", "dns", (ServicePort(53, "udp", transport="UDP"), ServicePort(53, "tcp")), {})
    found = port_of(both, 53)
    assert found is not None
    assert found.transport == "TCP"
    assert port_of(Service("shop", "dns", (ServicePort(53, "udp", transport="UDP"),), {}), 53) is None


@pytest.mark.parametrize(
    ("hosts", "protocol", "addresses", "host", "wire", "code"),
    [
        (["*.mongodb.net"], "TLS", [], "a.b.mongodb.net", Wire.TLS, "flows-plaintext"),
        (["*.mongodb.net"], "TLS", [], "mongodb.net", Wire.TLS, "not-in-registry"),
        (["*.example.com"], "HTTP", [], "api.example.com", Wire.HTTP1, "flows-plaintext"),
        (["db.example.com"], "HTTP", ["203.0.113.9"], "db.example.com", Wire.CLIENT_FIRST, "http-declared"),
        (["db.example.com"], "TLS", [], "db.example.com", Wire.SERVER_FIRST, "server-first-sniffed"),
        (["any.example.com"], "TCP", ["10.20.0.0/16"], "db.example.com", Wire.CLIENT_FIRST, "address-not-known"),
    ],
)
def test_hosts_outside_are_let_out_as_service_entries_declare_them(hosts, protocol, addresses, host, wire, code):
    spec = {"hosts": hosts, "resolution": "NONE", "ports": [{"number": 5432, "name": "p", "protocol": protocol}]}
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "outside", "namespace": "shop"},
        "spec": spec | ({"addresses": addresses} if addresses else {}),
    }
    settings = {
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"},
    }
    there = Mesh(IstioConfiguration.of([entry, settings]), Registry([]))
    client = Party("web", "shop", {"app": "web"})
    assert judge(Connection(client, Destination(5432, host=host), (wire,)), there).code == code
