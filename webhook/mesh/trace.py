"""What happens to a connection, hop by hop: the steps from which a verdict is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from webhook.core.verdict import End, Wire


class Result(StrEnum):
    """What the client sees, more exactly than an outcome says; the words are those of tests/mesh/truth.yaml."""

    WORKS = "works"
    PROTOCOL_ERROR = "protocol error"
    ERROR_RESPONSE = "error response"
    """HTTP, of another status than the server's."""
    HANGS = "hangs"
    RESET = "reset"
    """Or closed."""
    REFUSED = "refused"
    BLACK_HOLE = "black hole"


class Arrived(StrEnum):
    """What arrives at the server's pod, before its sidecar."""

    NOTHING = "nothing"
    CONNECTION = "connection"
    """Without a byte."""
    PLAIN = "plain"
    MTLS = "mtls"


@dataclass(frozen=True, slots=True)
class Stream:
    """What is said on a connection at some point of its way.

    Attributes:
        wire: What is said first.
        mtls: Whether the client's sidecar has put it into the mesh's TLS.
        parsed: Whether the client's sidecar parses HTTP, and tells the server's so.
    """

    wire: Wire
    mtls: bool = False
    parsed: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether nothing is said until the server speaks."""
        return self.wire is Wire.SERVER_FIRST and not self.mtls

    @property
    def is_http(self) -> bool:
        """Whether it begins with an HTTP request."""
        return self.wire in {Wire.HTTP1, Wire.HTTP2}


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of a connection.

    Attributes:
        result: What the client sees.
        arrived: What arrived at the server's pod.
        code: The cause.
        at: The end that broke it; None where it works.
        evidence: One sentence for each hop.
    """

    result: Result
    arrived: Arrived
    code: str
    at: End | None = None
    evidence: tuple[str, ...] = ()

    def after(self, *evidence: str) -> Trace:
        """Return the same with evidence of earlier hops before its own."""
        return replace(self, evidence=(*evidence, *self.evidence))


SPOKEN = {
    Wire.HTTP1: "HTTP/1",
    Wire.HTTP2: "HTTP/2",
    Wire.TLS: "TLS of its own",
    Wire.CLIENT_FIRST: "a protocol that is not HTTP, and in which the client begins",
    Wire.REQUEST_LIKE: "a protocol that is not HTTP, and in which the client begins",
    Wire.SERVER_FIRST: "a protocol in which the server begins",
}
"""What a client speaks, for sentences."""

EITHER: Final = "flows-either"
"""The code of a connection that flows, in mutual TLS or in plaintext."""
ORIGINATED: Final = "tls-originated"
WAYPOINT: Final = "waypoint"
HBONE: Final = "hbone"
ADDRESS: Final = "address-not-known"
ELSEWHERE: Final = "sent-elsewhere"
ROUTED: Final = "routed"
MISSING: Final = {
    ORIGINATED: "whether the server speaks TLS at that port",
    WAYPOINT: "what the waypoint does",
    ADDRESS: "the address of the host",
    ELSEWHERE: "what answers instead",
    ROUTED: "where the routes of the VirtualService lead",
    HBONE: "whether sidecars and pods in ambient mode are connected by HBONE",
}
"""Codes of connections whose verdict is unknown, and what is missing."""
