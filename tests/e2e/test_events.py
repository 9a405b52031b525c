"""Decisions as Events, written to a real API server with the rights that they need and no more."""

import asyncio
import io
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from api import eventually
from controlplane import ControlPlane

from webhook.cluster.client import connect
from webhook.core.decision import Action, Confidence, Decision, Dependency, Findings, Mode, Reason
from webhook.kubernetes.pod import Pod
from webhook.server.observe.events import EventLimits, Events
from webhook.server.observe.logs import make_logger
from webhook.server.settings import LogFormat

NAMESPACE = "events"
EVENT = "events.k8s.io/v1/Event"
RIGHTS = [{"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}]
RBAC = "rbac.authorization.k8s.io"
# The note of a decision about a pod with many dependencies is cut, in the middle of characters of several bytes.
MANY = tuple(
    Dependency("redis", Confidence.CERTAIN, f"data-{n}", 6379, f"env DB_{n} → Service data-{n}:6379 → redis")
    for n in range(40)
)
SKIP = Decision(
    Action.SKIP,
    Reason.RULE,
    rule="clients",
    findings=Findings(MANY),
    matched=("dependency redis",),
    policy="e2e/00000001",
)


@dataclass
class Shop:
    """A namespace, and what tells Events there."""

    plane: ControlPlane
    kubeconfig: Path

    def __post_init__(self):
        self.outcomes = Counter()
        self.lines = io.StringIO()
        self.uids = {}

    def deploy(self, name, replicas=1):
        """Create a Deployment, and return the pods that the controllers made of it, as a webhook sees them."""
        labels = {"app": name}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"namespace": NAMESPACE, "name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "shop/c:1"}]},
                },
            },
        }
        self.uids["Deployment", name] = self.plane.api.create(deployment)["metadata"]["uid"]

        def enough():
            pods = self.plane.api.list("Pod", NAMESPACE, labels=f"app={name}")
            return pods if len(pods) >= replicas else None

        return [msgspec.convert(one, Pod) for one in eventually(enough, what=f"{replicas} pods of {name}")]

    def tell(self, *groups, decision=SKIP, kubeconfig=None):
        """Let replicas of the webhook tell the decision about pods, one group each, all at the same time."""
        clients = [connect(kubeconfig or self.kubeconfig) for _ in groups]

        async def main():
            stop = asyncio.Event()
            running = []
            for number, (client, pods) in enumerate(zip(clients, groups, strict=True)):
                events = self.make(client, f"sidecar-policy-{number}")
                for pod in pods:
                    events.offer(decision, pod, NAMESPACE, dry_run=False)
                running.append(asyncio.create_task(events.run(stop)))
            stop.set()
            await asyncio.gather(*running)
            for client in clients:
                await client.close()

        asyncio.run(main())

    def make(self, client, instance):
        return Events(
            client,
            instance=instance,
            resolve=lambda _, kind, name: self.uids.get((kind, name)),
            count=lambda outcome, times: self.outcomes.update({outcome.value: times}),
            log=make_logger(self.lines, LogFormat.JSON),
            limits=EventLimits(grace=10),
        )

    def events(self, **regarding):
        """Our Events about an object, as the API server selects them."""
        fields = {f"regarding.{name}": value for name, value in regarding.items()}
        fields["reportingController"] = "sidecar-policy.dev/webhook"
        selector = ",".join(f"{name}={value}" for name, value in fields.items())
        path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events?fieldSelector={selector}"
        return self.plane.api.request("GET", path)["items"]


@pytest.fixture(scope="module")
def granted(plane):
    """The kubeconfig of a user who may do what RIGHTS says."""
    user = "sidecar-policy"
    role = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": "e2e-events"}, "rules": RIGHTS}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "e2e-events"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "e2e-events"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    plane.api.apply(namespace, role, binding)
    eventually(lambda: plane.api.list("ServiceAccount", NAMESPACE), what=f"a service account in {NAMESPACE}")
    return plane.kubeconfig_for("events", user)


@pytest.fixture
def shop(plane, granted):
    return Shop(plane, granted)


