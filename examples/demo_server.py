"""Run the server as a process of its own, for the demo."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

COMMAND = str(Path(sys.executable).with_name("sidecar-policy"))
SERVICE = "sidecar-policy.sidecar-policy.svc"
"""The name that an API server would verify: that of the webhook's Service."""


class DemoError(Exception):
    """The demo cannot continue. The text is for users."""


class Server:
    """The server process, as a context manager.

    Attributes:
        url: The URL of the webhook.
        exit_code: That of the process, once it has ended.
    """

    def __init__(self, *, manifests: Path, policy: Path, directory: Path) -> None:
        """Prepare the server; entering the context starts it.

        Args:
            manifests: The directory that is used instead of a cluster.
            policy: The policy file.
            directory: Where to write its log and the certificates that it issues.
        """
        self._inputs = ["--manifests", str(manifests), "--policy", str(policy)]
        self._certificates, self._log = directory / "certs", directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: _VerifiedConnection | None = None
        self.url = ""
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        """Start the process and wait until it is ready."""
        loopback = ["--host", "127.0.0.1", "--port", "0", "--health-port", "0", "--drain", "0"]
        certificates = ["--cert-dir", str(self._certificates), "--dns", SERVICE]
        command = [COMMAND, "serve", *self._inputs, *loopback, *certificates, "--log-format", "json"]
        try:
            with self._log.open("w") as log, _uninterrupted():
                # In a session of its own, Ctrl-C reaches only the demo, which then stops the server gracefully.
                self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            self._connect()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process gracefully."""
        self._stop()

    def review(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Review the creation of a pod, as the API server does.

        Returns:
            The response of the AdmissionReview.

        Raises:
            DemoError: The status is not 200, or the response is for another request.
        """
        uid = str(uuid.uuid4())
        request = {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "operation": "CREATE",
            "namespace": pod["metadata"]["namespace"],
            "dryRun": False,
            "object": pod,
        }
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        assert self._connection is not None
        self._connection.request("POST", "/mutate", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise DemoError(f"the server answered {answer.status}: {content.decode(errors='replace')}")
        response: dict[str, Any] = json.loads(content)["response"]
        if response["uid"] != uid or not response["allowed"]:
            raise DemoError(f"the answer does not allow the pod, or is for another request: {response}")
        return response

    def policy(self) -> dict[str, Any]:
        """Return the active policy, as GET /policy shows it."""
        policy: dict[str, Any] = json.loads(self._get("/policy"))
        return policy

    def explained(self) -> dict[str, dict[str, Any]]:
        """Return the output of `sidecar-policy explain -o json` for the same files, by workload."""
        command = [COMMAND, "explain", "--output", "json", *self._inputs]
        command[command.index("--manifests")] = "--filename"
        explained = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        if explained.returncode != 0:
            raise DemoError(f"explain failed:\n{explained.stderr}")
        return {workload["name"]: workload for workload in json.loads(explained.stdout)}

    def wait_for(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until a condition holds; return whether it did in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def _connect(self) -> None:
        """Wait until the server has logged its ports, and is ready."""
        if not (self.wait_for(lambda: bool(self._listening()), seconds=20) and self._is_ready()):
            raise DemoError(f"the server did not start:\n{self._log.read_text()}")
        port = self._listening()["port"]
        context = ssl.create_default_context(cafile=str(self._certificates / "ca.crt"))
        self._connection = _VerifiedConnection(SERVICE, port, context=context, timeout=10)
        self.url = f"https://{SERVICE}:{port}/mutate"

    def _is_ready(self) -> bool:
        def ready() -> bool:
            try:
                return self._get("/readyz").startswith("ok")
            except urllib.error.HTTPError:
                return False

        return self.wait_for(ready, seconds=10)

    def _listening(self) -> dict[str, Any]:
        """Return the log line about both open ports, or an empty mapping."""
        for line in self._log.read_text().splitlines():
            if '"listening"' in line:
                listening: dict[str, Any] = json.loads(line)
                return listening
        return {}

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._listening()['health_port']}{path}", timeout=5) as answer:
            content: bytes = answer.read()
        return content.decode()

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self.exit_code = self._process.wait(timeout=15)
        except BaseException:
            self._process.kill()
            self.exit_code = self._process.wait()
            raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C until the starting process can be stopped."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


class _VerifiedConnection(http.client.HTTPSConnection):
    """HTTPS to a port on loopback, verified under the Service's name, as the API server verifies it."""

    def connect(self) -> None:
        """Connect to loopback, whatever the name resolves to."""
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


def operations(response: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON Patch of a response; empty when there is none."""
    decoded: list[dict[str, Any]] = json.loads(base64.b64decode(response.get("patch", "W10=")))
    return decoded
