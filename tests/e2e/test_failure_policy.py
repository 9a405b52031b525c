"""What the API server does with a pod while our server does not do its part.

A webhook that is stopped, hangs or answers nonsense has failed, and its failurePolicy decides: under Ignore the pod is
created as if the webhook were not there, so Istio injects; under Fail the pod is refused.
"""

import time

import pytest
import shop
from api import ApiError, has_sidecar
from foreign import foreign_webhook

GARBAGE = {
    "no JSON": (200, b"<html>"),
    "no AdmissionReview": (200, b'{"kind": "Status", "apiVersion": "v1"}'),
    "another request's answer": (
        200,
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x", "allowed": true}}',
    ),
    "an internal error": (500, b"oops"),
    "nothing": (200, b""),
}


@pytest.fixture
def namespace(make_namespace):
    return make_namespace({"istio-injection": "enabled"})


@pytest.fixture
def registered(namespace, start_server):
    """Start our server for the namespace and register it."""

    def start(failure_policy):
        namespace.apply(*shop.OBJECTS)
        server = start_server()
        server.register(namespace.name, failure_policy=failure_policy, timeout=1)
        return server

    return start


@pytest.fixture(params=GARBAGE)
def register_garbage(request, istio):
    """Register a server that answers nonsense."""
    with foreign_webhook(istio, "garbage", lambda _: GARBAGE[request.param]) as register:
        yield register


def test_the_running_server_leaves_the_client_out(namespace, registered):
    registered("Fail")

    assert not has_sidecar(namespace.create(shop.pod("client", shop.client_spec())))


def test_stopped_under_ignore_the_pod_is_created_as_istio_wants_it(namespace, registered):
    registered("Ignore").stop()

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert namespace.admission("client").failed_open == ("pods.sidecar-policy.dev",)


def test_stopped_under_fail_the_pod_is_refused_and_the_message_names_the_webhook(namespace, registered):
    registered("Fail").stop()

    with pytest.raises(ApiError, match=r'failed calling webhook "pods.sidecar-policy.dev".*connection refused') as no:
        namespace.create(shop.pod("client", shop.client_spec()))

    assert no.value.status == 500


def test_hung_under_ignore_the_pod_is_created_after_the_timeout(namespace, registered):
    registered("Ignore").pause()
    begin = time.monotonic()

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert 1 <= time.monotonic() - begin < 4
    assert namespace.admission("client").failed_open == ("pods.sidecar-policy.dev",)


def test_hung_under_fail_the_pod_is_refused_after_the_timeout(namespace, registered):
    registered("Fail").pause()
    begin = time.monotonic()

    with pytest.raises(ApiError, match=r'failed calling webhook "pods.sidecar-policy.dev".*deadline exceeded') as no:
        namespace.create(shop.pod("client", shop.client_spec()))

    assert no.value.status == 500
    assert 1 <= time.monotonic() - begin < 4


def test_garbage_under_ignore_the_pod_is_created_as_istio_wants_it(namespace, register_garbage):
    register_garbage(namespace.name, failure_policy="Ignore")

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert namespace.admission("client").failed_open == ("pods.foreign.example",)


def test_garbage_under_fail_the_pod_is_refused(namespace, register_garbage):
    register_garbage(namespace.name, failure_policy="Fail")

    with pytest.raises(ApiError, match=r'failed calling webhook "pods\.foreign\.example"') as no:
        namespace.create(shop.pod("client", shop.client_spec()))

    assert no.value.status == 500
