from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs.issue import CertificateError, KeyPair, issue_authority, issue_serving, verify

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAME = "sidecar-policy.mesh.svc"


@pytest.fixture(scope="module")
def authority():
    return issue_authority(now=NOW)


@pytest.fixture(scope="module")
def serving(authority):
    return issue_serving(authority, [NAME, "*.example.org"], ["127.0.0.1", "::1"], now=NOW)


def parsed(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def extension(pair: KeyPair, kind: type) -> x509.Extension:
    return parsed(pair).extensions.get_extension_for_class(kind)


def test_the_authority_may_sign_leaves_only(authority):
    constraints = extension(authority, x509.BasicConstraints)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_the_authority_signs_certificates_and_nothing_in_a_handshake(authority):
    usage = extension(authority, x509.KeyUsage).value

    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)


def test_the_leaf_is_no_authority(serving):
    assert extension(serving, x509.BasicConstraints).value == x509.BasicConstraints(ca=False, path_length=None)


def test_the_leaf_serves_tls_and_nothing_else(serving):
    assert list(extension(serving, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extension(serving, x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (False, False, True)


def test_the_leaf_names_what_was_asked_for(serving):
    names = extension(serving, x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == [NAME, "*.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_the_leaf_points_to_its_authority_by_key_identifier(authority, serving):
    own = extension(authority, x509.SubjectKeyIdentifier).value.digest

    assert extension(serving, x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_keys_are_p256(authority, serving):
    for pair in (authority, serving):
        key = parsed(pair).public_key()

        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)


def test_serials_are_random(authority):
    serials = {parsed(issue_serving(authority, [NAME], now=NOW)).serial_number for _ in range(4)}

    assert len(serials) == 4


def test_two_authorities_have_two_names(authority):
    assert parsed(authority).subject != parsed(issue_authority(now=NOW)).subject


def test_validity_starts_an_hour_back(authority):
    early = issue_serving(authority, [NAME], now=NOW + timedelta(days=1))

    assert parsed(early).not_valid_before_utc == NOW + timedelta(hours=23)


def test_the_leaf_is_not_valid_before_its_authority():
    young = issue_authority(now=NOW + timedelta(minutes=30))
    leaf = issue_serving(young, [NAME], now=NOW)

    assert parsed(leaf).not_valid_before_utc == parsed(young).not_valid_before_utc


def test_the_leaf_never_outlives_its_authority():
    authority = issue_authority(now=NOW, lifetime=timedelta(days=10))
    leaf = issue_serving(authority, [NAME], now=NOW, lifetime=timedelta(days=400))

    assert parsed(leaf).not_valid_after_utc == parsed(authority).not_valid_after_utc


def test_an_expired_authority_issues_nothing(authority):
    with pytest.raises(CertificateError, match="expired"):
        issue_serving(authority, [NAME], now=NOW + timedelta(days=4000))


def test_a_leaf_issues_nothing(serving):
    with pytest.raises(CertificateError, match="is not a CA"):
        issue_serving(serving, [NAME], now=NOW)


def test_an_authority_with_a_foreign_key_issues_nothing(authority):
    mixed = KeyPair(authority.certificate, issue_authority(now=NOW).key)

    with pytest.raises(CertificateError, match="not the ECDSA key"):
        issue_serving(mixed, [NAME], now=NOW)


@pytest.mark.parametrize(
    ("dns", "ips", "message"),
    [
        ([], [], "at least one"),
        (["127.0.0.1"], [], "is an IP address"),
        (["bad_name"], [], "not a DNS name"),
        (["a..b"], [], "not a DNS name"),
        (["a.*.b"], [], "not a DNS name"),
        ([f"{'a' * 64}.svc"], [], "not a DNS name"),
        (["bücher.example"], [], "not a DNS name"),
        ([], ["localhost"], "not an IP address"),
    ],
)
def test_a_name_that_is_none_is_refused(authority, dns, ips, message):
    with pytest.raises(CertificateError, match=message):
        issue_serving(authority, dns, ips, now=NOW)


@pytest.mark.parametrize("name", [NAME, NAME.upper(), "a.example.org", "127.0.0.1", "::1"])
def test_a_client_trusts_the_leaf_under_each_of_its_names(authority, serving, name):
    assert verify(serving, authority.certificate, name, now=NOW) == (True, "")


def test_a_bundle_of_two_authorities_trusts_leaves_of_either(authority, serving):
    bundle = issue_authority(now=NOW).certificate + authority.certificate

    assert verify(serving, bundle, NAME, now=NOW).ok


@pytest.mark.parametrize(
    ("later", "name", "reason"),
    [
        (timedelta(0), "other.mesh.svc", "not trusted as other.mesh.svc"),
        (timedelta(days=366), NAME, "expired at 2027-03-01"),
        (timedelta(hours=-2), NAME, "not valid before 2026-03-01"),
    ],
)
def test_verification_says_why_not(authority, serving, later, name, reason):
    ok, said = verify(serving, authority.certificate, name, now=NOW + later)

    assert not ok
    assert reason in said


def test_a_foreign_authority_is_not_trusted(serving):
    ok, said = verify(serving, issue_authority(now=NOW).certificate, NAME, now=NOW)

    assert not ok
    assert "not trusted" in said


def test_a_mixed_pair_is_told(authority, serving):
    mixed = KeyPair(serving.certificate, issue_serving(authority, [NAME], now=NOW).key)

    assert verify(mixed, authority.certificate, NAME, now=NOW) == (False, "private key does not match the certificate")


@pytest.mark.parametrize("garbage", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_garbage_is_told_not_raised(authority, serving, garbage):
    assert not verify(KeyPair(garbage, serving.key), authority.certificate, NAME, now=NOW).ok
    assert not verify(KeyPair(serving.certificate, garbage), authority.certificate, NAME, now=NOW).ok
    assert not verify(serving, garbage, NAME, now=NOW).ok


def test_no_repr_shows_the_key(serving):
    assert "PRIVATE" not in repr(serving)
