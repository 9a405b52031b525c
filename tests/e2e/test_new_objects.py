"""Pods that are created right after what they refer to, sooner than any watch can tell."""

import delay
import pki
import product
import pytest
import shop
from api import Object, eventually, has_sidecar

ROUNDS = 30
LOOK_UPS = "sidecar_policy_inventory_lookups_total"
ENABLED = {"istio-injection": "enabled"}


def fresh(number, name="redis"):
    """A Service for Redis under a name that nobody has heard of, a ConfigMap that names it, and a client of it."""
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{number}"},
        "spec": {"ports": [{"name": "http", "port": 6379}]},
    }
    config_map: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"cfg-{name}-{number}"},
        "data": {"ConnectionString": service["metadata"]["name"]},
    }
    reference = {"name": config_map["metadata"]["name"], "key": "ConnectionString"}
    env = [{"name": "ConnectionString", "valueFrom": {"configMapKeyRef": reference}}]
    spec = {"containers": [{"name": "client", "image": "shop/client:1", "env": env}]}
    return config_map, service, shop.pod(f"client-of-{name}-{number}", spec)


@pytest.fixture(scope="module")
def late(istio):
    """The proxy that can hold watches back."""
    client = istio.authority.client("late", product.account(), *product.account_groups())
    with delay.late_watches(istio, client) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind(start_server, istio, late):
    """Our server, which reaches the API server only through the proxy."""
    client = istio.authority.client("behind", "nobody")
    path = istio.directory / "behind.kubeconfig"
    config = pki.kubeconfig(path, server=late.url, authority=istio.authority.certificate, client=client)
    server = start_server(shop.policy(shop.SKIP_CLIENTS), options=["--kubeconfig", str(config)])
    yield server
    server.stop()


@pytest.fixture
def hold_back(late):
    """From the call on, no watch says anything, until the scenario lets it."""
    yield late.flowing.clear
    late.flowing.set()


def create_in(api, namespace, *documents):
    """Create objects back to back, and return the last one as it was stored."""
    for document in documents:
        created = api.create(document | {"metadata": document["metadata"] | {"namespace": namespace}})
    return created


def found(server, *kinds):
    """How many objects of each kind were found by a direct read; one that a watch has delivered is never read so."""
    return {kind: server.metric(LOOK_UPS, resource=kind, outcome="found") for kind in kinds}


def test_a_client_created_right_after_its_configmap_and_service_is_left_out_each_time(make_namespace, start_server):
    namespace = make_namespace(ENABLED)
    start_server(shop.policy(shop.SKIP_CLIENTS)).register(namespace.name)

    pods = [create_in(namespace.plane.api, namespace.name, *fresh(number)) for number in range(ROUNDS)]

    assert [pod["metadata"]["name"] for pod in pods if has_sidecar(pod)] == []
    assert {pod["metadata"]["annotations"]["sidecar-policy.dev/reason"] for pod in pods} == {"dependency redis"}


def test_what_no_watch_has_delivered_is_read_directly(make_namespace, behind, hold_back):
    namespace = make_namespace(ENABLED)
    behind.register(namespace.name)
    hold_back()
    before = found(behind, "ConfigMap", "Service")

    pods = [create_in(namespace.plane.api, namespace.name, *fresh(number)) for number in range(ROUNDS)]

    assert [pod["metadata"]["name"] for pod in pods if has_sidecar(pod)] == []
    assert all(after >= before[kind] + ROUNDS for kind, after in found(behind, *before).items())


def test_a_client_in_a_namespace_of_the_same_moment_is_left_out_each_time(make_namespace, behind, istio, hold_back):
    labels = ENABLED | {"sudden": "yes"}
    register_by_label(behind, make_namespace, labels)
    hold_back()
    before = found(behind, "Namespace", "ConfigMap", "Service")

    pods = []
    for name in (f"sudden-{number}" for number in range(10)):
        istio.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        # Pods need it; its controller would take a moment.
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        istio.api.apply(account)
        pods.append(create_in(istio.api, name, *fresh(0)))

    assert [pod["metadata"]["namespace"] for pod in pods if has_sidecar(pod)] == []
    assert all(after >= before[kind] + 10 for kind, after in found(behind, *before).items())


def register_by_label(server, make_namespace, labels):
    """Have the server called for all namespaces of these labels, those that are not there yet included."""
    first, second = make_namespace(labels), make_namespace(labels)
    configuration = server.register(first.name)
    (webhook,) = configuration["webhooks"]
    api, name = first.plane.api, configuration["metadata"]["name"]
    api.merge(product.CONFIGURATION, name, {"webhooks": [webhook | {"namespaceSelector": {"matchLabels": labels}}]})
    probe = shop.pod("probe", shop.plain_spec())

    def called():
        second.create(probe, dry_run=True)
        return name in second.admission("probe").called

    eventually(called, what="our server is called for namespaces by their labels")
