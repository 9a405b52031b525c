"""What the server knows of a live cluster, and what it may know."""

import base64

import product
import pytest
import shop
from api import eventually, has_sidecar


@pytest.fixture
def namespace(make_namespace):
    namespace = make_namespace({"istio-injection": "enabled"})
    namespace.apply(*shop.OBJECTS)
    return namespace


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg-basket"}, "data": data}


def test_an_edited_config_map_counts_for_the_next_pod(namespace, start_server):
    server = start_server()
    server.register(namespace.name)
    before = namespace.create(shop.pod("before", shop.client_spec()))

    namespace.apply(config_map(ConnectionString="", EventBusConnection=""))

    def injected():
        return has_sidecar(namespace.create(shop.pod("probe", shop.client_spec()), dry_run=True))

    eventually(injected, seconds=5, what="the edited ConfigMap is known")
    assert not has_sidecar(before)


def test_the_number_of_objects_is_a_metric(istio, namespace, start_server):
    server = start_server()

    for kind in ("Namespace", "Service", "ConfigMap"):
        there = len(istio.api.list(kind))
        assert server.metric("sidecar_policy_inventory_objects", resource=kind) == there
    assert server.metric("sidecar_policy_inventory_staleness_seconds") == 0


def test_the_service_account_has_the_rights_of_the_chart_and_no_others(istio, start_server):
    start_server()
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "default"},
    }
    roles = [one for one in product.rights(istio) if one["kind"] == "ClusterRole"]
    account = istio.client_for(product.account(), *product.account_groups())

    rules = account.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review)

    everybodys = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
    granted = [rule for rule in rules["status"]["resourceRules"] if not everybodys & {*rule["resources"]}]
    assert _sorted(granted) == _sorted(rule for role in roles for rule in role["rules"])


def _sorted(rules):
    return sorted((sorted(rule["apiGroups"]), sorted(rule["resources"]), sorted(rule["verbs"])) for rule in rules)


class TestIstiosObjects:
    """They are watched where that is permitted; where not, the server is ready, and says what is missing."""

    OBJECTS, ABSENT = "sidecar_policy_inventory_objects", "sidecar_policy_inventory_kind_absent"
    KINDS = ("PeerAuthentication", "DestinationRule", "Sidecar", "ServiceEntry")

    def test_they_are_watched(self, istio, namespace, start_server):
        server = start_server()
        before = server.metric(self.OBJECTS, resource="PeerAuthentication")

        spec = {"mtls": {"mode": "STRICT"}}
        api_version = "security.istio.io/v1"
        namespace.apply(
            {"apiVersion": api_version, "kind": "PeerAuthentication", "metadata": {"name": "strict"}, "spec": spec}
        )

        eventually(
            lambda: server.metric(self.OBJECTS, resource="PeerAuthentication") == before + 1,
            what="the new object is known",
        )
        assert [server.metric(self.ABSENT, resource=kind) for kind in self.KINDS] == [0, 0, 0, 0]

    def test_without_the_right_the_server_is_ready_and_says_what_lacks(self, istio, start_server):
        server = start_server(istio=False)
        product.permit(istio)

        forbidden = "peerauthentications.security.istio.io is forbidden"
        assert f"PeerAuthentication not read: {forbidden}" in server.get("/readyz")
        assert [server.metric(self.ABSENT, resource=kind) for kind in self.KINDS] == [1, 1, 1, 1]
        assert server.log_text().count(forbidden) == 1


class TestSecrets:
    """Secrets are read when the policy says so, and only with a right of their own."""

    @pytest.fixture
    def client_by_secret(self, namespace):
        value = base64.b64encode(b"redis://:CANARY-hunter2@basket-data:6379").decode()
        metadata = {"name": "urls"}
        namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"CACHE": value}})
        reference = {"secretKeyRef": {"name": "urls", "key": "CACHE"}}
        environment = [{"name": "CACHE", "valueFrom": reference}]
        return {"containers": [{"name": "web", "image": "shop/web:1", "env": environment}]}

    @pytest.fixture
    def policy(self):
        policy = shop.policy(shop.SKIP_CLIENTS)
        policy["spec"]["detection"] = {"secrets": True}
        return policy

    def test_without_the_right_the_server_is_not_ready_and_says_what_lacks(self, start_server, policy):
        server = start_server(policy, ready=False)

        wanted = "[-]inventory failed: not synced yet: Secret (secrets is forbidden"
        eventually(lambda: wanted in server.get("/readyz", failing=True), what="only Secrets are missing, and why")

    def test_with_it_a_client_by_secret_is_found(self, istio, namespace, start_server, policy, client_by_secret):
        server = start_server(policy, secrets=True)
        server.register(namespace.name)

        pod = namespace.create(shop.pod("client", client_by_secret))
        product.permit(istio)

        assert not has_sidecar(pod)
        assert "CANARY" not in str(pod) + server.log_text() + server.get("/metrics")

    def test_without_the_policy_asking_for_it_no_secret_is_read(self, namespace, start_server, client_by_secret):
        server = start_server()
        server.register(namespace.name)

        assert has_sidecar(namespace.create(shop.pod("client", client_by_secret)))
        assert server.metric("sidecar_policy_inventory_objects", resource="Secret") == 0
