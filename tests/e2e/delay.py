"""A proxy before the API server that holds back what watches say, and nothing else.

It ends TLS on both sides, so that it can tell a watch from another request, and asks the API server as the one user
whose certificate it was given: the rights are the user's own.
"""

from __future__ import annotations

import http.client
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from controlplane import ControlPlane

PASSED_ON = ("Content-Type", "Accept")


class LateWatches(http.server.ThreadingHTTPServer):
    """The proxy, on loopback.

    Attributes:
        flowing: While it is set, what watches say is passed on at once; else it waits here.
    """

    daemon_threads = False  # so that closing waits for all of them

    def __init__(self, plane: ControlPlane, client: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.flowing = threading.Event()
        self.flowing.set()
        self._connections: set[http.client.HTTPSConnection] = set()
        self._port = plane.port
        self._trusting = ssl.create_default_context(cafile=str(plane.authority.certificate))
        self._trusting.load_cert_chain(*client)
        self._serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._serving.load_cert_chain(*plane.authority.server("late-watches"))
        self.socket = self._serving.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    @contextmanager
    def answered(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request on to the API server."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trusting, timeout=60)
        self._connections.add(connection)
        try:
            connection.request(method, path, body or None, headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            self._connections.discard(connection)
            connection.close()

    def end(self) -> None:
        """Take no more requests, and cut off the watches that are open."""
        self.flowing.set()
        self.shutdown()
        for connection in tuple(self._connections):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections are cut when the scenario is over."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: LateWatches
    protocol_version = "HTTP/1.1"
    timeout = 60

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        target = urlsplit(self.path)
        with self.server.answered(self.command, self.path, body, headers) as answer:
            watch = "watch" in parse_qs(target.query) and answer.status == http.HTTPStatus.OK
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            if watch:
                self.send_header("Connection", "close")  # its end is the connection's
                self.end_headers()
                self._trickle(answer)
            else:
                content = answer.read()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = _pass_on  # noqa: N815 - the names that the base class asks for

    def _trickle(self, answer: http.client.HTTPResponse) -> None:
        while line := answer.readline():
            self.server.flowing.wait(60)
            self.wfile.write(line)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def late_watches(plane: ControlPlane, client: tuple[Path, Path]) -> Iterator[LateWatches]:
    """Run the proxy.

    Args:
        plane: Whose API server it stands before.
        client: The certificate and key of the user as whom it asks.
    """
    with LateWatches(plane, client) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.end()
            thread.join(10)
