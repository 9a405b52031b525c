"""A uvicorn server beside others in one process, and what it is configured with."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from webhook.server.connections import Acceptor
from webhook.server.http import BoundedProtocol
from webhook.server.settings import Limits


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to whoever runs it beside others.

    Attributes:
        accepting: Set when connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, protocol: type[BoundedProtocol]) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._protocol = protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
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
        """Go on answering, and close each connection after its next answer.

        A client that goes on using a connection may have sent a request when the port closes, and cannot know then
        whether it was served: Go's, which the API server uses, sends no POST twice.
        """
        self._protocol.leaving = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: ASGIApp, limits: Limits, *, tls: ssl.SSLContext | None = None) -> EmbeddedServer:
    """A server for one of the ports.

    Args:
        app: What it serves.
        limits: What a client may cost.
        tls: The context for TLS; without it the port is plain.

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
