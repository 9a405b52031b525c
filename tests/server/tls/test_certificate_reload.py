import contextlib
import hashlib
import io
import os
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from certs import files
from certs.issue import issue_authority, issue_serving
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.settings import LogFormat
from webhook.server.tls.serving import ServingCertificate
from webhook.server.tls.sources import MOST_BYTES, PairFiles, UnservableError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority():
    return issue_authority(now=NOW)


@pytest.fixture
def pair(tmp_path, authority):
    """Issues pairs into tmp_path and returns what a client should see."""

    def issue(**options):
        serving = issue_serving(authority, ["localhost"], now=NOW, **options)
        files.write(tmp_path, authority.certificate, serving)
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(serving.certificate.decode())).hexdigest()

    return issue


@pytest.fixture
def load(tmp_path):
    def make(now=NOW):
        log = io.StringIO()
        metrics = Metrics(CollectorRegistry())
        certificate = ServingCertificate(
            PairFiles(tmp_path / "tls.crt", tmp_path / "tls.key"),
            metrics=metrics,
            log=make_logger(log, LogFormat.JSON),
            clock=lambda: now,
        )
        return certificate, metrics, log

    return make


def handshake(certificate: ServingCertificate) -> str:
    """The fingerprint that a new client sees."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return hashlib.sha256(client.getpeercert(binary_form=True)).hexdigest()


def seen_by(connection) -> str:
    return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()


def reloads(metrics, outcome):
    labels = {"outcome": outcome}
    return metrics.registry.get_sample_value("sidecar_policy_certificate_reloads_total", labels) or 0


def test_new_handshakes_get_the_new_certificate_and_live_connections_stay(start_server, kit):
    server = start_server()
    with contextlib.closing(server.connect()) as live:
        kit.send(live, kit.make_review())
        used = live.sock.getsockname()
        before = seen_by(live.sock)

        kit.issue_into(server.directory)
        kit.wait_until(lambda: server.log("certificate replaced"))

        with contextlib.closing(server.raw()) as fresh:
            assert seen_by(fresh) != before
        assert kit.send(live, kit.make_review()).status == 200
        assert live.sock.getsockname() == used


def test_a_mounted_secret_that_is_swapped_is_noticed(tmp_path, start_server, kit):
    server = start_server()
    directory = server.directory
    old = {name: (directory / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key")}
    for generation in ("..1", "..2"):
        (directory / generation).mkdir()
    for name, content in old.items():
        (directory / "..1" / name).write_bytes(content)
        (directory / name).unlink()
        (directory / name).symlink_to(f"..data/{name}")
    (directory / "..data").symlink_to("..1")
    kit.issue_into(directory / "..2")
    (directory / "..tmp").symlink_to("..2")

    (directory / "..tmp").rename(directory / "..data")

    kit.wait_until(lambda: server.log("certificate replaced"))
    assert server.post(kit.make_review()).status == 200  # verified against the new ca.crt


def test_a_pair_that_does_not_fit_leaves_the_old_one_in_service(start_server, kit, tmp_path):
    server = start_server()
    with contextlib.closing(server.raw()) as connection:
        before = seen_by(connection)
    kit.issue_into(tmp_path)
    key = (server.directory / "tls.key").read_bytes()

    (server.directory / "tls.key").write_bytes((tmp_path / "tls.key").read_bytes())
    kit.wait_until(lambda: server.log("certificate reload failed"))

    with contextlib.closing(server.raw()) as connection:
        assert seen_by(connection) == before
    assert reloads(server.metrics, "kept") == 1
    status, text = server.get("/readyz")
    assert status == 200
    assert "the previous certificate is served" in text
    assert "tls.key does not match certificate" in text

    (server.directory / "tls.key").write_bytes(key)
    kit.wait_until(lambda: server.get("/readyz") == (200, "ok\n"))


def test_another_type_of_key_replaces_the_old_one(tmp_path, pair, load):
    pair()
    certificate, _, _ = load()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rsa")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "tls.crt").write_bytes(made.public_bytes(pem))
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    certificate.reload()

    assert handshake(certificate) == made.fingerprint(hashes.SHA256()).hex()


def test_unchanged_files_are_not_loaded_again(pair, load):
    pair()
    certificate, metrics, _ = load()

    certificate.reload()

    assert reloads(metrics, "replaced") == 0


def test_the_expiry_is_shown(pair, load):
    pair(lifetime=timedelta(days=9))
    certificate, metrics, _ = load()
    name = "sidecar_policy_certificate_expiry_timestamp_seconds"

    assert metrics.registry.get_sample_value(name) == (NOW + timedelta(days=9)).timestamp()

    pair(lifetime=timedelta(days=20))
    certificate.reload()

    assert metrics.registry.get_sample_value(name) == (NOW + timedelta(days=20)).timestamp()


def test_a_fault_is_told_once(tmp_path, pair, load):
    pair()
    certificate, metrics, log = load()
    (tmp_path / "tls.crt").unlink()

    for _ in range(3):
        certificate.reload()

    assert reloads(metrics, "kept") == 1
    assert log.getvalue().count("certificate reload failed") == 1


def test_a_file_that_is_gone_does_not_make_the_server_unready(tmp_path, pair, load):
    expected = pair()
    certificate, _, _ = load()
    (tmp_path / "tls.crt").unlink()
    certificate.reload()

    assert certificate.check().ok
    assert "tls.crt: No such file or directory" in certificate.check().notice
    assert handshake(certificate) == expected


def test_a_certificate_on_disk_that_is_not_served_yet_is_not_ready(tmp_path, pair, load):
    pair()
    certificate, _, _ = load()
    pair()

    assert certificate.check() == (False, f"{tmp_path}/tls.crt is not served yet")

    certificate.reload()

    assert certificate.check() == (True, "")


@pytest.mark.parametrize(
    ("now", "notice"),
    [(NOW + timedelta(days=400), "expired at 2027-03-01"), (NOW - timedelta(days=1), "not valid before 2026-02-28")],
)
def test_a_certificate_out_of_its_time_is_not_ready(pair, load, now, notice):
    pair()
    certificate, _, _ = load(now)
    health = certificate.check()

    assert not health.ok
    assert notice in health.notice


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_a_first_pair_that_is_garbage_is_refused_with_its_files(tmp_path, pair, load, name):
    pair()
    (tmp_path / name).write_text("garbage")

    with pytest.raises(
        UnservableError, match=r"tls\.crt and .*tls\.key is not a PEM certificate and unencrypted private key"
    ):
        load()


def test_a_first_pair_that_does_not_fit_is_refused(tmp_path, pair, load):
    pair()
    certificate = (tmp_path / "tls.crt").read_bytes()
    pair()
    (tmp_path / "tls.crt").write_bytes(certificate)

    with pytest.raises(UnservableError, match=r"tls\.key does not match certificate .*tls\.crt"):
        load()


def test_a_missing_file_is_named(tmp_path, load):
    with pytest.raises(UnservableError, match=r"tls\.crt: No such file"):
        load()


def test_an_encrypted_key_is_refused_without_asking_for_a_password(tmp_path, pair, load):
    pair()
    key = serialization.load_pem_private_key((tmp_path / "tls.key").read_bytes(), None)
    (tmp_path / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"CANARY"),
        )
    )

    with pytest.raises(UnservableError, match="unencrypted private key"):
        load()


def test_tls_1_2_is_the_oldest_that_is_spoken(server):
    context = server.client_context
    with contextlib.closing(server.raw()) as connection:
        assert connection.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.closing(server.raw(context)) as connection:
        assert connection.version() == "TLSv1.2"

    assert server.service.webhook.server.config.ssl.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_protocol_is_http_1_1(server):
    context = server.client_context
    context.set_alpn_protocols(["h2", "http/1.1"])

    with contextlib.closing(server.raw(context)) as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_a_pipe_in_the_place_of_a_file_is_refused_and_keeps_the_certificate(pair, load, tmp_path, name):
    expected = pair()
    certificate, metrics, log = load()
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    certificate.reload()

    assert handshake(certificate) == expected
    assert reloads(metrics, "kept") == 1
    assert f"{name}: it is a pipe and not a regular file" in log.getvalue()


def test_a_certificate_has_a_limit(pair, load, tmp_path):
    expected = pair()
    certificate, _, log = load()
    (tmp_path / "tls.crt").write_bytes(b"x" * (MOST_BYTES + 1))
    certificate.reload()

    assert handshake(certificate) == expected
    assert "it exceeds 1 MiB" in log.getvalue()
