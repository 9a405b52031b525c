"""What the server can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads this module before it knows whether it needs a cluster
    from webhook.cluster.certificates import ManagedCertificates


class OnError(StrEnum):
    """What the API server is told when deciding fails for a reason of our own."""

    ALLOW = "allow"
    """Allow the pod as it is, with a warning."""
    DENY = "deny"
    """Do not allow it."""


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which severity on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost, and how long leaving may take. Times are seconds.

    Attributes:
        body: Bytes in a request's body. The API server takes objects of up to 3 MiB; as JSON, with managedFields and
            with each "<" escaped, they are longer in a review, which may hold two.
        read: Until a request has come in whole, from its first byte or, on a new connection, from the handshake.
        keep_alive: An idle connection is kept this long. The API server closes its own after 90; were ours closed
            first, a request could be on its way.
        grace: Requests in flight may take this long after the server has stopped listening: longer than `finish` and
            `decide` together.
        finish: A request that is incomplete, or answers that are unread, when the server stops listening have this long
            to be completed or read. The API server sends a body within milliseconds. On the plain port all requests do.
        close: A client has this long to take note that its connection is closed.
        head: Bytes of a request that are not its body: request line, headers, trailers, and the framing of chunks as
            far as it is larger than what is in them.
        headers: Headers and trailers of a request.
        pipelined: Requests of one connection that wait for the answer to an earlier one.
        waiting: Bytes of memory that these requests take.
        bodies: Bytes in the bodies of all requests that are being received or answered.
        decoded: Bytes of memory that the texts and values of those bodies take at most, once they are decoded. A body
            that is not ASCII counts five times: one character beyond the BMP makes a text take four bytes for each
            character. A value counts 160 bytes.
        connections: Connections on each port. Half of them may be without a complete request.
        handshake: A TLS handshake may take this long.
        write: A client may leave this long so much of its answers unread that no more is written.
        decide: A decision may take this long, and no longer than half of what the API server says it waits; what is not
            known then is decided by the policy's onUnknown.
    """

    body: int = 8 * 1024 * 1024
    read: float = 10.0
    keep_alive: int = 120
    grace: int = 7
    finish: float = 2.0
    close: float = 2.0
    head: int = 32 * 1024
    headers: int = 128
    pipelined: int = 64
    waiting: int = 96 * 1024
    bodies: int = 32 * 1024 * 1024
    decoded: int = 64 * 1024 * 1024
    connections: int = 256
    handshake: float = 10.0
    write: float = 10.0
    decide: float = 4.0

    def answer_within(self, query: bytes) -> float:
        """Seconds that a decision may take.

        Args:
            query: The query of the webhook's URL, in which the API server says how long it waits: "timeout=10s".
        """
        match = _TIMEOUT.search(query) if query else None
        return self.decide if match is None else min(self.decide, float(match[1]) * _UNITS[match[2]] / 2)


# A duration as Go writes it.
_TIMEOUT = re.compile(rb"(?:^|&)timeout=(\d{1,9}(?:\.\d{1,9})?)(ms|s|m)(?:&|$)")
_UNITS = {b"ms": 0.001, b"s": 1.0, b"m": 60.0}


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one server process.

    Attributes:
        manifests: Files and directories of YAML that stand for the cluster; none means a live one.
        kubeconfig: Where the live cluster is; none means the one that we are a pod of.
        context: The context in it; none means its current one.
        policy: Files and directories of the policy; none means the packaged one.
        host: The address to listen on.
        port: The TLS port; 0 takes a free one.
        health_port: The plain port; 0 takes a free one.
        certificate: The serving certificate in PEM. Without it an own one is issued.
        key: Its key.
        managed: The certificate that all replicas share, in a Secret; needs a live cluster.
        cert_dir: Where an issued certificate goes; none means a directory that is removed at the end.
        names: DNS names that an issued certificate is for, besides localhost.
        secrets: Read Secrets also when the policy does not ask for it.
        on_error: What to answer when deciding fails.
        strict: Refuse pods that /validate finds not to be as decided.
        traces: Where an OTLP collector takes spans over HTTP; none means that there are no spans.
        drift: Seconds between two checks for pods that contradict today's decisions; 0 for none.
        drift_lease: Namespace and name of the Lease that says which replica checks; none means each.
        drain: Seconds between saying "not ready" and closing the port, so that nobody is sent here any more.
        limits: What one client may cost.
    """

    manifests: tuple[Path, ...] = ()
    kubeconfig: Path | None = None
    context: str | None = None
    policy: tuple[Path, ...] = ()
    host: str = "0.0.0.0"  # noqa: S104 - a pod serves on its pod IP
    port: int = 8443
    health_port: int = 8080
    certificate: Path | None = None
    key: Path | None = None
    managed: ManagedCertificates | None = None
    cert_dir: Path | None = None
    names: tuple[str, ...] = ()
    secrets: bool = False
    on_error: OnError = OnError.ALLOW
    strict: bool = False
    traces: str | None = None
    drift: float = 600.0
    drift_lease: tuple[str, str] | None = None
    drain: float = 5.0
    limits: Limits = field(default_factory=Limits)
