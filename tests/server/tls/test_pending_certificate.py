"""A server whose certificate is still to come, and one that gets its pairs from elsewhere than files."""

import io
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from certs.issue import KeyPair, issue_authority, issue_serving
from certs.reading import facts
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.settings import LogFormat
from webhook.server.tls.serving import ServingCertificate
from webhook.server.tls.sources import PendingError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Later:
    """A source that holds nothing until it is given something."""

    pair: KeyPair | None = None
    certificate: str = "tls.crt of Secret mesh/certs"
    key: str = "tls.key of Secret mesh/certs"

    def read(self):
        if self.pair is None:
            raise PendingError("Secret mesh/certs: forbidden")
        return self.pair

    async def watch(self, stop, changed):
        await stop.wait()


@pytest.fixture
def source():
    return Later()


@pytest.fixture
def lines():
    return io.StringIO()


@pytest.fixture
def certificate(source, lines):
    metrics = Metrics(CollectorRegistry())
    return ServingCertificate(source, metrics=metrics, log=make_logger(lines, LogFormat.JSON), clock=lambda: NOW)


@pytest.fixture
def pair():
    return issue_serving(issue_authority(now=NOW), ["localhost"], now=NOW, lifetime=timedelta(days=1))


def handshake(context):
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(binary_form=True)


def test_without_a_certificate_it_is_not_ready_and_says_why(certificate):
    assert certificate.check() == (False, "no certificate yet: Secret mesh/certs: forbidden")


def test_without_a_certificate_handshakes_fail_and_it_goes_on(certificate, source, pair):
    with pytest.raises(ssl.SSLError):
        handshake(certificate.context)

    source.pair = pair
    certificate.reload()

    assert handshake(certificate.context) == ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    assert certificate.check() == (True, "")


def test_what_the_source_has_and_is_not_served_is_not_ready(certificate, source, pair):
    source.pair = pair
    certificate.reload()
    source.pair = issue_serving(issue_authority(now=NOW), ["localhost"], now=NOW)

    assert certificate.check() == (False, "tls.crt of Secret mesh/certs is not served yet")


def test_a_pair_that_does_not_fit_is_told_with_its_place_and_without_its_key(certificate, source, pair, lines):
    source.pair = pair
    certificate.reload()
    other = issue_serving(issue_authority(now=NOW), ["localhost"], now=NOW)
    source.pair = KeyPair(pair.certificate, other.key)

    certificate.reload()

    said = "private key tls.key of Secret mesh/certs does not match certificate tls.crt of Secret mesh/certs"
    assert certificate.check() == (True, f"the previous certificate is served: {said}")
    assert said in lines.getvalue()
    assert other.key.decode().splitlines()[1] not in lines.getvalue()


def test_expiry_and_last_rotation_are_shown(source, pair):
    source.pair = pair
    metrics = Metrics(CollectorRegistry())
    ServingCertificate(source, metrics=metrics, log=make_logger(io.StringIO(), LogFormat.JSON), clock=lambda: NOW)
    value = metrics.registry.get_sample_value

    assert value("sidecar_policy_certificate_last_rotation_timestamp_seconds") == NOW.timestamp()
    assert value("sidecar_policy_certificate_expiry_timestamp_seconds") == facts(pair.certificate).not_after.timestamp()
