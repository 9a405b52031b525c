"""Reviews over TLS to a real server process on loopback: several connections, kept, pipelined and broken."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import processes
import procfs
from answer_checks import REFUSALS, WrongError, no_canary, operations_of, require, response_of
from broken_framing import PATHS, broken, request
from cases import POLICIES, Case
from hostile_world import SOURCES, Object, documents, write
from in_process import world_seed
from pace import slowness

CONNECTIONS = 8
CPU = 1.0
"""Seconds of an idle reference core that the server may work between a request and its answer, not what is waited."""
TAKEN = 4 * 1024 * 1024
"""Bytes of a request that the server may take for as long: it takes a piece of each in turn, and serves others between.
"""
PIECE = 64 * 1024
"""Bytes that are handed over at once. The client is ahead of the server by a few of them, in buffers."""
LOST = 30.0
"""Seconds after which an answer is not awaited any longer."""
PIPELINED = 64 * 1024
"""Bytes of reviews that are sent before the answer to an earlier one."""
RESIDENT = 384.0
"""MB that the server may ever have: three quarters of what the chart allows."""
SILENCE = 0.3
"""Seconds that an answer to a broken request is awaited: there may be none."""
STOP = 20.0
LOOPBACK = "serve --host 127.0.0.1 --port 0 --health-port 0 --drain 0 --log-format json --log-level debug".split()
Fail = Callable[[Case, WrongError], None]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        program: Its process.
        port: Its TLS port.
        health: Its plain port.
        context: Trusts its certificate.
    """

    program: processes.Program
    port: int
    health: int
    context: ssl.SSLContext

    @property
    def process(self) -> procfs.Process:
        return procfs.Process(self.program.pid)

    def get(self, path: str) -> str:
        """What the plain port answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=STOP) as answer:
            return answer.read().decode()


@contextmanager
def served(policy: str, world: list[Object], *, strict: bool) -> Iterator[Server]:
    """Run a server with a policy in a generated world; in the end nothing of it is left.

    Raises:
        WrongError: It does not end in good order.
    """
    with tempfile.TemporaryDirectory(prefix="sidecar-policy-fuzz-") as name, processes.Programs(Path(name)) as programs:
        manifests = Path(name) / "world.yaml"
        write(manifests, world)
        command: list[str | Path] = [Path(sys.executable).with_name("sidecar-policy"), *LOOPBACK, "--secrets"]
        # One that is killed does not remove what it has elsewhere.
        command += ["--cert-dir", Path(name) / "certs"]
        command += ["--policy", Path(__file__).parent / "policies" / f"{policy}.yaml", "--manifests", manifests]
        command += [part for source in SOURCES for part in ("--manifests", source)]
        program = programs.start("server", command + ["--strict"] * strict)
        program.wait_until(lambda: '"listening"' in program.log.read_text(), seconds=60, what="listening")
        line = next(line for line in program.log.read_text().splitlines() if '"listening"' in line)
        said = json.loads(line)
        yield Server(program, said["port"], said["health_port"], ssl.create_default_context(cafile=said["ca"]))
        code = program.stop(grace=STOP)
        require(code == 0, "a server that does not end on SIGTERM", f"exit code {code}")
        no_canary(program.log.read_bytes(), "the log")


class OverTls:
    """A client with several connections.

    Attributes:
        sent: How many reviews were sent.
    """

    def __init__(self, make: Callable[[int, int], Case], fail: Fail) -> None:
        """Take what is sent, by seed and number, and what is called for each failure."""
        self.sent = 0
        self._make = make
        self._fail = fail
        self._number = 0
        self._numbers: dict[str, int] = {}

    def run(self, seed: int, reviews: int, deadline: float) -> None:
        """Send so many reviews: to one server after another, each with another policy and another world."""
        for index, policy in enumerate(POLICIES if reviews else ()):
            world = documents(world_seed(seed, self._number) + 1 + index)
            template = Case(seed, self._number, policy, bool(index % 2), world, b"")
            try:
                with served(policy, world, strict=template.strict) as server:
                    enough = reviews * (index + 1) // len(POLICIES)
                    asyncio.run(self._connections(server, template, enough, deadline))
                    self._report_faults(server, template)
                    _inspect(server)
            except WrongError as wrong:
                self._fail(template, wrong)
            except processes.ProgramError as error:
                self._fail(template, WrongError("a server that does not come up, or dies", str(error)))

    def _report_faults(self, server: Server, template: Case) -> None:
        for uid, webhook, wrong in _faults(server):
            made = self._make(template.seed, self._numbers.get(uid, 0))
            raw = request(f"/{webhook}".encode(), made.body)
            self._fail(replace(template, number=made.number, body=made.body, uid=made.uid, raw=raw), wrong)

    async def _connections(self, server: Server, template: Case, enough: int, deadline: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                random = Random(template.seed << 8 | number)
                group.create_task(self._connection(server, template, enough, deadline, random))
            group.create_task(self._probe(server, template, enough, deadline))

    def _next(self, template: Case) -> Case:
        self._number += 1
        made = self._make(template.seed, self._number)
        self._numbers[made.uid or ""] = self._number
        return replace(template, number=self._number, body=made.body, uid=made.uid)

    async def _connection(self, server: Server, template: Case, enough: int, deadline: float, random: Random) -> None:
        """Use one connection after another until enough is sent."""
        while self.sent < enough and time.monotonic() < deadline:
            case = self._next(template)
            try:
                reader, writer = await _opened(server)
            except OSError as error:
                self._fail(case, WrongError("no connection", repr(error)))
                if not server.program.running:
                    return
                continue
            try:
                for _ in range(random.randrange(1, 200)):
                    if self.sent >= enough or time.monotonic() > deadline:
                        break
                    case = self._next(template)
                    if random.random() < 0.03:
                        case = replace(case, raw=broken(random, random.choice(PATHS), case.body))
                        self.sent += 1
                        await _exchange_broken(reader, writer, case.raw)
                        break
                    case = await self._exchange(server, reader, writer, case, random)
            except _ClosedError:
                pass
            except WrongError as wrong:
                self._fail(case, wrong)
            except (OSError, EOFError, ValueError) as error:
                self._fail(case, WrongError("a request that is not answered", repr(error)))
            finally:
                writer.transport.abort()

    async def _exchange(
        self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, case: Case, random: Random
    ) -> Case:
        """Send one review, or several at once, and check the answers; return the last one."""
        cases = [case]
        if random.random() < 0.08:
            cases += [self._next(case) for _ in range(random.randrange(1, 5))]
        raws = [request(random.choice(PATHS), one.body) for one in cases]
        # The server closes a connection on which more than that waits for an earlier answer.
        while sum(map(len, raws[1:])) > PIPELINED:
            cases.pop()
            raws.pop()
        self.sent += len(cases)
        awaited = _Awaited(server.process, sum(map(len, raws)))
        handing = asyncio.create_task(awaited.hand_over(writer, b"".join(raws)))
        try:
            for one, raw in zip(cases, raws, strict=True):
                async with asyncio.timeout(LOST):
                    status, closes, answer = await _answer(reader)
                try:
                    awaited.require_in_time("slow over TLS")
                    _check(status, answer, one.uid)
                except WrongError as wrong:
                    self._fail(replace(one, raw=raw), wrong)
                if closes:
                    raise _ClosedError
                awaited = _Awaited(server.process)
        finally:
            handing.cancel()
        return cases[-1]

    async def _probe(self, server: Server, template: Case, enough: int, deadline: float) -> None:
        """Ask the probes beside all that."""
        while self.sent < enough and time.monotonic() < deadline and server.program.running:
            try:
                await _probed(server)
            except WrongError as wrong:
                self._fail(template, wrong)
            except (OSError, EOFError) as error:
                self._fail(template, WrongError("a probe that is not answered", repr(error)))
            await asyncio.sleep(0.1)


async def _probed(server: Server) -> None:
    awaited = _Awaited(server.process)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.health)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(2):
        status, _closes, _text = await _answer(reader)
        require(status == 200, "a probe that fails", f"HTTP {status}")
        awaited.require_in_time("a slow probe")
    writer.close()


class _Awaited:
    """An answer that is awaited, from now on."""

    def __init__(self, process: procfs.Process, size: int = 0) -> None:
        """Take the server, and how many bytes are sent before it."""
        self._process = process
        self._limit = CPU * (1 + size / TAKEN)
        self._begin, self._used = time.monotonic(), self._process.cpu

    async def hand_over(self, writer: asyncio.StreamWriter, raw: bytes) -> None:
        """Send a request. Count anew, and no longer for its bytes, once the server has taken nearly all of them."""
        with suppress(OSError):
            for start in range(0, len(raw), PIECE):
                writer.write(raw[start : start + PIECE])
                await writer.drain()
            self._limit = CPU
            self._begin, self._used = time.monotonic(), self._process.cpu

    def require_in_time(self, kind: str) -> None:
        """Check that the server did not work for too long, whatever else the machine did meanwhile."""
        took, worked = time.monotonic() - self._begin, self._process.cpu - self._used
        said = f"{took:.1f} s, of which the server worked {worked:.1f} s"
        require(worked < self._limit or worked < self._limit * slowness(), kind, said)


async def _opened(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose `drain` waits until the server has taken what was written, but for some pieces."""
    raw = socket.create_connection(("127.0.0.1", server.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
    reader, writer = await asyncio.open_connection(sock=raw, ssl=server.context, server_hostname="localhost")
    writer.transport.set_write_buffer_limits(high=1, low=0)
    return reader, writer


class _ClosedError(OSError):
    """The server has answered and closes the connection, as it said."""


def _check(status: int, answer: bytes, uid: str | None) -> None:
    if status == 200:
        operations_of(response_of(answer, uid))
    else:
        require(status in REFUSALS, f"HTTP {status}", answer[:100].decode(errors="replace"))
        no_canary(answer, "a refusal")


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """The status of the next answer, whether its connection is closed after it, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    line, _, fields = head.partition("\r\n")
    headers = dict(field.split(": ", 1) for field in fields.split("\r\n") if ": " in field)
    require(line.startswith("http/1.1 "), "an answer that is no HTTP", line[:100])
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(line.split()[1]), headers.get("connection") == "close", body


async def _exchange_broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
    """Send a broken request; whatever is answered, if anything is, is no error of the server's own."""
    writer.write(raw)
    with suppress(TimeoutError, EOFError, OSError):
        async with asyncio.timeout(SILENCE):
            status, _, answer = await _answer(reader)
            require(status < 500, f"HTTP {status}", answer[:100].decode(errors="replace"))
            no_canary(answer, "a refusal")


def _faults(server: Server) -> Iterator[tuple[str, str, WrongError]]:
    """What the log says of faults of the server's own: the request's uid, and the webhook; the first of each kind."""
    seen = set()
    for line in server.program.log.read_text().splitlines():
        if '"internal-error"' in line and (said := json.loads(line))["at"][-1] not in seen:
            seen.add(said["at"][-1])
            place = said["at"][-1].rpartition(":")[0]
            kind = f"internal-error over TLS: {said['error']} in {place}"
            yield said["uid"], said["webhook"], WrongError(kind)


def _inspect(server: Server) -> None:
    """Look at a server that has answered all."""
    metrics = server.get("/metrics")
    no_canary(metrics, "a metric")
    require(server.process.peak < RESIDENT, "memory without bound", f"{server.process.peak:.0f} MB")


def replayed_over_tls(case: Case) -> str:
    """Send a case's bytes to a server of its own; return what failed, or nothing."""

    async def once(server: Server) -> None:
        reader, writer = await _opened(server)
        raw = case.raw or request(PATHS[0], case.body)
        awaited = _Awaited(server.process, len(raw))
        handing = asyncio.create_task(awaited.hand_over(writer, raw))
        async with asyncio.timeout(STOP):
            status, _, answer = await _answer(reader)
        handing.cancel()
        awaited.require_in_time("slow over TLS")
        _check(status, answer, case.uid)

    try:
        with served(case.policy, case.world, strict=case.strict) as server:
            asyncio.run(once(server))
            _inspect(server)
    except (WrongError, OSError, EOFError, TimeoutError) as failure:
        return str(failure) or type(failure).__name__
    return ""
