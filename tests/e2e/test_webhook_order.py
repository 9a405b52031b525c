"""The API server calls the MutatingWebhookConfigurations in the order of their names; ours has to come first."""

import product
import pytest
import shop
from api import eventually, has_sidecar

VIOLATIONS = "sidecar_policy_webhook_order_violations_total"


@pytest.fixture
def create_under(istio, make_namespace, start_server):
    """Register our server under a name, and create a client of Redis there."""

    def create(name):
        namespace = make_namespace({"istio-injection": "enabled"})
        namespace.apply(*shop.OBJECTS)
        server = start_server()
        server.register(namespace.name, name=name)
        pod = namespace.create(shop.pod("client", shop.client_spec()))
        return server, pod, namespace.admission("client").called

    yield create
    product.unregister(istio.api)


def test_called_before_istio_the_skipped_pod_is_never_sent_to_istio(create_under):
    server, pod, called = create_under("0-sidecar-policy")

    assert not has_sidecar(pod)
    assert [name.rpartition("-")[0] for name in called] == ["0-sidecar-policy-shop"]
    assert "[+]webhook-order ok\n" in server.get("/readyz?verbose")
    assert server.metric(VIOLATIONS) == 0


def test_called_after_istio_our_decision_comes_too_late(create_under):
    _, pod, called = create_under("sidecar-policy")

    assert has_sidecar(pod)
    assert called[0] == "istio-sidecar-injector"
    assert len(called) == 2


def test_the_wrong_order_is_logged_counted_and_remarked_until_it_is_mended(create_under, istio):
    server, _, _ = create_under("sidecar-policy")

    eventually(lambda: server.metric(VIOLATIONS), what="the violation is counted")
    assert "is called after istio-" in server.get("/readyz")
    assert [line["level"] for line in server.log("webhook order")] == ["error"]

    product.unregister(istio.api)

    eventually(lambda: server.get("/readyz") == "ok\n", what="nothing is remarked")
