"""Every way by which pods come into being: the real controllers make them, and the same is decided about each."""

from dataclasses import dataclass
from typing import Any

import pytest
import shop
import workloads
from api import Api, containers, eventually, has_sidecar

PROVENANCE = {
    "sidecar-policy.dev/decision": "skip",
    "sidecar-policy.dev/rule": "clients",
    "sidecar-policy.dev/reason": "dependency redis; dependency rabbitmq",
}
BY_OWNER = [
    {"name": "checkout", "match": {"owners": ["Deployment/checkout-*"]}, "action": "skip"},
    {"name": "nightly", "match": {"owners": ["CronJob/nightly-*"]}, "action": "skip"},
    {"name": "batch", "match": {"owners": ["Job"]}, "action": "skip"},
]


@dataclass(frozen=True)
class Place:
    """A namespace in which workloads are started."""

    namespace: Any
    api: Api

    def start(self, kind, name, spec):
        """Create a workload; `pod` waits for what its controller makes of it."""
        self.namespace.create(workloads.KINDS[kind](name, spec))
        if kind == "CronJob":
            workloads.overdue(self.api, name, self.namespace.name)

    def pod(self, name):
        """The one pod of a workload."""
        of_it = {"labels": f"app={name}"}
        (pod,) = eventually(lambda: self.api.list("Pod", self.namespace.name, **of_it), what=f"a pod of {name}")
        return pod


@pytest.fixture(scope="module", autouse=True)
def node(istio):
    version = istio.api.request("GET", "/version")["gitVersion"]
    istio.api.create(workloads.node("kinds", version))
    yield
    istio.api.delete("Node", "kinds")


@pytest.fixture(scope="module")
def place(make_namespace, start_server, istio):
    namespace = make_namespace({"istio-injection": "enabled"}, name="kinds")
    namespace.apply(*shop.OBJECTS)
    start_server(shop.policy(shop.SKIP_CLIENTS)).register(namespace.name)
    return Place(namespace, istio.api)


@pytest.fixture(scope="module")
def by_owner(make_namespace, start_server, istio):
    namespace = make_namespace({"istio-injection": "enabled"}, name="owners")
    start_server(shop.policy(*BY_OWNER)).register(namespace.name)
    return Place(namespace, istio.api)


def provenance(pod):
    annotations = pod["metadata"].get("annotations", {})
    return {key: value for key, value in annotations.items() if key.startswith("sidecar-policy.dev/")}


def native_sidecar(spec):
    """A pod that talks to nobody, beside what a spec's container does as the author's native sidecar."""
    (container,) = spec["containers"]
    return shop.plain_spec(initContainers=[container | {"restartPolicy": "Always"}])


@pytest.mark.parametrize("kind", workloads.KINDS)
def test_of_a_workload_the_clients_pod_has_no_sidecar_and_the_others_has(place, kind):
    client, plain = f"client-{kind.lower()}", f"plain-{kind.lower()}"
    place.start(kind, client, shop.client_spec())
    place.start(kind, plain, shop.plain_spec())

    left_out, left_in = place.pod(client), place.pod(plain)

    assert not has_sidecar(left_out)
    assert has_sidecar(left_in)
    assert provenance(left_out) == PROVENANCE
    assert provenance(left_in) == {}


@pytest.mark.parametrize("name", ["bare", "generated-"])
def test_a_pod_without_a_controller_is_decided_as_any_other(place, name):
    client = place.namespace.create(shop.pod(name, shop.client_spec()))
    plain = place.namespace.create(shop.pod(f"plain-{name}", shop.plain_spec()))

    assert not has_sidecar(client)
    assert has_sidecar(plain)
    assert provenance(client) == PROVENANCE


def test_a_client_that_is_the_authors_native_sidecar_counts_as_the_pods(place):
    client = place.namespace.create(shop.pod("native-client", native_sidecar(shop.client_spec())))

    assert [one["name"] for one in containers(client)] == ["basket", "web"]
    assert provenance(client) == PROVENANCE


def test_a_native_sidecar_that_talks_to_nobody_runs_beside_istios(place):
    agent = {"containers": [{"name": "agent", "image": "shop/agent:1"}]}
    plain = place.namespace.create(shop.pod("native-plain", native_sidecar(agent)))

    native = {one["name"] for one in plain["spec"]["initContainers"] if one.get("restartPolicy") == "Always"}
    assert native == {"agent", "istio-proxy"}
    assert provenance(plain) == {}


@pytest.mark.parametrize(
    ("kind", "name", "rule", "owner"),
    [
        ("Deployment", "checkout-web", "checkout", "Deployment/checkout-web"),
        ("Job", "import", "batch", "Job/import"),
        ("CronJob", "nightly-report", "nightly", "CronJob/nightly-report"),
    ],
)
def test_a_rule_finds_the_owner_that_people_think_of(by_owner, kind, name, rule, owner):
    by_owner.start(kind, name, shop.plain_spec())

    pod = by_owner.pod(name)

    assert not has_sidecar(pod)
    assert provenance(pod)["sidecar-policy.dev/rule"] == rule
    assert owner in provenance(pod)["sidecar-policy.dev/reason"]


def test_a_job_that_a_cronjob_made_counts_as_a_job_too(by_owner):
    by_owner.start("CronJob", "hourly", shop.plain_spec())

    assert provenance(by_owner.pod("hourly"))["sidecar-policy.dev/rule"] == "batch"


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "web"), ("ReplicaSet", "checkout-bare")])
def test_what_the_owners_rules_do_not_name_keeps_its_sidecar(by_owner, kind, name):
    by_owner.start(kind, name, shop.plain_spec())

    pod = by_owner.pod(name)

    assert has_sidecar(pod)
    assert provenance(pod) == {}


def test_a_dry_run_of_a_deployment_makes_no_pod_and_asks_us_nothing(make_namespace, start_server, istio):
    namespace = make_namespace({"istio-injection": "enabled"}, name="dry")
    server = start_server(shop.policy(shop.SKIP_CLIENTS))
    server.register(namespace.name)
    asked = server.metric("sidecar_policy_admission_requests_total")

    namespace.create(workloads.KINDS["Deployment"]("dry", shop.plain_spec()), dry_run=True)
    namespace.create(workloads.KINDS["Deployment"]("wet", shop.plain_spec()))

    assert [pod["metadata"]["labels"]["app"] for pod in namespace.pods(1)] == ["wet"]
    assert [one["metadata"]["name"] for one in istio.api.list("apps/v1/Deployment", namespace.name)] == ["wet"]
    assert server.metric("sidecar_policy_admission_requests_total") == asked + 1
