"""Run several uvicorn servers in one process: HTTP/1.1, without signal handlers, with limits on clients."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from webhook.server.http.connections import Acceptor
from webhook.server.http.protocol import BoundedProtocol
from webhook.server.settings import Limits


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that installs no signal handlers, so that several can run in one process.

    Attributes:
        accepting: Set once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, protocol: type[BoundedProtocol]) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._protocol = protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting connections."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()

        def make() -> BoundedProtocol:
            return self._protocol(self.config, self.server_state, self.lifespan.state, loop)

        self.servers = [
            cast("asyncio.Server", Acceptor(listening, make, self._protocol.limits, self.config.ssl))
            for listening in sockets or ()
        ]
        self.started = True
        self.accepting.set()

    def leave(self) -> None:
        """Keep serving, but disable keep-alive: close each connection after its next response.

        On a kept connection, a request may be in flight when the port closes, and the client cannot determine whether
        it was served: Go's client, which the API server uses, does not retry a POST.
        """
        self._protocol.leaving = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def make_server(app: ASGIApp, limits: Limits, *, tls: ssl.SSLContext | None = None) -> EmbeddedServer:
    """Create the server of one port.

    Args:
        app: The ASGI application.
        limits: Limits on clients.
        tls: The TLS context; None for plain HTTP.

    Returns:
        The server; `serve(sockets=[…])` runs it until `should_exit` is set.
    """
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits})
    return EmbeddedServer(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.keep_alive,
            timeout_graceful_shutdown=limits.grace,
            ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
        ),
        protocol,
    )
