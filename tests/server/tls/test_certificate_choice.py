from contextlib import ExitStack

from webhook.server.settings import ServerSettings
from webhook.server.tls.files import certificate_files


def settings(**given):
    return ServerSettings(manifests=(), **given)


def test_given_files_are_taken_as_they_are(tmp_path):
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"

    with ExitStack() as cleanup:
        chosen = certificate_files(settings(certificate=certificate, key=key), cleanup)

    assert chosen == (certificate, key, None)


def test_an_own_certificate_that_is_damaged_is_issued_again(tmp_path):
    with ExitStack() as cleanup:
        certificate, _, _ = certificate_files(settings(cert_dir=tmp_path), cleanup)
        certificate.write_text("damaged")
        certificate_files(settings(cert_dir=tmp_path), cleanup)

    assert certificate.read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_without_a_directory_it_goes_where_it_is_removed_from():
    with ExitStack() as cleanup:
        certificate, _, authority = certificate_files(settings(), cleanup)
        assert certificate.parent == authority.parent
        assert authority.exists()

    assert not certificate.parent.exists()
