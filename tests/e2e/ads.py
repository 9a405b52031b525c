"""istiod asked over ADS, as the sidecar of a pod asks it: which filters does a connection to an address go through?

The few messages of the protocol that are needed are written and read here, field by field (envoy
service/discovery/v3/discovery.proto, config/listener/v3/listener.proto): their whole definitions would be a package of
thousands of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
STREAM = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


@dataclass(frozen=True)
class Listener:
    """A listener of a sidecar.

    Attributes:
        address: Where it listens.
        port: Its port.
        filters: The network filters of all its filter chains, each once, but for Istio's own, which only counts.
    """

    address: str
    port: int
    filters: frozenset[str]


def listeners(port: int, *, pod: str, namespace: str, ip: str = "10.1.2.3") -> list[Listener]:
    """The listeners that istiod gives to a pod's sidecar.

    Args:
        port: istiod's plain gRPC port on loopback.
        pod: The pod's name.
        namespace: Its namespace.
        ip: Its address.
    """
    node = _text(1, f"sidecar~{ip}~{pod}.{namespace}~{namespace}.svc.cluster.local")
    node += _field(3, b"".join(_entry(key, value) for key, value in _metadata(namespace).items()))
    request = _field(2, node) + _text(4, LISTENER)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = channel.stream_stream(STREAM)
        answers = stream(iter([request]), timeout=30)
        answer = next(answers)
        answers.cancel()
    resources = [value for number, value in _fields(answer) if number == 2]
    return [_listener(_one(resource, 2)) for resource in resources]


def outbound(found: list[Listener], ip: str, port: int) -> Listener:
    """The listener that takes a connection to an address: its own, or the port's for all addresses."""
    by_address = {(one.address, one.port): one for one in found}
    return by_address.get((ip, port)) or by_address["0.0.0.0", port]


def _metadata(namespace: str) -> dict[str, str]:
    return {"NAMESPACE": namespace, "CLUSTER_ID": "Kubernetes", "INTERCEPTION_MODE": "REDIRECT"}


def _listener(message: bytes) -> Listener:
    socket = _one(_one(message, 2), 1)
    chains = [value for number, value in _fields(message) if number in {3, 25}]
    filters = [value for chain in chains for number, value in _fields(chain) if number == 3]
    names = {_one(one, 1).decode().rpartition(".")[2] for one in filters} - {"stats"}
    number = next((value for number, value in _fields(socket) if number == 3), 0)
    return Listener(_one(socket, 2).decode(), number, frozenset(names))


def _entry(key: str, text: str) -> bytes:
    """An entry of google.protobuf.Struct: a string value."""
    return _field(1, _text(1, key) + _field(2, _text(3, text)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _one(message: bytes, wanted: int) -> bytes:
    return next((value for number, value in _fields(message) if number == wanted), b"")


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message on the wire, by number; those of fixed width are passed over."""
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        match key & 7:
            case 0:
                value, place = _read_varint(message, place)
                yield key >> 3, value
            case 2:
                length, place = _read_varint(message, place)
                yield key >> 3, message[place : place + length]
                place += length
            case width:
                place += {1: 8, 5: 4}[width]


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
