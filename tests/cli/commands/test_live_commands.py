import json

import pytest
import yaml
from injected import SIDECAR

ISTIO = SIDECAR
STATUS = {"sidecar.istio.io/status": "{}"}
CONFIGURED = [{"name": "REDIS_URL", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "url"}}}]


def template(app, env=(), **metadata):
    container = {"name": app, "image": f"shop/{app}", "env": list(env)}
    return {"metadata": {"labels": {"app": app}} | metadata, "spec": {"containers": [container]}}


def named(name, namespace="shop", **metadata):
    return {"metadata": {"name": name, "namespace": namespace} | metadata}


def owned_by(kind, name):
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}]}


@pytest.fixture
def cluster(api):
    """A Deployment with two pods that were injected, a CronJob, and what they talk to."""
    api.put("/api/v1/namespaces", {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}})
    ports = [{"port": 6379, "name": "http"}]
    api.put("/api/v1/services", named("cache") | {"spec": {"selector": {"app": "cache"}, "ports": ports}})
    api.put("/api/v1/configmaps", named("cfg") | {"data": {"url": "redis://:canary-7f3a@cache:6379"}})
    api.put("/apis/apps/v1/deployments", named("web") | {"spec": {"template": template("web", CONFIGURED)}})
    job = {"jobTemplate": {"spec": {"template": template("tidy")}}}
    api.put("/apis/batch/v1/cronjobs", named("tidy") | {"spec": job})
    api.put("/apis/batch/v1/jobs", named("tidy-29000000", **owned_by("CronJob", "tidy")) | {"spec": {}})
    api.put("/apis/apps/v1/replicasets", named("web-abc", **owned_by("Deployment", "web")) | {"spec": {}})
    for kind in ("statefulsets", "daemonsets"):
        api.objects[f"/apis/apps/v1/{kind}"] = {}
    for number in range(3):
        pod(api, f"web-abc-{number}", injected=number < 2)
    return api


def pod(api, name, *, injected, app="web", owner=("ReplicaSet", "web-abc"), status=None):
    """Create a pod of the Deployment, with a plain sidecar or without one."""
    metadata = named(name, labels={"app": app, "pod-template-hash": "abc"}, **(owned_by(*owner) if owner else {}))
    metadata["metadata"]["annotations"] = dict(STATUS) if injected else {}
    spec = template(app, CONFIGURED)["spec"]
    spec["containers"] += [ISTIO] if injected else []
    api.put("/api/v1/pods", metadata | {"spec": spec, "status": status or {"phase": "Running"}})


@pytest.fixture
def live(run, kubeconfig, cluster):
    """Runs a command against the cluster."""

    def live(command, *arguments, codes=(0,)):
        ended = run(command, *arguments, "--live", "--kubeconfig", kubeconfig)
        assert ended.returncode in codes, ended.stderr
        assert "canary" not in (ended.stdout + ended.stderr).lower()
        return ended

    return live


def test_explain_decides_about_what_makes_pods_and_not_about_what_is_made(live):
    explained = json.loads(live("explain", "-o", "json").stdout)

    assert {f"{one['kind']}/{one['name']}": one["action"] for one in explained} == {
        "Deployment/web": "skip",
        "CronJob/tidy": "inherit",
    }
    assert {one["source"] for one in explained} == {"cluster"}


def test_a_bare_pod_is_a_workload(live, cluster):
    pod(cluster, "alone", injected=False, app="alone", owner=None)

    assert "Pod/alone" in live("explain").stdout


def test_every_page_is_read(live, cluster):
    for number in range(5):
        cluster.put("/apis/apps/v1/deployments", named(f"more-{number}") | {"spec": {"template": template("more")}})

    assert len(json.loads(live("explain", "-o", "json").stdout)) == 7
    assert len(cluster.asked("/apis/apps/v1/deployments", watch=False)) == 3


def test_why_not_asks_the_cluster_too(live):
    assert "shop Deployment/web: client of redis? yes" in live("explain", "--why-not", "redis").stdout


def test_diagnose_sees_the_services_and_the_plain_sidecars_that_run(live):
    found = {one["code"] for one in json.loads(live("diagnose", "-o", "json", codes=(1,)).stdout)}

    assert found == {"http-declared", "job-never-finishes", "no-endpoint", "skipped-for-a-service"}


