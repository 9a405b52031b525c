"""Fixtures: an API server on loopback that answers as a test says, and a client of it."""

import asyncio
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class _Server(ThreadingHTTPServer):
    def handle_error(self, *where):
        # A client that hangs up is what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*where)


@pytest.fixture
def loopback():
    """Serve on loopback what a function of method, path, content type and body answers.

    That is a status and a document, or the bytes of one, and headers if there are any.
    """

    @contextmanager
    def serve(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                status, document, *headers = answer(self.command, self.path, self.headers["Content-Type"], body)
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in headers[0].items() if headers else ():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                self.do_GET()

            def do_PATCH(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        with _Server(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()

    return serve


@pytest.fixture
def ask(loopback, tmp_path):
    """Run a coroutine function with a client of an API server on loopback that answers as a function says."""

    from webhook.cluster.client import connect  # noqa: PLC0415 - takes long, and few tests want it

    def run(answer, scenario):
        async def with_client():
            try:
                return await scenario(client)
            finally:
                await client.close()

        with loopback(answer) as port:
            cluster = {"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}
            context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
            document = {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
            user = {"name": "test", "user": {"token": "CANARY-token"}}
            path = tmp_path / "kubeconfig"
            path.write_text(json.dumps(document | {"clusters": [cluster], "contexts": [context], "users": [user]}))
            client = connect(path)
            return asyncio.run(with_client())

    return run
