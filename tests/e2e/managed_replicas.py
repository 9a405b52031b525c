"""Replicas of our server that manage their certificate themselves, and what a client sees of them.

Each replica is an entry of its own in one webhook configuration, so that every pod is sent to each of them.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import product
import shop
from api import Api, ApiError, Object, eventually
from controlplane import ControlPlane
from istio import external_service
from processes import free_ports
from prometheus_client.parser import text_string_to_metric_families

SECRET = "sidecar-policy-certificates"
SERVICE = "sidecar-policy"
CONFIGURATION = "0-sidecar-policy"
SERVER_NAME = f"{SERVICE}.{product.NAMESPACE}.svc"
WAITS = ("--trust-wait", "2s", "--serve-wait", "2s")
"""An API server on the same machine hears of a change within a fraction of that."""
INJECT = "sidecar.istio.io/inject"

_numbers = itertools.count(1)


class Replica:
    """`sidecar-policy serve` with the rights of its service account, which are those of the chart."""

    def __init__(self, plane: ControlPlane, port: int, options: Sequence[str] = ()) -> None:
        """Start it; it need not be ready yet."""
        config = plane.kubeconfig_for(product.ACCOUNT, product.account(), *product.account_groups())
        command: list[str | Path] = [product.COMMAND, "serve", "--kubeconfig", config, *product.LOOPBACK]
        command += ["--port", str(port)]
        command += ["--cert-secret", f"{product.NAMESPACE}/{SECRET}", *WAITS, *options]
        self.port = port
        self._program = plane.programs.start(f"sidecar-policy-replica-{next(_numbers)}", command)

    def log(self, event: str) -> list[Object]:
        """The lines that it has logged about an event."""
        lines = (line for line in self.text.splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line.get("event") == event]

    @property
    def text(self) -> str:
        """All that it has logged, also of the last moment."""
        return product.written(self._program)

    def get(self, path: str) -> tuple[int, str]:
        """The status and text that the plain port answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.log("listening")[0]["health_port"], timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def ready(self) -> bool:
        return bool(self.log("listening")) and self.get("/readyz")[0] == 200

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric's sample, 0 when there is none."""
        return sum(
            one.value
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for one in family.samples
            if one.name == name and labels.items() <= one.labels.items()
        )

    def kill(self) -> None:
        """End it without any warning."""
        self._program.stop(grace=0)

    def stop(self) -> int:
        """End it in good order, and return its exit code."""
        return self._program.stop(grace=15)


@dataclass
class Replicas:
    """What a scenario starts, and the objects that belong to it."""

    plane: ControlPlane
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    started: list[Replica] = field(default_factory=list)

    def prepare(self) -> None:
        """Rights and a Service; no certificates, and no configurations."""
        product.permit(self.plane)
        self.plane.api.apply(external_service(product.NAMESPACE, SERVICE))

    def start(self, which: int, *options: str) -> Replica:
        replica = Replica(self.plane, self.ports[which], options)
        self.started.append(replica)
        return replica

    def ready(self, *replicas: Replica, seconds: float = 30) -> None:
        for replica in replicas:
            eventually(replica.ready, seconds=seconds, what=f"a replica is ready: {replica.text[-2000:]}")

    def register(self, namespace: str, *, failure_policy: str = "Fail") -> None:
        """Have every pod of a namespace sent to both replicas. The chart's objects, likewise without any caBundle."""
        for kind, path in (("Mutating", "/mutate"), ("Validating", "/validate")):
            self.plane.api.apply(configuration(kind, path, self.ports, namespace, failure_policy))

    def bundles(self) -> set[bytes]:
        """The caBundles that the API server holds for us."""
        return {
            base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
            for kind in (product.CONFIGURATION, product.VALIDATING)
            for webhook in self.plane.api.get(kind, CONFIGURATION)["webhooks"]
        }

    def secret(self) -> Object | None:
        try:
            return self.plane.api.get("Secret", SECRET, product.NAMESPACE)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def held(self, key: str) -> bytes:
        """What the Secret holds under a key."""
        return base64.b64decode((self.secret() or {}).get("data", {}).get(key, ""))

    def certs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sidecar-policy certs …` as the cluster's administrator."""
        command: list[str | Path] = [product.COMMAND, "certs", *arguments, "--kubeconfig", self.plane.kubeconfig]
        command += ["--cert-secret", f"{product.NAMESPACE}/{SECRET}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def clean(self) -> None:
        for replica in self.started:
            replica.stop()
        product.unregister(self.plane.api)
        if self.secret() is not None:
            self.plane.api.delete("Secret", SECRET, product.NAMESPACE)


def configuration(kind: str, path: str, ports: Sequence[int], namespace: str, failure_policy: str) -> Object:
    webhooks = [
        {
            "name": f"replica-{number}.sidecar-policy.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": failure_policy,
            "timeoutSeconds": 5,
            "clientConfig": {"service": {"namespace": product.NAMESPACE, "name": SERVICE, "port": port, "path": path}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }
        for number, port in enumerate(ports)
    ]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": webhooks,
    }


def wipe(api: Api) -> None:
    """Take every caBundle away, as an apply of manifests without one does."""
    for kind in (product.CONFIGURATION, product.VALIDATING):
        webhooks = api.get(kind, CONFIGURATION)["webhooks"]
        for webhook in webhooks:
            webhook["clientConfig"].pop("caBundle", None)
        api.merge(kind, CONFIGURATION, {"webhooks": webhooks})


class Repeated:
    """Does something again and again in a thread, and keeps what went wrong, and when."""

    def __init__(self, once: Callable[[], None], *, pause: float = 0.0) -> None:
        self.count = 0
        self.failures: list[tuple[float, str]] = []
        self._once = once
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        eventually(lambda: self.count >= 3, what="it has begun")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                self._once()
            except (ApiError, OSError, AssertionError) as error:
                self.failures.append((time.monotonic(), f"{type(error).__name__}: {error}"))
            self.count += 1


def create_pods(namespace) -> Callable[[], None]:
    """Create a client of Redis, which our policy decides to leave out of the mesh, and see that this was done."""

    def once() -> None:
        pod = namespace.create(shop.pod("client-", shop.client_spec()), dry_run=True)
        assert pod["metadata"]["labels"].get(INJECT) == "false", "undecided"

    return once


def shake_hands(replicas: Replicas) -> Callable[[], None]:
    """Open new connections to both replicas, trusting what the API server trusts.

    The API server keeps its connections, and so sees few of the certificates that are served.
    """

    def once() -> None:
        for bundle in replicas.bundles():
            context = ssl.create_default_context(cadata=bundle.decode())
            for port in replicas.ports:
                with (
                    socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                    context.wrap_socket(plain, server_hostname=SERVER_NAME),
                ):
                    pass

    return once


def served_by(port: int) -> bytes:
    """The certificate that a new client gets, in PEM."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5).encode()
