"""Self-managed certificates as the server uses them; with an API server, tests/e2e/test_certificates.py."""

import asyncio
import io
import json

import pytest
import yaml
from prometheus_client import CollectorRegistry

from certs.issue import CertificateError
from webhook.cluster.certificates import ManagedCertificates
from webhook.cluster.client import connect
from webhook.server.background.certificates import SelfManaged
from webhook.server.observe.logs import make_logger
from webhook.server.observe.metrics import Metrics
from webhook.server.settings import LogFormat
from webhook.server.tls.sources import PendingError

MANAGED = ManagedCertificates(
    secret=("mesh", "certs"), service=("mesh", "sidecar-policy"), configurations=("0-sidecar-policy",)
)


@pytest.fixture
def client(tmp_path):
    """A client of an API server that is not there."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )
    return connect(kubeconfig)


@pytest.fixture
def parts(client):
    lines, metrics = io.StringIO(), Metrics(CollectorRegistry())
    return SelfManaged(client, MANAGED, metrics=metrics, log=make_logger(lines, LogFormat.JSON)), metrics, lines


def test_the_certificate_is_for_the_name_that_the_api_server_expects_and_for_those_given():
    names = ManagedCertificates(("a", "s"), ("mesh", "svc"), (), ("Other.example", "svc.mesh.svc")).dns_names

    assert names == ("svc.mesh.svc", "other.example")


def test_a_name_that_is_none_shows_at_once(client):
    managed = ManagedCertificates(("a", "s"), ("mesh", "svc"), (), ("no name",))

    with pytest.raises(CertificateError, match="no name"):
        SelfManaged(
            client, managed, metrics=Metrics(CollectorRegistry()), log=make_logger(io.StringIO(), LogFormat.JSON)
        )


def test_before_the_first_look_it_is_not_ready(parts):
    certificates, _, _ = parts

    assert certificates.check() == (False, "the webhook configurations do not contain the CA yet: it is being read")
    with pytest.raises(PendingError, match="it is being read"):
        certificates.read()


def test_without_an_api_server_it_goes_on_asking_and_says_so_once(client, parts):
    certificates, metrics, lines = parts
    changes = []

    async def scenario():
        stop = asyncio.Event()
        watching = asyncio.create_task(certificates.watch(stop, lambda: changes.append(1)))
        while "cannot be reached" not in certificates.check().notice:
            await asyncio.sleep(0.01)
        stop.set()
        await watching
        await client.close()

    asyncio.run(asyncio.wait_for(scenario(), 20))

    told = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "certificates"]
    assert len(told) == 1
    assert told[0]["problems"][0].startswith("Secret mesh/certs: http://127.0.0.1:1 cannot be reached")
    assert not certificates.check().ok
    assert changes == []
    assert metrics.registry.get_sample_value("sidecar_policy_certificate_failures_total", {"where": "secret"}) == 1
