"""One connection, from a workload to whatever it calls."""

import pytest

from webhook.analysis.check import Checker, CheckError, Named
from webhook.analysis.connections import rendering_of
from webhook.analysis.workloads import decide_by
from webhook.core.verdict import Outcome, Wire
from webhook.inventory.manifests import read
from webhook.policy.load import default_policy

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{name: http, port: 6379}, {name: metrics, port: 9121}]}
---
apiVersion: v1
kind: Service
metadata: {name: bus, namespace: shop}
spec: {selector: {app: bus}, ports: [{name: client, port: 4222}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: cache, namespace: shop}
spec: {template: {metadata: {labels: {app: cache}}, spec: {containers: [{name: c, image: redis}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: bus, namespace: shop}
spec: {template: {metadata: {labels: {app: bus}}, spec: {containers: [{name: c, image: nats}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: example/web}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: waits, namespace: shop}
spec:
  template:
    metadata: {labels: {app: waits}, annotations: {sidecar.istio.io/nativeSidecar: "false"}}
    spec:
      initContainers: [{name: c, image: example/wait, env: [{name: METRICS_URL, value: "http://cache:9121"}]}]
      containers: [{name: c, image: example/web}]
---
apiVersion: v1
kind: Service
metadata: {name: ui, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 1433}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: other}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: example/web}]}}}
"""


@pytest.fixture
def check(tmp_path):
    file = tmp_path / "manifests.yaml"
    file.write_text(MANIFESTS)
    inventory, policy = read([str(file)]), default_policy()
    rendering = rendering_of(inventory, inventory.istio, native=True)
    checker = Checker(decide_by(policy, inventory), inventory, policy.catalog, rendering, as_they_run=False)
    return lambda client, server, namespace=None, protocol=None: checker.check(
        client, server, namespace=namespace, protocol=protocol
    )


@pytest.mark.parametrize(
    ("written", "kind", "name", "port"),
    [
        ("web", "", "web", None),
        ("deploy/web.shop", "deployment", "web.shop", None),
        ("Svc/cache:6379", "service", "cache", 6379),
        ("db.example.com:3306", "", "db.example.com", 3306),
    ],
)
def test_objects_are_named_as_users_write_them(written, kind, name, port):
    assert Named.of(written) == Named(kind, name, port)


@pytest.mark.parametrize("port", ["0", "65536", "x", "99999999999999999999"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(CheckError, match="is not a port"):
        Named.of(f"cache:{port}")


def test_the_image_behind_a_service_says_what_is_spoken(check):
    found = check("web.shop", "cache:6379")

    assert (found.wires, found.service) == ((Wire.CLIENT_FIRST,), "shop/cache")
    assert "redis" in found.known_by
    assert (found.verdict.outcome, found.verdict.code) == (Outcome.PROTOCOL_ERROR, "http-declared")
    assert [server.name for server, _ in found.servers] == ["StatefulSet/cache"]


def test_a_service_with_one_port_needs_none_to_be_said(check):
    assert check("deploy/web.shop", "bus").verdict.code == "server-first-sniffed"


def test_a_protocol_that_is_said_counts_more(check):
    assert check("web", "bus", namespace="shop", protocol="tls").verdict.outcome is Outcome.FLOWS
    assert check("web", "bus", namespace="shop", protocol="mysql").verdict.outcome is Outcome.HANGS


def test_what_is_spoken_may_remain_unknown(check):
    found = check("web.shop", "cache:9121")
    assert (found.known_by, found.verdict.outcome) == ("", Outcome.UNKNOWN)
    assert found.verdict.missing == ("what the client speaks",)


def test_a_known_port_does_not_say_what_an_image_that_is_no_backend_speaks(check):
    assert check("waits", "ui:1433").known_by == ""


def test_what_only_an_init_container_calls_is_called_before_a_plain_sidecar(check):
    found = check("waits", "cache:9121")

    assert found.verdict.outcome is Outcome.FLOWS
    assert "an init container of Deployment/waits calls before" in found.verdict.evidence[0]


def test_a_host_outside_of_the_cluster(check):
    assert check("web.shop", "db.example.com:3306").verdict.outcome is Outcome.FLOWS


def test_a_pod_is_called_at_its_own_address(check):
    found = check("web.shop", "sts/cache:6379", protocol="redis")
    assert (found.service, found.verdict.at) == ("", "server")


@pytest.mark.parametrize(
    ("client", "server", "namespace", "protocol", "said"),
    [
        ("nobody", "cache", None, None, "no workload 'nobody'"),
        ("wep", "cache", None, None, "did you mean 'web'"),
        ("web", "cache", None, None, "Deployment/web.other, Deployment/web.shop: write KIND/NAME.NAMESPACE"),
        ("web", "cach", "shop", None, "no Service 'cach' is known .*did you mean 'cache'"),
        ("web", "cache.nowhere:6379", "shop", None, "no Service 'cache.nowhere' is known"),
        ("web", "cache", "shop", None, "Service cache needs a port; it has 6379, 9121"),
        ("web", "db.example.com", "shop", None, "db.example.com needs a port"),
        ("web", "sts/cache", "shop", None, "StatefulSet/cache needs a port"),
        ("web", "localhost:80", "shop", None, "not a host, or the client itself"),
        ("web", "cache:6379", "shop", "rediss", "unknown protocol 'rediss' .*did you mean 'redis'"),
    ],
)
def test_what_cannot_be_told_is_said_with_a_way_out(check, client, server, namespace, protocol, said):
    with pytest.raises(CheckError, match=said):
        check(client, server, namespace, protocol)
