"""A decision is made exactly where Istio would inject; elsewhere the pod is stored as if we were not there.

Each pod is created twice: where nobody but Istio sees it, and in a namespace of the same labels where we are called.
The policy lets its rules win over what pods say themselves, so that nothing but Istio's own rule is left to differ.
"""

import json
import re

import pytest
import shop
from api import eventually, has_sidecar

ENABLED = {"istio-injection": "enabled"}
INJECT = {"sidecar.istio.io/inject": "true"}
REVISION = {"istio.io/rev": "default"}
AMBIENT = {"istio.io/dataplane-mode": "ambient"}
NO_REVISION = {"istio.io/rev": ""}


@pytest.fixture(scope="module")
def server(start_server):
    policy = shop.policy(shop.SKIP_CLIENTS)
    policy["spec"]["explicit"] = "override"
    return start_server(policy)


@pytest.fixture
def make_place(make_namespace, server):
    """Make a namespace with the shop in it, and register our server there if that is wanted."""

    def make(labels, *, registered=True):
        namespace = make_namespace(labels)
        namespace.apply(*shop.OBJECTS)
        if registered:
            server.register(namespace.name)
        return namespace

    return make


def content(pod):
    """All that creators, Istio and we say about a pod: without its identity and the name of its token's volume."""
    metadata = {key: pod["metadata"].get(key, {}) for key in ("labels", "annotations")}
    return json.loads(re.sub(r"kube-api-access-\w+", "token", json.dumps([metadata, pod["spec"]])))


def client(name="client", *, labels=None, annotations=None, **fields):
    return shop.pod(name, shop.client_spec(**fields), labels=labels, annotations=annotations)


