"""The chart on an API server: who is sent to the webhook, and what upgrades and an uninstall leave.

No server runs behind the Service, so each webhook that is called fails, and failurePolicy Ignore has the API server
note that in its audit log: that is how it shows who was called.
"""

import base64
import json

import helm as helm_
import pytest
import shop
from admission_audit import admission
from api import eventually
from helm import CHART
from product import CONFIGURATION, VALIDATING, unregister

NAMESPACE = "sidecar-policy-chart"
WEBHOOKS = "0-sidecar-policy"
INJECT = "sidecar.istio.io/inject"
DECISION = "sidecar-policy.dev/decision"
FAST = {"webhooks": {"timeoutSeconds": 1}}
MIRROR = {"kubernetes.io/config.mirror": "x"}


@pytest.fixture(scope="module")
def helm(plane):
    return helm_.Helm(plane)


@pytest.fixture(scope="module")
def namespace(make_namespace):
    return make_namespace({"istio-injection": "enabled"}, name="chart")


@pytest.fixture(scope="module")
def release(plane, helm, namespace):
    """The chart with its default values, but for a shorter timeout."""
    place = ("--namespace", NAMESPACE)
    helm("install", "sidecar-policy", CHART, *place, "--create-namespace", values=FAST)
    called(plane, namespace, "first")
    yield lambda command, *arguments, values=None: helm(command, "sidecar-policy", *arguments, *place, values=values)
    unregister(plane.api)


def called(plane, namespace, name):
    """Wait until the API server calls the webhook: it learns of configurations a moment later."""

    def sent():
        namespace.create(shop.pod(name, shop.plain_spec()), dry_run=True)
        return namespace.admission(name).failed_open

    eventually(sent, what="the webhook is called")


def put(plane, kind, authority):
    patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": authority}]
    path = f"/apis/{kind.lower()}s/{WEBHOOKS}"
    plane.api.request("PATCH", path, patch, content_type="application/json-patch+json")


def bundles(plane):
    return {
        kind: plane.api.get(kind, WEBHOOKS)["webhooks"][0]["clientConfig"].get("caBundle")
        for kind in (CONFIGURATION, VALIDATING)
    }


def policy_of(plane):
    return plane.api.get("ConfigMap", "sidecar-policy-policy", NAMESPACE)["data"]["policy.yaml"]


@pytest.mark.parametrize(
    ("name", "pod", "sent"),
    [
        ("plain", {}, True),
        ("wants", {"labels": {INJECT: "true"}}, True),
        ("label-no", {"labels": {INJECT: "false"}}, False),
        ("annotation-no", {"annotations": {INJECT: "false"}}, False),
        ("label-wins-no", {"labels": {INJECT: "false"}, "annotations": {INJECT: "true"}}, False),
        ("label-wins-yes", {"labels": {INJECT: "true"}, "annotations": {INJECT: "false"}}, True),
        ("skipped-by-us", {"labels": {INJECT: "false"}, "annotations": {DECISION: "skip"}}, True),
        ("on-the-hosts-network", {"spec": {"hostNetwork": True}}, False),
        ("not-on-the-hosts-network", {"spec": {"hostNetwork": False}}, True),
    ],
)
def test_only_pods_that_need_a_decision_are_sent(release, namespace, name, pod, sent):
    spec = shop.plain_spec(**pod.pop("spec", {}))

    namespace.create(shop.pod(name, spec, **pod), dry_run=True)

    assert bool(namespace.admission(name).failed_open) is sent


def test_a_pod_without_any_metadata_of_its_own_is_sent(release, namespace, plane):
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": shop.plain_spec()}

    namespace.create(bare, dry_run=True)

    assert namespace.admission("bare").failed_open


@pytest.mark.parametrize("exempt", ["kube-system", NAMESPACE, "kube-public"])
def test_pods_of_exempt_namespaces_are_not_sent(release, plane, exempt):
    eventually(lambda: plane.api.list("ServiceAccount", exempt), what=f"a service account in {exempt}")
    pod = shop.pod("exempt", shop.plain_spec())
    pod["metadata"]["namespace"] = exempt

    plane.api.create(pod, dry_run=True)

    assert admission(plane.audit_log, exempt, "exempt").failed_open == ()


def test_a_policy_that_overrides_has_explicit_pods_sent(release, namespace, plane):
    release("upgrade", CHART, values=FAST | {"policy": {"spec": {"explicit": "override"}}})

    def sent():
        namespace.create(shop.pod("overridden", shop.plain_spec(), labels={INJECT: "false"}), dry_run=True)
        return namespace.admission("overridden").failed_open

    eventually(sent, what="a pod that says no is sent")
    release("rollback", "1")


def test_an_upgrade_and_a_rollback_leave_the_authority_where_the_server_put_it(release, plane):
    authority = base64.b64encode(plane.authority.certificate.read_bytes()).decode()
    for kind in (CONFIGURATION, VALIDATING):
        put(plane, kind, authority)
    before = policy_of(plane)

    release("upgrade", CHART, values=FAST | {"policy": {"spec": {"default": "skip"}}, "commonLabels": {"team": "mesh"}})

    assert "default: skip" in policy_of(plane)
    assert set(bundles(plane).values()) == {authority}

    release("rollback", "1")

    assert policy_of(plane) == before
    assert set(bundles(plane).values()) == {authority}


def test_an_uninstall_leaves_only_what_is_documented(release, plane, helm, namespace):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sidecar-policy-certificates", "namespace": NAMESPACE},
    }
    plane.api.apply(secret)
    kinds = "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget"

    release("uninstall", "--wait")

    left = json.loads(helm.kubectl("get", kinds, "--namespace", NAMESPACE, "-o", "json"))["items"]
    ours = {one["metadata"]["name"] for one in left if "sidecar-policy" in one["metadata"]["name"]}
    assert ours == {"sidecar-policy-certificates"}
    for kind in (CONFIGURATION, VALIDATING):
        assert WEBHOOKS not in [one["metadata"]["name"] for one in plane.api.list(kind)]
    assert helm.kubectl("get", "clusterrole,clusterrolebinding", "-l", "app.kubernetes.io/name=sidecar-policy") == ""
