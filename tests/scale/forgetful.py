"""A proxy before the API server that can make it forget: from then on each watch goes on from a version long gone.

The API server itself answers such a watch with 410 Gone, as it does after a restart, and all is listed again.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from controlplane import ControlPlane
from delay import LateWatches
from procfs import Process

_VERSION = re.compile(r"(?<=[?&]resourceVersion=)\d+")


class ForgetfulServer(LateWatches):
    """The proxy, on loopback.

    Attributes:
        forgotten: How many watches were answered with 410 Gone.
    """

    def __init__(self, plane: ControlPlane, client: tuple[Path, Path]) -> None:
        super().__init__(plane, client)
        self.forgotten = 0
        self._forgetting: set[str] = set()

    def forget(self, *collections: str) -> None:
        """Break the watches, and have the next one of each of these collections begin too far back."""
        self._forgetting = {*collections}
        for connection in tuple(self._connections):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def answered(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request on; a watch that is to be forgotten asks for the first version of all."""
        collection = path.partition("?")[0]
        if "watch=true" in path and collection in self._forgetting:
            self._forgetting.discard(collection)
            self.forgotten += 1
            path = _VERSION.sub("1", path)
        with super().answered(method, path, body, headers) as response:
            yield response


@dataclass(frozen=True, slots=True)
class Forgetful:
    """The proxy, as seen from outside of its process.

    Attributes:
        url: Where it is.
    """

    url: str
    _orders: Connection

    def forget(self, *collections: str) -> None:
        """As `ForgetfulServer.forget`."""
        self._orders.send(collections)

    @property
    def forgotten(self) -> int:
        """As `ForgetfulServer.forgotten`."""
        self._orders.send(None)
        return self._orders.recv()


@contextmanager
def forgetful_server(plane: ControlPlane, client: tuple[Path, Path]) -> Iterator[Forgetful]:
    """Run the proxy, in a process of its own that gives way to all others.

    Args:
        plane: Whose API server it stands before.
        client: The certificate and key of the user as whom it asks.
    """
    ours, theirs = multiprocessing.Pipe()
    with ForgetfulServer(plane, client) as server:
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(server, theirs, ours), daemon=True)
        process.start()
    theirs.close()
    try:
        yield Forgetful(server.url, ours)
    finally:
        ours.close()
        process.join(10)
        process.kill()


def _serve(server: ForgetfulServer, orders: Connection, other_end: Connection) -> None:
    """Serve until the other end is closed, also by the end of its process."""
    other_end.close()
    os.setsid()
    Process(os.getpid()).give_way()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with suppress(EOFError):
        while True:
            collections = orders.recv()
            if collections is None:
                orders.send(server.forgotten)
            else:
                server.forget(*collections)
    server.end()
