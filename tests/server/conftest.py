import asyncio
import contextlib
import http.client
import io
import json
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from certs import files
from certs.issue import issue_authority, issue_serving
from webhook.core.decision import Action, Confidence, Dependency, Mode
from webhook.core.facts import Facts
from webhook.core.ruling import Ruling
from webhook.core.surroundings import Services
from webhook.detection.catalog import Catalog
from webhook.server.admission.pods import Decider
from webhook.server.http.app import create_app
from webhook.server.http.embedded import make_server
from webhook.server.http.ports import listen
from webhook.server.http.status import create_status_app
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer, watch_loop_lag
from webhook.server.observe.readiness import Health, Readiness
from webhook.server.service import Listener, ListenerError, ServerProcess
from webhook.server.settings import Limits, LogFormat, LogLevel, OnError
from webhook.server.tls.serving import ServingCertificate
from webhook.server.tls.sources import PairFiles

POD = {
    "metadata": {"generateName": "basket-", "labels": {"app": "basket"}},
    "spec": {"containers": [{"name": "basket", "image": "shop/basket:1"}]},
}


class MeshEverywhere:
    """Surroundings in which every namespace is in the mesh and holds nothing."""

    def namespace_labels(self, namespace):
        return {"istio-injection": "enabled"}

    def service(self, namespace, name):
        return None

    def mentioned(self, namespace, name):
        return None

    def services(self, namespace):
        return ()

    def config_map(self, namespace, name):
        return None

    def secret(self, namespace, name):
        return None

    def behind(self, namespace, name):
        return None

    def http_services(self, port):
        return Services()


@dataclass
class SkipBasket:
    """A policy that skips pods labelled app=basket, warns about app=warned, and breaks on app=broken."""

    version: str = "test/00000001"
    overrides_explicit: bool = False
    injects: bool = False
    needs_findings: bool = False
    hides_other_namespaces: bool = True
    min_confidence: Confidence = Confidence.PROBABLE
    catalog: Catalog = field(default_factory=Catalog.default)

    def exempts(self, namespace: str) -> bool:
        return namespace == "exempt"

    def ruling(self, facts: Facts) -> Ruling:
        app = facts.pod.labels.get("app")
        if app == "broken":
            raise RuntimeError(f"CANARY: {facts.document()}")
        if app == "warned":
            return Ruling(Action.INHERIT, rule="warn", warnings=("mind\nthe gap",))
        if app == "audited":
            return Ruling(Action.SKIP, rule="audited", mode=Mode.AUDIT)
        if app == "basket":
            found = Dependency("redis", Confidence.CERTAIN, "basket-data", 6379, "label app")
            return Ruling(Action.SKIP, rule="basket", dependencies=(found,), matched=("label app",))
        return Ruling(Action.INHERIT)

    def unknown(self) -> Ruling:
        return Ruling(Action.INHERIT, known=False)


def make_review(pod: Any = POD, **request: Any) -> dict[str, Any]:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    base = {"uid": "uid-1", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": pod}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": base | request}


def make_pod(app: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": app, "labels": {"app": app}}, "spec": {"containers": [], **spec}}


@dataclass
class Running:
    """A server on free loopback ports, in a thread with an event loop of its own."""

    service: ServerProcess
    metrics: Metrics
    directory: Path
    lines: io.StringIO
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    skip_drain: asyncio.Event = field(default_factory=asyncio.Event)
    thread: threading.Thread | None = None
    error: ListenerError | None = None

    @property
    def port(self) -> int:
        return self.service.webhook.port

    @property
    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.directory / files.AUTHORITY))

    def start(self) -> None:
        self.ports = (self.service.webhook.port, self.service.status.port)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self.loop = runner.get_loop()
            try:
                runner.run(self.service.run(self.stop, self.skip_drain))
            except ListenerError as error:
                self.error = error

    def leave(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)

    def join(self, seconds: float = 10) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.ports[0], context=self.client_context, timeout=10)

    def raw(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.ports[0]), timeout=10)
        return (context or self.client_context).wrap_socket(plain, server_hostname="localhost")

    def post(self, body: Any, *, path: str = "/mutate", headers: dict[str, str] | None = None):
        with contextlib.closing(self.connect()) as connection:
            return send(connection, body, path=path, headers=headers)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if event in {None, line["event"]}]


