"""Clients and servers in pods: who has a conversation, and what an application would see of it.

A client takes the first thing that is wrong for the outcome: an answer, or how there was none.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from conversations import PROTOCOLS, ErrorResponseError, Protocol, UnexpectedAnswerError, shown
from network import Network

WORKS = "works"
PROTOCOL_ERROR = "protocol error"
ERROR_RESPONSE = "error response"
"""To a request in HTTP: an answer of the protocol, of another status than 200."""
HANGS = "hangs"
RESET = "reset"
"""Or closed: which of the two a client sees of a proxy that gives up is a matter of timing."""
REFUSED = "refused"
UNREACHABLE = "unreachable"
BLACK_HOLE = "black hole"
"""The connection ended, and nothing of it had arrived at any server; `dial` alone cannot know."""


@dataclass(frozen=True)
class Outcome:
    """What a client has seen.

    Attributes:
        result: One of the words above.
        detail: What it received instead, or the error's text.
    """

    result: str
    detail: str = ""


FAILURES = (OSError, EOFError, UnexpectedAnswerError, ErrorResponseError)


async def dial(
    network: Network, address: str, port: int, protocol: str, *, host: str, authority: Path, seconds: float = 4.0
) -> Outcome:
    """Have one conversation, as a program in a pod.

    Args:
        network: The pod's.
        address: Whom to call.
        port: At which port.
        protocol: Which of `PROTOCOLS`.
        host: The name that the client has for the server, which HTTP and TLS send.
        authority: Who signed the TLS server's certificate.
        seconds: After which it hangs.
    """
    called = network.tcp_socket()
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(called, (address, port))
    except TimeoutError:
        called.close()
        return Outcome(UNREACHABLE)
    except OSError as problem:
        called.close()
        return Outcome(REFUSED if isinstance(problem, ConnectionRefusedError) else UNREACHABLE)
    try:
        async with asyncio.timeout(seconds):
            await _converse(called, PROTOCOLS[protocol], f"{host}:{port}", authority)
    except FAILURES as problem:
        return _outcome(problem)
    return Outcome(WORKS)


def _outcome(problem: Exception) -> Outcome:
    """What it means to a client that it could not go on, by one of `FAILURES`."""
    match problem:
        case TimeoutError():
            return Outcome(HANGS)
        case UnexpectedAnswerError():
            return Outcome(PROTOCOL_ERROR, str(problem))
        case ErrorResponseError():
            return Outcome(ERROR_RESPONSE, str(problem))
        case ssl.SSLError():
            return Outcome(PROTOCOL_ERROR, problem.reason or "TLS")
        case asyncio.IncompleteReadError():
            return Outcome(PROTOCOL_ERROR, shown(problem.partial)) if problem.partial else Outcome(RESET)
        case _:
            return Outcome(RESET)


async def _converse(called, protocol: Protocol, place: str, authority: Path) -> None:
    options: dict = {}
    if protocol.tls:
        context = ssl.create_default_context(cafile=str(authority))
        context.check_hostname = False  # one certificate serves all
        options = {"ssl": context, "server_hostname": place.partition(":")[0]}
    try:
        reader, writer = await asyncio.open_connection(sock=called, **options)
    except BaseException:
        called.close()
        raise
    try:
        await protocol.ask(reader, writer, place)
    finally:
        await _abort(writer)


async def _abort(writer: Writer) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)  # the socket is closed in the loop's next turn


class Held:
    """A connection that stays open, on which the client asks when asked to; the client speaks first."""

    def __init__(self, network: Network, address: str, port: int) -> None:
        self._network = network
        self._place = address, port
        self._streams: tuple[Reader, Writer] | None = None

    async def ask(self, seconds: float) -> Outcome:
        """Ask once, the first time on a new connection."""
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None:
                    called = self._network.tcp_socket()
                    await asyncio.get_running_loop().sock_connect(called, self._place)
                    self._streams = await asyncio.open_connection(sock=called)
                await PROTOCOLS["client-first"].ask(*self._streams, "")
        except FAILURES as problem:
            return _outcome(problem)
        return Outcome(WORKS)

    async def close(self) -> None:
        if self._streams is not None:
            await _abort(self._streams[1])


@asynccontextmanager
async def serving(
    network: Network, protocols: Mapping[int, str], *, certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[None]:
    """Answer in a pod while the context lasts.

    Args:
        network: The pod's.
        protocols: The protocol of each port.
        certificate: Of the TLS server, with its key.
    """
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    running: set[asyncio.Task] = set()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_end, running)
        for port, name in protocols.items():
            protocol = PROTOCOLS[name]
            server = await asyncio.start_server(
                _handler(protocol, running), sock=network.listener(port), ssl=context if protocol.tls else None
            )
            stack.callback(server.close)
        yield


def _handler(protocol: Protocol, running: set[asyncio.Task]) -> Callable[[Reader, Writer], Awaitable[None]]:
    async def handle(reader: Reader, writer: Writer) -> None:
        running.add(asyncio.current_task())
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, UnexpectedAnswerError):
                await protocol.serve(reader, writer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except asyncio.CancelledError:
            pass  # as servers of asyncio's streams end
        finally:
            running.discard(asyncio.current_task())
            await _abort(writer)

    return handle


async def _end(running: set[asyncio.Task]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
