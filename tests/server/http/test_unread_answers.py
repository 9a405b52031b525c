"""Pipelined requests of a client that reads nothing: few are answered, and what is beside them is not disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from dataclasses import replace

import pytest
from prometheus_client.registry import Collector

from webhook.server.settings import Limits

PATIENT = replace(Limits(), close=0.3)
PATHS = ["/metrics", "/policy", "/drift", "/readyz?verbose"]


def _unread(server, path, requests=60):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.ports[1]))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * requests)
    return connection


def _reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def test_no_page_is_rendered_for_a_client_that_does_not_read(start_server):
    server = start_server(limits=PATIENT)
    rendered = []

    class Large(Collector):
        def collect(self):
            rendered.append(1)
            return ()

        def describe(self):
            return ()

    server.metrics.registry.register(Large())
    for number in range(400):
        server.metrics.requests.labels(f"webhook-{number}", "outcome-of-the-request", "false").inc()
    with contextlib.closing(_unread(server, "/metrics", requests=20)) as connection:
        before = -1
        while len(rendered) > before:
            before = len(rendered)
            time.sleep(0.7)
        unread = len(rendered)
        connection.settimeout(20)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 20:
            piece = connection.recv(1 << 20)
            assert piece
            received += piece

    assert 0 < unread < 10


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_logged_about_answers_that_are_cut(start_server, kit, path, caplog):
    server = start_server(limits=PATIENT)
    with caplog.at_level(logging.WARNING):
        for pause in (0.0, 0.01, 0.05, 0.1):
            for _ in range(5):
                connection = _unread(server, path)
                time.sleep(pause)
                _reset(connection)
        kit.wait_until(lambda: not server.service.status.server.server_state.tasks, 20)

    assert caplog.records == []


@pytest.mark.alone
@pytest.mark.parametrize("path", PATHS)
def test_liveness_is_answered_beside_many_unread_pages(start_server, path):
    server = start_server(limits=PATIENT)
    with contextlib.ExitStack() as others:
        for _ in range(20):
            others.enter_context(contextlib.closing(_unread(server, path)))
        waited = []
        for _ in range(20):
            began = time.monotonic()
            assert server.get("/livez") == (200, "ok\n")
            waited.append(time.monotonic() - began)

    assert sorted(waited)[len(waited) // 2] < 0.1


def test_a_request_behind_another_learns_that_its_client_has_gone(start_server, kit):
    """The second of two requests has come in already, so the first is not the latest of the connection."""
    server = start_server(limits=PATIENT)
    received = []

    async def waiting(scope, receive, send):
        await receive()
        received.append((await receive())["type"])

    server.loop.call_soon_threadsafe(setattr, server.service.status.server.config, "loaded_app", waiting)
    kit.wait_until(lambda: server.service.status.server.config.loaded_app is waiting)
    connection = _unread(server, "/", requests=2)
    kit.wait_until(lambda: server.service.status.server.server_state.tasks)
    _reset(connection)

    kit.wait_until(lambda: received == ["http.disconnect"])


LONG = b"a" * 30_000
WAITING = {
    "bodies": b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b" " * 60_000,
    "headers": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + LONG + b"\r\n\r\n",
    "URLs": b"GET /livez?" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\n" + b"a:\r\n" * 120 + b"\r\n",
}


@pytest.mark.parametrize("large", WAITING.values(), ids=WAITING)
@pytest.mark.parametrize("port", [0, 1])
def test_the_memory_of_requests_that_wait_is_bounded(start_server, kit, port, large):
    server = start_server(limits=PATIENT)
    listener = (server.service.webhook, server.service.status)[port].server
    held = []

    async def slow(scope, receive, send):
        await asyncio.sleep(0.01)
        for connection in listener.servers[0]._accepted:
            scopes = [cycle.scope for cycle, _ in connection.pipeline]
            bodies = sum(len(cycle.body) for cycle, _ in connection.pipeline)
            paths = sum(len(waiting["raw_path"]) + len(waiting["query_string"]) for waiting in scopes)
            # A pair of objects takes some 150 bytes.
            headers = sum(len(name) + len(value) + 150 for waiting in scopes for name, value in waiting["headers"])
            held.append(bodies + paths + headers)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server.loop.call_soon_threadsafe(setattr, listener.config, "loaded_app", slow)
    kit.wait_until(lambda: listener.config.loaded_app is slow)
    plain = socket.create_connection(("127.0.0.1", server.ports[1]), timeout=10)
    with contextlib.closing(plain if port else server.raw()) as connection, contextlib.suppress(OSError):
        plain.close() if not port else None
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        kit.wait_until(lambda: held)
        connection.sendall(large * 40)
        while connection.recv(65536):
            pass

    assert held
    assert max(held) < 128 * 1024
