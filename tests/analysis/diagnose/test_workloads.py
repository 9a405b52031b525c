import json

import pytest
import yaml
from analysed import CLIENT, REDIS, codes, diagnosed, service, workload
from injected import NATIVE, SIDECAR

MYSQL_CLIENT = workload("web", "shop/web", ", env: [{name: DB_URL, value: 'mysql://db:3306'}]")
MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {holdApplicationUntilProxyStarts: true}"}
---"""
POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: mine}
spec: {rules: [{name: all, match: {dependencies: [mysql]}, action: inherit, hold: true}]}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---"""


def test_a_sidecar_that_is_written_out_is_looked_at_itself():
    job = workload("tidy", "shop/tidy", kind="Job", api="batch/v1")
    injected = job.replace(
        "labels: {app: tidy}}\n", "labels: {app: tidy}, annotations: {sidecar.istio.io/status: x}}\n"
    )
    plain = injected.replace("containers: [", f"containers: [{json.dumps(SIDECAR)}, ")
    native = injected.replace("spec: {containers", f"spec: {{initContainers: [{json.dumps(NATIVE)}], containers")

    assert codes(diagnosed(plain)) == [("job-never-finishes", "error", "tidy")]
    assert diagnosed(native) == []


def test_a_pod_skipped_for_a_wrong_service_could_keep_its_sidecar():
    findings = diagnosed(service("cache", 6379, ", name: http"), REDIS, CLIENT)

    assert codes(findings)[1:] == [("skipped-for-a-service", "info", "web")]
    assert findings[1].fix.command == findings[0].fix.command
    assert "heals nothing" in findings[1].message


def test_a_pod_skipped_for_more_than_wrong_services_is_not_promised_a_sidecar():
    both = CLIENT.replace("}]}]", "}, {name: EVENT_BUS, value: 'amqp://queue.example.com'}]}]")
    findings = diagnosed(service("cache", 6379, ", name: http"), REDIS, both)

    assert codes(findings)[1:] == [("skipped-for-a-service", "info", "web")]
    assert findings[1].fix.note == "what else the rule matches may need it: rabbitmq"


@pytest.mark.parametrize(
    ("native", "more", "expected"),
    [
        (True, "", []),
        (False, "", [("job-never-finishes", "error", "tidy")]),
        (False, '{sidecar.istio.io/nativeSidecar: "true"}', []),
        (True, '{sidecar.istio.io/nativeSidecar: "false"}', [("job-never-finishes", "error", "tidy")]),
    ],
)
def test_a_job_with_a_plain_sidecar_never_finishes(native, more, expected):
    job = workload("tidy", "shop/tidy", kind="Job", api="batch/v1")
    job = job.replace("labels: {app: tidy}}\n", f"labels: {{app: tidy}}, annotations: {more or '{}'}}}\n")

    findings = diagnosed(job, native=native)

    assert codes(findings) == expected
    assert all(found.fix.command is None and "nativeSidecar" in str(found.fix.patch) for found in findings)


def test_without_hold_an_application_may_start_before_a_plain_sidecar():
    (found,) = diagnosed(MYSQL_CLIENT, native=False)

    assert (found.code.code, found.severity.value) == ("hold-missing", "warning")
    patch = found.fix.patch["spec"]["template"]["metadata"]["annotations"]
    assert patch == {"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}


def test_the_mend_for_hold_keeps_what_the_pod_says_itself():
    own = MYSQL_CLIENT.replace(
        "labels: {app: web}}\n", 'labels: {app: web}, annotations: {proxy.istio.io/config: "concurrency: 2"}}\n'
    )
    (found,) = diagnosed(own, native=False)

    patch = found.fix.patch["spec"]["template"]["metadata"]["annotations"]
    assert yaml.safe_load(patch["proxy.istio.io/config"]) == {"concurrency": 2, "holdApplicationUntilProxyStarts": True}


def test_hold_in_the_mesh_or_by_the_policy_is_not_missed():
    assert diagnosed(MESH, MYSQL_CLIENT, native=False) == []
    assert diagnosed(MYSQL_CLIENT, native=False, policy=POLICY) == []


def test_a_pod_without_a_sidecar_is_refused_by_what_demands_mutual_tls():
    caller = workload("web", "shop/web", ", env: [{name: API_URL, value: 'http://api'}]")
    alone = caller.replace("labels: {app: web}", 'labels: {app: web, sidecar.istio.io/inject: "false"}')
    server = service("api", 80) + workload("api", "shop/api")
    (found,) = diagnosed(STRICT, server, alone)

    assert (found.code.code, found.subject.name) == ("strict-refuses", "web")
    assert found.evidence[0] == "env API_URL → Service api"
    assert diagnosed(STRICT, server, caller) == []
    assert diagnosed(server, alone) == []
