"""Under failurePolicy Fail, while pods are created all the time: none is refused, and none goes undecided."""

import time

import pytest
from api import eventually
from helm import CHART
from installed import NAMESPACE, RELEASE
from product import CONFIGURATION

WEBHOOKS = "0-sidecar-policy"
UPGRADE = ("upgrade", RELEASE, CHART, "--namespace", NAMESPACE, "--reuse-values", "--wait")
QUICKLY = "--wait 2m --trust-wait 4s --serve-wait 6s".split()
"""There is one API server, which hears of a new bundle in a moment, and no replica that sleeps."""


@pytest.fixture(scope="module", autouse=True)
def fail_closed(installed, helm):
    installed.settled()
    helm(*UPGRADE, values={"webhooks": {"failurePolicy": "Fail"}})
    yield
    helm(*UPGRADE, values={"webhooks": {"failurePolicy": "Ignore"}})


@pytest.fixture
def no_gap(stream, record):
    """A stream of which every pod is created and decided about."""
    opened = []

    def begin(name):
        opened.append((name, stream(name)))
        return opened[-1][1]

    yield begin
    for name, pods in opened:
        record(f"{name}: pods created and decided about", len(pods.created))
        assert pods.failures == []
        assert pods.undecided == []


def test_five_forced_rotations_of_the_authority(installed, no_gap):
    bundles, certificates = {bundle(installed)}, installed.served()

    with no_gap("five rotations of the authority") as pods:
        for _ in range(5):
            pods.wait(10)
            installed.rotate("authority", *QUICKLY)
            bundles.add(bundle(installed))
            certificates |= installed.served()
        pods.wait(20)

    assert len(bundles) == 6
    assert len(certificates) == 6


def test_five_forced_rotations_of_the_serving_certificate(installed, no_gap):
    with no_gap("five rotations of the serving certificate") as pods:
        for _ in range(5):
            pods.wait(30)
            before = installed.served()
            installed.rotate("serving")
            eventually(lambda old=before: _one_other(installed, old), seconds=30, what="both serve the new certificate")
        pods.wait(50)


def test_an_upgrade_that_replaces_all_replicas(installed, helm, no_gap):
    before = {pod["metadata"]["name"] for pod in installed.settled()}

    with no_gap("an upgrade") as pods:
        pods.wait(20)
        helm(*UPGRADE, values={"podAnnotations": {"upgraded": "yes"}})
        after = {pod["metadata"]["name"] for pod in installed.settled()}
        pods.wait(20)

    assert not before & after


def test_a_rolling_restart(installed, helm, no_gap):
    with no_gap("a rolling restart") as pods:
        pods.wait(20)
        helm.kubectl("rollout", "restart", "--namespace", NAMESPACE, f"deployment/{RELEASE}")
        helm.kubectl("rollout", "status", "--namespace", NAMESPACE, f"deployment/{RELEASE}", "--timeout=180s")
        installed.settled()
        pods.wait(20)


def test_a_wiped_bundle_is_back_at_once(installed, stream, record):
    """Until it is, the API server trusts nobody, and refuses pods: that much cannot be avoided."""
    before = bundle(installed)

    with stream("wiped") as pods:
        pods.wait(20)
        wiped = time.monotonic()
        remove = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{WEBHOOKS}"
        installed.api.request("PATCH", path, remove, content_type="application/json-patch+json")
        eventually(lambda: bundle(installed) == before, seconds=10, what="the bundle is written again")
        record("a wiped caBundle: until it is written again", time.monotonic() - wiped)
        time.sleep(2)
        pods.wait(20)

    assert pods.undecided == []
    refused = [when for when, _ in pods.failures]
    record("a wiped caBundle: pods refused", len(refused), f"within {max(refused, default=wiped) - wiped:.2f} s")
    assert all(when - wiped < 2 for when in refused)
    assert all("failed calling webhook" in why for _, why in pods.failures)


def bundle(installed):
    return installed.api.get(CONFIGURATION, WEBHOOKS)["webhooks"][0]["clientConfig"].get("caBundle")


def _one_other(installed, before):
    now = installed.served()
    return len(now) == 1 and not now & before
