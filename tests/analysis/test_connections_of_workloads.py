"""The connections of workloads, with the pods at both ends as far as they are known."""

from analysed import CLIENT, NAMESPACE, NONE, compiled, inventory, service, workload

from webhook.analysis.connections import connections_of, rendering_of
from webhook.analysis.workloads import decide_by

INIT = CLIENT.replace(
    "containers: [",
    "initContainers: [{name: wait, image: busybox, command: [sh, -c, 'nc -z cache 6379']}], containers: [",
)


def connected(*manifests, native=True, namespace=NAMESPACE):
    found, policy = inventory(namespace + "".join(manifests)), compiled(NONE)
    rendering = rendering_of(found, found.istio, native=native)
    return {
        each.party.name: [(judged.place, judged.init, judged.verdict.code) for judged in each.connections]
        for each in connections_of(decide_by(policy, found), found, policy, rendering)
    }


def test_a_named_port_of_pods_that_are_not_known_is_no_missing_endpoint():
    cache = service("cache", 6379, ", name: tcp-redis", ", targetPort: resp")
    (made,) = connected(cache, CLIENT).values()

    assert [code for *_, code in made] != ["no-endpoint"]
    assert connected(cache, workload("cache", "redis:7"), CLIENT)["Deployment/web"] == [
        ("shop/cache:6379", False, "no-endpoint")
    ]


def test_what_init_containers_call_before_a_plain_sidecar_is_a_connection_of_its_own():
    servers = service("cache", 6379, ", name: tcp-redis") + workload("cache", "redis:7")

    assert connected(servers, INIT, native=False)["Deployment/web"] == [
        ("shop/cache:6379", False, "hold-missing"),
        ("shop/cache:6379", True, "flows-plaintext"),
    ]
    assert connected(servers, INIT)["Deployment/web"] == [("shop/cache:6379", False, "flows-mtls")]


def test_what_the_sidecars_own_user_calls_is_not_redirected():
    servers = service("cache", 6379, ", name: tcp-redis") + workload("cache", "redis:7")
    of_pod = CLIENT.replace("spec: {containers", "spec: {securityContext: {runAsUser: 1337}, containers")
    own = of_pod.replace("image: shop/web", "image: shop/web, securityContext: {runAsUser: 1000}")
    some = CLIENT.replace("containers: [", "containers: [{name: b, image: x, securityContext: {runAsGroup: 1337}}, ")
    init = INIT.replace("image: busybox", "image: busybox, securityContext: {runAsUser: 1337}")
    strict = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---"""

    def codes(client):
        return [code for *_, code in connected(strict, servers, client)["Deployment/web"]]

    assert codes(of_pod) == ["strict-refuses"]
    assert codes(own) == ["flows-mtls"]
    assert codes(some) == ["not-known"]
    assert codes(init.replace(", env: [{name: REDIS_URL, value: 'redis://:canary-7f3a@cache:6379'}]", "")) == [
        "strict-refuses"
    ]


def test_a_pod_that_opts_out_of_its_ambient_namespace_has_no_mutual_tls():
    ambient = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n---"
    servers = service("cache", 6379, ", name: tcp-redis") + workload("cache", "redis:7")
    out = CLIENT.replace("labels: {app: web}}", "labels: {app: web, istio.io/dataplane-mode: none}}")

    assert connected(servers, CLIENT, namespace=ambient)["Deployment/web"] == [("shop/cache:6379", False, "flows-mtls")]
    assert connected(servers, out, namespace=ambient)["Deployment/web"] == [
        ("shop/cache:6379", False, "flows-plaintext")
    ]
