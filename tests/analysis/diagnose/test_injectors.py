from analysed import NAMESPACE, diagnosed, workload

ENABLED = "{matchLabels: {istio-injection: enabled}}"


def injector(name, webhook, namespaces="{}", objects="{}"):
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks: [{{name: {webhook}, namespaceSelector: {namespaces}, objectSelector: {objects}}}]
---"""


def test_a_webhook_that_comes_after_istios_is_too_late():
    istios = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    ours = injector("sidecar-policy", "pods.sidecar-policy.dev")
    (found,) = diagnosed(istios, ours)

    assert (found.code.code, found.subject.name) == ("webhook-order", "sidecar-policy")
    assert "0-sidecar-policy" in found.fix.command
    assert diagnosed(istios, injector("0-sidecar-policy", "pods.sidecar-policy.dev")) == []


def test_two_injectors_that_claim_one_namespace_are_named():
    one = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    other = injector("istio-sidecar-injector-old", "namespace.sidecar-injector.istio.io", ENABLED)
    (found,) = diagnosed(one, other)

    assert (found.code.code, found.subject.name) == ("two-injectors", "shop")
    assert "istio-sidecar-injector-old" in found.fix.command
    apart = other.replace(ENABLED, "{matchExpressions: [{key: istio-injection, operator: DoesNotExist}]}")
    assert diagnosed(one, apart) == []


def test_a_pods_own_labels_may_call_a_second_injector():
    one = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    other = injector("istio-revision-tag-x", "rev.object.sidecar-injector.istio.io", "{}", "{matchLabels: {app: web}}")
    (found,) = diagnosed(one, other, workload("web", "shop/web"))

    assert found.code.code == "two-injectors"
    assert any("Deployment/web" in said for said in found.evidence)


def test_two_labels_that_say_who_injects_are_one_too_many():
    (found,) = diagnosed(namespace=NAMESPACE.replace("enabled}", "enabled, istio.io/rev: canary}"))

    assert found.code.code == "two-injection-labels"
    assert found.fix.command == "kubectl label namespace shop istio-injection-"
