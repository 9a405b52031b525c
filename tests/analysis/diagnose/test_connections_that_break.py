"""Connections that break for another cause than the declaration of the Service that is called."""

import re
from pathlib import Path

import pytest
from analysed import CLIENT, NAMESPACE, REDIS, codes, diagnosed, service, workload

import webhook.mesh
from webhook.analysis.diagnose.finding import Code

NONE = "{apiVersion: sidecar-policy.dev/v1alpha1, kind: InjectionPolicy, metadata: {name: none}, spec: {rules: []}}"
REGISTRY_ONLY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
---"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---"""
MUTUAL = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cache, namespace: shop}
spec: {host: cache, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---"""
TCP = service("cache", 6379, ", name: tcp-redis")
HTTP = service("cache", 6379, ", name: http")
DATABASE = workload("web", "shop/web", ", env: [{name: DB_URL, value: 'mysql://db.example.com:3309'}]")


def excluding(ports):
    annotations = (
        f'labels: {{app: cache}}, annotations: {{traffic.sidecar.istio.io/excludeInboundPorts: "{ports}"}}}}\n'
    )
    return REDIS.replace("labels: {app: cache}}\n", annotations)


def without_sidecar(manifest, name):
    return manifest.replace(f"labels: {{app: {name}}}", f'labels: {{app: {name}, sidecar.istio.io/inject: "false"}}')


def entry(more):
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: db, namespace: shop}}
spec: {{hosts: [db.example.com], ports: [{{number: 3309, name: x, protocol: {more}}}], resolution: DNS}}
---"""


def found(*manifests, **options):
    return diagnosed(*manifests, policy=NONE, **options)


@pytest.mark.parametrize("more", ["", STRICT, REGISTRY_ONLY])
def test_a_port_declared_http_is_at_fault_also_where_plaintext_is_refused_or_not_let_out(more):
    (one,) = found(more, HTTP, REDIS, CLIENT)

    assert (one.code.code, one.subject.name) == ("http-declared", "cache")


def test_a_host_that_the_mesh_does_not_know_is_found_at_the_client():
    (one,) = found(REGISTRY_ONLY, DATABASE)

    assert (one.code.code, str(one.subject)) == ("not-in-registry", "shop Deployment/web")
    assert "ServiceEntry for db.example.com:3309" in one.fix.note
    assert found(DATABASE) == []


def test_a_port_of_pods_that_none_has_is_no_endpoint():
    cache = service("cache", 6379, ", name: tcp-redis", ", targetPort: resp")

    assert codes(found(cache, REDIS, CLIENT)) == [("no-endpoint", "warning", "cache")]
    assert found(cache, CLIENT) == []  # the pods are not known, and may well have it


def test_a_server_that_excludes_its_port_is_found_and_told_to_take_it_back():
    (one,) = found(TCP, excluding("6379,9121"), CLIENT)

    assert (one.code.code, str(one.subject)) == ("mtls-not-terminated", "shop Deployment/cache")
    patch = one.fix.patch["spec"]["template"]["metadata"]["annotations"]
    assert patch == {"traffic.sidecar.istio.io/excludeInboundPorts": "9121"}


def test_who_declares_a_port_right_is_told_that_exclusions_go_first():
    """Seen on a real Envoy: such a server works until the Service is fixed."""
    (one,) = found(HTTP, excluding("6379"), CLIENT)

    assert (one.code.code, one.severity.value) == ("http-declared", "info")
    assert one.fix.note.startswith("first remove the port from excludeInboundPorts of Deployment/cache")


def test_a_rule_that_starts_mutual_tls_with_a_server_without_a_sidecar_is_found():
    (one,) = found(TCP, MUTUAL, without_sidecar(REDIS, "cache"), CLIENT)

    assert (one.code.code, str(one.subject)) == ("mtls-not-terminated", "shop DestinationRule/cache")


def test_of_two_services_for_one_port_the_older_is_at_fault():
    wrong = service("a-cache", 6380, ", name: http", ", targetPort: 6379").replace("app: a-cache", "app: cache")
    finding = next(one for one in found(TCP, wrong, REDIS, CLIENT) if one.severity.value == "error")

    assert str(finding.subject) == "shop Service/a-cache:6380"
    assert "client Deployment/web" in finding.evidence[-1]


def test_a_server_first_host_whose_entry_says_http_hangs():
    (one,) = found(entry("HTTP"), DATABASE)

    assert (one.code.code, str(one.subject)) == ("http-declared", "shop Deployment/web")
    assert "ServiceEntry" in one.fix.note
    assert found(entry("TCP"), DATABASE) == []


def test_an_alias_is_not_at_fault_for_what_its_host_meets():
    alias = service("db", 3309, ", name: tcp").replace(
        "selector: {app: db}", "type: ExternalName, externalName: db.example.com"
    )
    other = service("metrics", 3309, ", name: http"), workload("metrics", "shop/metrics")
    caller = DATABASE.replace("db.example.com", "db")

    assert codes(found(entry("HTTP"), alias, caller)) == [("http-declared", "error", "web")]
    assert ("port-captured", "error", "metrics") in codes(found(*other, alias, caller))


def test_a_headless_service_captures_a_port_too():
    other = service("metrics", 3309, ", name: http").replace("selector:", "clusterIP: None, selector:")
    (one,) = found(other, workload("metrics", "shop/metrics"), DATABASE)

    assert (one.code.code, one.subject.name) == ("port-captured", "metrics")
    assert one.fix.command is None  # in the client's own namespace exportTo hides nothing


def test_grpc_at_a_port_named_http_is_a_version():
    caller = workload("web", "shop/web", ", env: [{name: CART_GRPC_ADDR, value: 'cart:7070'}]")
    (one,) = found(service("cart", 7070, ", name: http"), workload("cart", "shop/cart"), caller)

    assert one.code.code == "http-version"
    assert '"appProtocol":"grpc"' in one.fix.command


@pytest.mark.parametrize("name", ["grpc", "http2", "http", "x"])
def test_an_http_url_does_not_say_that_its_client_does_not_speak_grpc(name):
    caller = workload("web", "shop/web", ", env: [{name: CART_URL, value: 'http://cart:7070'}]")

    assert found(service("cart", 7070, f", name: {name}"), workload("cart", "shop/cart"), caller) == []


def test_of_many_clients_three_are_shown_and_the_others_counted():
    clients = [CLIENT.replace("web", f"web{number}") for number in range(5)]
    (one,) = found(HTTP, REDIS, *clients)

    assert sum(said.startswith("client ") for said in one.evidence) == 3
    assert one.evidence[-1] == "further clients: 2"


def test_a_client_that_is_refused_does_not_hide_what_would_break_others():
    findings = found(STRICT, HTTP, REDIS, without_sidecar(CLIENT, "web"))

    assert codes(findings) == [("http-declared", "error", "cache"), ("strict-refuses", "error", "web")]


def test_a_namespace_that_is_not_in_the_mesh_has_servers_that_parse_nothing():
    outside = NAMESPACE.replace("istio-injection: enabled", "team: a")
    (one,) = diagnosed(HTTP, CLIENT, namespace=outside)

    assert one.severity.value == "info"
    assert "no harm now" in one.message


def test_a_wrong_port_that_nobody_calls_matters_once_it_is_exposed():
    mysql = service("db", 3306, ", name: tcp-mysql"), workload("db", "mysql:8")
    exposed = mysql[0].replace("spec: {", "spec: {type: LoadBalancer, ")

    assert codes(found(*mysql)) == [("permissive-waits", "info", "db")]
    assert codes(found(exposed, mysql[1])) == [("permissive-waits", "warning", "db")]


def test_a_mode_for_some_pods_is_changed_and_not_doubled():
    own = STRICT.replace("name: default", "name: own").replace(
        "spec: {mtls: {mode: STRICT}}", "spec: {selector: {matchLabels: {app: db}}, mtls: {mode: PERMISSIVE}}"
    )
    caller = without_sidecar(workload("web", "shop/web", ", env: [{name: DB_URL, value: 'mysql://db:3306'}]"), "web")
    (one,) = found(own, service("db", 3306, ", name: tcp-mysql"), workload("db", "mysql:8"), caller)

    assert one.fix.patch == {"spec": {"portLevelMtls": {"3306": {"mode": "DISABLE"}}}}
    assert "PeerAuthentication shop/own" in one.fix.note


def test_every_cause_that_a_verdict_has_is_a_finding():
    mesh = Path(webhook.mesh.__file__).parent
    named = {code for path in mesh.glob("*.py") for code in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', path.read_text())}
    causes = {
        "http-declared", "tls-declared-http", "http-version", "server-first-sniffed", "permissive-waits",
        "port-captured", "strict-refuses", "mtls-not-terminated", "not-in-registry", "no-endpoint", "hold-missing",
        "job-never-finishes",
    }  # fmt: skip

    assert causes <= named
    assert causes <= {code.code for code in Code}


SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: ["istio-system/*"]}]}
---"""
NO_AUTO = REGISTRY_ONLY.replace("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "enableAutoMtls: false")


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        (SIDECAR, "list shop/cache.shop.svc.cluster.local in the egress hosts of Sidecar shop/default"),
        (NO_AUTO, "set enableAutoMtls in the mesh's settings"),
        (MUTUAL.replace("ISTIO_MUTUAL", "DISABLE"), "remove tls mode DISABLE from DestinationRule shop/cache"),
    ],
)
def test_the_cause_of_plaintext_is_named(more, fix):
    (one,) = found(TCP, REDIS, CLIENT, STRICT, more)

    assert one.code is Code.STRICT_REFUSES
    assert one.fix.note.startswith(fix)


def test_a_server_that_begins_takes_plaintext_only_with_mutual_tls_off():
    client = without_sidecar(workload("web", "shop", ", env: [{name: DB_URL, value: 'mysql://db:3306'}]"), "web")
    findings = found(service("db", 3306, ", name: tcp-mysql"), workload("db", "mysql:8"), client, STRICT)

    (one,) = (each for each in findings if each.code is Code.STRICT_REFUSES)
    assert "portLevelMtls DISABLE" in one.fix.note


@pytest.mark.parametrize(
    ("annotation", "fix"),
    [
        ("traffic.sidecar.istio.io/includeInboundPorts: '8080'", "add port 6379 to traffic.sidecar.istio.io/include"),
        ("sidecar.istio.io/interceptionMode: NONE", "remove sidecar.istio.io/interceptionMode NONE"),
    ],
)
def test_the_annotation_that_keeps_a_port_from_its_sidecar_is_named(annotation, fix):
    server = REDIS.replace("labels: {app: cache}}\n", f"labels: {{app: cache}}, annotations: {{{annotation}}}}}\n")
    (one,) = (each for each in found(TCP, server, CLIENT) if each.code is Code.MTLS_NOT_TERMINATED)

    assert one.fix.note.startswith(fix)
