"""The policy is edited while pods are created: each pod gets the whole of one policy, the old one or the new one."""

import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import shop
from api import eventually, has_sidecar

PODS = 200
EDITS = 8
CREATORS = 4
EXCLUDE = "traffic.sidecar.istio.io/excludeOutboundPorts"
INJECT = "sidecar.istio.io/inject"
RULE = "sidecar-policy.dev/rule"

OLD = shop.policy(
    shop.SKIP_CLIENTS | {"name": "old-clients"}, {"name": "old-others", "match": {}, "action": "inherit"}, name="old"
)
NEW = shop.policy(
    shop.BYPASS_CLIENTS | {"name": "new-clients"}, {"name": "new-others", "match": {}, "action": "inherit"}, name="new"
)
BROKEN = shop.policy(shop.SKIP_CLIENTS | {"action": "skipp"}, name="broken")

MARKS = {
    "client": {
        "old-clients": {"sidecar": False, "decision": "skip", "label": "false", "excluded": None},
        "new-clients": {"sidecar": True, "decision": "bypass", "label": None, "excluded": {"5672", "6379"}},
    },
    "plain": {
        "old-others": {"sidecar": True, "decision": "inherit", "label": None, "excluded": None},
        "new-others": {"sidecar": True, "decision": "inherit", "label": None, "excluded": None},
    },
}
"""For each pod and each rule that may have decided about it, all that the rule leaves on it."""


@pytest.fixture(scope="module")
def server(mesh_namespace, start_server):
    mesh_namespace.apply(*shop.OBJECTS)
    server = start_server(OLD)
    server.register(mesh_namespace.name)
    return server


def marks(pod):
    labels, annotations = pod["metadata"].get("labels", {}), pod["metadata"].get("annotations", {})
    excluded = annotations.get(EXCLUDE)
    return {
        "sidecar": has_sidecar(pod),
        "decision": annotations.get("sidecar-policy.dev/decision"),
        "label": labels.get(INJECT),
        "excluded": excluded and set(excluded.split(",")),
    }


def in_force(server):
    return json.loads(server.get("/policy"))


def edit(server, policy):
    """Edit the policy, and wait until the server has taken it, or refused it."""
    server.edit(policy)
    if policy is BROKEN:
        eventually(lambda: in_force(server)["problems"], seconds=10, what="the broken policy is refused")
    else:
        name = policy["metadata"]["name"]

        def taken():
            status = in_force(server)
            return status["name"] == name and not status["problems"]

        eventually(taken, seconds=10, what=f"policy {name} is in force")


def test_each_pod_carries_the_whole_of_exactly_one_policy(mesh_namespace, server):
    over = threading.Event()
    numbers = itertools.count()
    edits = []

    def keep_editing():
        for policy in itertools.cycle([NEW, BROKEN, OLD, BROKEN]):
            if over.is_set():
                return
            edit(server, policy)
            edits.append(policy["metadata"]["name"])

    def keep_creating():
        pods = []
        while not over.is_set() and ((number := next(numbers)) < PODS or len(edits) < EDITS):
            kind, spec = ("client", shop.client_spec()) if number % 2 else ("plain", shop.plain_spec())
            pods.append((kind, mesh_namespace.create(shop.pod(f"{kind}-{number}", spec))))
        return pods

    with ThreadPoolExecutor(CREATORS + 1) as threads:
        editing = threads.submit(keep_editing)
        creating = [threads.submit(keep_creating) for _ in range(CREATORS)]
        try:
            created = [pod for one in creating for pod in one.result(timeout=60)]
        finally:
            over.set()
        editing.result(timeout=30)

    assert len(created) >= PODS
    decided = Counter()
    for kind, pod in created:
        rule = pod["metadata"].get("annotations", {}).get(RULE)
        assert rule in MARKS[kind], f"{pod['metadata']['name']} was decided by neither policy"
        assert marks(pod) == MARKS[kind][rule]
        decided[rule] += 1
    assert decided.keys() == {rule for rules in MARKS.values() for rule in rules}, f"{decided} after {edits}"


def test_a_broken_edit_keeps_the_last_good_policy(mesh_namespace, server):
    edit(server, NEW)
    edit(server, BROKEN)

    pods = [mesh_namespace.create(shop.pod("kept-", shop.client_spec())) for _ in range(10)]

    assert in_force(server)["name"] == "new"
    assert [marks(pod) for pod in pods] == [MARKS["client"]["new-clients"]] * 10
    assert f"generation {in_force(server)['generation']} stays active" in server.get("/readyz?verbose")
