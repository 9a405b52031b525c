"""eShop, applied as a team applies it: its pods are made by the real controllers."""

from pathlib import Path

import pytest
import yaml
from api import has_sidecar

ESHOP = Path(__file__).parents[2] / "examples" / "eshop"
CLIENTS = set(
    "basket-api catalog-api identity-api ordering-api ordering-backgroundtasks ordering-signalrhub payment-api "
    "webhooks-api webmvc webspa".split()
)
"""By what a person who knows eShop says: the clients of RabbitMQ, Redis and SQL Server."""


@pytest.fixture(scope="module")
def objects():
    return [document for path in sorted(ESHOP.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


@pytest.fixture(scope="module")
def workloads(objects):
    return {document["metadata"]["name"] for document in objects if document["kind"] == "Deployment"}


@pytest.fixture(scope="module")
def without_us(make_namespace, objects, workloads):
    namespace = make_namespace({"istio-injection": "enabled"}, name="eshop")
    namespace.apply(*objects)
    return {pod["metadata"]["labels"]["app"]: pod for pod in namespace.pods(len(workloads))}


@pytest.fixture(scope="module")
def with_us(make_namespace, start_server, objects, workloads):
    namespace = make_namespace({"istio-injection": "enabled"}, name="eshop")
    start_server(namespace.document, *namespace.moved(objects)).register(namespace.name)
    namespace.apply(*objects)
    return {pod["metadata"]["labels"]["app"]: pod for pod in namespace.pods(len(workloads))}


def test_without_us_all_21_workloads_are_injected(without_us, workloads):
    assert len(workloads) == 21
    assert {app for app, pod in without_us.items() if has_sidecar(pod)} == workloads


def test_with_us_no_client_of_rabbitmq_redis_or_sql_server_is_injected(with_us):
    assert {app for app, pod in with_us.items() if not has_sidecar(pod)} == CLIENTS


def test_with_us_all_other_workloads_keep_their_sidecar(with_us, workloads):
    assert {app for app, pod in with_us.items() if has_sidecar(pod)} == workloads - CLIENTS


def test_a_pod_left_out_says_why(with_us):
    annotations = with_us["basket-api"]["metadata"]["annotations"]

    assert annotations["sidecar-policy.dev/decision"] == "skip"
    assert annotations["sidecar-policy.dev/rule"] == "datastore-clients"
    assert "redis" in annotations["sidecar-policy.dev/reason"]


def test_a_pod_left_in_differs_in_nothing_from_one_that_we_never_saw(with_us, without_us):
    def told(pod):
        return pod["metadata"]["labels"], pod["metadata"].get("annotations", {}).keys()

    left_in = with_us.keys() - CLIENTS
    assert {app: told(with_us[app]) for app in left_in} == {app: told(without_us[app]) for app in left_in}
