"""Accept a bounded number of connections per port, and evict unfinished and idle ones for new ones."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from enum import IntEnum
from functools import partial
from heapq import nsmallest
from typing import Any, Protocol, cast

from webhook.server.settings import Limits

_BATCH = 8
"""Connections accepted in one loop iteration. A handshake takes up to a millisecond; requests are served in between."""
_PAUSE = 0.1
"""Seconds without accepting while file descriptors or connections are exhausted; clients wait in the backlog."""
_UNREAD = 32 * 1024
"""Socket buffer of a connection per direction, in bytes; Linux allows twice that. Usual requests of the API server and
this server's responses are smaller. By default Linux buffers up to 4 MiB of responses, in the container's memory."""
_SHARE = 3
"""A port uses at most this fraction of the process's descriptors, so two ports leave as much for everything else."""


class Standing(IntEnum):
    """The priority of a connection, lowest first."""

    IDLE = 0
    """Every request has been answered."""
    UNFINISHED = 1
    """A handshake, headers or a body are incomplete, or responses unread: a matter of milliseconds, or an attack."""
    BUSY = 2
    """A complete request is being processed."""


class Connection(Protocol):
    """The part of a connection's protocol that is needed to choose between connections.

    Attributes:
        peer: The client's address, without the port.
        opening: The task that opens the connection, until its handshake is complete.
        since: When the connection, or its latest request, began, in the event loop's time.
        accepted: The port's connections; a lost one removes itself.
    """

    peer: str
    opening: asyncio.Task[None] | None
    since: float
    accepted: dict[Connection, None]

    @property
    def standing(self) -> Standing:
        """The priority of the connection."""

    def cut(self) -> None:
        """Abort the connection without flushing its write buffer."""


class Acceptor:
    """Accepts the connections of a listening socket, in place of an asyncio.Server, which uvicorn would close.

    Above the limits a new connection replaces one of low priority: the oldest of the address with the most connections.
    At most half of all connections are unfinished, so that clients that finish no request leave room for those that do;
    above the total limit, an idle one is evicted. A busy connection is only evicted for a client with fewer
    connections; if there is none to evict, new ones wait.
    """

    def __init__(
        self, listening: socket.socket, make: Callable[[], Connection], limits: Limits, tls: ssl.SSLContext | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = listening
        self._make = make
        self._transport: dict[str, Any] = {}
        if tls is not None:
            self._transport = {
                "ssl": tls,
                "ssl_handshake_timeout": limits.handshake,
                "ssl_shutdown_timeout": limits.close,
            }
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(limits.connections, max(_BATCH, descriptors // _SHARE))
        self._accepted: dict[Connection, None] = {}
        self._resuming: asyncio.TimerHandle | None = None
        # Accepted sockets inherit these sizes, which also bound what each of them reads at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UNREAD)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        listening.settimeout(0)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Stop accepting, and abort handshakes."""
        self._loop.remove_reader(self._socket)
        if self._resuming is not None:
            self._resuming.cancel()
        for connection in [connection for connection in self._accepted if connection.opening is not None]:
            connection.cut()

    async def wait_closed(self) -> None:
        """Return immediately: uvicorn closes the remaining connections."""

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                accepted, (peer, *_) = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                break
            except OSError:
                # File descriptors are exhausted. An immediate retry would take time from existing connections.
                self._shed(self._accepted, _BATCH)
                self._pause()
                break
            self._take(accepted, peer)
        self._make_room()

    def _make_room(self) -> None:
        if len(self._accepted) <= self._most // 2:
            return
        unfinished = [connection for connection in self._accepted if connection.standing is Standing.UNFINISHED]
        self._shed(unfinished, len(unfinished) - self._most // 2)
        self._shed(self._accepted, len(self._accepted) - self._most)
        if len(self._accepted) > self._most:
            self._pause()

    def _take(self, accepted: socket.socket, peer: str) -> None:
        accepted.settimeout(0)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._make()
        connection.peer = peer
        connection.since = self._loop.time()
        connection.accepted = self._accepted
        self._accepted[connection] = None
        connection.opening = self._loop.create_task(self._open(accepted, connection))
        connection.opening.add_done_callback(partial(_opened, accepted, connection))

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        await self._loop.connect_accepted_socket(
            lambda: cast("asyncio.Protocol", connection), accepted, **self._transport
        )

    def _shed(self, among: Collection[Connection], excess: int) -> None:
        """Cut the `excess` connections of lowest priority, or as many of them as may be cut."""
        if excess <= 0 or not among:
            return
        held = Counter(connection.peer for connection in self._accepted)
        fair = held[next(reversed(self._accepted)).peer]
        worst = nsmallest(
            excess,
            (conn for conn in among if conn.standing is not Standing.BUSY or held[conn.peer] > fair),
            key=lambda conn: (conn.standing is Standing.BUSY, -held[conn.peer], conn.standing, conn.since),
        )
        for connection in worst:
            connection.cut()
            self._accepted.pop(connection, None)

    def _pause(self) -> None:
        if self._resuming is None:
            self._loop.remove_reader(self._socket)
            self._resuming = self._loop.call_later(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self._make_room()
        if self._resuming is None:
            self._loop.add_reader(self._socket, self._accept)


def _opened(accepted: socket.socket, connection: Connection, opening: asyncio.Task[None]) -> None:
    """Clear `opening`; after a failed handshake, remove the connection, since connection_lost is not called."""
    connection.opening = None
    if opening.cancelled() or opening.exception() is not None:
        connection.accepted.pop(connection, None)
        accepted.close()
