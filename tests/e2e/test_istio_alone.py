"""What Istio does without us: the ground on which all other scenarios stand."""

import pytest
import shop
from api import containers, has_sidecar


def test_a_plain_pod_in_a_labelled_namespace_gets_a_native_sidecar(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("plain", shop.plain_spec()))

    sidecar = next(one for one in pod["spec"]["initContainers"] if one["name"] == "istio-proxy")
    assert sidecar["restartPolicy"] == "Always"


def test_a_pod_in_a_namespace_without_labels_gets_none(make_namespace):
    pod = make_namespace({}).create(shop.pod("plain", shop.plain_spec()))

    assert [one["name"] for one in containers(pod)] == ["web"]


def test_a_pod_labelled_out_is_never_sent_to_istio(mesh_namespace):
    pod = mesh_namespace.create(shop.pod("out", shop.plain_spec(), labels={"sidecar.istio.io/inject": "false"}))

    assert not has_sidecar(pod)
    assert mesh_namespace.admission("out").called == ()


def test_a_pod_annotated_out_costs_a_call_of_istio(mesh_namespace):
    out = {"sidecar.istio.io/inject": "false"}
    pod = mesh_namespace.create(shop.pod("annotated", shop.plain_spec(), annotations=out))

    assert not has_sidecar(pod)
    assert mesh_namespace.admission("annotated").called == ("istio-sidecar-injector",)


@pytest.mark.parametrize(
    ("namespace_labels", "pod_labels", "injected"),
    [
        ({"istio.io/rev": "default"}, {}, True),
        ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, False),
        ({}, {"sidecar.istio.io/inject": "true"}, True),
        ({}, {"istio.io/rev": "default"}, True),
        ({"istio.io/dataplane-mode": "ambient"}, {}, False),
    ],
    ids=["namespace revision", "namespace disabled", "pod label", "pod revision", "ambient"],
)
def test_istio_injects_by_its_labels(make_namespace, namespace_labels, pod_labels, injected):
    pod = make_namespace(namespace_labels).create(shop.pod("labelled", shop.plain_spec(), labels=pod_labels))

    assert has_sidecar(pod) is injected
