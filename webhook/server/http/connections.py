"""The connections of one port: a bounded number, of which those that serve nobody make room for new ones."""

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
"""Connections accepted at once. A handshake takes up to a millisecond, and requests are answered in between."""
_PAUSE = 0.1
"""Seconds without accepting while there is no descriptor or no room. Clients wait in the socket's backlog."""
_UNREAD = 32 * 1024
"""Bytes that are kept for a connection in each direction before they are read; Linux allows twice that. Bodies of the
API server and answers are smaller. By default Linux keeps up to 4 MiB of answers, in the memory of the container."""
_SHARE = 3
"""A port uses at most this fraction of the process's descriptors, so two ports leave as much for everything else."""


class Standing(IntEnum):
    """How much a connection is worth keeping, the least first."""

    IDLE = 0
    """Every request has been answered."""
    UNFINISHED = 1
    """A handshake, headers or a body are incomplete, or answers are unread: a matter of milliseconds, or an attack."""
    BUSY = 2
    """A complete request is being answered."""


class Connection(Protocol):
    """As much of a connection's protocol as is needed to choose between connections.

    Attributes:
        peer: The client's address, without the port.
        opening: The task that makes the connection, until its handshake is complete.
        since: When the connection, or its latest request, began, in the event loop's time.
        accepted: The port's connections; one that is lost removes itself.
    """

    peer: str
    opening: asyncio.Task[None] | None
    since: float
    accepted: dict[Connection, None]

    @property
    def standing(self) -> Standing:
        """Return how much the connection is worth keeping."""

    def cut(self) -> None:
        """Close the connection at once, without sending what is left."""


class Acceptor:
    """Accept the connections of a listening socket. It takes the place of the asyncio.Server that uvicorn closes.

    Beyond the limits a new connection replaces the one that serves its client least, which is the oldest of the address
    that has the most. At most half of all connections are unfinished, so that those who finish nothing take no room
    from those who do; beyond the limit for all, an idle one goes. A connection whose request is being answered is only
    given up for a client with fewer connections; where there is no other, new ones wait.
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
        # Accepted sockets inherit it. As much as there is is read at once, by each of them.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UNREAD)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        listening.settimeout(0)
        self._loop.add_reader(listening, self._accept)

    def close(self) -> None:
        """Accept no more, and give up handshakes."""
        self._loop.remove_reader(self._socket)
        if self._resuming is not None:
            self._resuming.cancel()
        for connection in [connection for connection in self._accepted if connection.opening is not None]:
            connection.cut()

    async def wait_closed(self) -> None:
        """Return: connections that are left are uvicorn's to close."""

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                accepted, (peer, *_) = self._socket.accept()
            except (BlockingIOError, ConnectionError):
                break
            except OSError:
                # No descriptor is left. To try again at once would take time from those who have one.
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
        """Cut the `excess` connections that serve their clients least, or as many of them as may be cut."""
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
    """Take note that a connection is made, or that its handshake failed: then it is never told that it is lost."""
    connection.opening = None
    if opening.cancelled() or opening.exception() is not None:
        connection.accepted.pop(connection, None)
        accepted.close()
