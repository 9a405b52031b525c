"""/validate sees the pod after every mutating webhook, and says so when it is not what was decided."""

import json

import product
import pytest
import shop
from api import ApiError, containers, has_sidecar
from foreign import foreign_webhook, patching

INJECT = "sidecar.istio.io/inject"
LATE = "sidecar-policy"
"""Sorts after istio-sidecar-injector."""


@pytest.fixture
def namespace(make_namespace):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*shop.OBJECTS)
    return namespace


@pytest.fixture
def strip_label(istio, namespace):
    """Register another webhook, called between ours and Istio's, that takes all labels off."""
    patch = [{"op": "add", "path": "/metadata/labels", "value": {}}]
    with foreign_webhook(istio, "label-stripper", patching(patch)) as register:
        yield lambda: register(namespace.name, name="1-label-stripper")


def contradictions(server):
    return [line["contradiction"] for line in server.log("contradiction")]


def test_a_pod_that_is_as_decided_is_let_through_in_silence(istio, namespace, start_server):
    server = start_server()
    server.register_validation(namespace.name)

    client = namespace.create(shop.pod("client", shop.client_spec()))
    warnings = istio.api.warnings
    plain = namespace.create(shop.pod("plain", shop.plain_spec()))

    assert (has_sidecar(client), has_sidecar(plain)) == (False, True)
    assert (warnings, istio.api.warnings) == ((), ())
    assert contradictions(server) == []


@pytest.mark.parametrize(
    "policy",
    [shop.policy(shop.BYPASS_CLIENTS | {"hold": True}), shop.policy({"name": "all", "match": {}, "action": "inject"})],
    ids=["bypass and hold", "inject"],
)
def test_other_actions_that_were_carried_out_are_no_contradiction(istio, namespace, start_server, policy):
    server = start_server(policy, options=["--strict"])
    server.register_validation(namespace.name)

    assert has_sidecar(namespace.create(shop.pod("client", shop.client_spec())))
    assert istio.api.warnings == ()
    assert contradictions(server) == []


def test_called_too_late_the_client_is_injected_and_that_is_said(istio, namespace, start_server):
    server = start_server()
    server.register_validation(namespace.name)
    product.unregister(istio.api, product.CONFIGURATION)
    server.register(namespace.name, name=LATE)

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert "only after Istio's injector" in " ".join(istio.api.warnings)
    assert contradictions(server)[-1] == "injected-undecided"
    assert server.metric("sidecar_policy_contradictions_total", contradiction="injected-undecided") >= 1


def test_called_too_late_bypassed_ports_are_still_in_the_sidecar_and_that_is_said(istio, namespace, start_server):
    server = start_server(shop.policy(shop.BYPASS_CLIENTS))
    server.register_validation(namespace.name)
    product.unregister(istio.api, product.CONFIGURATION)
    server.register(namespace.name, name=LATE)

    namespace.create(shop.pod("client", shop.client_spec()))

    assert contradictions(server)[-1] == "injected-undecided"


def test_another_webhook_that_takes_our_label_off_is_found_out(istio, namespace, start_server, strip_label):
    server = start_server()
    server.register_validation(namespace.name)
    strip_label()

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert "another webhook removed the label" in " ".join(istio.api.warnings)
    assert contradictions(server)[-1] == "label-lost"


def test_strict_refuses_the_pod_and_says_why(namespace, start_server, strip_label):
    server = start_server(options=["--strict"])
    server.register_validation(namespace.name)
    strip_label()

    with pytest.raises(ApiError, match="another webhook removed the label") as refused:
        namespace.create(shop.pod("client", shop.client_spec()))

    assert refused.value.status == 403
    assert "denied the request" in str(refused.value)
    assert server.metric(product.REQUESTS, webhook="validate", outcome="denied") >= 1


def test_strict_refuses_an_imitated_sidecar_where_istio_does_not_inject(make_namespace, start_server):
    server = start_server(shop.policy({"name": "all", "match": {}, "action": "inject"}), options=["--strict"])
    plain = make_namespace({})
    server.register(plain.name)
    server.register_validation(plain.name)
    for labels, image in (({"istio.io/rev": "nosuch"}, "evil/proxyv2-app"), ({"istio.io/rev": ""}, "x/myproxyv2hack")):
        imitated = shop.pod("imitated", shop.plain_spec(), labels=labels)
        imitated["spec"]["containers"].append({"name": "istio-proxy", "image": image, "args": ["proxy", "sidecar"]})

        with pytest.raises(ApiError, match="policy says inject, but the pod has no sidecar"):
            plain.create(imitated)
    assert has_sidecar(plain.create(shop.pod("injected", shop.plain_spec())))


def test_in_audit_mode_nothing_contradicts(istio, namespace, start_server):
    policy = shop.policy(shop.SKIP_CLIENTS)
    policy["spec"]["mode"] = "audit"
    server = start_server(policy, options=["--strict"])
    server.register_validation(namespace.name)

    pod = namespace.create(shop.pod("client", shop.client_spec()))

    assert has_sidecar(pod)
    assert INJECT not in pod["metadata"].get("labels", {})
    assert istio.api.warnings == ()


def test_a_policy_replaced_between_the_two_webhooks_is_no_contradiction(namespace, start_server):
    server = start_server(shop.policy(shop.SKIP_CLIENTS, name="old"), options=["--strict"])
    server.register_validation(namespace.name)
    pod = namespace.create(shop.pod("client", shop.client_spec()))
    server.edit(shop.policy(shop.BYPASS_CLIENTS, name="new"))
    server.wait_for_policy("new")

    # What the API server would send if the policy had been replaced in between.
    answer = server.review(pod, path="/validate")

    assert answer == {"uid": answer["uid"], "allowed": True}
    assert [one["name"] for one in containers(pod)] == ["basket"]
    assert json.loads(server.get("/policy"))["name"] == "new"
