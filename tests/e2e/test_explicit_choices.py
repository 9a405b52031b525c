"""What the pod's author wrote about injection, and pods that Istio never injects."""

import pytest
import shop
from api import has_sidecar

INJECT = "sidecar.istio.io/inject"


@pytest.fixture(scope="module", autouse=True)
def server(mesh_namespace, start_server):
    mesh_namespace.apply(*shop.OBJECTS)
    start_server().register(mesh_namespace.name)


def test_a_client_that_says_inject_keeps_its_sidecar(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("wants", shop.client_spec(), labels={INJECT: "true"}))

    assert has_sidecar(pod)
    assert pod["metadata"]["labels"][INJECT] == "true"


def test_a_client_whose_annotation_says_inject_keeps_its_sidecar(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("annotated", shop.client_spec(), annotations={INJECT: "true"}))

    assert has_sidecar(pod)
    assert INJECT not in pod["metadata"]["labels"]


def test_a_plain_pod_that_says_no_gets_no_sidecar(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("refuses", shop.plain_spec(), labels={INJECT: "false"}))

    assert not has_sidecar(pod)


def test_a_client_on_the_hosts_network_is_left_alone(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("host", shop.client_spec(hostNetwork=True)))

    assert not has_sidecar(pod)
    assert INJECT not in pod["metadata"].get("labels", {})
    assert mesh_namespace.admission("host").said["reason"] == "host-network"


def test_a_dry_run_says_what_would_be_stored_and_stores_nothing(mesh_namespace, istio):
    pod = mesh_namespace.create(shop.pod("dry", shop.client_spec()), dry_run=True)

    assert pod["metadata"]["labels"][INJECT] == "false"
    assert not has_sidecar(pod)
    assert "dry" not in {one["metadata"]["name"] for one in istio.api.list("Pod", mesh_namespace.name)}
