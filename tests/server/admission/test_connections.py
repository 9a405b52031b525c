"""What becomes of a pod's connections, in the responses of both webhooks, in logs, metrics and Events."""

import asyncio
import io
import json
from dataclasses import replace

import pytest
from injected import SIDECAR
from prometheus_client import CollectorRegistry

from webhook.inventory.manifests import ManifestObject, Manifests
from webhook.inventory.objects import POD_PATHS
from webhook.inventory.workloads import workload_of
from webhook.mesh.config import SETTINGS, IstioConfiguration
from webhook.policy.files import Source
from webhook.policy.load import build
from webhook.server.admission.outcome import Admission, Outcome
from webhook.server.admission.pods import Decider, admit, mutate, validate
from webhook.server.observe.event_text import of_decision
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer
from webhook.server.settings import LogFormat
from webhook.verdicts.judge import Judge

SKIP = {"name": "stores", "match": {"dependencies": ["redis"]}, "action": "skip"}
BYPASS = SKIP | {"action": "bypass"}
STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}
REFUSED = "redis at shop/cache:6379 (strict-refuses, server)"


class Policies:
    def __init__(self, *rules, **spec):
        document = {
            "apiVersion": "sidecar-policy.dev/v1alpha1",
            "kind": "InjectionPolicy",
            "metadata": {"name": "ours"},
            "spec": {"rules": list(rules)} | spec,
        }
        self.current = build([Source("policy.yaml", json.dumps(document).encode())])
        self.recent = (self.current,)


def service(name="cache", namespace="shop", port=6379, port_name="tcp-redis"):
    spec = {"ports": [{"name": port_name, "port": port}], "selector": {"app": name}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def deployment(name="cache", namespace="shop", image="redis:7"):
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}


def cluster(*documents):
    objects = [ManifestObject(document, "-:1", POD_PATHS.get(document["kind"])) for document in documents]
    workloads = [workload_of(one.document, one.pod_path, "-:1") for one in objects if one.pod_path is not None]
    return Manifests(objects, workloads)


def pod(owner="web", *, env=None, sidecars=(), image="shop/app", **metadata):
    variables = {"REDIS_URL": "redis://:CANARY@cache:6379"} if env is None else env
    app = {"name": "app", "image": image, "env": [{"name": key, "value": value} for key, value in variables.items()]}
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{owner}-abc", "uid": "u", "controller": True}
    labels = {"pod-template-hash": "abc"} | metadata.pop("labels", {})
    return {
        "metadata": {"labels": labels, "ownerReferences": [reference]} | metadata,
        "spec": {"containers": [app, *sidecars]},
    }


SERVER = pod("cache", env={}, image="redis:7")


def decider(world, policies, **settings):
    return Decider(policies, world, connections=Judge(world, settle=0), **settings)


