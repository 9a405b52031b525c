"""Issue a CA and the serving certificates that it signs. Pure: the clock is an argument, nothing is written.

Keys are ECDSA P-256, which every TLS client of a webhook supports and which makes the cheapest handshake. Extensions
follow RFC 5280 and the requirements of Go's crypto/x509, which the API server verifies with.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVING_LIFETIME = timedelta(days=365)
CLOCK_SKEW = timedelta(hours=1)
"""Certificates are valid from this long before they are issued, for clients whose clocks are behind."""

_DNS_NAME = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class CertificateError(ValueError):
    """A certificate cannot be issued, or the input is not a valid certificate or key. The text is user-facing."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key.

    Attributes:
        certificate: PEM; for a chain, the leaf first.
        key: Unencrypted PKCS #8 in PEM. Excluded from the repr, so that no traceback or log contains it.
    """

    certificate: bytes
    key: bytes = field(repr=False)


class Verification(NamedTuple):
    """Whether a client would trust a certificate, and the reason if not."""

    ok: bool
    reason: str = ""


def issue_authority(
    *, now: datetime, lifetime: timedelta = AUTHORITY_LIFETIME, common_name: str = "sidecar-policy CA"
) -> KeyPair:
    """Issue a CA that may sign leaf certificates only (path length 0).

    Args:
        now: The time of issue, timezone-aware.
        lifetime: Validity from `now` on; 3650 days by default.
        common_name: The subject's CN. A random serial number is added to the subject, so that two CAs never share one.

    Returns:
        The self-signed certificate and its key.

    Example:
        ca = issue_authority(now=datetime.now(UTC))
        pair = issue_serving(ca, ["sidecar-policy.mesh.svc"], now=datetime.now(UTC))
    """
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:16]),
        ]
    )
    builder = (
        _builder(name, key, not_before=now - CLOCK_SKEW, not_after=now + lifetime)
        .serial_number(serial)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return KeyPair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def issue_serving(
    authority: KeyPair,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str] = (),
    *,
    now: datetime,
    lifetime: timedelta = SERVING_LIFETIME,
) -> KeyPair:
    """Issue a serving certificate.

    Args:
        authority: The CA that signs it.
        dns_names: DNS SANs; a leading `*.` is allowed.
        ip_addresses: IP SANs.
        now: The time of issue, timezone-aware.
        lifetime: Validity from `now` on, at most until the CA expires; 365 days by default.

    Returns:
        The certificate and its key.

    Raises:
        CertificateError: There is no SAN or an invalid one, or the CA is unreadable, expired or not a CA.
    """
    names = _alternative_names(dns_names, ip_addresses)
    issuer, issuer_key = _load(authority)
    not_after = min(now + lifetime, issuer.not_valid_after_utc)
    if not_after <= now:
        raise CertificateError(f"the CA has expired ({issuer.not_valid_after_utc:%Y-%m-%d %H:%M:%S}Z)")
    if not _is_authority(issuer):
        raise CertificateError("the issuing certificate is not a CA (basicConstraints CA is not true)")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sidecar-policy")])
    not_before = max(now - CLOCK_SKEW, issuer.not_valid_before_utc)
    builder = (
        _builder(subject, key, not_before=not_before, not_after=not_after)
        .serial_number(x509.random_serial_number())
        .issuer_name(issuer.subject)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_authority_key_identifier(issuer), critical=False)
    )
    return KeyPair(_pem(builder.sign(issuer_key, hashes.SHA256())), _key_pem(key))


def check_pair(pair: KeyPair, *, authority: bool) -> None:
    """Check that a certificate and key match and suit their purpose.

    Args:
        pair: The pair, from an untrusted store.
        authority: Whether the pair must be a CA.

    Raises:
        CertificateError: The pair is unreadable or mismatched, or is not a CA although it must be one.
    """
    if authority:
        certificate, _ = _load(pair)
        if not _is_authority(certificate):
            raise CertificateError("the certificate is not a CA")
        return
    try:
        leaf = x509.load_pem_x509_certificates(pair.certificate)[0]
    except ValueError as error:
        raise CertificateError("the certificate cannot be read as PEM") from error
    if not _belongs(leaf, pair.key):
        raise CertificateError("private key does not match the certificate")


def verify(serving: KeyPair, authority: bytes, name: str, *, now: datetime) -> Verification:
    """Verify a serving certificate as a TLS client that trusts `authority` and connects to `name` would.

    Args:
        serving: The server's certificate (or chain, leaf first) and key.
        authority: The trusted certificates in PEM, as in a caBundle.
        name: The DNS name or IP address that the client connects to.
        now: The time of the connection, timezone-aware.

    Returns:
        Whether the client would accept it, and one sentence why not.
    """
    try:
        leaf, *chain = x509.load_pem_x509_certificates(serving.certificate)
        trusted = Store(x509.load_pem_x509_certificates(authority))
    except ValueError:
        return Verification(ok=False, reason="the certificate or the CA is not in PEM")
    try:
        if not _belongs(leaf, serving.key):
            return Verification(ok=False, reason="private key does not match the certificate")
    except CertificateError as error:
        return Verification(ok=False, reason=str(error))
    if now >= leaf.not_valid_after_utc:
        return Verification(ok=False, reason=f"expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M:%S}Z")
    if now < leaf.not_valid_before_utc:
        return Verification(ok=False, reason=f"not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M:%S}Z")
    try:
        PolicyBuilder().store(trusted).time(now).build_server_verifier(_subject(name)).verify(leaf, chain)
    except VerificationError as error:
        return Verification(ok=False, reason=f"not trusted as {name}: {error}")
    return Verification(ok=True)


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the key usage of RFC 5280 4.2.1.3: a CA signs certificates and CRLs, a P-256 leaf signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(dns_names: Sequence[str], ip_addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys(name.lower() for name in dns_names):
        if _address(name) is not None:
            raise CertificateError(f"{name!r} is an IP address, not a DNS name")
        if len(name) > 253 or not _DNS_NAME.fullmatch(name):
            raise CertificateError(f"{name!r} is not a DNS name (RFC 1123: letters, digits, '-' and '.')")
        names.append(x509.DNSName(name))
    for written in dict.fromkeys(ip_addresses):
        address = _address(written)
        if address is None:
            raise CertificateError(f"{written!r} is not an IP address")
        names.append(x509.IPAddress(address))
    if not names:
        raise CertificateError("a serving certificate needs at least one DNS name or IP address")
    return x509.SubjectAlternativeName(names)


def _subject(name: str) -> x509.verification.Subject:
    address = _address(name)
    return x509.DNSName(name.lower()) if address is None else x509.IPAddress(address)


def _address(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None


def _load(pair: KeyPair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError("the certificate or key of the CA cannot be read as PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _belongs(certificate, pair.key):
        raise CertificateError("the key of the CA is not the ECDSA key of its certificate")
    return certificate, key


def _belongs(certificate: x509.Certificate, key: bytes) -> bool:
    try:
        public_key = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError("the key cannot be read as an unencrypted PEM") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public_key.public_bytes(*form) == certificate.public_key().public_bytes(*form)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the issuer's own subject key identifier, which in a foreign CA need not be the usual hash."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        raise CertificateError("the issuing certificate has no subject key identifier") from None
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
