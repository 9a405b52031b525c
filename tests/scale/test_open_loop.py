"""The generator against a server on loopback that keeps each request for a while."""

import asyncio
import ssl
from datetime import UTC, datetime

import pytest
from open_loop import Loop, Plan

from certs import files
from certs.issue import issue_authority, issue_serving

MARK = "####"
BODY = f'{{"revision": "{MARK}"}}'


class Slow:
    """Answers each request after a while.

    Attributes:
        bodies: What was sent.
        connections: How many were opened.
    """

    def __init__(self, certificate, seconds):
        self.bodies, self.connections, self.port = [], 0, 0
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._trust.load_cert_chain(certificate / files.CERTIFICATE, certificate / files.KEY)
        self._seconds = seconds

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._trust)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.bodies.append((await reader.readexactly(len(BODY))).decode())
                await asyncio.sleep(self._seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except asyncio.IncompleteReadError:
            writer.close()


@pytest.fixture
def send(tmp_path):
    """Send requests at these times, and tell what the server and the generator say."""
    now = datetime.now(UTC)
    authority = issue_authority(now=now)
    files.write(tmp_path, authority.certificate, issue_serving(authority, ["localhost"], ["127.0.0.1"], now=now))

    def run(times, *, most_idle=25, seconds=0.05, enough=None):
        async def both():
            server = Slow(tmp_path, seconds)
            async with server:
                arrivals = [(at, 0, number) for number, at in enumerate(times)]
                authority = str(tmp_path / files.AUTHORITY)
                loop = Loop(Plan([server.port], authority, [("/mutate", BODY)], MARK, arrivals, most_idle))
                if enough is not None:
                    asyncio.get_running_loop().call_later(enough, loop.stop)
                return server, await loop.run()

        return asyncio.run(both())

    return run


def test_each_revision_stands_where_the_mark_was(send):
    server, _ = send([0.0, 0.2, 0.4])

    assert server.bodies == [BODY.replace(MARK, f"{number:04x}") for number in range(3)]


@pytest.mark.alone
def test_a_connection_that_is_free_is_used_again(send):
    server, report = send([0.0, 0.3, 0.6])

    assert server.connections == report.opened == 1


@pytest.mark.alone
def test_of_a_burst_no_more_connections_are_kept_than_it_is_told(send):
    server, report = send([0.0] * 4 + [0.5] * 4, most_idle=1)

    assert server.connections == report.opened == 7
    assert None not in report.seconds


def test_a_request_goes_over_a_connection_that_is_free_before_its_own_is_open(send, monkeypatch):
    slow = asyncio.BaseEventLoop.create_connection
    opened = []

    async def create_connection(*given, **how):
        opened.append(len(opened))
        await asyncio.sleep(5.0 * bool(opened[1:]))
        return await slow(*given, **how)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    _, report = send([0.0, 0.1], seconds=0.2)

    assert report.opened == 2
    assert report.seconds[1] < 4.0


def test_when_it_is_late_it_still_reads_what_comes_in_between_two_requests(send):
    _, report = send([0.0] + [0.3] * 300, seconds=0.0)

    assert report.opened < 200
    assert None not in report.seconds


def test_stopped_early_it_tells_of_what_it_sent_alone(send):
    _, report = send([0.0, 0.1, 1.2], enough=0.9)

    assert len(report.seconds) == len(report.late) == 2
