"""Answers as SQL Server does until it refuses a login: PRELOGIN, then error 18456.

It stands for SQL Server, which cannot be installed here. TDS is a client-first protocol: [MS-TDS] 2.2.6.5 (PRELOGIN),
2.2.7.10 (ERROR), 2.2.7.6 (DONE).
"""

from __future__ import annotations

import asyncio
import struct
import sys
from contextlib import suppress

PRELOGIN, LOGIN7, ANSWER = 0x12, 0x10, 0x04
LAST = 0x01
"""The status of a message's last packet."""
VERSION = bytes([16, 0, 4, 0, 0, 0])
NO_ENCRYPTION = b"\x02"
LOGIN_FAILED = 18456


def packet(body: bytes) -> bytes:
    return struct.pack(">BBHHBB", ANSWER, LAST, 8 + len(body), 0, 1, 0) + body


def prelogin() -> bytes:
    """VERSION and ENCRYPTION, as a table of offsets and then the values."""
    values = [(0, VERSION), (1, NO_ENCRYPTION)]
    table, data, offset = b"", b"", 5 * len(values) + 1
    for token, value in values:
        table += struct.pack(">BHH", token, offset + len(data), len(value))
        data += value
    return table + b"\xff" + data


def refusal(message: str) -> bytes:
    text, server = message.encode("utf-16-le"), "responder".encode("utf-16-le")
    info = struct.pack("<IBB", LOGIN_FAILED, 1, 14)
    info += struct.pack("<H", len(message)) + text
    info += bytes([len(server) // 2]) + server + b"\0" + struct.pack("<I", 1)
    done = struct.pack("<BHHQ", 0xFD, 0x0002, 0, 0)
    return b"\xaa" + struct.pack("<H", len(info)) + info + done


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answers = {PRELOGIN: prelogin(), LOGIN7: refusal("Login failed for user 'nobody'.")}
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            kind, _, length = struct.unpack(">BBH4x", await reader.readexactly(8))
            if kind not in answers or length < 8:
                break
            await reader.readexactly(length - 8)
            writer.write(packet(answers[kind]))
            await writer.drain()
    writer.close()


async def serve(port: int) -> None:
    async with await asyncio.start_server(answer, "0.0.0.0", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
