"""The serving certificate: loaded, checked, and replaced while connections stay up.

The SSLContext that the listener was given never changes. Each new handshake asks it for the context of the day, which
is a fresh one for each pair of files: loading a pair that does not fit into a live context breaks it, and a key of
another type would be served beside the new one.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from structlog.typing import FilteringBoundLogger
from watchfiles import awatch

from webhook.server.metrics import Metrics
from webhook.server.readiness import Health

_POLL_MILLISECONDS = 10_000


class CertificateFilesError(Exception):
    """The files hold no pair that could be served. Its text names the files and the reason."""


@dataclass(frozen=True, slots=True)
class _Served:
    """One loaded pair: the context for new handshakes, and what a client would see in them."""

    context: ssl.SSLContext
    fingerprint: str
    not_before: datetime
    not_after: datetime


class ServingCertificate:
    """A certificate and key from files, which may change at any time.

    Attributes:
        context: What the listener is given, once.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        metrics: Metrics,
        log: FilteringBoundLogger,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Load the pair.

        Args:
            certificate: PEM, the leaf first, then what clients need to reach their authority.
            key: Its key in PEM, not encrypted.
            metrics: Counts reloads and shows the expiry.
            log: Is told of reloads.
            clock: The time of day.

        Raises:
            CertificateFilesError: The files cannot be served.
        """
        self._certificate = certificate
        self._key = key
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._problem = ""
        self._seen = self._digest()
        self._served = self._load()
        self._publish()
        self.context = _new_context()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        """Called in each handshake, also in one that names no server."""
        connection.context = self._served.context

    def reload(self) -> None:
        """Take over changed files if they hold a pair that can be served; else keep what there is and say so."""
        try:
            seen = self._digest()
            if seen == self._seen:
                self._problem = ""
                return
            fresh = self._load()
        except CertificateFilesError as error:
            self._keep(str(error))
            return
        self._seen = seen
        self._served = fresh
        self._problem = ""
        self._publish()
        self._metrics.certificate_reloads.labels("replaced").inc()
        self._log.info("certificate replaced", fingerprint=fresh.fingerprint, expires=fresh.not_after.isoformat())

    async def watch(self, stop: asyncio.Event) -> None:
        """Reload when a file changes, until `stop` is set.

        The directories are watched, since mounted Secrets change by a swapped symbolic link; and every ten seconds the
        files are compared anyway, since some file systems tell nobody.
        """
        directories = {self._certificate.parent, self._key.parent}
        async for _ in awatch(
            *directories,
            stop_event=stop,
            recursive=False,
            watch_filter=None,
            debounce=200,
            rust_timeout=_POLL_MILLISECONDS,
            yield_on_timeout=True,
        ):
            self.reload()

    def check(self) -> Health:
        """Ready when the certificate is valid now and is the one on disk.

        Files that cannot be served do not make a server unready that still has a good certificate; it is remarked.
        """
        now = self._clock()
        served = self._served
        if now >= served.not_after:
            return Health(ok=False, remark=f"expired at {served.not_after:%Y-%m-%dT%H:%M:%SZ}")
        if now < served.not_before:
            return Health(ok=False, remark=f"not valid before {served.not_before:%Y-%m-%dT%H:%M:%SZ}")
        if self._problem:
            return Health(ok=True, remark=f"the previous certificate is served: {self._problem}")
        try:
            on_disk = _leaf(self._certificate)
        except CertificateFilesError as error:
            return Health(ok=True, remark=f"the previous certificate is served: {error}")
        if _fingerprint(on_disk) != served.fingerprint:
            return Health(ok=False, remark="the certificate on disk is not served yet")
        return Health(ok=True)

    def _load(self) -> _Served:
        context = _new_context()
        try:
            # Without the callable, OpenSSL would ask for an encrypted key's password at the terminal.
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise CertificateFilesError(self._why(error)) from None
        leaf = _leaf(self._certificate)
        # What a client sees is asked of a handshake, not of the file: the file may have changed in between.
        fingerprint = hashlib.sha256(_handshake(context)).hexdigest()
        if fingerprint != _fingerprint(leaf):
            raise CertificateFilesError("the files changed while they were read")
        return _Served(context, fingerprint, leaf.not_valid_before_utc, leaf.not_valid_after_utc)

    def _why(self, error: OSError | ValueError) -> str:
        if isinstance(error, ssl.SSLError):
            if error.reason == "KEY_VALUES_MISMATCH":
                return f"{self._key} is not the key of {self._certificate}"
            return f"{self._certificate} and {self._key} are no certificate and unencrypted key in PEM"
        if isinstance(error, OSError):
            return f"{error.filename or self._certificate}: {error.strerror}"
        return f"{self._certificate} and {self._key} cannot be read"

    def _digest(self) -> bytes:
        try:
            return hashlib.sha256(self._certificate.read_bytes() + b"\0" + self._key.read_bytes()).digest()
        except OSError as error:
            raise CertificateFilesError(f"{error.filename}: {error.strerror}") from None

    def _keep(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        self._metrics.certificate_reloads.labels("kept").inc()
        self._log.error("certificate kept", problem=problem)

    def _publish(self) -> None:
        self._metrics.certificate_expiry.set(self._served.not_after.timestamp())


def _new_context() -> ssl.SSLContext:
    """TLS 1.2 or newer with Python's ciphers, and HTTP/1.1 alone, which is what the API server speaks to webhooks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _leaf(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise CertificateFilesError(f"{error.filename}: {error.strerror}") from None
    except ValueError:
        raise CertificateFilesError(f"{certificate} is no certificate in PEM") from None


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


def _handshake(context: ssl.SSLContext) -> bytes:
    """The certificate, in DER, that a client gets in a handshake; made in memory, without a socket."""
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
                raise CertificateFilesError(f"the pair makes no TLS handshake ({error.reason})") from None
    seen = client.getpeercert(binary_form=True)
    if seen is None:
        raise CertificateFilesError("the pair makes no TLS handshake")
    return seen
