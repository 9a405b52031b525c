"""The beginning of SQL Server's protocol, TDS: PRELOGIN, a login that lets everybody in, and empty answers to the rest.

It is no database: enough for a driver to connect, over the same bytes as with SQL Server without encryption (MS-TDS).
"""

from __future__ import annotations

import socketserver
import struct

PORT = 1433
PRELOGIN, LOGIN, REPLY = 0x12, 0x10, 0x04
HEADER = struct.Struct(">BBHHBB")
END_OF_MESSAGE = 0x01
VERSION, ENCRYPTION, TERMINATOR = 0x00, 0x01, 0xFF
NOT_SUPPORTED = 0x02
LOGIN_ACK, DONE = 0xAD, 0xFD
TDS_7_4 = 0x74000004


def prelogin() -> bytes:
    """Version 15.0, and that there is no encryption."""
    table = 2 * 5 + 1
    options = struct.pack(">BHHBHHB", VERSION, table, 6, ENCRYPTION, table + 6, 1, TERMINATOR)
    return options + struct.pack(">BBHH", 15, 0, 2000, 0) + bytes([NOT_SUPPORTED])


def logged_in() -> bytes:
    """The acknowledgement of a login, and the end."""
    name = "a stand-in for SQL Server"
    body = struct.pack(">BIB", 1, TDS_7_4, len(name)) + name.encode("utf-16-le") + bytes([15, 0, 7, 208])
    return struct.pack("<BH", LOGIN_ACK, len(body)) + body + done()


def done() -> bytes:
    return struct.pack("<BHHQ", DONE, 0, 0, 0)


class Session(socketserver.StreamRequestHandler):
    """One connection. What is no TDS ends it."""

    timeout = 60

    def handle(self) -> None:
        while True:
            header = self.rfile.read(HEADER.size)
            if len(header) < HEADER.size:
                return
            kind, status, length, *_ = HEADER.unpack(header)
            if length < HEADER.size:
                return
            self.rfile.read(length - HEADER.size)
            if status & END_OF_MESSAGE:
                self._reply({PRELOGIN: prelogin, LOGIN: logged_in}.get(kind, done)())

    def _reply(self, body: bytes) -> None:
        self.wfile.write(HEADER.pack(REPLY, END_OF_MESSAGE, HEADER.size + len(body), 0, 1, 0) + body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", PORT), Session) as server:
        server.serve_forever()
