"""What becomes of a connection, as immutable data. All output about a connection is rendered from a Verdict."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Wire(StrEnum):
    """What is said first on a connection, and by whom: all that a proxy can tell protocols by."""

    HTTP1 = "http1"
    HTTP2 = "http2"
    """HTTP/2 in plaintext, with prior knowledge, as gRPC."""
    TLS = "tls"
    """The client begins with a ClientHello of its own: https, amqps, rediss."""
    CLIENT_FIRST = "client-first"
    """The client begins, with bytes that are no HTTP request: RESP, TDS, PostgreSQL."""
    REQUEST_LIKE = "request-like"
    """The same, with bytes that may begin an HTTP request, so that an HTTP parser waits for more: AMQP."""
    SERVER_FIRST = "server-first"
    """The client waits for the server's greeting: MySQL, NATS, SMTP, SSH."""


class Outcome(StrEnum):
    """What becomes of a connection."""

    FLOWS = "flows"
    PROTOCOL_ERROR = "protocol-error"
    """The client receives an answer that is not its protocol's, or a proxy's error instead of the server's response."""
    HANGS = "hangs"
    """Both ends, or a proxy between them, wait for the other to begin."""
    REFUSED = "refused"
    """The connection is refused, reset or closed."""
    BLACKHOLED = "blackholed"
    """The client's proxy closes it, and nothing arrives at any server."""
    STARTS_TOO_EARLY = "starts-too-early"
    """It is attempted before the proxy that it goes through is ready."""
    NEVER_ENDS = "never-ends"
    """It flows, but the proxy keeps its pod from completing."""
    UNKNOWN = "unknown"

    @property
    def breaks(self) -> bool:
        """Whether the connection certainly does not work, at least once."""
        return self not in {Outcome.FLOWS, Outcome.UNKNOWN}


class Security(StrEnum):
    """How a connection arrives at the server's pod."""

    MTLS = "mtls"
    PLAINTEXT = "plaintext"
    """Without the mesh's TLS; the application's own TLS counts as plaintext."""


class End(StrEnum):
    """The end of a connection where it breaks."""

    CLIENT = "client"
    SERVER = "server"


class Verdict(Struct, frozen=True, gc=False):
    """What becomes of a connection.

    Attributes:
        outcome: What the client sees.
        code: The cause, as a stable code: "http-declared"; see docs/connections.md.
        security: How it arrives at the server's pod; None unless it flows.
        at: The end that breaks it; None where it flows or is unknown.
        evidence: What happens at each hop, from the client to the server, one sentence each; no value of a
            configuration but hosts, ports, kinds and names of objects.
        missing: What would have to be known for a verdict, or could change it, as phrases; empty where all is known.
    """

    outcome: Outcome
    code: str
    security: Security | None = None
    at: End | None = None
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
