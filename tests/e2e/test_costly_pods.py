"""Pods that are made to take long, created through the API server: each is decided within the webhooks' time-out.

Under failurePolicy Ignore a pod whose review takes longer than timeoutSeconds is created undecided. Istio's injector is
not called here: the namespace is of a revision that nobody serves.
"""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import shop
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT = 2
DECISION = "sidecar-policy.dev/decision"
FAILED_OPEN = "apiserver_admission_webhook_fail_open_count_total"
POLICY = shop.policy(
    {"name": "images", "match": {"images": ["*a*a*a*b"]}, "action": "skip"},
    {"name": "long-names", "match": {"images": ["long*"]}, "action": "skip"},
    shop.BYPASS_CLIENTS | {"hold": True},
    {"name": "others", "match": {}, "action": "inherit", "hold": True},
)
ADDRESSES = "".join(f"k{number}_host: s{number}:6379\n" for number in range(9_000))
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"app.yaml": ADDRESSES}}
SIZES = {"32 KB": 32_000, "1 MB": 1_000_000}


def filled(unit, size):
    return (unit * (size // len(unit) + 1))[:size]


def container(**fields):
    return {"name": "c", "image": "app", **fields}


def variables(*values):
    return container(env=[{"name": f"V{number}_HOST", "value": value} for number, value in enumerate(values)])


def mounted(times, names=("c",)):
    mounts = [{"name": "large", "mountPath": f"/m{number}"} for number in range(times)]
    containers = [container(volumeMounts=mounts) | {"name": name} for name in names]
    return {"containers": containers, "volumes": [{"name": "large", "configMap": {"name": "large"}}]}


def alone(one):
    return {"containers": [one]}


def aliases(levels, item):
    """YAML in which each line names the line before it eight times."""
    lines = [f"a{level}: &a{level} {item(f'*a{level - 1}')}" for level in range(1, levels)]
    return "\n".join(["a0: &a0 {k: 1}", *lines])


SIZED = {
    "an unclosed quote in args": lambda size: alone(container(args=["x " + filled('"\\', size)])),
    "newlines in a script": lambda size: alone(container(command=["sh", "-c", filled("\n", size)])),
    "an address of Go's driver in args": lambda size: alone(container(args=[filled("@tcp(a", size)])),
    "URLs in a variable": lambda size: alone(variables(filled("a://b,", size))),
    "variables of URLs": lambda size: alone(variables(*[filled("a://b,", 330)] * (size // 400))),
    "an image for a glob with three stars": lambda size: alone({"name": "c", "image": filled("a", size)}),
    "variables that name those before": lambda size: alone(
        variables("redis:6379", *(f"$(V{number}_HOST)$(V{number}_HOST)" for number in range(min(size // 70, 3_000))))
    ),
}
OTHERS = {
    "one ConfigMap mounted 40 times": (mounted(40), ""),
    "one ConfigMap mounted in 400 containers": (mounted(5, [f"c{number}" for number in range(400)]), ""),
    # The API server takes 256 KB of annotations, ours included.
    "an image of 300 KB that a rule names": (alone({"name": "c", "image": filled("long", 300_000)}), ""),
    "3000 variables": (alone(variables(*(f"redis://s{number}:6379/0" for number in range(3_000)))), ""),
    "an annotation of aliases": (shop.client_spec(), aliases(16, lambda name: f"[{','.join([name] * 8)}]")),
    "an annotation of merge keys": (shop.client_spec(), aliases(16, lambda name: f"{{<<: [{','.join([name] * 8)}]}}")),
    "an annotation that holds itself": (shop.client_spec(), "a: &a [*a]\nb: *a"),
}
PODS = {f"{name}, {size}": (make(SIZES[size]), "") for name, make in SIZED.items() for size in SIZES} | {
    name: (spec, annotation) for name, (spec, annotation) in OTHERS.items()
}


@pytest.fixture(scope="module")
def namespace(make_namespace):
    namespace = make_namespace({"istio.io/rev": "nobody"})
    namespace.apply(*shop.OBJECTS, CONFIG_MAP)
    return namespace


@pytest.fixture(scope="module")
def server(namespace, start_server):
    server = start_server(POLICY)
    server.register_validation(namespace.name, failure_policy="Ignore", timeout=TIMEOUT)
    return server


@pytest.fixture
def probes(server):
    """Ask both probes all the time, and tell how long each answer took."""
    took, stop = [], threading.Event()

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", server.health_port, timeout=60)
        while not stop.wait(0.02):
            for path in ("/livez", "/readyz"):
                begin = time.monotonic()
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                took.append(time.monotonic() - begin)
                assert answer.status == http.HTTPStatus.OK
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        yield took
        stop.set()
        asking.result()


def costly(name):
    spec, annotation = PODS[name]
    annotations = {"proxy.istio.io/config": annotation} if annotation else {}
    names = "".join(character if character.isalnum() else "-" for character in name.lower())
    return shop.pod(names, spec, annotations=annotations)


def failed_open(api):
    """How often the API server went on without an answer of ours."""
    families = text_string_to_metric_families(api.request("GET", "/metrics"))
    samples = [one for family in families for one in family.samples if one.name == FAILED_OPEN]
    return sum(one.value for one in samples if one.labels["name"].endswith(".sidecar-policy.dev"))


def is_decided(pod, warnings):
    """Whether a pod carries its decision, or its author was told that it was not read to its end."""
    told = any("sidecar-policy" in warning for warning in warnings)
    return told or DECISION in pod["metadata"].get("annotations", {})


@pytest.mark.parametrize("name", PODS)
def test_a_costly_pod_is_decided_in_time(istio, namespace, server, probes, name):
    before = failed_open(istio.api)
    pod = costly(name)

    created = namespace.create(pod)
    warnings = istio.api.warnings

    assert namespace.admission(pod["metadata"]["name"]).failed_open == ()
    assert failed_open(istio.api) == before
    assert is_decided(created, warnings)
    assert max(probes, default=0) < 1


def test_costly_pods_at_once_are_decided_and_do_not_delay_a_small_one(istio, namespace, server, probes):
    before = failed_open(istio.api)
    clients = [istio.client_for(f"author-{number}", "system:masters") for number in range(8)]

    def create(client, name):
        pod = costly(name)
        pod["metadata"] |= {"name": f"{pod['metadata']['name']}-again", "namespace": namespace.name}
        return is_decided(client.create(pod), client.warnings)

    with ThreadPoolExecutor(len(clients)) as pool:
        creating = [pool.submit(create, client, name) for client, name in zip(clients, list(PODS)[1::2], strict=False)]
        begin = time.monotonic()
        small = namespace.create(shop.pod("small", shop.client_spec()))
        took = time.monotonic() - begin
        decided = [one.result() for one in creating]

    assert all(decided)
    assert failed_open(istio.api) == before
    assert small["metadata"]["annotations"][DECISION] == "bypass"
    assert took < TIMEOUT
    assert max(probes) < 1