def send(connection, body, *, path="/mutate", headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, body=data, headers={"content-type": "application/json"} | (headers or {}))
    response = connection.getresponse()
    answer = SimpleNamespace(status=response.status, headers=response.headers, body=response.read())
    answer.review = json.loads(answer.body)["response"] if answer.status == 200 else None
    return answer


def issue_into(directory: Path, authority=None) -> None:
    now = datetime.now(UTC)
    authority = authority or issue_authority(now=now)
    files.write(directory, authority.certificate, issue_serving(authority, ["localhost"], ["127.0.0.1"], now=now))


def build(
    directory: Path, *, limits: Limits, drain: float, on_error: OnError, parts: dict[str, Any]
) -> tuple[ServerProcess, Metrics, io.StringIO]:
    issue_into(directory)
    metrics = Metrics(CollectorRegistry())
    lines = io.StringIO()
    log = make_logger(lines, LogFormat.JSON, LogLevel.DEBUG)
    certificate = ServingCertificate(
        PairFiles(directory / files.CERTIFICATE, directory / files.KEY), metrics=metrics, log=log
    )
    decider = Decider(
        policies=parts.get("policies") or SimpleNamespace(current=SkipBasket(), recent=(SkipBasket(),)),
        surroundings=parts.get("surroundings") or MeshEverywhere(),
        look_up=parts.get("look_up"),
        on_error=on_error,
        strict=parts.get("strict", False),
    )
    app = create_app(decider, Observer(metrics, log), limits)
    readiness = Readiness({"policy": lambda: Health(ok=True), "certificate": certificate.check})
    status = create_status_app(readiness, metrics.registry, lambda: {"generation": "00000001"})
    service = ServerProcess(
        webhook=Listener(make_server(app, limits, tls=certificate.context), listen("127.0.0.1", 0, "--port")),
        status=Listener(make_server(status, limits), listen("127.0.0.1", 0, "--health-port")),
        readiness=readiness,
        watches={"certificate": certificate.watch, "loop lag": partial(watch_loop_lag, metrics)},
        drain=drain,
        log=log,
    )
    return service, metrics, lines


@pytest.fixture(scope="module")
def start_server(tmp_path_factory):
    """Start servers; all are stopped at the end of the module."""
    started: list[Running] = []

    def start(
        *, limits: Limits | None = None, drain: float = 0, on_error: OnError = OnError.ALLOW, **parts: Any
    ) -> Running:
        directory = tmp_path_factory.mktemp("pki")
        limits = limits or replace(Limits(), grace=3, close=0.3)
        service, metrics, lines = build(directory, limits=limits, drain=drain, on_error=on_error, parts=parts)
        running = Running(service, metrics, directory, lines)
        started.append(running)
        running.start()
        wait_until(lambda: running.log("listening"))
        return running

    yield start
    for running in started:
        if running.thread.is_alive():
            running.leave()
    assert all(running.join() for running in started)


@pytest.fixture(scope="module")
def server(start_server):
    """One running server with the settings that most tests need."""
    return start_server()


def wait_until(condition, seconds: float = 5.0) -> None:
    deadline = threading.Event()
    for _ in range(int(seconds * 100)):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="session")
def kit():
    """What tests send and use."""
    return SimpleNamespace(
        make_review=make_review,
        make_pod=make_pod,
        send=send,
        wait_until=wait_until,
        issue_into=issue_into,
        POD=POD,
        SkipBasket=SkipBasket,
    )


@pytest.fixture
def slow_metrics():
    """Makes each rendering of a server's /metrics take 50 ms more, and gives the list that grows with each."""

    def slow_down(server):
        rendered = []

        class Slow(Collector):
            def collect(self):
                rendered.append(1)
                time.sleep(0.05)
                return ()

            def describe(self):
                return ()

        server.metrics.registry.register(Slow())
        return rendered

    return slow_down