@pytest.mark.parametrize(
    ("namespace_labels", "pod"),
    [
        (ENABLED, client()),
        (REVISION, client()),
        ({}, client(labels=INJECT)),
        ({}, client(labels=REVISION)),
        (ENABLED | {"istio.io/rev": "other"}, client()),
        (ENABLED | AMBIENT, client()),
        (ENABLED, client(labels=AMBIENT)),
        (AMBIENT, client(labels=INJECT)),
        (ENABLED, client(labels={"sidecar.istio.io/inject": "yes"})),
        (ENABLED, client(labels=NO_REVISION)),
        (ENABLED | NO_REVISION, client()),
        (REVISION, client(labels=NO_REVISION)),
        (ENABLED, client(annotations={"sidecar.istio.io/status": "{}"})),
    ],
    ids=[
        "namespace enabled",
        "namespace revision",
        "pod label",
        "pod revision",
        "enabled, and another revision",
        "enabled, and ambient",
        "enabled, and an ambient pod",
        "ambient, and pod label",
        "enabled, and an invalid pod label",
        "enabled, and a pod revision without a name",
        "enabled, and a revision without a name",
        "namespace revision, and a pod revision without a name",
        "enabled, and a status that nobody but the author wrote",
    ],
)
def test_where_istio_would_inject_a_decision_is_made(make_place, namespace_labels, pod):
    alone = make_place(namespace_labels, registered=False).create(pod)
    ours = make_place(namespace_labels)
    decided = ours.create(pod)

    assert has_sidecar(alone)
    assert not has_sidecar(decided)
    assert decided["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert decided["metadata"]["annotations"]["sidecar-policy.dev/rule"] == "clients"
    assert ours.admission("client").said["decision"] == "skip"


@pytest.mark.parametrize(
    ("namespace_labels", "pod", "reason"),
    [
        ({}, client(), "not-in-mesh"),
        ({}, client(annotations=INJECT), "not-in-mesh"),
        ({"istio-injection": "disabled"}, client(), "namespace-disabled"),
        ({"istio-injection": "disabled"}, client(labels=INJECT), "namespace-disabled"),
        ({"istio-injection": "disabled"} | REVISION, client(labels=REVISION), "namespace-disabled"),
        ({"istio-injection": "true"}, client(labels=INJECT), "namespace-disabled"),
        (AMBIENT, client(), "ambient"),
        ({}, client(labels=AMBIENT), "ambient"),
        (NO_REVISION, client(), "not-in-mesh"),
        (NO_REVISION, client(labels=INJECT), "not-in-mesh"),
        (NO_REVISION, client(labels=REVISION), "not-in-mesh"),
        ({}, client(labels=NO_REVISION), "not-in-mesh"),
        ({}, client(labels=NO_REVISION | INJECT), "not-in-mesh"),
        (REVISION, client(hostNetwork=True), "host-network"),
        ({}, client(labels=INJECT, hostNetwork=True), "host-network"),
    ],
    ids=[
        "no label",
        "pod annotation",
        "disabled",
        "disabled, and pod label",
        "disabled, and revisions",
        "neither enabled nor disabled",
        "ambient",
        "ambient pod",
        "a revision without a name",
        "a revision without a name, and pod label",
        "a revision without a name, and pod revision",
        "a pod revision without a name",
        "a pod revision without a name, and pod label",
        "host network, and revision",
        "host network, and pod label",
    ],
)
def test_where_istio_would_not_inject_nothing_is_changed(make_place, namespace_labels, pod, reason):
    alone = make_place(namespace_labels, registered=False).create(pod)
    ours = make_place(namespace_labels)
    left_alone = ours.create(pod)

    assert not has_sidecar(alone)
    assert content(left_alone) == content(alone)
    assert ours.admission("client").said["decision"] == "inherit"
    assert ours.admission("client").said["reason"] == reason


@pytest.fixture(scope="module")
def injecting(start_server):
    """A server whose policy gives every pod a sidecar."""
    policy = shop.policy({"name": "everybody", "match": {"namespaces": ["*"]}, "action": "inject"})
    policy["spec"]["explicit"] = "override"
    return start_server(policy)


@pytest.mark.parametrize(
    ("namespace_labels", "pod", "taken"),
    [
        ({}, client(), True),
        ({}, client(labels={"sidecar.istio.io/inject": "false"}), True),
        ({}, client(labels=AMBIENT), True),
        ({}, client(labels={"sidecar.istio.io/inject": "false"}, annotations={"sidecar.istio.io/status": "{}"}), True),
        (ENABLED, client(labels={"sidecar.istio.io/inject": "false"}), True),
        ({}, client(labels=NO_REVISION), False),
        (NO_REVISION, client(), False),
        ({"istio-injection": "disabled"}, client(), False),
        (AMBIENT, client(), False),
    ],
    ids=[
        "no label",
        "no label, and the pod's own no",
        "no label, and an ambient pod",
        "no label, and a status that nobody but the author wrote",
        "enabled, and the pod's own no",
        "a pod revision without a name",
        "a revision without a name",
        "disabled",
        "ambient",
    ],
)
def test_inject_gives_a_sidecar_wherever_istio_takes_the_label(make_namespace, injecting, namespace_labels, pod, taken):
    namespace = make_namespace(namespace_labels)
    namespace.apply(*shop.OBJECTS)
    injecting.register(namespace.name)

    assert has_sidecar(namespace.create(pod)) is taken


def test_a_system_namespace_is_never_injected_whatever_its_labels(istio, server):
    server.register("kube-public")
    istio.api.merge("Namespace", "kube-public", {"metadata": {"labels": ENABLED}})
    try:
        pod = client(labels=INJECT)
        pod["metadata"]["namespace"] = "kube-public"
        before = server.metric("sidecar_policy_decisions_total", reason="system-namespace")
        created = istio.api.create(pod, dry_run=True)
        after = server.metric("sidecar_policy_decisions_total", reason="system-namespace")
    finally:
        istio.api.merge("Namespace", "kube-public", {"metadata": {"labels": dict.fromkeys(ENABLED)}})

    assert not has_sidecar(created)
    assert created["metadata"]["labels"] == INJECT
    assert after == before + 1


def test_a_namespace_that_is_taken_into_the_mesh_has_its_next_pods_decided(make_place, istio):
    namespace = make_place({})
    before = namespace.create(client("before"))

    istio.api.merge("Namespace", namespace.name, {"metadata": {"labels": ENABLED}})
    # The API server itself learns of the label by a watch: the next pod is the first that it sends to Istio.
    eventually(
        lambda: has_sidecar(namespace.create(shop.pod("probe", shop.plain_spec()), dry_run=True)),
        seconds=10,
        what="Istio injects by the new label",
    )
    after = namespace.create(client("after"))

    assert "annotations" not in before["metadata"]
    assert after["metadata"]["annotations"]["sidecar-policy.dev/rule"] == "clients"
    assert not has_sidecar(after)


@pytest.mark.parametrize(
    ("value", "reason"), [(None, "not-in-mesh"), ("disabled", "namespace-disabled")], ids=["removed", "disabled"]
)
def test_a_namespace_that_is_taken_out_of_the_mesh_has_its_next_pods_left_alone(make_place, istio, value, reason):
    namespace = make_place(ENABLED)
    before = namespace.create(client("before"))

    istio.api.merge("Namespace", namespace.name, {"metadata": {"labels": {"istio-injection": value}}})
    eventually(
        lambda: not has_sidecar(namespace.create(shop.pod("probe", shop.plain_spec()), dry_run=True)),
        seconds=10,
        what="Istio injects no longer",
    )
    after = namespace.create(client("after"))

    assert before["metadata"]["annotations"]["sidecar-policy.dev/rule"] == "clients"
    assert "annotations" not in after["metadata"]
    assert namespace.admission("after").said["reason"] == reason
