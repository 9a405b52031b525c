"""Requests at given times, whether or not earlier ones have been answered, as an API server sends them.

Connections are kept as Go's HTTP client keeps them: the one that was used last goes first; when none is free another is
opened, and the request goes over whichever is free first; some stay open without work. New ones go to the servers in
turn, as behind a Service.

Run as a program it reads a `Plan` from one file, and writes a `Report` into another, as JSON. SIGTERM ends it early.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
import sys
import time
from collections import Counter, deque
from itertools import cycle
from pathlib import Path

import msgspec
import uvloop

PATIENCE = 30.0
"""Seconds after the last request until those that are not answered count as lost."""


class Plan(msgspec.Struct):
    """What to send.

    Attributes:
        ports: The servers', on loopback.
        authority: The file of the certificate that signs theirs.
        requests: Path and body of each request there is.
        mark: What is replaced in bodies by the revision, in as many hexadecimal digits.
        arrivals: When to send which of them, in seconds from the start, in order, and for which revision.
        most_idle: How many connections stay open without work.
    """

    ports: list[int]
    authority: str
    requests: list[tuple[str, str]]
    mark: str
    arrivals: list[tuple[float, int, int]]
    most_idle: int


class Report(msgspec.Struct):
    """How it went.

    Attributes:
        began: When the start was, in seconds since the epoch.
        seconds: For each arrival that was sent, how long it took until its answer; None if there was none with status
            200.
        late: For each of them, how much later than planned it was begun.
        servers: How many requests each server got, in the order of the ports.
        opened: How many connections were opened.
        cpu: Seconds of CPU that sending took.
    """

    began: float
    seconds: list[float | None]
    late: list[float]
    servers: list[int]
    opened: int
    cpu: float


class _Connection(asyncio.Protocol):
    def __init__(self, loop: Loop, port: int) -> None:
        self.port = port
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._arrival: int | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, arrival: int, request: bytes) -> None:
        self._arrival = arrival
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            arrival, self._arrival, self._data = self._arrival, None, b""
            self._loop.answered(self, arrival, ok=head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, error: Exception | None) -> None:
        self._loop.lost(self, busy=self._arrival is not None)

    def close(self) -> None:
        self._transport.close()


class Loop:
    """Sends a plan."""

    def __init__(self, plan: Plan) -> None:
        count = len(plan.arrivals)
        self._arrivals = plan.arrivals
        self._requests = [_request(*one).split(plan.mark.encode()) for one in plan.requests]
        self._digits = len(plan.mark)
        self._most_idle = plan.most_idle
        self._ports = plan.ports
        self._turn = cycle(plan.ports)
        self._trust = ssl.create_default_context(cafile=plan.authority)
        self._idle: list[_Connection] = []
        self._waiting: deque[int] = deque()
        self._opened = 0
        self._begun = [0.0] * count
        self._seconds: list[float | None] = [None] * count
        self._late = [0.0] * count
        self._left = count
        self._sent: Counter[int] = Counter()
        self._done = asyncio.Event()
        self._stopped = False
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        """Send all of it, and wait for the answers."""
        began, cpu = time.time() + 0.5, time.process_time()
        start = time.perf_counter() + 0.5
        for arrival, (due, _, _) in enumerate(self._arrivals):
            # Also when late, what has come in is read first: a connection that is free again is not to be missed.
            await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
            if self._stopped:
                self._end_at(arrival)
                break
            self._begun[arrival] = now = time.perf_counter()
            self._late[arrival] = now - start - due
            if self._idle:
                self._send(self._idle.pop(), arrival)
            else:
                self._waiting.append(arrival)
                task = asyncio.create_task(self._open())
                self._opening.add(task)
                task.add_done_callback(self._opening.discard)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._done.wait()
        except TimeoutError:
            pass
        for connection in self._idle:
            connection.close()
        servers = [self._sent[port] for port in self._ports]
        return Report(began, self._seconds, self._late, servers, self._opened, time.process_time() - cpu)

    def stop(self) -> None:
        """Send no more; what was not sent is not reported."""
        self._stopped = True

    def _end_at(self, sent: int) -> None:
        self._left -= len(self._seconds) - sent
        del self._seconds[sent:], self._late[sent:]
        if not self._left:
            self._done.set()

    async def _open(self) -> None:
        port = next(self._turn)
        self._opened += 1
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self, port), "127.0.0.1", port, ssl=self._trust, server_hostname="localhost"
            )
        except OSError:
            if self._waiting:
                self._waiting.popleft()
                self._finish()
        else:
            self._free(connection)

    def _free(self, connection: _Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        elif len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def _send(self, connection: _Connection, arrival: int) -> None:
        self._sent[connection.port] += 1
        _, request, revision = self._arrivals[arrival]
        connection.send(arrival, f"{revision:0{self._digits}x}".encode().join(self._requests[request]))

    def answered(self, connection: _Connection, arrival: int, *, ok: bool) -> None:
        """Take note of an answer; the connection is free again."""
        if ok:
            self._seconds[arrival] = time.perf_counter() - self._begun[arrival]
        self._free(connection)
        self._finish()

    def lost(self, connection: _Connection, *, busy: bool) -> None:
        """A connection is gone, and its request, if it had one, will not be answered."""
        if connection in self._idle:
            self._idle.remove(connection)
        if busy:
            self._finish()

    def _finish(self) -> None:
        self._left -= 1
        if not self._left:
            self._done.set()


def _request(path: str, body: str) -> bytes:
    data = body.encode()
    head = f"POST {path}?timeout=5s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def main() -> None:
    """Send the plan in a file."""
    given, told = map(Path, sys.argv[1:])
    plan = msgspec.json.decode(given.read_bytes(), type=Plan)
    gc.freeze()

    async def send() -> Report:
        loop = Loop(plan)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, loop.stop)
        return await loop.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told.write_bytes(msgspec.json.encode(runner.run(send())))


if __name__ == "__main__":
    main()
