"""The API server calls the MutatingWebhookConfigurations in the order of their names."""

import pytest
import shop
from api import has_sidecar


@pytest.fixture
def create_under(make_namespace, start_server):
    """Register our server under a name, and create a client of Redis there."""

    def create(name):
        namespace = make_namespace({"istio-injection": "enabled"})
        namespace.apply(*shop.OBJECTS)
        start_server().register(namespace.name, name=name)
        pod = namespace.create(shop.pod("client", shop.client_spec()))
        return pod, namespace.admission("client").called

    return create


def test_called_before_istio_the_skipped_pod_is_never_sent_to_istio(create_under):
    pod, called = create_under("0-sidecar-policy")

    assert not has_sidecar(pod)
    assert [name.rpartition("-")[0] for name in called] == ["0-sidecar-policy-shop"]


def test_called_after_istio_our_label_comes_too_late(create_under):
    pod, called = create_under("sidecar-policy")

    assert has_sidecar(pod)
    assert called[0] == "istio-sidecar-injector"
    assert len(called) == 2
