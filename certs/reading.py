"""What certificates in PEM say about themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from certs.issue import CLOCK_SKEW, CertificateError


@dataclass(frozen=True, slots=True)
class Facts:
    """One certificate.

    Attributes:
        fingerprint: SHA-256 of its DER form, in hexadecimal.
        subject: Its subject, as RFC 4514 writes it.
        dns_names: The DNS names that it is for.
        not_before: From when on it is valid.
        not_after: Until when.
    """

    fingerprint: str
    subject: str
    dns_names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    @property
    def issued(self) -> datetime:
        """When it was issued, if `certs.issue` did."""
        return min(self.not_before + CLOCK_SKEW, self.not_after)

    @property
    def renewal(self) -> datetime:
        """When two thirds of its life are over."""
        return self.not_after - (self.not_after - self.issued) / 3


def facts(certificate: bytes) -> Facts:
    """Read a certificate; of a chain, the first.

    Args:
        certificate: PEM.

    Returns:
        What it says.

    Raises:
        CertificateError: It is none.
    """
    try:
        read = x509.load_pem_x509_certificates(certificate)[0]
        return Facts(
            fingerprint=read.fingerprint(SHA256()).hex(),
            subject=read.subject.rfc4514_string(),
            dns_names=_dns_names(read),
            not_before=read.not_valid_before_utc,
            not_after=read.not_valid_after_utc,
        )
    except ValueError as error:
        raise CertificateError("is not a PEM certificate") from error


def split(bundle: bytes) -> tuple[bytes, ...]:
    """The certificates of a bundle, each in PEM as `certs.issue` writes it.

    Args:
        bundle: Certificates in PEM, one after the other; may be empty.

    Raises:
        CertificateError: Something else is in it.
    """
    if not bundle.strip():
        return ()
    try:
        return tuple(one.public_bytes(Encoding.PEM) for one in x509.load_pem_x509_certificates(bundle))
    except ValueError as error:
        raise CertificateError("is not a PEM certificate bundle") from error


def merge(*groups: Iterable[bytes]) -> tuple[bytes, ...]:
    """All certificates in their order, each once."""
    return tuple(dict.fromkeys(one for group in groups for one in group))


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))
