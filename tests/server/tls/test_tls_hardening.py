import contextlib
import shutil
import ssl
import subprocess

import pytest


def test_tls_1_2_has_forward_secrecy_and_no_cbc(server):
    with contextlib.closing(server.raw()):
        pass
    offered = server.service.webhook.server.config.ssl.get_ciphers()

    assert {one["protocol"] for one in offered} == {"TLSv1.2", "TLSv1.3"}
    assert all(one["aead"] for one in offered)
    assert [one["name"] for one in offered if one["protocol"] == "TLSv1.2" and "ECDHE" not in one["name"]] == []


@pytest.mark.parametrize("suites", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES256-SHA384"])
def test_a_client_that_has_only_cbc_is_refused(server, suites):
    context = server.client_context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)

    with pytest.raises(OSError, match=r"(?i)handshake failure|reset|EOF"):
        server.raw(context)


@pytest.mark.parametrize("suites", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_a_client_of_tls_1_2_is_served(server, suites):
    context = server.client_context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)

    with contextlib.closing(server.raw(context)) as connection:
        assert connection.cipher()[0] == suites


@pytest.mark.skipif(shutil.which("openssl") is None, reason="Python cannot renegotiate; openssl's client can")
def test_a_client_cannot_renegotiate(server):
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.ports[0]}", "-tls1_2"]
    ended = subprocess.run(client, input=b"R\n", capture_output=True, timeout=20, check=False)

    assert b"RENEGOTIATING" in ended.stdout + ended.stderr
    assert b"no renegotiation" in (ended.stdout + ended.stderr).lower()
