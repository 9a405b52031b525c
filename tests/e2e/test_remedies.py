"""The gentler remedies, in what Istio's injector renders of them."""

import pytest
import shop
from api import containers, has_sidecar

EXCLUDE = "traffic.sidecar.istio.io/excludeOutboundPorts"


@pytest.fixture(scope="module", autouse=True)
def server(mesh_namespace, start_server):
    mesh_namespace.apply(*shop.OBJECTS)
    start_server(shop.policy(shop.BYPASS_CLIENTS | {"hold": True})).register(mesh_namespace.name)


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


def test_where_native_sidecars_are_off_a_held_pod_starts_its_proxy_first_and_waits_for_it(mesh_namespace):
    off = {"sidecar.istio.io/nativeSidecar": "false"}
    pod = mesh_namespace.create(shop.pod("classic", shop.client_spec(), annotations=off))

    first = pod["spec"]["containers"][0]
    assert first["name"] == "istio-proxy"
    assert "wait" in first["lifecycle"]["postStart"]["exec"]["command"]
