"""Load, check and hot-reload the serving certificate without closing connections.

The listener's SSLContext never changes. Its SNI callback switches each new handshake to the current context, which is
created for each pair: loading a mismatched pair into a live context breaks it, and a previous key of another type
would still be served next to the new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from structlog.typing import FilteringBoundLogger

from certs.issue import CertificateError, KeyPair
from certs.reading import Facts, facts
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.readiness import Health
from webhook.server.tls.sources import PairSource, PendingError, UnservableError

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy, and no CBC. All of TLS 1.3 have both."""


@dataclass(frozen=True, slots=True)
class _Served:
    """One loaded pair: the context for new handshakes, and the certificate in them."""

    context: ssl.SSLContext
    leaf: Facts
    digest: bytes


class ServingCertificate:
    """A certificate and key that are reloaded from a source.

    Attributes:
        context: The listener's context, which never changes. Until there is a certificate, its handshakes fail.
    """

    def __init__(
        self,
        source: PairSource,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Load the pair, if there is one already.

        Args:
            source: Provides the pair.
            metrics: Counts reloads and exposes the expiry.
            log: Logs reloads.
            clock: Returns the wall-clock time.

        Raises:
            UnservableError: The source's pair cannot be served.
        """
        self._source = source
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._problem = ""
        self._served: _Served | None = None
        try:
            self._serve(self._load(source.read()))
        except PendingError as pending:
            self._problem = str(pending)
        self.context = _new_context()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> int | None:
        """Switch a handshake to the current context; called for each handshake, with or without SNI."""
        if self._served is None:
            return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._served.context
        return None

    def reload(self) -> None:
        """Replace the pair if it has changed; if the new one cannot be served, keep the old one and log why."""
        try:
            pair = self._source.read()
            if self._served is not None and _digest(pair) == self._served.digest:
                self._problem = ""
                return
            fresh = self._load(pair)
        except UnservableError as error:
            self._reject(str(error))
            return
        self._serve(fresh)
        self._metrics.certificate_reloads.labels("replaced").inc()
        leaf = fresh.leaf
        self._log.info("certificate replaced", fingerprint=leaf.fingerprint, expires=leaf.not_after.isoformat())

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload whenever the source changes, until `stop` is set."""
        await self._source.watch(stop, self.reload)

    def check(self) -> Health:
        """Return ready if the served certificate is valid now and is that of the source.

        An unservable pair in the source is a notice only, as long as the served certificate is valid.
        """
        served = self._served
        if served is None:
            return Health(ok=False, notice=f"no certificate yet: {self._problem}")
        now = self._clock()
        if now >= served.leaf.not_after:
            return Health(ok=False, notice=f"expired at {served.leaf.not_after:%Y-%m-%dT%H:%M:%SZ}")
        if now < served.leaf.not_before:
            return Health(ok=False, notice=f"not valid before {served.leaf.not_before:%Y-%m-%dT%H:%M:%SZ}")
        if self._problem:
            return Health(ok=True, notice=f"the previous certificate is served: {self._problem}")
        try:
            current = self._leaf(self._source.read())
        except UnservableError as error:
            return Health(ok=True, notice=f"the previous certificate is served: {error}")
        if current.fingerprint != served.leaf.fingerprint:
            return Health(ok=False, notice=f"{self._source.certificate} is not served yet")
        return Health(ok=True)

    def _load(self, pair: KeyPair) -> _Served:
        context = _new_context()
        try:
            with _as_file(pair.certificate + b"\n" + pair.key) as path:
                # Without the callable, OpenSSL would prompt for an encrypted key's password at the terminal.
                context.load_cert_chain(path, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise UnservableError(self._why(error)) from None
        _handshake(context)
        return _Served(context, self._leaf(pair), _digest(pair))

    def _leaf(self, pair: KeyPair) -> Facts:
        try:
            return facts(pair.certificate)
        except CertificateError as error:
            raise UnservableError(f"{self._source.certificate} {error}") from None

    def _why(self, error: OSError | ValueError) -> str:
        certificate, key = self._source.certificate, self._source.key
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            return f"private key {key} does not match certificate {certificate}"
        return f"{certificate} and {key} is not a PEM certificate and unencrypted private key"

    def _reject(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        self._metrics.certificate_reloads.labels("kept").inc()
        self._log.error("certificate reload failed", problem=problem)

    def _serve(self, fresh: _Served) -> None:
        self._served = fresh
        self._problem = ""
        self._metrics.certificate_expiry.set(fresh.leaf.not_after.timestamp())
        self._metrics.certificate_issued.set(fresh.leaf.issued.timestamp())


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with the content, since OpenSSL only reads files; on Linux it is in memory only."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("serving-certificate"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name


def _digest(pair: KeyPair) -> bytes:
    return hashlib.sha256(pair.certificate + b"\0" + pair.key).digest()


def _new_context() -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer with AEAD ciphers, and for HTTP/1.1, which the API server uses here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could ask for one key exchange after the other
    context.set_alpn_protocols(["http/1.1"])
    return context


def _handshake(context: ssl.SSLContext) -> None:
    """Test in memory that a handshake succeeds and presents a certificate.

    Raises:
        UnservableError: It does not.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                raise UnservableError(f"TLS handshake test failed ({error.reason})") from None
    if client.getpeercert(binary_form=True) is None:
        raise UnservableError("TLS handshake test failed")
