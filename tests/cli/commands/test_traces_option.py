import builtins
import contextlib
import http.client
import json
import os
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import typer
from forked import Forked
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from webhook.cli.commands.serve import _traces

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
"""
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def review(url="redis://:CANARY@cache:6379"):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    container = {"name": "CANARY", "image": "CANARY:1", "env": [{"name": "URL", "value": url}]}
    pod = {"metadata": {"name": "CANARY", "labels": {"app": "CANARY"}}, "spec": {"containers": [container]}}
    request = {"uid": "u", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": pod}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.fixture
def collector():
    """An OTLP collector on loopback that keeps what it is sent."""
    received = SimpleNamespace(spans=[], resources=[], raw=b"")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            received.raw += body
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                received.resources.append(attributes(one.resource))
                received.spans += [span for scope in one.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with server:
        yield received
        server.shutdown()
    thread.join()


def attributes(of):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@pytest.fixture
def ask(tmp_path):
    """Starts a server, sends it requests, and stops it; returns the exit code and the log."""

    def ask(*requests, options=(), headers=None):
        (tmp_path / "cluster.yaml").write_text(MANIFESTS)
        log = tmp_path / "log"
        always = "--host 127.0.0.1 --port 0 --health-port 0 --drain 0 --log-format json --manifests cluster.yaml"
        log.write_text("")
        arguments = ["serve", *always.split(), *options]
        process = Forked(arguments, directory=tmp_path, environment=os.environ, stdout=log, stderr=log)
        try:
            said = listening(log, process)
            for path, body in requests:
                connection = http.client.HTTPSConnection(
                    "localhost", said["port"], context=ssl.create_default_context(cafile=said["ca"]), timeout=10
                )
                with contextlib.closing(connection):
                    sent = {"content-type": "application/json", **(headers or {})}
                    connection.request("POST", path, json.dumps(body), sent)
                    connection.getresponse().read()
            process.terminate()
            return process.wait(20), log.read_text()
        finally:
            process.kill()
            process.wait(20)

    return ask


def listening(log, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and '"listening"' in line:
                return json.loads(line)
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def test_each_review_is_one_span_with_codes(ask, collector):
    code, _ = ask(("/mutate", review()), ("/validate", review()), options=["--traces", collector.url])

    assert code == 0
    assert [span.name for span in collector.spans] == ["POST /mutate", "POST /validate"]
    said = attributes(collector.spans[0])
    policy = said.pop("sidecar_policy.policy")
    assert policy.startswith("mesh-default/")
    kinds = [kind.string_value for kind in said.pop("sidecar_policy.dependencies").values]
    assert kinds == ["redis"]
    assert said == {
        "http.request.method": "POST",
        "http.route": "/mutate",
        "sidecar_policy.outcome": "patched",
        "sidecar_policy.dry_run": False,
        "sidecar_policy.action": "skip",
        "sidecar_policy.rule": "datastore-clients",
        "sidecar_policy.mode": "enforce",
        "sidecar_policy.reason": "rule",
    }
    assert attributes(collector.spans[1])["sidecar_policy.outcome"] == "conforms"
    assert collector.spans[0].end_time_unix_nano > collector.spans[0].start_time_unix_nano
    assert collector.resources[0]["service.name"] == "sidecar-policy"


def test_no_span_holds_a_word_of_a_pod(ask, collector):
    ask(("/mutate", review()), ("/mutate", {"CANARY": "CANARY"}), options=["--traces", collector.url])

    assert [attributes(span)["sidecar_policy.outcome"] for span in collector.spans] == ["patched", "bad-review"]
    assert b"CANARY" not in collector.raw


def test_a_trace_of_the_api_server_goes_on(ask, collector):
    context = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    ask(("/mutate", review()), options=["--traces", collector.url], headers=context)
    (span,) = collector.spans

    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


def test_a_trace_that_the_api_server_does_not_sample_is_not_told(ask, collector):
    context = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    ask(("/mutate", review()), options=["--traces", collector.url], headers=context)

    assert collector.spans == []


def test_a_collector_that_is_not_there_costs_spans_and_nothing_else(ask):
    code, log = ask(("/mutate", review()), options=["--traces", "http://127.0.0.1:1/v1/traces"])

    assert code == 0
    assert [line for line in log.splitlines() if not line.startswith("{")] == []


def test_without_the_extra_it_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "webhook.server.observe.tracing":
            raise ModuleNotFoundError("no", name="opentelemetry.sdk")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(
        typer.BadParameter, match=r"opentelemetry\.sdk is missing: pip install 'sidecar-policy\[otel\]'"
    ):
        _traces("http://collector:4318/v1/traces")


def test_what_is_no_url_is_refused():
    with pytest.raises(typer.BadParameter, match="invalid OTLP collector URL"):
        _traces("collector:4318")
