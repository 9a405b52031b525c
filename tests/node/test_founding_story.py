"""The founding story, from end to end, on real sidecars: eShop breaks, what does not heal it, and what does.

The scenarios build on each other, in this order. What stands for eShop's images dials with real drivers; RabbitMQ and
Redis are the real servers, SQL Server is a responder for the beginning of its protocol.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import eshop_images
import installed
import istio
import istio_on_node
import pytest
from api import ApiError, eventually, has_sidecar
from eshop_on_node import BACKENDS, CLIENTS, LOOP, PATIENCE, ROUTING, WORKLOADS, Eshop, log, restarts
from installed import RELEASE, is_ready
from product import COMMAND

MISPARSED = {
    "basket-api": (
        "rabbitmq at rabbitmq: AMQPConnectorStackTimeout: Timeout during AMQP handshake",
        "redis at basket-data: InvalidResponse: Protocol Error: b'HTTP/1.1 400 Bad Request'",
    ),
    "catalog-api": ("mssql at sql-data: ValueError: buffer too small for requested bytes",),
    "webmvc": ("redis at keystore-data: InvalidResponse: Protocol Error: b'HTTP/1.1 400 Bad Request'",),
}
"""What drivers say about a sidecar that expects HTTP. It answers RESP and TDS, and waits for more of AMQP."""
REDIS = "basket-data.eshop"
NATIVE = "sidecar.istio.io/nativeSidecar"
TASKS = "tasks"
STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "basket-data", "namespace": "eshop"},
    "spec": {"selector": {"matchLabels": {"app": "basket-data"}}, "mtls": {"mode": "STRICT"}},
}
DIAL = f"redis-cli -h {REDIS} ping"


@pytest.fixture(scope="module")
def eshop(plane, node, helm, record):
    """Istio on the node, and what the example's images stand for."""
    begun = time.monotonic()
    node.load(Path(os.environ["IMAGES"], "eshop", "eshop.tar"))
    for name, image in eshop_images.names().items():
        node.tag(image, name)
    record("images loaded", time.monotonic() - begun)
    istio_on_node.install(plane, node.dns)
    record("images loaded, and Istio installed", time.monotonic() - begun)
    yield Eshop(plane, helm)
    record("the whole story", time.monotonic() - begun)


@pytest.fixture(autouse=True)
def timed(request, record):
    begun = time.monotonic()
    yield
    record(request.node.name.removeprefix("test_").replace("_", " "), time.monotonic() - begun)


def test_as_it_stands_all_21_are_injected_and_the_clients_crash_loop(eshop, node):
    eshop.apply(BACKENDS)
    node.dns.publish()
    eshop.until_ready(BACKENDS)
    eshop.apply(eshop.apps() - BACKENDS)
    eshop.until_crash_looping(CLIENTS)
    pods = eshop.until_ready(eshop.apps() - CLIENTS)

    assert len(pods) == WORKLOADS
    assert {app for app, pod in pods.items() if has_sidecar(pod)} == eshop.apps()
    assert_misparsed(eshop)


def test_the_packaged_policy_takes_the_clients_sidecars_and_heals_none_of_them(eshop, plane):
    installed.install(plane)
    eshop.restart(CLIENTS)
    eshop.until_crash_looping(CLIENTS)

    assert {app for app, pod in eshop.newest().items() if not has_sidecar(pod)} == CLIENTS
    assert_misparsed(eshop)


def test_with_the_services_declared_right_all_21_are_ready_with_their_sidecars(eshop, plane, helm):
    fixes = suggested_fixes(plane)
    assert len(fixes) == len(BACKENDS)
    installed.run(["bash", "-euxc", "\n".join(fixes)], installed.environment(plane))
    helm("uninstall", RELEASE, "--namespace", installed.NAMESPACE, "--wait")
    eshop.restart(CLIENTS)
    eshop.until_ready(eshop.apps())
    # A pod without a readiness probe is ready before its application listens.
    eventually(lambda: all(dials(eshop, app) for app in CLIENTS), seconds=PATIENCE, what="all clients dial and answer")
    pods = eshop.until_ready(eshop.apps(), seconds=1)

    assert {app for app, pod in pods.items() if has_sidecar(pod)} == eshop.apps()
    assert {app: restarts(pods[app]) for app in CLIENTS} == dict.fromkeys(CLIENTS, 0)


