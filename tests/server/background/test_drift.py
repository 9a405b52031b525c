import asyncio
import io
import json
import sys
import threading
from types import SimpleNamespace

import pytest
from injected import SIDECAR
from prometheus_client import CollectorRegistry

from webhook.cluster.client import connect
from webhook.cluster.lease import Lease
from webhook.inventory import manifests
from webhook.policy.source import PolicySource
from webhook.server.admission.pods import Decider
from webhook.server.background.drift import DriftWatch
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.settings import LogFormat
from webhook.verdicts.judge import Judge

PODS = "/api/v1/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/mesh/leases/drift"
POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: ours}
spec:
  rules:
  - {name: stores, match: {dependencies: [redis]}, action: skip}
"""
NAMESPACES = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank, labels: {istio-injection: enabled}}
"""


def running(name, *, namespace="shop", owner=None, url="", sidecars=()):
    """A pod; `owner` is the name of the Deployment behind its ReplicaSet."""
    metadata = {"name": name, "namespace": namespace}
    if owner:
        metadata["labels"] = {"pod-template-hash": "abc"}
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{owner}-abc", "controller": True}
        ]
    environment = [{"name": "URL", "value": url}] if url else []
    app = {"name": "app", "image": "app:1", "env": environment}
    return {"metadata": metadata, "spec": {"containers": [app, *sidecars]}}


