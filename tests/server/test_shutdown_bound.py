"""However its clients behave, the server ends soon after the drain time, and cuts no request that has come in whole."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from webhook.server.settings import Limits

# The deadlines of a request that is under way are left as they are: 10 s.
SHORT = replace(Limits(), finish=0.5, close=0.3)
SECONDS = 5
HEAD = b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GET = b"GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n"


def _request(kit, **spec):
    body = json.dumps(kit.make_review(kit.make_pod("basket", **spec))).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _unfinished_header(kit, connection):
    connection.sendall(HEAD)


def _unfinished_body(kit, connection):
    connection.sendall(_request(kit)[:-5])


def _unfinished_second_body(kit, connection):
    connection.sendall(_request(kit) + _request(kit)[:-5])


def _unread_answers(kit, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(0.5)
    with contextlib.suppress(OSError):
        for _ in range(200):
            connection.sendall(_request(kit) * 20)


def _unread_pages(kit, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 60)


def _idle(kit, connection):
    connection.sendall(_request(kit))
    assert connection.recv(65536).startswith(b"HTTP/1.1 ")


def _silent(kit, connection):
    pass


ON_EITHER_PORT = [_unfinished_header, _unfinished_body, _unfinished_second_body, _idle, _silent, _unread_pages]
KINDS = [(kind, port) for kind in ON_EITHER_PORT for port in ("tls", "plain")] + [
    (_unread_answers, "tls"),
    (_silent, "handshake"),
]


@pytest.mark.parametrize(("behave", "port"), KINDS, ids=lambda value: getattr(value, "__name__", value).strip("_"))
def test_no_connection_holds_the_exit(start_server, kit, behave, port):
    server = start_server(limits=SHORT)
    plain = socket.create_connection(("127.0.0.1", server.ports[port == "plain"]), timeout=10)
    plain.close() if port == "tls" else None
    with contextlib.closing(server.raw() if port == "tls" else plain) as connection:
        behave(kit, connection)
        time.sleep(0.2)
        began = time.monotonic()
        server.leave()

        assert server.join(SECONDS)
        assert time.monotonic() - began < SECONDS
    assert server.log("stopped")


def test_a_client_that_goes_on_sending_requests_does_not_hold_the_exit(start_server):
    server = start_server(limits=SHORT)
    connection = socket.create_connection(("127.0.0.1", server.ports[1]), timeout=10)
    sending = threading.Event()

    def flood():
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(GET)
                sending.set()
                connection.recv(65536)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    assert sending.wait(5)
    server.leave()

    assert server.join(SECONDS)
    thread.join(5)
    connection.close()


def test_pages_that_were_asked_for_in_advance_do_not_hold_the_exit(start_server, slow_metrics, kit):
    """They are rendered one after the other, and fit into the buffers of a client that does not read."""
    server = start_server(limits=SHORT)
    rendered = slow_metrics(server)
    with contextlib.closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        connection.connect(("127.0.0.1", server.ports[1]))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 60)
        kit.wait_until(lambda: rendered)
        server.leave()

        assert server.join(SECONDS)
    assert len(rendered) < 30


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_the_rest_of_a_request_is_awaited_for_a_moment_and_answered(start_server, kit, pieces):
    server = start_server(limits=replace(SHORT, finish=4))
    whole = _request(kit)
    first = {1: len(HEAD) - 5, 2: len(HEAD) + 30, 3: len(whole) - 1}[pieces]
    with contextlib.closing(server.raw()) as connection:
        connection.sendall(whole[:first])
        time.sleep(0.1)
        server.leave()
        kit.wait_until(lambda: server.service.webhook.server.should_exit)
        time.sleep(0.15)
        connection.sendall(whole[first:])
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert server.join(SECONDS)


def test_a_decision_that_runs_is_answered_although_it_takes_longer_than_an_unfinished_request_may(start_server, kit):
    begun = threading.Event()

    class Slow(kit.SkipBasket):  # type: ignore[name-defined]
        def ruling(self, facts):
            begun.set()
            time.sleep(1.5)
            return super().ruling(facts)

    server = start_server(limits=SHORT, policies=SimpleNamespace(current=Slow(), recent=()))
    large = _request(kit, containers=[{"name": "a", "env": [{"name": "A", "value": "x" * 100_000}]}])
    with contextlib.closing(server.raw()) as connection:
        # Another request after it, which is not complete, makes no difference to it.
        connection.sendall(large + HEAD)
        assert begun.wait(10)
        server.leave()
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert server.join(SECONDS)
