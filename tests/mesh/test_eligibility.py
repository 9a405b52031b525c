from __future__ import annotations

import pytest

from webhook.core.decision import Reason
from webhook.kubernetes.pod import Container, ObjectMeta, Pod, PodSpec
from webhook.mesh.data_plane import Explicit
from webhook.mesh.eligibility import explicit_choice, ineligibility

IN_MESH = None
ROWS = [
    # namespace labels, pod labels, pod annotations, outcome
    ({}, {}, {}, Reason.NOT_IN_MESH),
    ({"istio-injection": "enabled"}, {}, {}, IN_MESH),
    ({"istio-injection": "disabled"}, {}, {}, Reason.NAMESPACE_DISABLED),
    ({"istio-injection": "Enabled"}, {}, {}, Reason.NAMESPACE_DISABLED),
    ({"istio-injection": "disabled"}, {"sidecar.istio.io/inject": "true"}, {}, Reason.NAMESPACE_DISABLED),
    ({"istio-injection": "disabled", "istio.io/rev": "canary"}, {}, {}, Reason.NAMESPACE_DISABLED),
    ({"istio-injection": "enabled", "istio.io/rev": "canary"}, {}, {}, IN_MESH),
    ({"istio.io/rev": "canary"}, {}, {}, IN_MESH),
    ({"istio.io/rev": "canary"}, {"sidecar.istio.io/inject": "false"}, {}, IN_MESH),
    ({}, {"sidecar.istio.io/inject": "true"}, {}, IN_MESH),
    ({}, {"sidecar.istio.io/inject": "false"}, {}, Reason.NOT_IN_MESH),
    ({}, {"sidecar.istio.io/inject": "True"}, {}, Reason.NOT_IN_MESH),
    ({}, {"istio.io/rev": "canary"}, {}, IN_MESH),
    ({}, {}, {"sidecar.istio.io/inject": "true"}, Reason.NOT_IN_MESH),
    ({"istio.io/dataplane-mode": "ambient"}, {}, {}, Reason.AMBIENT),
    ({}, {"istio.io/dataplane-mode": "ambient"}, {}, Reason.AMBIENT),
    ({"istio.io/dataplane-mode": "ambient", "istio-injection": "enabled"}, {}, {}, IN_MESH),
    ({"istio.io/dataplane-mode": "ambient"}, {"sidecar.istio.io/inject": "true"}, {}, IN_MESH),
    ({"istio-injection": "enabled"}, {}, {"sidecar.istio.io/status": "{}"}, IN_MESH),
    ({"istio.io/rev": ""}, {}, {}, Reason.NOT_IN_MESH),
    ({"istio.io/rev": ""}, {"sidecar.istio.io/inject": "true"}, {}, Reason.NOT_IN_MESH),
    ({"istio.io/rev": ""}, {"istio.io/rev": "canary"}, {}, Reason.NOT_IN_MESH),
    ({"istio.io/rev": "", "istio-injection": "enabled"}, {}, {}, IN_MESH),
    ({"istio.io/rev": "canary"}, {"istio.io/rev": ""}, {}, IN_MESH),
    ({}, {"istio.io/rev": ""}, {}, Reason.NOT_IN_MESH),
    ({}, {"istio.io/rev": "", "sidecar.istio.io/inject": "true"}, {}, Reason.NOT_IN_MESH),
    ({"istio-injection": ""}, {"sidecar.istio.io/inject": "true"}, {}, Reason.NAMESPACE_DISABLED),
]


def _pod(labels=None, annotations=None, **spec):
    return Pod(ObjectMeta(labels=labels, annotations=annotations), PodSpec(**spec))


@pytest.mark.parametrize(("namespace_labels", "labels", "annotations", "expected"), ROWS)
def test_a_pod_is_outside_the_mesh_exactly_where_no_selector_of_istio_takes_it(
    namespace_labels, labels, annotations, expected
):
    assert ineligibility("shop", namespace_labels, _pod(labels, annotations)) is expected


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"])
def test_kubernetes_own_namespaces_are_never_injected(namespace):
    assert ineligibility(namespace, {"istio-injection": "enabled"}, _pod()) is Reason.SYSTEM_NAMESPACE


def test_a_pod_on_the_hosts_network_is_never_injected():
    assert ineligibility("shop", {"istio-injection": "enabled"}, _pod(host_network=True)) is Reason.HOST_NETWORK


def test_a_declared_istio_proxy_container_is_a_customisation_and_no_injection():
    pod = _pod(containers=[Container(name="istio-proxy", image="auto")])

    assert ineligibility("shop", {"istio-injection": "enabled"}, pod) is IN_MESH


@pytest.mark.parametrize(
    ("label", "annotation", "expected"),
    [
        (None, None, None),
        ("true", None, Explicit.INJECT),
        ("false", None, Explicit.SKIP),
        (None, "false", Explicit.SKIP),
        (None, "true", Explicit.INJECT),
        ("true", "false", Explicit.INJECT),
        ("false", "true", Explicit.SKIP),
        ("False", None, None),
        ("no", None, None),
        ("", "true", None),
    ],
)
def test_the_label_wins_over_the_annotation_and_only_true_and_false_count(label, annotation, expected):
    key = "sidecar.istio.io/inject"
    pod = _pod(label and {key: label} if label != "" else {key: ""}, annotation and {key: annotation})

    assert explicit_choice(pod) is expected