@pytest.fixture
def parts(kubeconfig, tmp_path):
    """All that a watch is made of."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "cluster.yaml").write_text(NAMESPACES)
    return SimpleNamespace(
        client=connect(kubeconfig),
        policies=PolicySource([tmp_path / "policy.yaml"]),
        surroundings=manifests.read([str(tmp_path / "cluster.yaml")]),
        metrics=Metrics(CollectorRegistry()),
        lines=io.StringIO(),
        policy_file=tmp_path / "policy.yaml",
    )


def make(parts, *, lease=None, every=0.05, synced=lambda: True):
    return DriftWatch(
        parts.client,
        every=every,
        lease=lease,
        decider=Decider(
            policies=parts.policies, surroundings=parts.surroundings, connections=Judge(parts.surroundings)
        ),
        synced=synced,
        metrics=parts.metrics,
        log=make_logger(parts.lines, LogFormat.JSON),
    )


def run(parts, watch, until, seconds=10.0):
    """Run the watch until a condition holds."""

    async def running():
        stop = asyncio.Event()
        task = asyncio.create_task(watch.watch(stop))
        try:
            async with asyncio.timeout(seconds):
                while not until():
                    await asyncio.sleep(0.01)
        finally:
            stop.set()
            await task
            await parts.client.close()

    asyncio.run(running())


def sample(parts, name, **labels):
    return parts.metrics.registry.get_sample_value(name, labels)


def checked(parts):
    return lambda: sample(parts, "sidecar_policy_drift_checks_total", outcome="completed") > 0


@pytest.fixture
def shop(api):
    api.put(PODS, running("b1", owner="basket", url="redis://:CANARY@cache:6379", sidecars=[SIDECAR]))
    api.put(PODS, running("b2", owner="basket", url="redis://:CANARY@cache:6379", sidecars=[SIDECAR]))
    api.put(PODS, running("web", owner="web", sidecars=[SIDECAR]))
    api.put(PODS, running("late", namespace="bank"))
    return api


STRICT = """
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{name: tcp, port: 6379}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cache, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cache}}
    spec: {containers: [{name: redis, image: "redis:7"}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


def test_connections_of_running_pods_are_judged_as_the_pods_run(shop, parts, tmp_path):
    url = "redis://:CANARY@cache:6379"
    shop.put(PODS, running("a", owner="cache", sidecars=[SIDECAR]))
    shop.put(PODS, running("without", owner="other", url=url))
    (tmp_path / "strict.yaml").write_text(STRICT)
    files = [str(tmp_path / name) for name in ("cluster.yaml", "strict.yaml")]
    parts.surroundings = manifests.read(files)
    watch = make(parts)
    run(parts, watch, checked(parts))

    # The server requires mutual TLS, which two of three clients start; their sidecar is a regular container.
    name = "sidecar_policy_running_connections"
    assert sample(parts, name, outcome="starts-too-early", code="hold-missing", at="client") == 2
    assert sample(parts, name, outcome="refused", code="strict-refuses", at="server") == 1
    assert watch.document()["brokenConnections"] == {"hold-missing": 2, "strict-refuses": 1}
    assert "CANARY" not in parts.lines.getvalue()


def test_drift_is_told_by_workload_with_the_command_that_ends_it(shop, parts):
    watch = make(parts)
    run(parts, watch, checked(parts))
    shown = watch.document()

    assert (shown["pods"], shown["drifted"], shown["problem"]) == (4, 3, None)
    assert shown["policy"] == parts.policies.current.version
    assert [(one["namespace"], one["kind"], one["name"], one["pods"], one["reason"]) for one in shown["workloads"]] == [
        ("bank", "Pod", "late", 1, "sidecar-missing"),
        ("shop", "Deployment", "basket", 2, "sidecar-unwanted"),
    ]
    assert shown["workloads"][0]["restart"] is None
    assert shown["workloads"][1]["restart"] == "kubectl -n shop rollout restart deployment/basket"
    assert shown["workloads"][1]["rule"] == "stores"


def test_drift_is_a_metric_by_namespace_and_reason(shop, parts):
    run(parts, make(parts), checked(parts))

    assert sample(parts, "sidecar_policy_drifted_pods", pod_namespace="shop", reason="sidecar-unwanted") == 2
    assert sample(parts, "sidecar_policy_drifted_pods", pod_namespace="bank", reason="sidecar-missing") == 1
    assert sample(parts, "sidecar_policy_drift_checked_pods") == 4
    assert sample(parts, "sidecar_policy_drift_last_check_timestamp_seconds") > 0


def test_nothing_of_it_holds_a_value_of_a_pod(shop, parts):
    watch = make(parts)
    run(parts, watch, checked(parts))

    assert "CANARY" not in str(watch.document()) + parts.lines.getvalue()


def test_pods_are_listed_in_pages_and_never_watched(shop, parts):
    run(parts, make(parts), checked(parts))
    asked = shop.asked(PODS, watch=False)

    assert shop.asked(PODS, watch=True) == []
    assert asked[0] == {"limit": "50", "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
    assert asked[1]["continue"] == "2"


@pytest.mark.parametrize(
    "metadata",
    [{"deletionTimestamp": "2026-03-01T00:00:00Z"}, {"annotations": {"kubernetes.io/config.mirror": "x"}}],
    ids=["a pod that is being deleted", "a mirror pod"],
)
def test_what_no_restart_would_change_is_left_out(api, parts, metadata):
    pod = running("one")
    pod["metadata"] |= metadata
    api.put(PODS, pod)
    watch = make(parts)
    run(parts, watch, checked(parts))

    assert (watch.document()["pods"], watch.document()["drifted"]) == (1, 0)


def test_an_edit_of_the_policy_shows_at_the_next_check(shop, parts):
    watch = make(parts)

    def edited():
        if checked(parts)() and watch.document()["drifted"] == 3:
            parts.policy_file.write_text(POLICY.replace("redis", "kafka"))
            parts.policies.reload()
        return watch.document()["drifted"] == 1

    run(parts, watch, edited)

    assert sample(parts, "sidecar_policy_drifted_pods", pod_namespace="shop", reason="sidecar-unwanted") is None


def test_what_is_beyond_the_bounds_is_counted_and_not_named(shop, parts, monkeypatch):
    monkeypatch.setattr(DriftWatch, "MOST_NAMESPACES", 1)
    monkeypatch.setattr(DriftWatch, "MOST_WORKLOADS", 1)
    watch = make(parts)
    run(parts, watch, checked(parts))

    assert sample(parts, "sidecar_policy_drifted_pods", pod_namespace="(others)", reason="sidecar-missing") == 1
    assert (len(watch.document()["workloads"]), watch.document()["notListed"]) == (1, 1)


def test_a_replica_without_the_lease_reads_no_pods_and_says_who_does(shop, parts):
    lease = {"holderIdentity": "other", "renewTime": "x", "leaseDurationSeconds": 60}
    shop.put("/apis/coordination.k8s.io/v1/leases", {"metadata": {"namespace": "mesh", "name": "drift"}, "spec": lease})
    watch = make(parts, lease=Lease(parts.client, "mesh", "drift", identity="me", seconds=60))
    run(parts, watch, lambda: watch.document()["holder"] == "other")

    assert shop.asked(PODS, watch=False) == []
    assert sample(parts, "sidecar_policy_drift_last_check_timestamp_seconds") == 0


def test_a_replica_with_the_lease_checks_and_lets_go_at_the_end(shop, parts):
    watch = make(parts, lease=Lease(parts.client, "mesh", "drift", identity="me", seconds=60))
    run(parts, watch, checked(parts))

    (lease,) = shop.objects["/apis/coordination.k8s.io/v1/leases"].values()
    assert lease["spec"]["holderIdentity"] == ""


def test_a_replica_that_loses_the_lease_shows_nothing_any_more(shop, parts):
    watch = make(parts, lease=Lease(parts.client, "mesh", "drift", identity="me", seconds=60))

    def lost():
        if not checked(parts)():
            return False
        (there,) = shop.objects["/apis/coordination.k8s.io/v1/leases"].values()
        shop.put("/apis/coordination.k8s.io/v1/leases", there | {"spec": there["spec"] | {"holderIdentity": "other"}})
        return watch.document()["holder"] == "other"

    run(parts, watch, lost)

    assert watch.document()["workloads"] == []
    assert sample(parts, "sidecar_policy_drifted_pods", pod_namespace="bank", reason="sidecar-missing") is None


@pytest.mark.parametrize("refused", [PODS, LEASES])
def test_a_missing_right_is_told_once_and_counted(shop, parts, refused):
    shop.refusals[refused] = (403, "it is forbidden")
    watch = make(parts, lease=Lease(parts.client, "mesh", "drift", identity="me", seconds=60))
    run(parts, watch, lambda: sample(parts, "sidecar_policy_drift_checks_total", outcome="failed") > 2)
    said = [json.loads(line) for line in parts.lines.getvalue().splitlines()]

    assert watch.document()["problem"] == "it is forbidden"
    assert [line["problem"] for line in said if line["event"] == "drift check failed"] == ["it is forbidden"]


def test_nothing_is_checked_before_the_cluster_has_been_read(shop, parts):
    ready = []
    watch = make(parts, synced=lambda: bool(ready))

    def later():
        before = shop.asked(PODS, watch=False)
        assert not before or ready
        ready.append(True)
        return checked(parts)()

    run(parts, watch, later)


@pytest.fixture
def often():
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("often")
def test_a_scrape_never_sees_no_drift_between_two_checks(shop, parts):
    watch, seen, halt = make(parts), [], threading.Event()
    run(parts, watch, checked(parts))

    def scrape():
        while not halt.is_set():
            seen.append(sample(parts, "sidecar_policy_drifted_pods", pod_namespace="shop", reason="sidecar-unwanted"))

    scraping = threading.Thread(target=scrape)
    scraping.start()
    for _ in range(2000):
        watch._show(watch._last)
    halt.set()
    scraping.join()

    assert set(seen) == {2}


@pytest.mark.parametrize("odd", [{"labels": [1]}, {"labels": {"a": "\ud800"}}, {"name": 5}, {"ownerReferences": "x"}])
def test_a_pod_that_cannot_be_read_does_not_hide_the_others(shop, parts, odd):
    shop.put(PODS, running("odd"))
    shop.objects[PODS]["shop/odd"]["metadata"] |= odd
    watch = make(parts)
    run(parts, watch, checked(parts))

    assert watch.document()["drifted"] == 3
    assert '"unreadable":1' in parts.lines.getvalue()
