"""What a snapshot of a cluster says about Istio's configuration, and what of it could not be read."""

from __future__ import annotations

import asyncio

import pytest

from webhook.cluster.client import connect
from webhook.inventory.snapshot import read
from webhook.mesh.config import KINDS, SETTINGS, plural

PATHS = {kind: f"{group}/{name}" for kind, group, name in KINDS}
MESH = "/api/v1/namespaces/istio-system/configmaps/istio"
STRICT = {"metadata": {"name": "strict", "namespace": "istio-system"}, "spec": {"mtls": {"mode": "STRICT"}}}
SETTING = {
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"},
}


@pytest.fixture
def snapshot(kubeconfig, api):
    def taken(*, namespace=None, whole=True):
        return asyncio.run(read(connect(kubeconfig), namespace=namespace, secrets=False, whole=whole))

    api.put("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    api.put("/api/v1/configmaps", SETTING)
    return taken


def test_istios_objects_and_the_settings_are_read(snapshot, api):
    api.put(PATHS["PeerAuthentication"], STRICT)
    api.put(PATHS["Sidecar"], {"metadata": {"name": "s", "namespace": "shop"}})
    api.put(PATHS["ServiceEntry"], {"metadata": {"name": "e", "namespace": "shop"}, "spec": {"hosts": ["a.example"]}})
    istio = snapshot().istio

    assert istio.strict("shop", {}).metadata.name == "strict"
    assert [str(found.metadata) for found in (*istio.sidecars, *istio.entries)] == ["shop/s", "shop/e"]
    assert istio.settings.registry_only
    assert istio.missing == ()


@pytest.mark.parametrize("status", [403, 404])
def test_a_kind_that_cannot_be_listed_is_missing(snapshot, api, status):
    api.refusals[PATHS["ServiceEntry"]] = (status, "not for you")
    api.refusals[MESH] = (status, "not for you")

    there = [] if status == 404 else ["ServiceEntries"]  # what the API server does not have is not missing
    assert sorted(snapshot().istio.missing) == sorted([*there, SETTINGS])


def test_kinds_of_one_namespace_are_missing_elsewhere(snapshot, api):
    api.refusals[PATHS["PeerAuthentication"]] = (403, "not for you")

    assert snapshot(namespace="shop").istio.missing == ("PeerAuthentications of other namespaces",)


def test_what_was_not_asked_for_is_missing(snapshot):
    assert sorted(snapshot(whole=False).istio.missing) == sorted([*map(plural, PATHS), SETTINGS])


@pytest.mark.parametrize(("ready", "all_ready"), [((True, True), True), ((True, False), False), ((), False)])
def test_a_running_pod_has_its_address_and_whether_it_is_ready(snapshot, api, ready, all_ready):
    statuses = [{"name": f"c{number}", "ready": one} for number, one in enumerate(ready)]
    status = {"podIP": "10.0.0.7", "containerStatuses": statuses}
    meta = {"name": "b", "namespace": "shop"}
    api.put("/api/v1/pods", {"metadata": meta, "spec": {"containers": []}, "status": status})

    (running,) = snapshot().running
    assert (running.ip, running.ready) == ("10.0.0.7", all_ready)
    assert "status" not in running.document()


def test_workloads_and_pods_are_behind_services(snapshot, api):
    meta = {"labels": {"app": "cache"}}
    spec = {"containers": [{"name": "redis", "image": "redis:7", "ports": [{"containerPort": 6379}]}]}
    template = {"metadata": meta, "spec": spec}
    api.put(
        "/api/v1/services", {"metadata": {"name": "cache", "namespace": "shop"}, "spec": {"selector": {"app": "cache"}}}
    )
    api.put(
        "/apis/apps/v1/statefulsets", {"metadata": {"name": "a", "namespace": "shop"}, "spec": {"template": template}}
    )
    api.put("/api/v1/pods", {"metadata": meta | {"name": "b", "namespace": "shop"}, "spec": spec})

    backings = snapshot().behind("shop", "cache")
    assert [(backing.kind, backing.name) for backing in backings] == [("Pod", "b"), ("StatefulSet", "a")]
    assert backings[0].outline.metadata.name == "b"