def test_the_event_regards_the_deployment_and_kubectl_describes_it(shop, plane):
    pods = shop.deploy("basket")

    shop.tell(pods)

    (event,) = shop.events(kind="Deployment", name="basket", uid=shop.uids["Deployment", "basket"])
    assert (event["type"], event["reason"], event["action"]) == ("Normal", "SidecarSkipped", "Skip")
    assert event["reportingInstance"] == "sidecar-policy-0"
    assert event["note"].startswith("Sidecar skipped by rule clients (policy e2e/00000001): dependency redis")
    assert 1020 < len(event["note"].encode()) <= 1024
    described = subprocess.run(
        [plane.tools / "kubectl", "--kubeconfig", plane.kubeconfig, "-n", NAMESPACE, "describe", "deployment/basket"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "SidecarSkipped" in described
    assert "sidecar-policy.dev/webhook" in described
    assert shop.outcomes == {"sent": 1}


def test_pods_of_one_deployment_raise_the_series_of_one_event(shop):
    pods = shop.deploy("catalog", replicas=3)

    shop.tell(pods)

    (event,) = shop.events(name="catalog")
    assert event["series"]["count"] == 3
    assert event["series"]["lastObservedTime"] >= event["eventTime"]
    assert shop.outcomes == {"sent": 1, "repeated": 2}


def test_replicas_of_the_webhook_count_in_one_event(shop):
    pods = shop.deploy("ordering", replicas=3)

    shop.tell(pods, pods, pods)

    (event,) = shop.events(name="ordering")
    assert event["series"]["count"] == 9
    assert shop.outcomes == {"sent": 1, "repeated": 8}


def test_a_webhook_that_was_started_anew_goes_on_with_the_event_that_is_there(shop):
    pods = shop.deploy("payment", replicas=2)

    shop.tell(pods)
    shop.tell(pods)

    (event,) = shop.events(name="payment")
    assert event["series"]["count"] == 4


def test_an_event_that_is_gone_is_created_anew(shop, plane):
    pods = shop.deploy("webmvc", replicas=2)
    client = connect(shop.kubeconfig)

    async def main():
        stop = asyncio.Event()
        events = shop.make(client, "sidecar-policy-0")
        running = asyncio.create_task(events.run(stop))
        events.offer(SKIP, pods[0], NAMESPACE, dry_run=False)
        while not shop.outcomes:
            await asyncio.sleep(0.01)
        (event,) = shop.events(name="webmvc")
        plane.api.delete(EVENT, event["metadata"]["name"], NAMESPACE)
        events.offer(SKIP, pods[1], NAMESPACE, dry_run=False)
        stop.set()
        await running
        await client.close()

    asyncio.run(main())

    (event,) = shop.events(name="webmvc")
    assert "series" not in event
    assert shop.outcomes == {"sent": 2}


def test_an_audited_decision_is_another_event(shop):
    pods = shop.deploy("webspa")

    shop.tell(pods)
    shop.tell(pods, decision=Decision(Action.INJECT, Reason.RULE, rule="edge", mode=Mode.AUDIT, policy="e2e/00000001"))

    assert {event["reason"]: event["action"] for event in shop.events(name="webspa")} == {
        "SidecarSkipped": "Skip",
        "AuditOnly": "Inject",
    }


def test_a_contradiction_is_a_warning_on_the_deployment(shop):
    (pod,) = shop.deploy("marketing")
    client = connect(shop.kubeconfig)

    async def main():
        stop = asyncio.Event()
        events = shop.make(client, "sidecar-policy-0")
        events.contradiction("sidecar-despite-skip", "the pod has a sidecar", pod, NAMESPACE, dry_run=False)
        stop.set()
        await events.run(stop)
        await client.close()

    asyncio.run(main())

    (event,) = shop.events(name="marketing")
    assert (event["type"], event["reason"]) == ("Warning", "SidecarDespiteSkip")


def test_without_the_right_the_api_servers_refusal_is_logged_with_what_is_missing(shop, plane):
    pods = shop.deploy("locations")

    shop.tell(pods, kubeconfig=plane.kubeconfig_for("nobody", "nobody"))

    assert shop.outcomes == {"failed": 1}
    (line,) = (json.loads(line) for line in shop.lines.getvalue().splitlines())
    assert 'User "nobody" cannot create resource "events" in API group "events.k8s.io"' in line["problem"]
    assert "create and patch" in line["hint"]
