import contextlib
import gc
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from webhook.server.http.protocol import BoundedProtocol
from webhook.server.settings import Limits

HEAD = b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
SMALL = replace(Limits(), grace=2, close=0.3, connections=24, bodies=1_000_000)


def plain(server, port: int, timeout: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports[port]), timeout=timeout)


def request(kit) -> bytes:
    body = json.dumps(kit.make_review()).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def said(connection) -> bytes:
    """Read until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := connection.recv(65536):
            received += piece
    return received


def closed(connection, seconds: float = 3) -> bool:
    """Whether the other side closes within some seconds."""
    connection.settimeout(seconds)
    try:
        return said(connection) is not None
    except TimeoutError:
        return False


def cut_off(connection, piece: bytes, pause: float = 0) -> bool:
    """Whether the other side closes while one piece after the other is sent."""
    connection.settimeout(20)
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            connection.sendall(piece)
            time.sleep(pause)
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def accepted(server, port: int = 0) -> int:
    listener = (server.service.webhook, server.service.status)[port]
    return len(listener.server.servers[0]._accepted)


def left(server) -> int:
    """How many connections of the TLS port are still in memory."""
    gc.collect()
    mine = server.service.webhook.server.server_state
    return sum(1 for one in gc.get_objects() if isinstance(one, BoundedProtocol) and one.server_state is mine)


def encrypted() -> int:
    """How many connections have their TLS in memory."""
    gc.collect()
    return sum(1 for one in gc.get_objects() if type(one).__name__ == "SSLProtocol")


def on_both_ports(server, start: bytes):
    for connection in (server.raw(), plain(server, 1)):
        connection.settimeout(3)
        with contextlib.closing(connection):
            with contextlib.suppress(OSError):
                connection.sendall(start)
            yield connection


OVERSIZED = {
    "one header": GET + b"X: " + b"a" * 100_000,
    "one header that ends": GET + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "a URL": b"GET /" + b"a" * 100_000,
    "a URL that ends": b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a query": b"GET /livez?" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method": b"G" * 100_000,
    "many headers": GET + b"a: b\r\n" * 20_000,
    "many headers that end": GET + b"a: b\r\n" * 200 + b"\r\n",
    "the least headers": GET + b"a:\r\n" * 1000,
    "empty lines": b"\r\n" * 50_000,
}
CHUNKED = b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMING = {
    "a trailer": b"1\r\n{\r\n0\r\nX: " + b"a" * 100_000,
    "many trailers": b"1\r\n{\r\n0\r\n" + b"a: b\r\n" * 20_000,
    "many trailers at once": b"1\r\n{\r\n0\r\n" + b"a: b\r\n" * 500,
    "a chunk extension": b"1;" + b"a" * 100_000,
    "chunk extensions": (b"1;" + b"a" * 200 + b"\r\n{\r\n") * 500,
    "chunks of one byte": b"1\r\n{\r\n" * 20_000,
}


@pytest.mark.parametrize("start", OVERSIZED.values(), ids=OVERSIZED)
def test_headers_of_any_shape_are_bounded_on_both_ports(server, start):
    for connection in on_both_ports(server, start):
        answer = said(connection)
        assert not answer or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("rest", FRAMING.values(), ids=FRAMING)
def test_what_is_around_the_parts_of_a_body_is_bounded(server, rest):
    for connection in on_both_ports(server, CHUNKED + rest):
        assert closed(connection)


@pytest.mark.parametrize(
    "line", [b"CONNECT a:1", b"GET http://[::1/", b"GET http://a:99999999/", b"GET http://", b"PRI *"]
)
def test_a_url_that_is_none_is_refused_without_a_log_line(server, line, caplog):
    for connection in on_both_ports(server, line + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
        assert said(connection).startswith(b"HTTP/1.1 400 ")

    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_headers_that_come_in_pieces_are_bounded(server):
    with contextlib.closing(server.raw()) as connection:
        connection.sendall(GET)
        assert cut_off(connection, b"a: " + b"b" * 997 + b"\r\n")


def test_headers_within_the_limit_are_served(server):
    head = GET + b"X: " + b"a" * 30_000 + b"\r\n" + b"a: b\r\n" * 100 + b"\r\n"
    with contextlib.closing(plain(server, 1)) as connection:
        connection.sendall(head * 3)

        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_client_sees_that_its_headers_are_too_large(server):
    with contextlib.closing(plain(server, 1)) as connection:
        connection.sendall(OVERSIZED["many headers that end"])

        assert said(connection).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize("port", [0, 1])
def test_silent_connections_make_room_for_new_ones(start_server, kit, port):
    server = start_server(limits=SMALL)
    silent = [plain(server, port) for _ in range(100)]

    assert server.post(kit.make_review()).status == 200
    assert server.get("/livez")[0] == 200
    kit.wait_until(lambda: accepted(server, port) <= 24)
    for connection in silent:
        connection.close()
    kit.wait_until(lambda: accepted(server, port) == 0)


def test_a_client_keeps_its_connection_while_others_finish_nothing(start_server, kit):
    server = start_server(limits=SMALL)
    with contextlib.closing(server.connect()) as connection, contextlib.ExitStack() as others:
        kit.send(connection, kit.make_review())
        used = connection.sock.getsockname()
        for number in range(60):
            other = others.enter_context(contextlib.closing(server.raw() if number % 2 else plain(server, 0)))
            if number % 3 == 0:
                with contextlib.suppress(OSError):
                    other.sendall(HEAD + b"Content-Length: 100\r\n\r\n{" if number % 2 else b"\x16\x03\x01")

        assert kit.send(connection, kit.make_review()).status == 200
        assert connection.sock.getsockname() == used
        assert accepted(server) <= 24


def test_two_hundred_clients_that_connect_at_once_are_answered(server, kit):
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: server.post(kit.make_review()).status, range(400)))

    assert answers == [200] * 400


def test_of_idle_connections_the_one_that_is_longest_idle_goes(start_server, kit):
    server = start_server(limits=SMALL)
    with contextlib.ExitStack() as all_of_them:
        idle = [all_of_them.enter_context(contextlib.closing(server.connect())) for _ in range(24)]
        for connection in (*idle, idle[0]):
            kit.send(connection, kit.make_review())
        first = idle[0].sock.getsockname()

        server.post(kit.make_review())

        kit.send(idle[0], kit.make_review())
        assert idle[0].sock.getsockname() == first
        assert closed(idle[1].sock)


def test_a_request_that_is_being_answered_is_not_given_up_for_the_same_client(start_server, kit):
    begun, answered = threading.Event(), threading.Event()

    class Patient(kit.SkipBasket):  # type: ignore[name-defined]
        def ruling(self, facts):
            begun.set()
            assert answered.wait(10)
            return super().ruling(facts)

    server = start_server(limits=SMALL, policies=SimpleNamespace(current=Patient(), recent=()))
    large = kit.make_pod("basket", containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 100_000}]}])
    body = json.dumps(kit.make_review(large)).encode()
    with contextlib.closing(server.raw()) as busy, contextlib.ExitStack() as others:
        busy.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert begun.wait(10)
        silent = [others.enter_context(contextlib.closing(plain(server, 0))) for _ in range(60)]
        assert closed(silent[0])
        answered.set()

        assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_handshake_has_a_deadline(start_server):
    server = start_server(limits=replace(SMALL, handshake=0.3))
    for begun in (b"", b"\x16\x03\x01\x02\x00\x01"):
        with contextlib.closing(plain(server, 0)) as connection:
            connection.sendall(begun)
            assert closed(connection)


def test_unfinished_bodies_leave_room_for_others(start_server, kit):
    server = start_server(limits=SMALL)
    large = kit.make_pod("basket", containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 700_000}]}])
    with contextlib.ExitStack() as others:
        unfinished = [others.enter_context(contextlib.closing(server.raw())) for _ in range(8)]
        for connection in unfinished:
            connection.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + b" " * 300_000)

        answers = [server.post(kit.make_review(pod)) for pod in (kit.POD, large, kit.POD)]

        assert [answer.status for answer in answers] == [200, 200, 200]
        displaced = unfinished[0].recv(65536)
    assert displaced.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in displaced


@pytest.mark.parametrize("end", ["answered", "reset", "too slow", "too large", "unreadable"])
def test_the_memory_of_a_body_is_given_back_however_it_ends(start_server, kit, end):
    server = start_server(limits=replace(SMALL, read=0.5, body=800_000))
    large = kit.make_pod("basket", containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 700_000}]}])
    for _ in range(4):
        with contextlib.closing(server.raw()) as connection:
            match end:
                case "answered":
                    assert server.post(kit.make_review(large)).status == 200
                case "unreadable":
                    assert server.post(b" " * 700_000).status == 400
                case "too large":
                    assert server.post(b" " * 900_000).status == 413
                case _:
                    connection.sendall(HEAD + b"Content-Length: 790000\r\n\r\n" + b" " * 700_000)
                    if end == "too slow":
                        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")

    kit.wait_until(lambda: server.post(kit.make_review(large)).status == 200)


def test_a_client_that_does_not_read_is_cut_off(start_server, kit):
    server = start_server(limits=replace(SMALL, write=0.3, pipelined=100_000))
    with contextlib.closing(server.raw()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert cut_off(connection, request(kit) * 100)


def test_pipelined_requests_are_answered_up_to_a_limit(server, kit):
    with contextlib.closing(server.raw()) as connection:
        connection.sendall(request(kit) * 40)
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 40:
            received += connection.recv(65536)
    with contextlib.closing(server.raw()) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20_000)

        assert closed(connection)


@pytest.mark.parametrize("port", [0, 1])
def test_empty_lines_do_not_keep_a_connection(start_server, kit, port):
    server = start_server(limits=replace(SMALL, read=0.4))
    asked = request(kit) if port == 0 else GET + b"\r\n"
    with contextlib.closing(plain(server, 1) if port else server.raw()) as connection:
        connection.sendall(asked)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert cut_off(connection, b"\r\n", pause=0.1)


def test_a_body_that_nobody_reads_has_a_deadline(start_server):
    server = start_server(limits=replace(SMALL, read=0.4))
    with contextlib.closing(plain(server, 1)) as connection:
        connection.sendall(GET + b"Content-Length: 100000000\r\n\r\n{")
        assert cut_off(connection, b" ", pause=0.1)


def test_nothing_is_kept_of_a_connection_that_was_reset(start_server, kit):
    server = start_server(limits=SMALL)
    for _ in range(20):
        connection = server.raw()
        connection.sendall(request(kit))
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    kit.wait_until(lambda: accepted(server) == 0)
    kit.wait_until(lambda: left(server) <= 2)


REFUSED = {
    "content type": GET.replace(b"GET /livez", b"POST /mutate") + b"\r\n",
    "headers": GET + b"a: b\r\n" * 200 + b"\r\n",
    "close": GET + b"Connection: close\r\n\r\n",
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_nothing_is_kept_of_a_connection_that_has_been_closed(start_server, kit, refused):
    """Each takes 100 KB, and thousands may be opened and closed within the time that a client has to close one."""
    server = start_server(limits=replace(SMALL, close=60))
    before = encrypted()
    for _ in range(20):
        with contextlib.closing(server.raw()) as connection:
            connection.sendall(refused)
            assert connection.recv(65536).startswith(b"HTTP/1.1 4")
    kit.wait_until(lambda: accepted(server) == 0)
    kit.wait_until(lambda: left(server) <= 2)
    kit.wait_until(lambda: encrypted() <= before + 2)
