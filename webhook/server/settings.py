"""The configuration of the server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads this module before it determines whether it needs a cluster
    from webhook.cluster.certificates import ManagedCertificates


class OnError(StrEnum):
    """The response if deciding fails because of an internal error."""

    ALLOW = "allow"
    """Allow the pod unchanged, with a warning."""
    DENY = "deny"
    """Reject the pod."""


class LogFormat(StrEnum):
    """The format of log lines."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The minimum severity of log lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one client may consume, and on the duration of a shutdown. Times are seconds.

    Attributes:
        body: Bytes in a request's body. The API server accepts objects of up to 3 MiB; as JSON, with managedFields and
            with each "<" escaped, they are longer in a review, which may contain two.
        read: Timeout for receiving a request, from its first byte or, on a new connection, from the handshake.
        keep_alive: Idle timeout of a connection. The API server's own is 90 s; with a shorter one here, a connection
            could be closed while a request is in flight.
        grace: Timeout for requests in flight after the server has stopped listening: longer than `finish` and `decide`
            together.
        finish: Timeout, after the server has stopped listening, for incomplete requests and unread responses. The API
            server sends a body within milliseconds. On the plain port it applies to all requests.
        close: Timeout for a client to close its side of a closed connection.
        head: Bytes of a request that are not its body: request line, headers, trailers, and the framing of chunks as
            far as it is larger than their data.
        headers: Headers and trailers of a request.
        pipelined: Pipelined requests of one connection that wait for an earlier response.
        waiting: Bytes of memory of these requests.
        bodies: Bytes in the bodies of all requests that are being received or processed.
        decoded: Bytes of memory of the decoded strings and values of those bodies, as an upper bound. A body that is
            not ASCII counts five times: one character beyond the BMP makes a str take four bytes per character. A value
            counts as 160 bytes.
        connections: Connections on each port. At most half of them may be without a complete request.
        handshake: Timeout of a TLS handshake.
        write: Timeout for a client whose unread responses fill the write buffer.
        decide: Deadline of a decision, at most half of the API server's timeout; what is not detected by then is
            decided by the policy's onUnknown.
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
        """Return the deadline of a decision in seconds.

        Args:
            query: The query of the webhook's URL, which contains the API server's timeout: "timeout=10s".
        """
        match = _TIMEOUT.search(query) if query else None
        return self.decide if match is None else min(self.decide, float(match[1]) * _UNITS[match[2]] / 2)


# A duration in Go's format.
_TIMEOUT = re.compile(rb"(?:^|&)timeout=(\d{1,9}(?:\.\d{1,9})?)(ms|s|m)(?:&|$)")
_UNITS = {b"ms": 0.001, b"s": 1.0, b"m": 60.0}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The configuration of one server process.

    Attributes:
        manifests: YAML files and directories that replace the cluster; empty means a live one.
        kubeconfig: The kubeconfig of the live cluster; None means in-cluster configuration.
        context: The context in it; None means its current one.
        policy: Files and directories of the policy; empty means the packaged one.
        host: The address to listen on.
        port: The TLS port; 0 chooses a free one.
        health_port: The plain port; 0 chooses a free one.
        certificate: The serving certificate in PEM; None means a self-issued one.
        key: Its key.
        managed: Self-managed certificates in a Secret that all replicas share; requires a live cluster.
        cert_dir: The directory for a self-issued certificate; None means a temporary one.
        names: DNS SANs of a self-issued certificate, in addition to localhost.
        secrets: Whether to read Secrets even if the policy does not require it.
        on_error: The response if deciding fails.
        strict: Whether /validate rejects pods that contradict their decision.
        traces: The URL of an OTLP/HTTP collector; None disables tracing.
        drift: Seconds between two drift checks; 0 disables them.
        drift_lease: Namespace and name of the Lease that elects the replica that checks; None means all check.
        drain: Seconds between becoming unready and closing the TLS port, in which the endpoint is removed.
        limits: Limits on clients and on the shutdown.
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
