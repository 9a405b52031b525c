"""Parse certificates in PEM. Pure."""

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
    """The fields of one certificate that are used here.

    Attributes:
        fingerprint: SHA-256 of its DER form, in hexadecimal.
        subject: Its subject, as an RFC 4514 string.
        dns_names: Its DNS SANs.
        not_before: Start of its validity, in UTC.
        not_after: End of its validity, in UTC.
    """

    fingerprint: str
    subject: str
    dns_names: tuple[str, ...]
    not_before: datetime
    not_after: datetime

    @property
    def issued(self) -> datetime:
        """The time of issue, provided that `certs.issue` issued it."""
        return min(self.not_before + CLOCK_SKEW, self.not_after)

    @property
    def renewal(self) -> datetime:
        """The time at which two thirds of its lifetime are over."""
        return self.not_after - (self.not_after - self.issued) / 3


def facts(certificate: bytes) -> Facts:
    """Parse a certificate; of a chain, the first.

    Args:
        certificate: PEM.

    Returns:
        Its fields.

    Raises:
        CertificateError: It is not a certificate in PEM.
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
    """Split a bundle into its certificates, each in PEM as `certs.issue` writes it.

    Args:
        bundle: Concatenated certificates in PEM; may be empty.

    Raises:
        CertificateError: It is not a bundle of certificates in PEM.
    """
    if not bundle.strip():
        return ()
    try:
        return tuple(certificate.public_bytes(Encoding.PEM) for certificate in x509.load_pem_x509_certificates(bundle))
    except ValueError as error:
        raise CertificateError("is not a PEM certificate bundle") from error


def merge(*groups: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return all certificates in their order, without duplicates."""
    return tuple(dict.fromkeys(certificate for group in groups for certificate in group))


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))
