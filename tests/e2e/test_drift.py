"""Pods that an edit of the policy has overtaken, as the running servers tell of them."""

import json
from functools import partial

import product
import pytest
import shop
from api import eventually, has_sidecar

LEASE = "sidecar-policy/sidecar-policy-drift"


@pytest.fixture
def namespace(make_namespace):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*shop.OBJECTS)
    return namespace


def drifted(server, namespace):
    """What a server says of the pods of a namespace: name and reason."""
    shown = json.loads(server.get("/drift"))
    return {(one["name"], one["reason"]) for one in shown["workloads"] if one["namespace"] == namespace.name}


def test_pods_that_an_edit_overtook_are_told_and_left_alone(istio, namespace, start_server):
    server = start_server(shop.policy(shop.SKIP_CLIENTS), options=["--drift", "1s"])
    server.register(namespace.name)
    pod = namespace.create(shop.pod("client", shop.client_spec()))
    assert not has_sidecar(pod)
    told = partial(drifted, server, namespace)
    completed = {"name": "sidecar_policy_drift_checks_total", "outcome": "completed"}
    eventually(lambda: server.metric(**completed) > 0, what="the pods were looked at")
    assert told() == set()

    server.edit(shop.policy(name="nothing"))
    server.wait_for_policy("nothing")

    eventually(lambda: told() == {("client", "sidecar-missing")}, what="the drift is told")
    metric = partial(server.metric, "sidecar_policy_drifted_pods", pod_namespace=namespace.name)
    assert metric(reason="sidecar-missing") == 1
    there = istio.api.list("Pod", namespace.name)
    assert [one["metadata"]["uid"] for one in there] == [pod["metadata"]["uid"]]


def test_one_of_two_replicas_looks_and_the_other_takes_over_when_it_leaves(istio, start_server):
    options = ["--drift", "1s", "--drift-lease", LEASE]
    first, second = start_server(options=options), None
    checked = "sidecar_policy_drift_last_check_timestamp_seconds"
    eventually(lambda: first.metric(checked) > 0, what="the first looks")
    second = start_server(options=options)

    eventually(lambda: json.loads(second.get("/drift"))["holder"], what="the second knows who looks")
    assert second.metric(checked) == 0

    first.stop()

    eventually(lambda: second.metric(checked) > 0, seconds=30, what="the second looks")
    lease = istio.api.get("coordination.k8s.io/v1/Lease", "sidecar-policy-drift", product.NAMESPACE)
    assert lease["spec"]["leaseTransitions"] >= 1
