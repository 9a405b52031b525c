"""Decisions told as Events by the running server, on the owners of the pods that the real controllers make."""

import product
import pytest
import shop
from api import eventually
from workloads import KINDS

EVENT = "events.k8s.io/v1/Event"


@pytest.fixture(scope="module")
def namespace(make_namespace):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*shop.OBJECTS)
    return namespace


@pytest.fixture(scope="module")
def server(namespace, start_server):
    server = start_server(shop.policy(shop.SKIP_CLIENTS))
    server.register(namespace.name)
    return server


@pytest.fixture
def events(istio, namespace):
    """The Events of ours that regard an object of this kind and name."""

    def about(kind, name):
        found = istio.api.list(EVENT, namespace.name)
        ours = [event for event in found if event.get("reportingController", "").startswith("sidecar-policy.dev/")]
        return [one for one in ours if (one["regarding"]["kind"], one["regarding"]["name"]) == (kind, name)]

    return about


def test_a_skipped_pod_is_told_on_its_deployment_with_the_evidence(namespace, server, events):
    namespace.create(KINDS["Deployment"]("basket", shop.client_spec()))

    (event,) = eventually(lambda: events("Deployment", "basket"), what="an Event on the Deployment")
    assert (event["type"], event["reason"]) == ("Normal", "SidecarSkipped")
    assert "rule clients (policy e2e/" in event["note"]
    assert "env ConnectionString ← ConfigMap cfg-basket/ConnectionString → Service basket-data:6379" in event["note"]
    assert server.metric("sidecar_policy_events_total", outcome="sent") >= 1


def test_a_dry_run_and_a_pod_that_is_left_as_it_is_are_not_told(istio, namespace, server, events):
    before = len(server.log("decision"))
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "dry", "uid": "0-1-2", "controller": True}
    dry = shop.pod("dry", shop.client_spec())
    dry["metadata"]["ownerReferences"] = [reference]
    namespace.create(dry, dry_run=True)
    namespace.create(KINDS["Deployment"]("plain", shop.plain_spec()))
    namespace.create(KINDS["Deployment"]("last", shop.client_spec()))

    eventually(lambda: events("Deployment", "last"), what="the Event of the last one")
    assert len(server.log("decision")) == before + 3
    assert events("ReplicaSet", "dry") == []
    assert events("Deployment", "plain") == []


def test_a_contradiction_is_a_warning(istio, namespace, server, events):
    server.register_validation(namespace.name)
    product.unregister(istio.api, product.CONFIGURATION)
    server.register(namespace.name, name="sidecar-policy")

    namespace.create(KINDS["StatefulSet"]("late", shop.client_spec()))

    (event,) = eventually(lambda: events("StatefulSet", "late"), what="an Event on the StatefulSet")
    assert (event["type"], event["reason"]) == ("Warning", "InjectedUndecided")