def test_the_ingress_gateway_answers_with_webmvcs_page_on_port_80(eshop, plane):
    plane.api.apply(*istio_on_node.ingress_gateway())
    eshop.apply(kinds=ROUTING)
    address = plane.api.get("Service", istio_on_node.GATEWAY, istio.NAMESPACE)["spec"]["clusterIP"]

    answered = eventually(lambda: page(f"http://{address}:80/"), seconds=PATIENCE, what="the gateway answers")

    assert answered == "eShop: this is /webmvc"


@pytest.fixture(scope="module")
def tasks(plane):
    """Pods with early init containers and Jobs, each with both kinds of sidecars; their Redis wants mutual TLS."""
    plane.api.apply(STRICT)
    address = plane.api.get("Service", "basket-data", "eshop")["spec"]["clusterIP"]
    eventually(lambda: not answers_plain_text(address), what="Redis refuses plain text")
    namespace = {"name": TASKS, "labels": {"istio-injection": "enabled"}}
    plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    eventually(lambda: plane.api.list("ServiceAccount", TASKS), what="a service account")
    for native in ("false", "true"):
        plane.api.apply(early(native), tidy(native))

    def pods():
        return {pod["metadata"]["labels"]["app"]: pod for pod in plane.api.list("Pod", TASKS)}

    return pods


def test_an_init_container_before_a_plain_sidecar_speaks_plain_text_and_fails_again_and_again(tasks, plane):
    eventually(lambda: restarts(tasks()["early-false"]) >= LOOP, seconds=PATIENCE, what="it crash-loops")
    pod = tasks()["early-false"]

    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["dials", "istio-init"]
    assert "Error" in log(plane.api, pod, "dials")


def test_behind_a_native_sidecar_an_init_container_dials(tasks):
    eventually(lambda: is_ready(tasks()["early-true"]), seconds=PATIENCE, what="it is ready")

    assert restarts(tasks()["early-true"]) == 0


def test_a_job_behind_a_plain_sidecar_never_finishes(tasks, plane):
    eventually(lambda: ended(tasks()["tidy-false"]), seconds=PATIENCE, what="its own container has ended")
    time.sleep(15)

    assert tasks()["tidy-false"]["status"]["phase"] == "Running"
    assert "completionTime" not in plane.api.get("batch/v1/Job", "tidy-false", TASKS)["status"]


def test_a_job_behind_a_native_sidecar_finishes(tasks, plane):
    def finished():
        return "completionTime" in plane.api.get("batch/v1/Job", "tidy-true", TASKS)["status"]

    eventually(finished, seconds=PATIENCE, what="the Job is complete")
    assert tasks()["tidy-true"]["status"]["phase"] == "Succeeded"


def dials(eshop, app):
    """Whether a client dials its backends again, and reaches all of them."""
    try:
        return eshop.page(app, "/hc").startswith("eShop: this is /")
    except ApiError:
        return False


def assert_misparsed(eshop):
    for app, texts in MISPARSED.items():
        for text in texts:
            eshop.until_says(app, text)


def suggested_fixes(plane):
    """The commands by which diagnose would declare the Services of the live cluster right."""
    command = [COMMAND, "diagnose", "--live", "--kubeconfig", plane.kubeconfig, "-n", "eshop", "-o", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    findings = json.loads(ended.stdout)
    return [one["fix"]["command"] for one in findings if one["code"] == "http-declared"]


def page(url):
    """What a server answers; nothing, if it is not a success or there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def answers_plain_text(address):
    """Whether Redis answers somebody without a sidecar."""
    try:
        with socket.create_connection((address, 6379), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7).startswith(b"+PONG")
    except OSError:
        return False


def early(native):
    """A pod whose init container dials Redis."""
    name = f"early-{native}"
    spec = {"initContainers": [container("dials", DIAL)], "containers": [container("waits", "sleep infinity")]}
    metadata = {"name": name, "namespace": TASKS, "labels": {"app": name}, "annotations": {NATIVE: native}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def tidy(native):
    """A Job that dials Redis until it answers, and is done."""
    name = f"tidy-{native}"
    spec = {"containers": [container("tidies", f"until {DIAL}; do sleep 1; done")], "restartPolicy": "Never"}
    template = {"metadata": {"labels": {"app": name}, "annotations": {NATIVE: native}}, "spec": spec}
    metadata = {"name": name, "namespace": TASKS}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}


def container(name, script):
    """A container of the image that has the drivers."""
    image = eshop_images.image("application")
    return {"name": name, "image": image, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}


def ended(pod):
    """Whether the application's container has ended well."""
    states = {one["name"]: one["state"] for one in pod["status"].get("containerStatuses", ())}
    return states.get("tidies", {}).get("terminated", {}).get("exitCode") == 0
