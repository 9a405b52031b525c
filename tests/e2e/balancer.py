"""What a Service is to its replicas: each new connection goes to the next one, and bytes pass through untouched."""

from __future__ import annotations

import itertools
import select
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 64 * 1024


class Balancer(socketserver.ThreadingTCPServer):
    """The balancer, on loopback.

    Attributes:
        backends: The ports of the replicas; replace the tuple to take one out, as an EndpointSlice does.
        connections: How many connections each port got.
    """

    daemon_threads = False  # so that closing waits for all of them

    def __init__(self, *backends: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.backends = backends
        self.connections: Counter[int] = Counter()
        self.over = threading.Event()
        self._turns = itertools.count()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def next(self) -> int:
        """The port of the replica whose turn it is."""
        backends = self.backends
        port = backends[next(self._turns) % len(backends)]
        self.connections[port] += 1
        return port


class _Handler(socketserver.BaseRequestHandler):
    server: Balancer

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.next()), timeout=5) as replica:
            replica.settimeout(5)
            other = {self.request: replica, replica: self.request}
            while not self.server.over.is_set():
                for ready in select.select(list(other), [], [], 0.1)[0]:
                    if not (chunk := ready.recv(CHUNK)):
                        return
                    other[ready].sendall(chunk)


@contextmanager
def balancer(*backends: int) -> Iterator[Balancer]:
    """Run a balancer before the replicas on these ports."""
    with Balancer(*backends) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join(10)
