"""Verdicts on connections of which not all is known, and on when clients start and end."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from judged import Registry

from webhook.core.surroundings import Service, ServicePort
from webhook.core.verdict import End, Outcome, Security, Wire
from webhook.mesh.config import SETTINGS, IstioConfiguration
from webhook.mesh.connections import Connection, Mesh, judge
from webhook.mesh.destination import Destination
from webhook.mesh.party import ALL, Party, Plane, interception_of

NONE, SIDECAR = Plane.NONE, Plane.SIDECAR


def service(name="http", *, app_protocol=None, selector="cache", number=6379):
    return Service("shop", "cache", (ServicePort(number, name, app_protocol=app_protocol),), selector={"app": selector})


def party(name, *planes, **more):
    labels = {"app": name}
    return Party(
        name, "shop", labels, planes or (SIDECAR,), "whether it has a sidecar" if len(planes) > 1 else "", **more
    )


def mesh(*services, objects=(), policy="ALLOW_ANY"):
    settings = {
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": f"outboundTrafficPolicy: {{mode: {policy}}}"},
    }
    return Mesh(IstioConfiguration.of([*objects, settings]), Registry(services))


def verdict(client, to, servers, *wires, early=False, **more):
    there = mesh(to, **more)
    connection = Connection(client, Destination(6379, to, servers=servers), wires or (Wire.CLIENT_FIRST,), early=early)
    return judge(connection, there)


HTTP, TCP = service("http"), service("tcp")
WEB, CACHE = party("web"), party("cache")


@pytest.mark.parametrize(
    ("to", "server", "outcome"),
    [
        (HTTP, party("cache", NONE, SIDECAR), Outcome.UNKNOWN),
        (HTTP, party("cache", NONE), Outcome.FLOWS),
        (HTTP, party("cache", SIDECAR), Outcome.PROTOCOL_ERROR),
    ],
)
def test_what_depends_on_whether_the_server_has_a_sidecar_is_unknown(to, server, outcome):
    found = verdict(WEB, to, [server])
    assert found.outcome is outcome
    assert found.missing == (("whether it has a sidecar",) if outcome is Outcome.UNKNOWN else ())


def test_what_is_the_same_with_and_without_a_clients_sidecar_is_known():
    found = verdict(party("web", NONE, SIDECAR), HTTP, [CACHE])
    assert (found.outcome, found.at, found.missing) == (Outcome.PROTOCOL_ERROR, End.SERVER, ())


def test_what_flows_in_mtls_or_in_plaintext_flows():
    found = verdict(party("web", NONE, SIDECAR), TCP, [CACHE])
    assert (found.outcome, found.code, found.security, found.missing) == (Outcome.FLOWS, "flows", None, ())
    assert len(found.evidence) == 2


def test_wires_that_end_alike_need_not_be_known_and_others_do():
    client, server = party("web", NONE), party("cache")
    alike = verdict(client, TCP, [server], Wire.CLIENT_FIRST, Wire.TLS)
    assert (alike.outcome, alike.security) == (Outcome.FLOWS, Security.PLAINTEXT)
    other = verdict(client, TCP, [server], Wire.CLIENT_FIRST, Wire.SERVER_FIRST)
    assert (other.outcome, other.missing) == (Outcome.UNKNOWN, ("what the client speaks",))


def test_all_that_is_missing_is_said():
    found = verdict(
        party("web", NONE, SIDECAR),
        TCP,
        [party("cache", NONE, SIDECAR)],
        Wire.TLS,
        Wire.SERVER_FIRST,
        policy="REGISTRY_ONLY",
    )
    assert found.missing == ("whether it has a sidecar", "what the client speaks")


def test_servers_that_are_not_known_are_judged_with_and_without_a_sidecar():
    assert verdict(party("web", NONE), service(app_protocol="tcp"), None).outcome is Outcome.FLOWS
    found = verdict(party("web", NONE), HTTP, None)
    assert (found.outcome, found.missing) == (Outcome.UNKNOWN, ("which pods answer",))


def test_one_of_several_servers_that_breaks_it_breaks_it_and_how_many_is_said():
    broken = verdict(party("web", NONE), HTTP, [party("cache", NONE), CACHE])
    assert (broken.outcome, broken.code) == (Outcome.PROTOCOL_ERROR, "http-declared")
    assert broken.evidence[-1] == "it depends on which workload answers: 1 of 2 break it"


def test_servers_of_which_one_is_unknown_and_none_breaks_it_are_unknown():
    unknown = party("cache", NONE, SIDECAR)
    assert verdict(party("web", NONE), HTTP, [party("cache", NONE), unknown]).outcome is Outcome.UNKNOWN


def test_several_servers_flow_as_securely_as_the_least_secure():
    found = verdict(WEB, TCP, [CACHE, party("cache", NONE)])
    assert (found.outcome, found.security) == (Outcome.FLOWS, Security.PLAINTEXT)


def test_a_service_without_pods_refuses():
    found = verdict(party("web", NONE), TCP, [])
    assert (found.outcome, found.code) == (Outcome.REFUSED, "no-endpoint")


STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}


@pytest.mark.parametrize(("native", "outcome"), [(True, Outcome.FLOWS), (False, Outcome.REFUSED)])
def test_an_init_container_gets_through_to_a_strict_server_with_a_native_sidecar_alone(native, outcome):
    found = verdict(party("web", native=native), TCP, [CACHE], early=True, objects=[STRICT])
    assert found.outcome is outcome
    assert (found.code == "init-before-sidecar") is not native


@pytest.mark.parametrize(
    ("wire", "code"),
    [(Wire.CLIENT_FIRST, "http-declared"), (Wire.TLS, "tls-declared-http"), (Wire.HTTP1, "flows-mtls")],
)
def test_a_declaration_that_keeps_a_client_from_mutual_tls_is_the_cause(wire, code):
    assert verdict(party("web"), HTTP, [CACHE], wire, objects=[STRICT]).code == code


def test_an_init_container_before_a_plain_sidecar_calls_in_plaintext_and_is_not_too_early():
    found = verdict(party("web", native=False), TCP, [CACHE], early=True)
    assert (found.outcome, found.security) == (Outcome.FLOWS, Security.PLAINTEXT)


@pytest.mark.parametrize(
    ("client", "outcome"),
    [
        (party("web", native=False), Outcome.STARTS_TOO_EARLY),
        (party("web", native=False, held=True), Outcome.FLOWS),
        (party("web", native=True), Outcome.FLOWS),
        (party("web", NONE, native=False), Outcome.FLOWS),
        (
            party(
                "web",
                native=False,
                intercepted=interception_of({"traffic.sidecar.istio.io/excludeOutboundPorts": "6379"}),
            ),
            Outcome.FLOWS,
        ),
        (party("web", native=False, batch=True), Outcome.NEVER_ENDS),
        (party("web", native=False, batch=True, held=True), Outcome.NEVER_ENDS),
        (party("web", native=True, batch=True), Outcome.FLOWS),
        (party("web", NONE, native=False, batch=True), Outcome.FLOWS),
    ],
)
def test_a_plain_sidecar_starts_late_and_keeps_jobs_from_ending(client, outcome):
    found = verdict(client, TCP, [CACHE])
    assert found.outcome is outcome
    assert found.at is (None if outcome is Outcome.FLOWS else End.CLIENT)


def test_what_breaks_anyway_is_not_said_to_be_too_early():
    assert verdict(party("web", native=False), HTTP, [CACHE]).outcome is Outcome.PROTOCOL_ERROR


def test_excluded_addresses_that_are_not_known_leave_the_security_open():
    ranges = interception_of({"traffic.sidecar.istio.io/excludeOutboundIPRanges": "192.0.2.0/24"})
    assert ranges != ALL
    found = verdict(party("web", intercepted=ranges), TCP, [CACHE])
    assert (found.outcome, found.security) == (Outcome.FLOWS, None)


def test_a_rule_that_starts_other_tls_is_unknown():
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "cache", "namespace": "shop"},
        "spec": {"host": "cache", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
    }
    found = verdict(WEB, TCP, [CACHE], objects=[rule])
    assert (found.outcome, found.code, found.missing) == (
        Outcome.UNKNOWN,
        "tls-originated",
        ("whether the server speaks TLS at that port",),
    )


def test_a_host_whose_port_a_service_entry_takes_is_unknown():
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "database", "namespace": "shop"},
        "spec": {
            "hosts": ["db.example.com"],
            "resolution": "DNS",
            "ports": [{"number": 6379, "name": "tcp", "protocol": "TCP"}],
        },
    }
    there = mesh(objects=[entry])

    def judged(host):
        return judge(Connection(WEB, Destination(6379, host=host), (Wire.CLIENT_FIRST,)), there)

    assert judged("db.example.com").outcome is Outcome.FLOWS
    assert (judged("other.example.com").outcome, judged("other.example.com").code) == (
        Outcome.UNKNOWN,
        "sent-elsewhere",
    )
    assert judged("other.example.com").missing


def unread(service, *missing):
    return Mesh(IstioConfiguration(missing=missing), Registry([service]))


def test_without_peer_authentications_each_mode_is_tried():
    plain = Connection(party("web", NONE), Destination(6379, TCP, servers=[CACHE]), (Wire.CLIENT_FIRST,))
    found = judge(plain, unread(TCP, "PeerAuthentications"))
    assert (found.outcome, found.missing) == (
        Outcome.UNKNOWN,
        ("the mode of mutual TLS: PeerAuthentications were not read",),
    )
    parsed = replace(plain, to=Destination(6379, HTTP, servers=[CACHE]), client=party("web"))
    assert judge(parsed, unread(HTTP, "PeerAuthentications of other namespaces")).code == "http-declared"


def test_nothing_flows_for_sure_through_a_sidecar_whose_objects_were_not_read():
    meshed = Connection(party("web"), Destination(6379, TCP, servers=[CACHE]), (Wire.CLIENT_FIRST,))
    found = judge(meshed, unread(TCP, "DestinationRules", "VirtualServices"))
    assert (found.outcome, found.missing) == (Outcome.UNKNOWN, ("DestinationRules",))
    plain = replace(meshed, client=party("web", NONE))
    assert judge(plain, unread(TCP, "DestinationRules")).missing == ()
    assert judge(plain, unread(TCP, "Sidecars")).missing == ("Sidecars",)


def test_of_settings_that_were_not_read_istios_defaults_count_and_that_is_said():
    meshed = Connection(party("web"), Destination(6379, TCP, servers=[CACHE]), (Wire.CLIENT_FIRST,))
    found = judge(meshed, unread(TCP, SETTINGS))
    assert (found.code, found.missing) == ("flows-mtls", (SETTINGS,))


def test_routes_for_tcp_are_not_followed_and_that_is_said():
    def judged(to, **spec):
        route = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "move", "namespace": "shop"},
            "spec": {"hosts": ["cache"], **spec},
        }
        return verdict(WEB, to, [CACHE], Wire.HTTP1, objects=[route]).code

    assert judged(TCP, tcp=[{"route": []}]) == "routed"
    assert judged(TCP, http=[{"route": []}]) == "flows-mtls"
    assert judged(HTTP, tcp=[{"route": []}]) == "flows-mtls"
    assert judged(TCP, tcp=[{"route": []}], gateways=["edge"]) == "flows-mtls"
    assert judged(TCP, tcp=[{"route": []}], hosts=["other"]) == "flows-mtls"


@pytest.mark.parametrize(
    ("annotation", "ranges", "address", "outcome"),
    [
        ("excludeOutboundIPRanges", "10.96.0.0/12", "10.96.0.5", Outcome.REFUSED),
        ("excludeOutboundIPRanges", "10.96.0.0/12", "10.1.0.5", Outcome.FLOWS),
        ("excludeOutboundIPRanges", "10.96.0.0/12", None, Outcome.UNKNOWN),
        ("includeOutboundIPRanges", "10.96.0.0/12", "10.96.0.5", Outcome.FLOWS),
        ("includeOutboundIPRanges", "10.96.0.0/12", None, Outcome.UNKNOWN),
        ("excludeOutboundIPRanges", "0.0.0.0/0", None, Outcome.REFUSED),
    ],
)
def test_ranges_of_addresses_count_for_services_too(annotation, ranges, address, outcome):
    client = party("web", intercepted=interception_of({f"traffic.sidecar.istio.io/{annotation}": ranges}))
    strict = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    to = Destination(6379, TCP, servers=[CACHE], address=None if address is None else ip_address(address))
    found = judge(Connection(client, to, (Wire.CLIENT_FIRST,)), mesh(TCP, objects=[strict]))
    assert found.outcome is outcome
    assert found.missing == (("the address of cache",) if outcome is Outcome.UNKNOWN else ())


def test_a_host_whose_address_is_not_known_may_or_may_not_be_excluded():
    client = party(
        "web", intercepted=interception_of({"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8"})
    )
    to = Destination(3306, host="db.example.com")
    closed = judge(Connection(client, to, (Wire.CLIENT_FIRST,)), mesh(policy="REGISTRY_ONLY"))
    assert (closed.outcome, closed.missing) == (Outcome.UNKNOWN, ("the address of db.example.com",))
    assert judge(Connection(client, to, (Wire.CLIENT_FIRST,)), mesh()).outcome is Outcome.FLOWS
