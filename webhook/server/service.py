"""Run both ports in one process and one event loop, from start to graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from webhook.server.http.embedded import EmbeddedServer
from webhook.server.observe.logs import describe
from webhook.server.observe.readiness import Readiness

Watch = Callable[[asyncio.Event], Awaitable[None]]

_RETRY_SECONDS = 1.0


class ListenerError(Exception):
    """A listener ended without a shutdown. The text contains its port."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A server and its listening socket."""

    server: EmbeddedServer
    socket: socket.socket

    @property
    def port(self) -> int:
        """The port in use."""
        port: int = self.socket.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """Both listeners and the background tasks.

    Attributes:
        webhook: The TLS port.
        status: The plain port.
        readiness: Becomes unready when the shutdown begins.
        watches: Background tasks by name: they watch files and the cluster, and measure.
        drain: Seconds between becoming unready and closing the TLS port.
        log: Logs the start and each step of the shutdown.
        closing: Awaited in order after everything else has ended.
        hasten: Called after the drain time, to complete requests in flight soon.
    """

    webhook: Listener
    status: Listener
    readiness: Readiness
    watches: dict[str, Watch]
    drain: float
    log: FilteringBoundLogger
    closing: Sequence[Callable[[], Awaitable[None]]] = ()
    hasten: Callable[[], None] = lambda: None

    async def run(self, stop: asyncio.Event, skip_drain: asyncio.Event, **listening: object) -> None:
        """Serve until `stop` is set, then shut down gracefully.

        First /readyz fails, so that no new requests are routed here, and keep-alive is disabled; after the drain time
        the TLS port closes and requests in flight complete; the plain port closes last. Each port takes at most
        `Limits.finish` plus `Limits.close` (4 s), whatever its clients do, or `Limits.grace` (7 s) while the API server
        waits for a decision.

        Args:
            stop: Begins the shutdown.
            skip_drain: Ends the drain time early.
            **listening: Further fields of the log line that reports both ports as open.

        Raises:
            ListenerError: A listener ended by itself. Everything else was shut down in order.
        """
        ports = {"port": self.webhook.port, "health_port": self.status.port}
        stop_background = asyncio.Event()
        watches = [
            asyncio.create_task(self._supervise(name, watch, stop_background)) for name, watch in self.watches.items()
        ]
        listeners = (await _start(self.webhook), await _start(self.status))
        # All current objects are permanent, so the garbage collector need not traverse them again.
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
        await _wait(skip_drain, self.drain)
        self.hasten()
        for server, listener in zip((self.webhook.server, self.status.server), listeners, strict=True):
            server.should_exit = True
            await asyncio.wait({listener})
            if not listener.cancelled() and (error := listener.exception()) is not None:
                self.log.error("listener failed", **describe(error))
        stop_background.set()
        await asyncio.gather(*watches)
        for close in self.closing:
            await close()
        self.log.info("stopped")
        if ended:
            raise ListenerError(f"the listener on port {' and '.join(map(str, ended))} ended by itself")

    async def _supervise(self, name: str, watch: Watch, stop_background: asyncio.Event) -> None:
        """Run a watch until `stop_background` is set; log its failures and restart it."""
        while not stop_background.is_set():
            try:
                await watch(stop_background)
            except Exception as error:  # noqa: BLE001 - a file system's trouble must not end the server
                self._log_failure(name, error)
                await _wait(stop_background, _RETRY_SECONDS)

    def _log_failure(self, name: str, error: Exception) -> None:
        self.log.error("background task failed", watch=name, **describe(error))


async def _start(listener: Listener) -> asyncio.Task[None]:
    """Start a server, and return its task once it accepts connections or has failed."""
    task = asyncio.create_task(listener.server.serve(sockets=[listener.socket]))
    accepting = asyncio.create_task(listener.server.accepting.wait())
    await asyncio.wait({task, accepting}, return_when=asyncio.FIRST_COMPLETED)
    accepting.cancel()
    return task


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
