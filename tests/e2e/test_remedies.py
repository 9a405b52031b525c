"""The gentler remedies, in what Istio's injector renders of them."""

import pytest
import shop
from api import containers, has_sidecar

NO_NATIVE = {"sidecar.istio.io/nativeSidecar": "false"}
CONFIG = "proxy.istio.io/config"
EXCLUDE = "traffic.sidecar.istio.io/excludeOutboundPorts"


@pytest.fixture(scope="module", autouse=True)
def server(mesh_namespace, start_server):
    mesh_namespace.apply(*shop.OBJECTS)
    kafka = {"name": "kafka", "match": {"dependencies": ["kafka"]}, "action": "bypass", "ports": "detected"}
    start_server(shop.policy(shop.BYPASS_CLIENTS | {"hold": True}, kafka)).register(mesh_namespace.name)


def kafka_spec():
    """The spec of a client of Kafka on a port that is not its usual one."""
    env = [{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "kafka-0.kafka:9094,kafka-1.kafka:9094"}]
    return {"containers": [{"name": "stream", "image": "shop/stream:1", "env": env}]}


def waits_for_proxy(pod):
    """Whether the proxy is a container that starts first, and that the others wait for."""
    first = pod["spec"]["containers"][0]
    return first["name"] == "istio-proxy" and "wait" in str(first.get("lifecycle", {}).get("postStart"))


def excluded(pod):
    """The outbound ports that istio-init takes out of the proxy."""
    arguments = next(one for one in containers(pod) if one["name"] == "istio-init")["args"]
    return set(arguments[arguments.index("-o") + 1].split(",")) if "-o" in arguments else set()


def test_the_bypassed_ports_arrive_in_istio_init(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert excluded(pod) == {"5672", "6379"}


def test_a_pod_that_is_no_client_has_all_of_its_ports_in_the_proxy(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("plain", shop.plain_spec()))

    assert has_sidecar(pod)
    assert excluded(pod) <= {""}


def test_the_authors_own_port_stays_beside_ours(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("own", shop.client_spec(), annotations={EXCLUDE: "9092"}))

    assert excluded(pod) == {"9092", "5672", "6379"}


def test_a_held_pod_starts_after_its_native_sidecar(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("held", shop.client_spec()))

    sidecar = next(one for one in pod["spec"]["initContainers"] if one["name"] == "istio-proxy")
    assert sidecar["restartPolicy"] == "Always"
    assert "startupProbe" in sidecar
    assert "holdApplicationUntilProxyStarts: true" in pod["metadata"]["annotations"]["proxy.istio.io/config"]


def test_a_client_of_kafka_bypasses_the_port_that_its_brokers_are_named_with(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("stream", kafka_spec()))

    assert has_sidecar(pod)
    assert excluded(pod) == {"9094"}
    assert CONFIG not in pod["metadata"]["annotations"]


def test_where_native_sidecars_are_off_a_held_pod_starts_its_proxy_first_and_waits_for_it(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("classic", shop.client_spec(), annotations=NO_NATIVE))

    assert waits_for_proxy(pod)


def test_where_native_sidecars_are_off_a_pod_that_is_not_held_waits_for_nothing(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("unheld", kafka_spec(), annotations=NO_NATIVE))

    assert has_sidecar(pod)
    assert not waits_for_proxy(pod)


def test_the_authors_proxy_configuration_stays_beside_hold(mesh_namespace):
    own = NO_NATIVE | {CONFIG: "concurrency: 3"}
    pod = mesh_namespace.create(shop.pod("tuned", shop.client_spec(), annotations=own))

    proxy = pod["spec"]["containers"][0]
    assert waits_for_proxy(pod)
    assert '"concurrency":3' in next(one["value"] for one in proxy["env"] if one["name"] == "PROXY_CONFIG")


def test_an_author_who_does_not_want_to_wait_is_not_held(mesh_namespace):
    own = NO_NATIVE | {CONFIG: "holdApplicationUntilProxyStarts: false"}
    pod = mesh_namespace.create(shop.pod("hasty", shop.client_spec(), annotations=own))

    assert not waits_for_proxy(pod)
    assert excluded(pod) == {"5672", "6379"}
