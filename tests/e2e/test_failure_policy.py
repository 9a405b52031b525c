"""What the API server does with a pod while our server does not do its part.

A webhook that is stopped, hangs or answers nonsense has failed, and its failurePolicy decides: under Ignore the pod is
created as if the webhook were not there, so Istio injects; under Fail the pod is refused.
"""

import http.server
import ssl
import threading
import time
from datetime import UTC, datetime

import product
import pytest
import shop
from api import ApiError, has_sidecar
from istio import external_service

from certs import files
from certs.issue import issue_authority, issue_serving

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
def garbage(request, istio, tmp_path):
    """A server that answers nonsense: the keyword arguments with which it is registered."""
    status, body = GARBAGE[request.param]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    now = datetime.now(UTC)
    authority = issue_authority(now=now)
    serving = issue_serving(authority, [f"garbage.{product.NAMESPACE}.svc"], now=now)
    files.write(tmp_path, authority.certificate, serving)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / files.CERTIFICATE, tmp_path / files.KEY)
    istio.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product.NAMESPACE}})
    istio.api.apply(external_service(product.NAMESPACE, "garbage"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield {"service": "garbage", "port": server.server_port, "authority": authority.certificate}
        server.shutdown()
        thread.join()


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


def test_garbage_under_ignore_the_pod_is_created_as_istio_wants_it(istio, namespace, garbage):
    product.register(istio, namespace.name, failure_policy="Ignore", **garbage)

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert namespace.admission("client").failed_open == ("pods.sidecar-policy.dev",)


def test_garbage_under_fail_the_pod_is_refused(istio, namespace, garbage):
    product.register(istio, namespace.name, failure_policy="Fail", **garbage)

    with pytest.raises(ApiError, match=r'failed calling webhook "pods\.sidecar-policy\.dev"') as no:
        namespace.create(shop.pod("client", shop.client_spec()))

    assert no.value.status == 500
