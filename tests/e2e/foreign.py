"""A webhook that is not ours, on loopback: it answers whatever it is told to."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import product
from api import Object
from controlplane import ControlPlane
from istio import external_service

from certs import files
from certs.issue import issue_authority, issue_serving

Answer = Callable[[bytes], tuple[int, bytes]]
"""From a request's body to the status and the body of the answer."""


@contextmanager
def foreign_webhook(plane: ControlPlane, service: str, answer: Answer) -> Iterator[Callable[..., Object]]:
    """Serve a webhook behind a Service of its own.

    Yields:
        `product.register`, told where the webhook is.
    """
    now = datetime.now(UTC)
    authority = issue_authority(now=now)
    serving = issue_serving(authority, [f"{service}.{product.NAMESPACE}.svc"], now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        files.write(Path(directory), authority.certificate, serving)
        context.load_cert_chain(Path(directory) / files.CERTIFICATE, Path(directory) / files.KEY)
    plane.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product.NAMESPACE}})
    plane.api.apply(external_service(product.NAMESPACE, service))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        reached: Object = {"service": service, "port": server.server_port, "authority": authority.certificate}
        yield partial(product.register, plane, webhook_name="pods.foreign.example", **reached)
        server.shutdown()
        thread.join()


def patching(patch: list[Object]) -> Answer:
    """Answers every review with one JSON patch."""

    def answer(body: bytes) -> tuple[int, bytes]:
        review = json.loads(body)
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        return 200, json.dumps(
            {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        ).encode()

    return answer


def _handler(answer: Answer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
