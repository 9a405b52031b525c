"""What texts take in memory once they are decoded is bounded, not only the bytes of the bodies."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from threading import Barrier

import pytest

from webhook.kubernetes.outline import MOST_WIDE, is_wide, parse
from webhook.server.http.body import SMALL, Bodies, RefusedError
from webhook.server.settings import Limits

MOST_MB = 256
WIDE = "\U0001f600"


def _pod(kind, size):
    text = {
        "escaped": WIDE * (size // 12),
        "latin-1": "\u00e9" * (size // 2),
        "BMP": "\u4e2d" * (size // 3),
        "ASCII": "a" * size,
    }.get(kind, WIDE + "a" * size)
    env = [{"name": "A", "value": text if kind not in {"annotation", "label", "key"} else ""}]
    if kind == "many":
        env = [{"name": f"A{number}", "value": WIDE + "a" * 1000} for number in range(size // 1040)]
    metadata = {"annotation": {"annotations": {"a": text}}, "label": {"labels": {"a": text}}}
    metadata["key"] = {"annotations": {text: "a"}}
    return {"metadata": metadata.get(kind, {}), "spec": {"containers": [{"name": "c", "image": "i", "env": env}]}}


def _body(kit, kind, size):
    return json.dumps(kit.make_review(_pod(kind, size)), ensure_ascii=kind == "escaped").encode()


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as ended:

        def start():
            command = [sys.executable, "-m", "webhook", "serve", "--host", "127.0.0.1", "--port", "0"]
            log = tmp_path / "log"
            manifests = tmp_path / "cluster.yaml"
            in_mesh = "labels: {istio-injection: enabled}"
            manifests.write_text(
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
                + "".join(
                    f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: n{number}, {in_mesh}}}\n"
                    for number in range(8)
                )
            )
            with log.open("wb") as to:
                process = subprocess.Popen(
                    [*command, "--health-port", "0", "--drain", "0", "--manifests", manifests],
                    stdout=to,
                    stderr=to,
                    env=os.environ,
                )
            ended.callback(process.wait)
            ended.callback(process.kill)
            for _ in range(600):
                for line in log.read_text().splitlines():
                    if '"listening"' in line:
                        return process, json.loads(line)
                time.sleep(0.05)
            raise AssertionError(log.read_text())

        yield start


def _post(at, body, path="/mutate"):
    context = ssl.create_default_context(cafile=at["ca"])
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", at["port"], context=context, timeout=30)
    ) as connection:
        connection.request("POST", path, body, {"content-type": "application/json"})
        return connection.getresponse().status


def _peak_mb(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no peak")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["env", "annotation", "label", "key", "many", "escaped", "latin-1", "BMP", "ASCII"])
def test_parallel_large_reviews_of_any_text_leave_the_memory_of_a_replica(start, kit, kind):
    process, at = start()
    bodies = [_body(kit, kind, size) for size in (8_380_000, 2_000_000)]
    statuses = set()

    def attack(which):
        with contextlib.suppress(OSError):
            statuses.add(_post(at, bodies[which % 4 < 2], "/validate" if which % 2 else "/mutate"))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(attack, range(48)))

    assert HTTPStatus.OK in statuses
    assert statuses <= {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
    assert _peak_mb(process) < MOST_MB


DENSE = {
    "containers": {"containers": [{}] * 49_000},
    "variables": {"containers": [{"env": [{"name": "A1"}] * 24_000}]},
    "small": {
        "volumes": [{"name": "kube-api-access-abcde", "projected": {"sources": [{"serviceAccountToken": {}}]}}],
        "containers": [{}] * 19_900,
    },
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("spec", DENSE.values(), ids=DENSE)
@pytest.mark.parametrize("path", ["/mutate", "/validate"])
def test_parallel_reviews_of_very_many_values_leave_the_memory_of_a_replica(start, kit, path, spec):
    process, at = start()
    bodies = [
        json.dumps(kit.make_review({"metadata": {}, "spec": spec}, namespace=f"n{number}")).encode()
        for number in range(8)
    ]
    context = ssl.create_default_context(cafile=at["ca"])
    together = Barrier(64)
    statuses = set()

    def attack(which):
        connection = http.client.HTTPSConnection("localhost", at["port"], context=context, timeout=30)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.connect()
            together.wait(30)
            for _ in range(4):
                connection.request("POST", path, bodies[which % 8], {"content-type": "application/json"})
                answer = connection.getresponse()
                statuses.add(answer.status)
                answer.read()

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(attack, range(64)))

    assert HTTPStatus.OK in statuses
    assert statuses <= {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}
    assert _peak_mb(process) < MOST_MB


@pytest.mark.parametrize("kind", ["ASCII", "BMP", "env"])
def test_many_ordinary_reviews_at_once_are_all_answered(server, kit, kind):
    body = _body(kit, kind, 220_000)
    with ThreadPoolExecutor(32) as pool:
        statuses = list(pool.map(lambda _: server.post(body).status, range(96)))

    assert set(statuses) == {HTTPStatus.OK}


def test_what_a_body_takes_once_decoded_is_counted_until_it_is_released():
    bodies = Bodies(10 * SMALL, 11 * SMALL)
    wide = "\u4e2d".encode() * (SMALL // 2)
    for _ in range(3):
        for _ in range(2):
            bodies.hold(len(wide))
        bodies.decode(wide)
        with pytest.raises(RefusedError):
            bodies.decode(wide)
        bodies.release(wide)
    narrow = b"a" * (5 * SMALL)
    for _ in range(2):
        bodies.hold(len(narrow))
        bodies.decode(narrow)


def test_any_body_is_taken_while_no_other_is_there():
    limits = Limits()
    bodies = Bodies(limits.bodies, limits.decoded)
    for body in (b"a" * limits.body, b"\xff" * limits.body):
        bodies.hold(len(body))
        bodies.decode(body)
        bodies.release(body)


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        (b"a", False),
        (rb"a \u003c b \u0026\u0026 c \u00e9", False),
        (rb"\ud83d\ude00", True),
        (rb"\u4e2d", True),
        ("\u00e9".encode(), True),
        (WIDE.encode(), True),
    ],
)
def test_a_text_is_wide_where_its_characters_may_take_more_than_its_bytes(text, wide):
    assert is_wide(b"a" * 1000 + text + b"a" * 1000) is wide


def test_of_very_much_text_that_is_not_ascii_an_outline_is_read(kit):
    assert not parse(_body(kit, "ASCII", 3 * MOST_WIDE)).unread
    assert not parse(_body(kit, "env", MOST_WIDE - 1000)).unread
    for kind in ("env", "escaped", "many", "label"):
        review = parse(_body(kit, kind, MOST_WIDE + 100_000))
        assert review.unread or review.pod is None
