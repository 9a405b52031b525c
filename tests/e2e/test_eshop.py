"""eShop, applied as a team applies it: its pods are made by the real controllers.

Once from the manifests of the example, and once from those that the application's own charts render, where a labelled
corpus that holds them is at hand.
"""

import os
from pathlib import Path

import pytest
import yaml
from api import has_sidecar

EXAMPLE = Path(__file__).parents[2] / "examples" / "eshop"
RENDERED = Path(os.environ.get("LABELLED_CORPUS", "/nowhere")) / "eshoponcontainers" / "manifests.yaml"
APPLIED = ("Namespace", "ConfigMap", "Secret", "Service", "Deployment")
"""What is applied, in the order in which Helm does it."""
CLIENTS = set(
    "basket-api catalog-api identity-api ordering-api ordering-backgroundtasks ordering-signalrhub payment-api "
    "webhooks-api webmvc webspa".split()
)
"""By what a person who knows eShop says: the clients of RabbitMQ, Redis and SQL Server."""


@pytest.fixture(scope="module", params=["example", "charts"])
def objects(request):
    if request.param == "example":
        texts = [path.read_text() for path in sorted(EXAMPLE.glob("*.yaml"))]
    elif RENDERED.exists():
        texts = [RENDERED.read_text()]
    else:
        pytest.skip("LABELLED_CORPUS names no directory that holds eShop's charts")
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return sorted(
        (one for one in documents if one["kind"] in APPLIED), key=lambda document: APPLIED.index(document["kind"])
    )


@pytest.fixture(scope="module")
def workloads(objects):
    deployments = [document for document in objects if document["kind"] == "Deployment"]
    return {one["spec"]["template"]["metadata"]["labels"]["app"] for one in deployments}


@pytest.fixture(scope="module")
def without_us(make_namespace, objects, workloads):
    namespace = make_namespace({"istio-injection": "enabled"}, name="eshop")
    namespace.apply(*objects)
    return {pod["metadata"]["labels"]["app"]: pod for pod in namespace.pods(len(workloads))}


@pytest.fixture(scope="module")
def with_us(make_namespace, start_server, objects, workloads):
    namespace = make_namespace({"istio-injection": "enabled"}, name="eshop")
    start_server().register(namespace.name)
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
    assert annotations["sidecar-policy.dev/reason"] == "dependency redis; dependency rabbitmq"


def test_a_pod_left_in_differs_in_nothing_from_one_that_we_never_saw(with_us, without_us):
    def told(pod):
        return pod["metadata"]["labels"], pod["metadata"].get("annotations", {}).keys()

    left_in = with_us.keys() - CLIENTS
    assert {app: told(with_us[app]) for app in left_in} == {app: told(without_us[app]) for app in left_in}