SAME = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: none}
spec: {rules: []}
"""


@pytest.fixture
def none(tmp_path):
    (tmp_path / "none.yaml").write_text(SAME)
    return "none.yaml"


def test_pods_are_judged_as_they_run(live, none, cluster):
    """One of the pods was created before its namespace was in the mesh."""
    strict = {"spec": {"mtls": {"mode": "STRICT"}}}
    cluster.put("/apis/security.istio.io/v1/peerauthentications", named("p") | strict)
    cluster.objects["/api/v1/services"]["shop/cache"]["spec"]["ports"][0]["name"] = "tcp"
    pod(cluster, "cache-0", injected=True, app="cache", owner=("StatefulSet", "cache"))

    found = json.loads(live("diagnose", "-o", "json", "--policy", none, codes=(1,)).stdout)

    (refused,) = [one for one in found if one["code"] == "strict-refuses"]
    assert refused["message"] == "its running pods have no sidecar, and shop/cache:6379 refuses its plaintext"
    assert refused["fix"]["command"] == "kubectl -n shop rollout restart deployment/web"
    cluster.objects["/api/v1/pods"].pop("shop/web-abc-2")
    found = json.loads(live("diagnose", "-o", "json", "--policy", none, codes=(1,)).stdout)
    assert "strict-refuses" not in {one["code"] for one in found}


def test_a_pod_that_its_sidecar_outlived_is_evidence(live, cluster):
    status = {
        "phase": "Running",
        "containerStatuses": [
            {"name": "tidy", "state": {"terminated": {"exitCode": 0}}},
            {"name": "istio-proxy", "state": {"running": {}}},
        ],
    }
    pod(cluster, "tidy-29000000-x", injected=True, app="tidy", owner=("Job", "tidy-29000000"), status=status)

    (job,) = [one for one in json.loads(live("diagnose", "-o", "json", codes=(1,)).stdout) if "job" in one["code"]]

    assert "in pod tidy-29000000-x the application has exited but the sidecar is still running" in job["evidence"]


def test_plan_names_the_pods_that_run_otherwise_than_they_would_be_created(live, none):
    restarts = json.loads(live("plan", none, "-o", "json", codes=(2,)).stdout)["restarts"]

    assert [(one["name"], one["reason"]) for one in restarts["current"]["pods"]] == [
        ("web-abc-0", "sidecar-unwanted"),
        ("web-abc-1", "sidecar-unwanted"),
    ]
    assert restarts["current"]["commands"] == ["kubectl -n shop rollout restart deployment/web"]
    assert [(one["name"], one["reason"]) for one in restarts["proposed"]["pods"]] == [("web-abc-2", "sidecar-missing")]


def test_pods_that_end_are_not_restarted(live, none, cluster):
    for number in range(3):
        key = f"shop/web-abc-{number}"
        cluster.objects["/api/v1/pods"][key]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert json.loads(live("plan", none, "-o", "json", codes=(2,)).stdout)["restarts"]["current"]["pods"] == []


def test_a_pod_that_nobody_owns_cannot_be_restarted(live, none, cluster):
    pod(cluster, "alone", injected=True, app="alone", owner=None)

    assert (
        "# pod shop/alone: the pod has a sidecar, but should have none; recreate it"
        in live("plan", none, codes=(2,)).stdout
    )


BYPASS = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: bypass}
spec: {rules: [{name: r, match: {dependencies: [redis]}, action: bypass}]}
"""


def test_a_sidecar_without_its_exceptions_drifts(live, tmp_path):
    (tmp_path / "bypass.yaml").write_text(BYPASS)

    then = json.loads(live("plan", "bypass.yaml", "-o", "json", codes=(2,)).stdout)["restarts"]["proposed"]["pods"]

    assert [one["reason"] for one in then] == ["remedy-missing", "remedy-missing", "sidecar-missing"]


def test_exceptions_that_are_no_longer_decided_drift(live, none, cluster):
    annotations = STATUS | {
        "sidecar-policy.dev/decision": "bypass",
        "traffic.sidecar.istio.io/excludeOutboundPorts": "6379",
    }
    cluster.objects["/api/v1/pods"]["shop/web-abc-0"]["metadata"]["annotations"] = annotations

    then = json.loads(live("plan", none, "-o", "json", codes=(2,)).stdout)["restarts"]["proposed"]["pods"]

    assert (then[0]["name"], then[0]["reason"]) == ("web-abc-0", "remedy-unwanted")


def test_istios_configuration_is_read_from_the_cluster(live, none, cluster, tmp_path):
    cluster.put("/apis/security.istio.io/v1/peerauthentications", named("p") | {"spec": {"mtls": {"mode": "STRICT"}}})

    (tmp_path / "skip.yaml").write_text(BYPASS.replace("bypass", "skip"))
    consequences = json.loads(live("plan", "skip.yaml", "--policy", none, "-o", "json", codes=(2,)).stdout)

    assert [one["code"] for one in consequences["consequences"]] == ["strict-given-up"]


