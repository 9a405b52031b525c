"""Five ways to begin a conversation, each with a server and a client: they stand for all protocols of their kind.

Servers refuse a wrong beginning at its first wrong byte, and clients a wrong answer, as parsers and drivers do.
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events

ANSWER = b"+PONG\r\n"
"""As redis answers to a PING."""
GREETING = b"220 ready\r\n"
"""As an SMTP server greets."""


class UnexpectedAnswerError(Exception):
    """The answer is not of this protocol."""


class ErrorResponseError(Exception):
    """The answer is one of HTTP, and of another status than 200."""


@dataclass(frozen=True)
class Protocol:
    """A protocol's two ends."""

    serve: Callable[[Reader, Writer], Awaitable[None]]
    ask: Callable[[Reader, Writer, str], Awaitable[None]]
    tls: bool = False


async def _begins(reader: Reader, wanted: bytes) -> bool:
    """Whether these bytes come next; says no at the first one that differs, as parsers do."""
    for byte in wanted:
        if await reader.readexactly(1) != bytes([byte]):
            return False
    return True


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
            raise UnexpectedAnswerError(shown(received))


def shown(received: bytes) -> str:
    return received.split(b"\r\n")[0].decode("latin-1")[:40].encode("ascii", "backslashreplace").decode()


async def _serve_client_first(reader: Reader, writer: Writer) -> None:
    while await _begins(reader, b"PING\r\n"):
        writer.write(ANSWER)
        await writer.drain()
    writer.write(b"-ERR unknown command\r\n")


async def _ask_client_first(reader: Reader, writer: Writer, _: str) -> None:
    writer.write(b"PING\r\n")
    await _expect(reader, ANSWER)


async def _serve_server_first(reader: Reader, writer: Writer) -> None:
    writer.write(GREETING)
    if await reader.readline() == b"HELO\r\n":
        writer.write(b"250 hello\r\n")
        await writer.drain()


async def _ask_server_first(reader: Reader, writer: Writer, _: str) -> None:
    await _expect(reader, GREETING)
    writer.write(b"HELO\r\n")
    await _expect(reader, b"250 hello\r\n")


async def _serve_http1(reader: Reader, writer: Writer) -> None:
    status = b"400 Bad Request"
    if await _begins(reader, b"GET / HTTP/1.1\r\n"):
        await reader.readuntil(b"\r\n\r\n")
        status = b"200 OK"
    writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 4\r\nconnection: close\r\n\r\npong")
    await writer.drain()


async def _ask_http1(reader: Reader, writer: Writer, place: str) -> None:
    writer.write(f"GET / HTTP/1.1\r\nhost: {place}\r\n\r\n".encode())
    await _expect(reader, b"HTTP/1.1 ")
    status = await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    if status != b"200 OK\r\n":
        raise ErrorResponseError(shown(status))


async def _serve_http2(reader: Reader, writer: Writer) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    async for event in _events(connection, reader, writer):
        if isinstance(event, h2.events.StreamEnded):
            connection.send_headers(event.stream_id, [(":status", "200")], end_stream=True)


async def _ask_http2(reader: Reader, writer: Writer, place: str) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    request = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", place)]
    connection.send_headers(1, request, end_stream=True)
    async for event in _events(connection, reader, writer):
        if isinstance(event, h2.events.ResponseReceived):
            status = next(value for name, value in event.headers if name == b":status")
            if status == b"200":
                return
            raise ErrorResponseError(status.decode())
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
            raise UnexpectedAnswerError(shown(received)) from problem
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