def send(to, document, judge=mutate, namespace="shop"):
    """Return the response, and what was recorded of the request."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": "u", "kind": kind, "operation": "CREATE", "namespace": namespace, "object": document}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    admission = Admission("mutate" if judge is mutate else "validate")
    body = asyncio.run(admit(json.dumps(review).encode(), to, admission, judge))
    return json.loads(body)["response"], admission


@pytest.fixture
def strict():
    """A cluster in which servers of the namespace shop take mutual TLS only."""
    return cluster(service(), deployment(), STRICT)


@pytest.mark.parametrize(
    ("rule", "done"),
    [(SKIP, "the sidecar is skipped"), (BYPASS, "its port is excluded from the sidecar")],
)
def test_a_decision_that_breaks_a_connection_warns_its_author(strict, rule, done):
    deciding = decider(strict, Policies(rule))
    send(deciding, SERVER)
    response, _ = send(deciding, pod())

    assert response["warnings"] == [
        f"sidecar-policy: rule stores breaks the connection to {REFUSED}: {done}, and without that it flows"
    ]
    assert response["auditAnnotations"]["broken-connections"] == "strict-refuses=1"


def test_a_connection_that_would_break_anyway_is_no_reason_for_a_warning():
    hangs = cluster(service(port=3306, port_name="http"), deployment(image="mysql:8"))
    deciding = decider(hangs, Policies({"name": "stores", "match": {"dependencies": ["mysql"]}, "action": "skip"}))
    send(deciding, pod("cache", env={}, image="mysql:8"))
    response, admission = send(deciding, pod(env={"DATABASE_URL": "mysql://u:CANARY@cache:3306/db"}))

    assert [one.code for one in admission.connections.foreseen] == ["http-declared"]
    assert "warnings" not in response
    assert response["auditAnnotations"]["broken-connections"] == "http-declared=1"


def test_what_the_policy_decides_about_the_server_is_unknown_until_one_of_its_pods_came(strict):
    deciding = decider(strict, Policies(SKIP))
    before, _ = send(deciding, pod())
    send(deciding, SERVER)
    after, admission = send(deciding, pod())

    assert "warnings" not in before
    assert after["warnings"]
    assert admission.connections.broken == {"strict-refuses": 1}


def test_where_no_rule_reads_what_a_server_talks_to_its_template_is_enough(strict):
    by_label = {"name": "web", "match": {"labels": {"matchLabels": {"app": "web"}}}, "action": "skip"}
    later = {"name": "never", "match": {"dependencies": ["kafka"], "namespaces": ["other"]}, "action": "skip"}
    response, _ = send(decider(strict, Policies(by_label, later)), pod(labels={"app": "web"}))

    assert REFUSED in response["warnings"][0]


def test_a_replica_has_the_verdict_of_the_first_pod_until_the_cluster_changes(strict):
    deciding = decider(strict, Policies(SKIP))
    send(deciding, SERVER)
    _, first = send(deciding, pod())
    _, replica = send(deciding, pod(name="web-2"))
    strict.drop_template("Deployment", "shop", "cache")
    _, later = send(deciding, pod(name="web-3"))

    assert replica.connections is first.connections
    assert later.connections is not first.connections
    assert later.connections.counts == ((("unknown", "not-known", ""), 1),)


def test_a_change_elsewhere_keeps_the_verdict(strict):
    deciding = decider(strict, Policies(SKIP))
    send(deciding, SERVER)
    _, first = send(deciding, pod())
    strict.put_namespace("elsewhere", {"a": "b"})
    _, replica = send(deciding, pod())

    assert replica.connections is first.connections


def test_verdicts_follow_istio_and_a_burst_of_its_changes_counts_once(strict):
    class Changing(Manifests):
        reads = 0
        now = strict.istio

        @property
        def istio(self):
            type(self).reads += 1
            return self.now

    world = Changing(strict.objects, strict.workloads)
    clock = [0.0]
    deciding = Decider(Policies(SKIP), world, connections=Judge(world, clock=lambda: clock[0]))
    send(deciding, SERVER)
    _, refused = send(deciding, pod())
    for _ in range(100):
        Changing.now = replace(strict.istio, peers=())
        _, within = send(deciding, pod())
    clock[0] += 1.0
    _, later = send(deciding, pod())

    assert within.connections is refused.connections
    assert later.connections.counts == ((("flows", "flows-plaintext", ""), 1),)
    assert Changing.reads == 2


def test_validate_warns_of_what_breaks_because_the_pod_is_not_as_decided():
    hangs = cluster(service(port=3306, port_name="http"), deployment(image="mysql:8"))
    servers = {"name": "servers", "match": {"labels": {"matchLabels": {"app": "cache"}}}, "action": "skip"}
    clients = {"name": "stores", "match": {"dependencies": ["mysql"]}, "action": "skip"}
    annotations = {"sidecar-policy.dev/decision": "skip", "sidecar-policy.dev/rule": "stores"}
    final = pod(env={"DATABASE_URL": "mysql://u:CANARY@cache:3306/db"}, sidecars=[SIDECAR], annotations=annotations)
    response, admission = send(decider(hangs, Policies(servers, clients)), final, validate)

    assert admission.outcome is Outcome.CONTRADICTS
    assert response["warnings"][1] == (
        "sidecar-policy: so the connection to mysql at shop/cache:3306 (http-declared, client) breaks, "
        "which would flow as decided"
    )
    assert response["auditAnnotations"] == {"contradiction": "label-lost", "broken-connections": "http-declared=1"}


def test_logs_metrics_and_events_speak_of_the_same_codes(strict):
    deciding = decider(strict, Policies(SKIP))
    send(deciding, SERVER)
    _, admission = send(deciding, pod())
    lines, metrics = io.StringIO(), Metrics(CollectorRegistry())
    Observer(metrics, make_logger(lines, LogFormat.JSON)).admission(admission, 0.001)
    message = of_decision(admission.decision, admission.connections)
    sample = metrics.registry.get_sample_value

    assert json.loads(lines.getvalue())["broken_connections"] == {"strict-refuses": 1}
    labels = {"outcome": "refused", "code": "strict-refuses", "at": "server"}
    assert sample("sidecar_policy_connections_total", labels) == 1
    assert f"Connections that break: {REFUSED}" in message.note
    assert message.warning


def test_the_author_is_not_told_of_connections_to_other_namespaces():
    other = STRICT | {"metadata": {"name": "default", "namespace": "data"}}
    world = cluster(service(namespace="data"), deployment(namespace="data"), other)
    client = pod(env={"REDIS_URL": "redis://cache.data:6379"})
    for policies, told in ((Policies(SKIP), False), (Policies(SKIP, detection={"otherNamespaces": "show"}), True)):
        deciding = decider(world, policies)
        send(deciding, SERVER, namespace="data")
        response, admission = send(deciding, client)

        assert admission.connections.broken == {"strict-refuses": 1}
        assert ("warnings" in response) is told
        assert ("broken-connections" in response["auditAnnotations"]) is told
        assert ("breaks" in json.dumps(response)) is told
        assert ("break:" in of_decision(admission.decision, admission.connections).note) is told


def test_a_fault_of_the_judge_leaves_the_decision_as_it_is_and_is_logged(strict, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError("CANARY")

    expected, _ = send(Decider(Policies(SKIP), strict), pod())
    monkeypatch.setattr("webhook.verdicts.judge.as_decided", fail)
    response, admission = send(decider(strict, Policies(SKIP)), pod())
    lines, metrics = io.StringIO(), Metrics(CollectorRegistry())
    Observer(metrics, make_logger(lines, LogFormat.JSON)).admission(admission, 0.001)

    assert response == expected
    assert "ZeroDivisionError" in lines.getvalue()
    assert "CANARY" not in lines.getvalue()
    assert metrics.registry.get_sample_value("sidecar_policy_connection_faults_total") == 1


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("PeerAuthentications", "not-known"),
        ("DestinationRules", "flows-plaintext"),
        (SETTINGS, "flows-plaintext"),
    ],
)
def test_what_the_server_may_not_read_of_istios_is_no_guess(missing, code):
    """A client without a sidecar reaches a server with one, unless a PeerAuthentication requires mutual TLS."""

    class Unread(Manifests):
        istio = IstioConfiguration(missing=(missing,))

    plain = cluster(service(), deployment())
    deciding = decider(Unread(plain.objects, plain.workloads), Policies(SKIP))
    send(deciding, SERVER)
    _, admission = send(deciding, pod())

    assert [one.code for one in admission.connections.foreseen] == [code]
