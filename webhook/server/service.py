"""Both ports in one process and one event loop, from start to drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from webhook.server.embedded import EmbeddedServer
from webhook.server.logs import describe
from webhook.server.readiness import Readiness

Watch = Callable[[asyncio.Event], Awaitable[None]]

_RETRY_SECONDS = 1.0


class ListenerError(Exception):
    """A port was closed although nobody had asked for it. Its text says which."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A server and the socket that it is to serve."""

    server: EmbeddedServer
    socket: socket.socket

    @property
    def port(self) -> int:
        """The port in use."""
        port: int = self.socket.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Service:
    """What runs.

    Attributes:
        webhook: The TLS port.
        status: The plain port.
        readiness: Is told when the end begins.
        watches: What follows files and the cluster, and measures meanwhile, by name.
        drain: Seconds between saying "not ready" and closing the TLS port.
        log: Is told of the start and the end.
        closing: What is to be closed when all else has ended.
        hasten: Called when the drain time is over, so that requests in flight are answered soon.
    """

    webhook: Listener
    status: Listener
    readiness: Readiness
    watches: dict[str, Watch]
    drain: float
    log: FilteringBoundLogger
    closing: Sequence[Callable[[], Awaitable[None]]] = ()
    hasten: Callable[[], None] = lambda: None

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event, **listening: object) -> None:
        """Serve until `stop` is set, then leave in good order.

        First /readyz says no, so that no new requests are sent here, and each answer closes its connection; after the
        drain time the TLS port closes and requests in flight finish; the plain port goes last. Each port takes no
        longer than `Limits.finish` and `Limits.close` together (4 s), whatever its clients do, or `Limits.grace` (7 s)
        where the API server is still awaited for a decision.

        Args:
            stop: Begins the end.
            hurry: Cuts the drain time short.
            **listening: Further fields of the log line that says that both ports are open.

        Raises:
            ListenerError: A listener ended by itself. Everything else was shut down in order.
        """
        ports = {"port": self.webhook.port, "health_port": self.status.port}
        quiet = asyncio.Event()
        watches = [asyncio.create_task(self._keep(name, watch, quiet)) for name, watch in self.watches.items()]
        listeners = (await _start(self.webhook), await _start(self.status))
        # What is there now stays for good; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        if not any(listener.done() for listener in listeners):
            self.log.info("listening", **ports, **listening)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, *listeners}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        ended = [port for port, listener in zip(ports.values(), listeners, strict=True) if listener.done()]
        for port in ended:
            self.log.error("listener ended", port=port)
        self.readiness.leave()
        self.webhook.server.leave()
        self.log.info("draining", seconds=self.drain)
        await _wait(hurry, self.drain)
        self.hasten()
        for server, listener in zip((self.webhook.server, self.status.server), listeners, strict=True):
            server.should_exit = True
            await asyncio.wait({listener})
            if not listener.cancelled() and (error := listener.exception()) is not None:
                self.log.error("listener failed", **describe(error))
        quiet.set()
        await asyncio.gather(*watches)
        for close in self.closing:
            await close()
        self.log.info("stopped")
        if ended:
            raise ListenerError(f"the listener on port {' and '.join(map(str, ended))} ended by itself")

    async def _keep(self, name: str, watch: Watch, quiet: asyncio.Event) -> None:
        """Run a watch until the end; one that fails is told of and begun again."""
        while not quiet.is_set():
            try:
                await watch(quiet)
            except Exception as error:  # noqa: BLE001 - a file system's trouble must not end the server
                self._tell(name, error)
                await _wait(quiet, _RETRY_SECONDS)

    def _tell(self, name: str, error: Exception) -> None:
        self.log.error("watch failed", watch=name, **describe(error))


async def _start(listener: Listener) -> asyncio.Task[None]:
    """Start a server, and come back when it accepts connections."""
    task = asyncio.create_task(listener.server.serve(sockets=[listener.socket]))
    accepting = asyncio.create_task(listener.server.accepting.wait())
    await asyncio.wait({task, accepting}, return_when=asyncio.FIRST_COMPLETED)
    accepting.cancel()
    return task


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
