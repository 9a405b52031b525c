"""The fuzz tells a server that answers late from one that takes a large body piece by piece while it serves others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys

import over_tls
import procfs
import pytest
from answer_checks import WrongError
from over_tls import PIECE, TAKEN, _answer, _Awaited
from pace import slowness

SERVER = """
import socket, sys, time
size, before, after = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
def work(seconds):
    enough = time.process_time() + seconds
    while time.process_time() < enough:
        pass
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    connection, _ = listening.accept()
    taken = 0
    while taken < size:
        piece = connection.recv(65536)
        taken += len(piece)
        work(before * len(piece) / size)
    work(after)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
    connection.recv(1)
"""
SIZE = 2 * TAKEN
CPU = 0.2


async def _asked(port, pid):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.transport.set_write_buffer_limits(high=1, low=0)
    awaited = _Awaited(procfs.Process(pid), SIZE)
    handing = asyncio.create_task(awaited.hand_over(writer, bytes(SIZE)))
    await _answer(reader)
    handing.cancel()
    writer.close()
    awaited.require_in_time("slow")


@pytest.mark.parametrize(
    ("taken", "before", "after", "late"),
    [
        (SIZE, 0.0, 0.3, False),
        (SIZE, 0.0, 1.5, True),
        (SIZE, 1.5, 0.3, False),
        (SIZE, 1.5, 1.5, True),
        (SIZE // 2, 3.0, 0.0, True),
    ],
    ids=["soon", "late", "served others while it took the body", "and was late then", "took the body too slowly"],
)
def test_an_answer_is_late_by_what_the_server_worked_since_it_had_the_body(monkeypatch, taken, before, after, late):
    monkeypatch.setattr(over_tls, "CPU", CPU)
    scale = CPU * slowness()
    # What is late is late by far, however busy the machine is meanwhile.
    times = [str(seconds * scale * (2 if late else 1)) for seconds in (before, after)]
    command = [sys.executable, "-c", SERVER, str(taken), *times]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline())
            with pytest.raises(WrongError, match="slow") if late else contextlib.nullcontext():
                asyncio.run(_asked(port, server.pid))
        finally:
            server.kill()
