import asyncio
import contextlib
import json
import threading
import time
from dataclasses import replace

import pytest

from webhook.server.service import ListenerError
from webhook.server.settings import Limits

HEAD = b"POST /mutate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
FAST = replace(Limits(), grace=2, close=0.3)


def request(kit):
    body = json.dumps(kit.make_review()).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body


def test_readiness_goes_first_and_requests_are_still_answered_meanwhile(start_server, kit):
    server = start_server(limits=FAST, drain=30)
    assert server.get("/readyz") == (200, "ok\n")

    server.leave()
    kit.wait_until(lambda: server.get("/readyz")[0] == 503)

    assert "[-]shutdown failed: the server is shutting down" in server.get("/readyz")[1]
    assert server.get("/livez") == (200, "ok\n")
    assert server.post(kit.make_review()).status == 200
    server.loop.call_soon_threadsafe(server.skip_drain.set)
    assert server.join()


def test_while_draining_each_answer_closes_its_connection(start_server, kit):
    server = start_server(limits=FAST, drain=30)
    with contextlib.closing(server.connect()) as connection:
        before = kit.send(connection, kit.make_review()).headers.get("connection")
        server.leave()
        kit.wait_until(lambda: server.get("/readyz")[0] == 503)
        answer = kit.send(connection, kit.make_review())

    assert (before, answer.status, answer.headers["connection"]) == (None, 200, "close")
    server.loop.call_soon_threadsafe(server.skip_drain.set)
    assert server.join()


def test_the_drain_time_is_kept(start_server):
    server = start_server(limits=FAST, drain=0.5)
    begun = time.monotonic()
    server.leave()

    assert server.join()
    assert time.monotonic() - begun >= 0.5


def test_a_request_in_flight_is_finished(start_server, kit):
    server = start_server(limits=replace(FAST, grace=5))
    head, body = request(kit)
    with contextlib.closing(server.raw()) as connection:
        connection.sendall(head + body[:20])
        kit.wait_until(lambda: server.service.webhook.server.server_state.tasks)
        server.leave()
        kit.wait_until(lambda: server.service.webhook.server.should_exit)
        time.sleep(0.3)
        connection.sendall(body[20:])
        answer = connection.recv(65536)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer
    assert server.join()


def test_no_connection_is_taken_any_more(start_server, kit):
    server = start_server(limits=FAST)
    server.leave()
    assert server.join()

    with pytest.raises(ConnectionRefusedError):
        server.raw()


@pytest.mark.parametrize("requests", [0, 1, 3000])
def test_a_client_that_never_reads_does_not_hold_the_exit(start_server, kit, requests):
    server = start_server(limits=FAST)
    head, body = request(kit)
    connection = server.raw()
    connection.settimeout(1)
    with contextlib.suppress(OSError):
        connection.sendall((head + body) * requests)
    begun = time.monotonic()

    server.leave()

    assert server.join(6)
    assert time.monotonic() - begun < 5
    connection.close()


def test_idle_connections_are_closed_at_once(start_server, kit):
    server = start_server(limits=FAST)
    with contextlib.closing(server.connect()) as connection:
        kit.send(connection, kit.make_review())
        begun = time.monotonic()
        reader = threading.Thread(target=connection.sock.recv, args=(1,))
        reader.start()
        server.leave()

        assert server.join()
        reader.join(2)
    assert time.monotonic() - begun < 2


def test_a_watch_that_fails_is_begun_again(start_server, kit):
    server = start_server(limits=FAST)
    failures = []

    async def failing(stop):
        failures.append(1)
        if len(failures) == 1:
            raise OSError("CANARY")
        await stop.wait()

    stop_background = asyncio.Event()
    running = asyncio.run_coroutine_threadsafe(
        server.service._supervise("failing", failing, stop_background), server.loop
    )
    kit.wait_until(lambda: len(failures) == 2)
    server.loop.call_soon_threadsafe(stop_background.set)
    running.result(5)

    (line,) = server.log("background task failed")
    assert (line["watch"], line["error"]) == ("failing", "OSError")
    assert "CANARY" not in server.lines.getvalue()


@pytest.mark.parametrize("which", ["webhook", "status"])
def test_a_listener_that_ends_by_itself_ends_the_server_in_order(start_server, which):
    server = start_server(limits=FAST)
    listener = getattr(server.service, which)
    server.loop.call_soon_threadsafe(setattr, listener.server, "should_exit", True)  # noqa: FBT003

    assert server.join()
    assert isinstance(server.error, ListenerError)
    assert str(server.ports[which == "status"]) in str(server.error)
    assert [line["port"] for line in server.log("listener ended")] == [server.ports[which == "status"]]
    assert server.log("stopped")
