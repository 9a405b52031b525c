"""The end of a release: nobody is kept waiting for it, and what stays is what is documented."""

import pytest
from helm import CHART
from installed import NAMESPACE, REPLICAS, install
from product import CONFIGURATION, VALIDATING

SECRET = "sidecar-policy-certificates"


@pytest.fixture(scope="module")
def authority(installed):
    """What was trusted before the uninstall."""
    return installed.api.get("Secret", SECRET, NAMESPACE)["data"]["ca.crt"]


def test_an_uninstall_refuses_no_pod(installed, authority, helm, stream):
    helm(
        "upgrade",
        "sidecar-policy",
        CHART,
        "--namespace",
        NAMESPACE,
        "--reuse-values",
        values={"webhooks": {"failurePolicy": "Fail"}},
    )

    with stream("uninstalled") as pods:
        pods.wait(20)
        helm("uninstall", "sidecar-policy", "--namespace", NAMESPACE, "--wait")
        pods.wait(20)

    assert pods.failures == []
    assert pods.undecided  # by then nobody decides


def test_only_the_certificates_stay(installed, helm, authority):
    place = ("--namespace", NAMESPACE)
    helm.kubectl("wait", "--for=delete", "pods", "--selector", REPLICAS, *place, "--timeout=60s")
    kinds = "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget"
    left = helm.kubectl("get", kinds, *place, "--output", "name").split()

    assert [name for name in left if "sidecar-policy" in name] == [f"secret/{SECRET}"]
    assert installed.api.get("Secret", SECRET, NAMESPACE)["data"]["ca.crt"] == authority
    for kind in (CONFIGURATION, VALIDATING):
        assert installed.api.list(kind) == []
    assert helm.kubectl("get", "clusterrole,clusterrolebinding", "--selector", REPLICAS) == ""


def test_a_new_installation_goes_on_with_them(plane, helm, authority):
    helm.kubectl("delete", "namespace", "shop")

    again = install(plane)

    webhooks = again.api.get(CONFIGURATION, "0-sidecar-policy")["webhooks"]
    assert [one["clientConfig"]["caBundle"] for one in webhooks] == [authority]