def test_one_namespace_needs_rights_in_that_namespace_only(live, cluster):
    for path in [path for path in cluster.objects if path != "/api/v1/namespaces"]:
        here = path.replace("/v1/", "/v1/namespaces/shop/")
        cluster.objects[here] = cluster.objects[path]
        cluster.refusals[path] = (403, "forbidden")
    cluster.refusals["/api/v1/namespaces?"] = (403, "forbidden")
    cluster.objects["/api/v1/namespaces"] = {"/shop": cluster.objects["/api/v1/namespaces"]["/shop"]}

    ended = live("explain", "-n", "shop", "-o", "json")

    assert [one["name"] for one in json.loads(ended.stdout)] == ["web", "tidy"]
    assert "no permission to list services in all namespaces" in ended.stderr


def test_without_the_rights_for_all_namespaces_the_way_out_is_named(live, cluster):
    cluster.refusals["/apis/apps/v1/deployments"] = (403, "deployments is forbidden")

    assert "deployments is forbidden; -n NAMESPACE" in live("explain", codes=(3,)).stderr


def test_a_namespace_that_is_not_there_is_named(live):
    assert "nowhere not found" in live("explain", "-n", "nowhere", codes=(3,)).stderr


def test_secrets_are_read_only_when_asked_for(live, cluster):
    live("explain")
    assert cluster.asked("/api/v1/secrets", watch=False) == []

    cluster.refusals["/api/v1/secrets"] = (403, "forbidden")
    assert "no permission to list secrets" in live("explain", "--secrets").stderr


@pytest.mark.parametrize(
    ("status", "code", "says_defaults", "says_why"),
    [(403, 2, True, False), (500, 3, False, True), (404, 2, False, False)],
)
def test_defaults_are_not_taken_in_silence_for_a_mesh_configuration_that_cannot_be_read(
    live, cluster, none, status, code, says_defaults, says_why
):
    cluster.refusals["/api/v1/namespaces/istio-system/configmaps/istio"] = (status, "etcd is away")

    ended = live("plan", none, codes=(code,))

    assert ("its defaults are assumed" in ended.stderr, "etcd is away" in ended.stderr) == (says_defaults, says_why)


def test_an_object_that_is_not_understood_is_left_out_and_told(live, cluster):
    cluster.put("/apis/apps/v1/deployments", named("odd") | {"spec": {"template": {"spec": {"containers": 1}}}})

    ended = live("explain", "-o", "json", codes=(3,))

    assert "Deployment shop/odd skipped: unexpected field type" in ended.stderr
    assert "web" in [one["name"] for one in json.loads(ended.stdout)]


def test_a_cluster_that_is_not_there_is_named(run, kubeconfig):
    text = yaml.safe_load(kubeconfig.read_text())
    text["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    kubeconfig.write_text(yaml.safe_dump(text))

    ended = run("explain", "--live", "--kubeconfig", kubeconfig)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert "http://127.0.0.1:1 cannot be reached" in ended.stderr


def test_the_kubeconfig_is_the_one_that_kubectl_takes(run, kubeconfig, cluster, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", f"/nowhere:{kubeconfig}")

    assert run("explain", "--live").returncode == 0


SURROGATE = {"metadata": {"name": "odd", "namespace": "shop", "annotations": {"a": "\ud800"}}}
UNREADABLE = {
    "/api/v1/namespaces": {"metadata": {"name": "odd", "labels": [1]}},
    "/api/v1/services": named("odd") | {"spec": {"ports": [{"port": 70_000}]}},
    "/api/v1/configmaps": named("odd") | {"data": {"a": "\ud800"}},
    "/apis/apps/v1/deployments": named("odd", ownerReferences=[5]),
    "/apis/apps/v1/replicasets": named("odd") | {"spec": {"template": {"metadata": "x"}}},
    "/apis/batch/v1/cronjobs": SURROGATE,
    "/api/v1/pods": named("odd") | {"spec": {"containers": []}, "status": {"containerStatuses": [{"state": 1}]}},
    "/apis/security.istio.io/v1/peerauthentications": SURROGATE,
    "/apis/networking.istio.io/v1/destinationrules": SURROGATE,
    "/apis/networking.istio.io/v1/virtualservices": {"metadata": {"name": 5}},
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": {"metadata": {"name": "odd"}, "x": "\ud800"},
}


@pytest.mark.parametrize("collection", UNREADABLE)
def test_of_each_kind_an_object_that_cannot_be_read_is_left_out_and_reported(live, none, cluster, collection):
    cluster.objects.setdefault(collection, {})["shop/odd"] = UNREADABLE[collection]

    ended = live("plan", none, codes=(2, 3))

    assert "skipped: unexpected field type" in ended.stderr
    assert "recreate it" in ended.stdout or "rollout restart" in ended.stdout


def test_a_webhook_configuration_with_fields_of_other_types_does_not_end_diagnose(live, cluster):
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    cluster.put(path, {"metadata": {"name": "odd"}, "webhooks": [{"name": 5}]})

    live("diagnose", codes=(0, 1, 2, 3))
