"""What arrives at a pod: nothing, a connection without a byte, plain text, or Istio's mutual TLS.

Seen on the pod's own interface, before iptables and any sidecar, so it does not depend on what Envoy says of itself.
Plain text includes an application's own TLS: only Istio asks for a server name that begins like that of its clusters.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from network import Network

NOTHING = "nothing"
CONNECTION = "connection"
PLAIN = "plain"
MTLS = "mtls"
ISTIO_SERVER_NAME = b"outbound_."
ENOUGH = 4096
"""Bytes of a ClientHello, at most."""
SYN, ACK = 0x02, 0x10


class Wire:
    """Watches one pod's interface."""

    def __init__(self, network: Network) -> None:
        self._address = socket.inet_aton(network.address)
        self._socket = network.packets()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._flows: dict[tuple[str, int], dict[int, bytearray]] = {}

    def seen(self, client: str, port: int) -> str:
        """What came from this address to this port of the pod; of several connections, the last that said a word."""
        flows = self._flows.get((client, port), {})
        said = [bytes(one) for one in flows.values() if one]
        if not said:
            return CONNECTION if flows else NOTHING
        return MTLS if said[-1][:2] == b"\x16\x03" and ISTIO_SERVER_NAME in said[-1] else PLAIN

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Read what comes, on the running event loop, while the context lasts."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._read)
        try:
            yield
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()

    def _read(self) -> None:
        for _ in range(256):
            try:
                packet = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:  # the interface is gone, with its pod
                asyncio.get_running_loop().remove_reader(self._socket)
                return
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        header = (packet[0] & 0xF) * 4
        if packet[9] != socket.IPPROTO_TCP or packet[16:20] != self._address:
            return
        (total,) = struct.unpack_from("!H", packet, 2)
        source, port = struct.unpack_from("!HH", packet, header)
        offset, flags = packet[header + 12] >> 4, packet[header + 13]
        client = socket.inet_ntoa(packet[12:16])
        if flags & SYN and not flags & ACK:
            flows = self._flows.setdefault((client, port), {})
            flows.pop(source, None)  # the last one is the last
            flows[source] = bytearray()
        flow = self._flows.get((client, port), {}).get(source)
        if flow is not None and len(flow) < ENOUGH:
            flow += packet[header + offset * 4 : total]
