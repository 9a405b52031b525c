"""The lines of a watch: an event and its object, or the status that ends it."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from webhook.cluster.errors import UNREADABLE, ClusterError
from webhook.cluster.fragments import members
from webhook.cluster.objects import ListedMeta


class WatchStatus(Struct):
    """The status in which a watch ends."""

    message: str = ""
    code: int = 0
    metadata: ListedMeta = msgspec.field(default_factory=ListedMeta)


class WatchEvent(Struct):
    """One event of a watch, with its object undecoded."""

    type: str
    object: Raw


EVENT = msgspec.json.Decoder(WatchEvent)
STATUS = msgspec.json.Decoder(WatchStatus)

D = TypeVar("D")


def decoded(decoder: msgspec.json.Decoder[D], text: bytes | Raw) -> D:
    """Decode a part of an API server's answer.

    Raises:
        ClusterError: It is not what the API server sends.
    """
    try:
        return decoder.decode(text)
    except UNREADABLE:
        raise ClusterError("unexpected response of the API server") from None


def split_event(line: Raw) -> WatchEvent:
    """Return the event of a line whose object cannot be decoded whole.

    Raises:
        ClusterError: It is not an event.
    """
    try:
        parts = members(bytes(line))
        return WatchEvent(msgspec.json.decode(parts["type"], type=str), Raw(parts["object"]))
    except (KeyError, *UNREADABLE):
        raise ClusterError("unexpected response of the API server") from None
