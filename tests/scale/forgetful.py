"""A proxy before the API server that can make it forget: from then on each watch goes on from a version long gone.

The API server itself answers such a watch with 410 Gone, as it does after a restart, and all is listed again.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from controlplane import ControlPlane
from delay import LateWatches
from procfs import LOWEST

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

    def answered(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Send a request on; a watch that is to be forgotten asks for the first version of all."""
        collection = path.partition("?")[0]
        if "watch=true" in path and collection in self._forgetting:
            self._forgetting.discard(collection)
            self.forgotten += 1
            path = _VERSION.sub("1", path)
        return super().answered(method, path, body, headers)


def _serve(server: ForgetfulServer) -> None:
    # The threads for requests inherit it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
    server.serve_forever(poll_interval=0.05)


@contextmanager
def forgetful_server(plane: ControlPlane, client: tuple[Path, Path]) -> Iterator[ForgetfulServer]:
    """Run the proxy.

    Args:
        plane: Whose API server it stands before.
        client: The certificate and key of the user as whom it asks.
    """
    with ForgetfulServer(plane, client) as server:
        thread = threading.Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.end()
            thread.join(10)
