"""The control plane's certificates and keys, and the kubeconfigs that carry them.

The project's own authority signs serving certificates only; a control plane needs client certificates too, whose
subject is the user (CN) and its groups (O), so they are made here.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=7)
CLOCK_SKEW = timedelta(hours=1)


class Authority:
    """A certificate authority for one control plane.

    Attributes:
        certificate: The file that its clients and servers trust.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("end-to-end tests")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signed = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.certificate = directory / "ca.crt"
        self.certificate.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def server(self, name: str, *dns_names: str, addresses: Sequence[str] = ()) -> tuple[Path, Path]:
        """The files of a serving certificate for loopback, these names and these addresses, and of its key."""
        names = [x509.DNSName(dns) for dns in ("localhost", *dns_names)]
        hosts = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", *addresses)]
        return self._issue(name, _name(name), ExtendedKeyUsageOID.SERVER_AUTH, [*names, *hosts])

    def client(self, name: str, user: str, *groups: str) -> tuple[Path, Path]:
        """The files of a client certificate for a user in these groups, and of its key."""
        return self._issue(name, _name(user, *groups), ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self, name: str, subject: x509.Name, usage: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(subject, key).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        files[0].write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        _write_key(files[1], key)
        return files

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + LIFETIME)
        )


def service_account_keys(directory: Path) -> tuple[Path, Path]:
    """The files of the key that signs service accounts' tokens, and of the public key that verifies them."""
    key = ec.generate_private_key(ec.SECP256R1())
    files = directory / "service-account.key", directory / "service-account.pub"
    _write_key(files[0], key)
    files[1].write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


def kubeconfig(path: Path, *, server: str, authority: Path, client: tuple[Path, Path]) -> Path:
    """Write a kubeconfig that holds all it needs, so that it may be copied elsewhere. (JSON is YAML.)"""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    user = {"client-certificate-data": data(client[0]), "client-key-data": data(client[1])}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": {"server": server, "certificate-authority-data": data(authority)}}],
        "users": [{"name": path.stem, "user": user}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": path.stem}}],
        "current-context": "e2e",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))
    return path


def _name(common: str, *organizations: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
