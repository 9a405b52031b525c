"""What counts as Istio's sidecar, and what only looks like it."""

from __future__ import annotations

import msgspec
import pytest
from injected import CORE_DUMP, GATEWAY, INIT, NATIVE, SIDECAR, VALIDATION

from webhook.kubernetes.pod import Container, Pod
from webhook.mesh.created import as_created
from webhook.mesh.eligibility import is_istio_container, sidecar_of

IMAGES = [
    "docker.io/istio/proxyv2:1.20.8",
    "istio/proxyv2:1.28.0-distroless",
    "gcr.io/istio-release/proxyv2:1.24-debug",
    "registry.redhat.io/openshift-service-mesh/istio-proxyv2-rhel9@sha256:" + "0" * 64,
    "registry.redhat.io/openshift-service-mesh/proxyv2-rhel8:2.6",
    "gcr.io/gke-release/asm/proxyv2:1.23.4-asm.1",
    "mirror.example:5000/mesh/sidecar",
]
OTHERS = [
    "evil/proxyv2-app",
    "x/myproxyv2hack",
    "evil/proxyv2",
    "docker.io/istio/proxyv2:1.27.0",
    "registry.example/own:1",
]


def pod(*containers, init=()):
    app = {"name": "app", "image": "app"}
    return {"metadata": {}, "spec": {"containers": [app, *containers], "initContainers": list(init)}}


def has_sidecar(document):
    return sidecar_of(msgspec.convert(document, Pod)) is not None


def without(container, field, name):
    key = "mountPath" if field == "volumeMounts" else "name"
    return container | {field: [one for one in container[field] if one[key] != name]}


@pytest.mark.parametrize("image", IMAGES)
def test_every_sidecar_of_istios_counts_whatever_its_image(image):
    assert has_sidecar(pod(SIDECAR | {"image": image}))
    assert has_sidecar(pod(GATEWAY | {"image": image}))
    assert has_sidecar(pod(init=[INIT, NATIVE | {"image": image}]))


@pytest.mark.parametrize(
    "custom",
    [
        {"command": ["envoy"], "args": ["-c", "my-config.yaml"]},
        {"env": [*SIDECAR["env"], {"name": "FOO", "value": "bar"}]},
        {"volumeMounts": [*SIDECAR["volumeMounts"], {"name": "certs", "mountPath": "/etc/certs"}]},
        {"ports": [], "securityContext": {"runAsUser": 0}, "lifecycle": {"preStop": {"exec": {"command": ["sleep"]}}}},
        {"args": ["proxy", "waypoint"]},
    ],
)
def test_a_sidecar_that_its_author_customised_counts(custom):
    assert has_sidecar(pod(SIDECAR | custom))


@pytest.mark.parametrize("image", OTHERS)
@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"args": ["proxy"]},
        {"args": SIDECAR["args"]},
        {"args": SIDECAR["args"], "ports": SIDECAR["ports"], "securityContext": SIDECAR["securityContext"]},
        {"args": SIDECAR["args"], "env": [{"name": "PROXY_CONFIG", "value": "{}"}]},
        {"args": SIDECAR["args"], "env": SIDECAR["env"]},
        {"args": SIDECAR["args"], "volumeMounts": SIDECAR["volumeMounts"]},
        {
            "volumeMounts": SIDECAR["volumeMounts"],
            "env": [{"name": one["name"], "value": "x"} for one in SIDECAR["env"]],
        },
    ],
)
def test_a_container_that_imitates_some_of_it_is_no_sidecar_and_is_read_as_the_applications(image, rest):
    imitated = {"name": "istio-proxy", "image": image} | rest

    assert not has_sidecar(pod(imitated))
    assert not has_sidecar(pod(init=[imitated | {"restartPolicy": "Always"}]))
    assert not is_istio_container(msgspec.convert(imitated, Container))
    assert as_created(pod(imitated))["spec"]["containers"][1] == imitated


@pytest.mark.parametrize(
    ("field", "name"),
    [("volumeMounts", path) for path in ("/etc/istio/proxy", "/etc/istio/pod", "/var/lib/istio/data")]
    + [("env", name) for name in ("POD_NAME", "POD_NAMESPACE", "INSTANCE_IP", "PROXY_CONFIG", "CA_ADDR")]
    + [("env", "ISTIO_META_CLUSTER_ID")],
)
def test_a_sidecar_that_lacks_a_part_of_what_istio_writes_is_none(field, name):
    assert not has_sidecar(pod(without(SIDECAR, field, name)))


@pytest.mark.parametrize("image", ["auto", "", None])
@pytest.mark.parametrize("rest", [{}, {"env": [{"name": "FOO", "value": "bar"}]}, SIDECAR])
def test_a_container_whose_image_the_injector_fills_in_is_istios_and_no_sidecar_yet(image, rest):
    custom = rest | {"name": "istio-proxy", "image": image}

    assert not has_sidecar(pod(custom))
    assert is_istio_container(msgspec.convert(custom, Container))


def test_an_init_container_that_ends_is_no_sidecar():
    assert not has_sidecar(pod(init=[SIDECAR]))


@pytest.mark.parametrize("container", [INIT, VALIDATION, CORE_DUMP], ids=lambda one: one["name"])
def test_istios_init_containers_are_told_by_what_they_run(container):
    for image in [*IMAGES, *OTHERS]:
        assert is_istio_container(msgspec.convert(container | {"image": image}, Container))
        for other in ({"args": []}, {"args": ["istio-iptables"]}, {"args": ["proxy"]}, {"args": ["-c", "true"]}):
            assert not is_istio_container(msgspec.convert(container | {"image": image} | other, Container))
    if container is not CORE_DUMP:
        assert not is_istio_container(msgspec.convert(container | {"command": ["/own"]}, Container))


def test_a_name_of_another_container_is_never_istios():
    assert not is_istio_container(msgspec.convert(SIDECAR | {"name": "app"}, Container))
