"""Five ways to begin a conversation, each with a server and a client: they stand for all protocols of their kind.

The client says what an application would see: an answer, or how there was none. Each client takes the first thing that
is wrong for the outcome, as drivers do.
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

import h2.config
import h2.connection
import h2.events
from network import Network

ANSWER = b"+PONG\r\n"
"""As redis answers to a PING."""
GREETING = b"220 ready\r\n"
"""As an SMTP server greets."""
NAME = "server.test"
"""Of the TLS server's certificate."""

WORKS = "works"
PROTOCOL_ERROR = "protocol error"
HANGS = "hangs"
RESET = "reset"
CLOSED = "closed"
REFUSED = "refused"
UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Outcome:
    """What a client has seen.

    Attributes:
        result: One of the words above.
        detail: What it received instead, or the error's text.
        port: The port that the client called from.
    """

    result: str
    detail: str = ""
    port: int = 0


class UnexpectedAnswerError(Exception):
    """The answer is none of this protocol."""


@dataclass(frozen=True)
class Protocol:
    """A protocol's two ends."""

    serve: Callable[[Reader, Writer], Awaitable[None]]
    ask: Callable[[Reader, Writer], Awaitable[None]]
    tls: bool = False


async def dial(
    network: Network, address: str, port: int, protocol: str, *, authority: Path | None = None, seconds: float = 4.0
) -> Outcome:
    """Have one conversation, as a program in a pod.

    Args:
        network: The pod's.
        address: Whom to call.
        port: At which port.
        protocol: Which of `PROTOCOLS`.
        authority: Who signed the TLS server's certificate, where the protocol is TLS.
        seconds: After which it hangs.
    """
    called = network.tcp_socket()
    local = 0
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(called, (address, port))
    except TimeoutError:
        called.close()
        return Outcome(UNREACHABLE)
    except OSError as problem:
        called.close()
        return Outcome(REFUSED if isinstance(problem, ConnectionRefusedError) else UNREACHABLE, str(problem))
    local = called.getsockname()[1]
    try:
        async with asyncio.timeout(seconds):
            await _converse(called, PROTOCOLS[protocol], authority)
    except TimeoutError:
        return Outcome(HANGS, port=local)
    except UnexpectedAnswerError as problem:
        return Outcome(PROTOCOL_ERROR, str(problem), port=local)
    except ssl.SSLError as problem:
        return Outcome(PROTOCOL_ERROR, problem.reason or "TLS", port=local)
    except asyncio.IncompleteReadError as problem:
        received = problem.partial
        return Outcome(PROTOCOL_ERROR, _shown(received), local) if received else Outcome(CLOSED, port=local)
    except OSError as problem:
        # asyncio has no other word for a connection that ends in its TLS handshake.
        closed = isinstance(problem, ConnectionAbortedError) or "SSL handshake" in str(problem)
        return Outcome(CLOSED if closed else RESET, port=local)
    return Outcome(WORKS, port=local)


async def _converse(called, protocol: Protocol, authority: Path | None) -> None:
    options: dict = {}
    if protocol.tls:
        options = {"ssl": ssl.create_default_context(cafile=str(authority)), "server_hostname": NAME}
    try:
        reader, writer = await asyncio.open_connection(sock=called, **options)
    except BaseException:
        called.close()
        raise
    try:
        await protocol.ask(reader, writer)
    finally:
        await _abort(writer)


async def _abort(writer: Writer) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)  # the socket is closed in the loop's next turn


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


async def _expect(reader: Reader, wanted: bytes) -> None:
    """Read one answer, byte by byte: what is wrong is seen at its first byte."""
    received = b""
    while len(received) < len(wanted):
        byte = await reader.read(1)
        if not byte:
            raise asyncio.IncompleteReadError(received, len(wanted))
        received += byte
        if not wanted.startswith(received):
            with suppress(TimeoutError):
                received += await asyncio.wait_for(reader.read(40), 0.2)
            raise UnexpectedAnswerError(_shown(received))


def _shown(received: bytes) -> str:
    return received.split(b"\r\n")[0].decode("latin-1")[:40].encode("ascii", "backslashreplace").decode()


async def _serve_client_first(reader: Reader, writer: Writer) -> None:
    while line := await reader.readline():
        known = line == b"PING\r\n"
        writer.write(ANSWER if known else b"-ERR unknown command\r\n")
        await writer.drain()
        if not known:
            return


async def _ask_client_first(reader: Reader, writer: Writer) -> None:
    writer.write(b"PING\r\n")
    await _expect(reader, ANSWER)


async def _serve_server_first(reader: Reader, writer: Writer) -> None:
    writer.write(GREETING)
    if await reader.readline() == b"HELO\r\n":
        writer.write(b"250 hello\r\n")
        await writer.drain()


async def _ask_server_first(reader: Reader, writer: Writer) -> None:
    await _expect(reader, GREETING)
    writer.write(b"HELO\r\n")
    await _expect(reader, b"250 hello\r\n")


async def _serve_http1(reader: Reader, writer: Writer) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    ok = head.partition(b"\r\n")[0] == b"GET / HTTP/1.1"
    status = b"200 OK" if ok else b"400 Bad Request"
    writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 4\r\nconnection: close\r\n\r\npong")
    await writer.drain()


async def _ask_http1(reader: Reader, writer: Writer) -> None:
    writer.write(f"GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n".encode())
    await _expect(reader, b"HTTP/1.1 200 OK\r\n")
    await reader.readuntil(b"\r\n\r\n")


async def _serve_http2(reader: Reader, writer: Writer) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    async for event in _events(connection, reader, writer):
        if isinstance(event, h2.events.StreamEnded):
            connection.send_headers(event.stream_id, [(":status", "200")], end_stream=True)


async def _ask_http2(reader: Reader, writer: Writer) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    request = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", NAME)]
    connection.send_headers(1, request, end_stream=True)
    async for event in _events(connection, reader, writer):
        if isinstance(event, h2.events.ResponseReceived):
            status = next(value for name, value in event.headers if name == b":status")
            if status == b"200":
                return
            raise UnexpectedAnswerError(f"HTTP/2 {status.decode()}")
        if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            raise UnexpectedAnswerError(f"HTTP/2 error {event.error_code}")
    raise asyncio.IncompleteReadError(b"", 1)


async def _events(
    connection: h2.connection.H2Connection, reader: Reader, writer: Writer
) -> AsyncIterator[h2.events.Event]:
    writer.write(connection.data_to_send())
    while received := await reader.read(65536):
        try:
            events = connection.receive_data(received)
        except h2.exceptions.ProtocolError as problem:
            raise UnexpectedAnswerError(_shown(received)) from problem
        for event in events:
            yield event
        writer.write(connection.data_to_send())


PROTOCOLS = {
    "client-first": Protocol(_serve_client_first, _ask_client_first),
    "server-first": Protocol(_serve_server_first, _ask_server_first),
    "tls": Protocol(_serve_client_first, _ask_client_first, tls=True),
    "http1": Protocol(_serve_http1, _ask_http1),
    "http2": Protocol(_serve_http2, _ask_http2),
}
