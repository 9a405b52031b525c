import json
import shlex

import pytest
import yaml
from injected import NATIVE, SIDECAR

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---"


def service(name, port, more="", target=""):
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{port: {port}{more}{target}}}]}}
---"""


def workload(name, image, more="", kind="Deployment", api="apps/v1"):
    return f"""
apiVersion: {api}
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: {image}{more}}}]}}
---"""


REDIS = workload("cache", "redis:7")
CLIENT = workload("web", "shop/web", ", env: [{name: REDIS_URL, value: 'redis://:canary-7f3a@cache:6379'}]")
PLAIN = "--no-native-sidecars"


@pytest.fixture
def diagnosed(run):
    """The findings about manifests, and the exit code."""

    def diagnosed(*manifests, arguments=()):
        ended = run("diagnose", "-o", "json", "-f", "-", *arguments, stdin=NAMESPACE + "".join(manifests))
        assert ended.returncode in {0, 1}, ended.stderr
        return json.loads(ended.stdout), ended.returncode

    return diagnosed


def codes(findings):
    return [(one["code"], one["severity"], one["object"]["name"]) for one in findings]


def test_a_backend_declared_as_http_is_an_error_with_its_evidence_and_its_mend(diagnosed):
    (found, *_), code = diagnosed(service("cache", 6379, ", name: http"), REDIS, CLIENT)

    assert code == 1
    assert (found["code"], found["severity"]) == ("http-declared", "error")
    assert found["object"] == {"kind": "Service", "namespace": "shop", "name": "cache", "port": 6379}
    assert found["docs"] == "docs/diagnose.md#http-declared"
    assert found["evidence"][:3] == [
        "Istio treats it as http: its name is 'http'",
        "the pods behind it run image redis:7",
        "port 6379 is a known port of redis",
    ]
    *kubectl, patch = shlex.split(found["fix"]["command"])
    assert kubectl == ["kubectl", "-n", "shop", "patch", "service", "cache", "-p"]
    assert json.loads(patch) == yaml.safe_load(found["fix"]["patch"])
    assert json.loads(patch) == {"spec": {"ports": [{"port": 6379, "appProtocol": "tcp"}]}}


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_fix_is_also_shown_under_its_former_name(run, output):
    stdin = NAMESPACE + service("cache", 6379, ", name: http") + REDIS
    (found, *_) = yaml.safe_load(run("diagnose", "-f", "-", "-o", output, stdin=stdin).stdout)

    assert found["mend"] == found["fix"]


@pytest.mark.parametrize("declared", [", name: tcp-redis", ", name: redis", ", appProtocol: tcp", ", name: cache", ""])
def test_a_backend_declared_rightly_or_sniffed_is_no_finding(diagnosed, declared):
    findings, code = diagnosed(service("cache", 6379, declared), REDIS)

    assert (findings, code) == ([], 0)


@pytest.mark.parametrize(
    ("image", "port", "declared", "expected"),
    [
        ("rabbitmq:3-management", 15672, ", name: http", []),
        ("elasticsearch:8", 9200, ", name: http", []),
        ("neo4j:5", 7474, ", name: http", []),
        ("neo4j:5", 7687, ", name: http", ["http-declared"]),
        ("shop/api", 8080, ", name: http", []),
        ("nginx", 80, ", name: http", []),
        ("rabbitmq:3", 5672, ", name: grpc-amqp", ["http-declared"]),
        ("mysql:8", 3306, "", []),
        ("mysql:8", 3307, "", ["server-first-sniffed"]),
        ("mysql:8", 3306, ", appProtocol: database", []),
        ("nats:2", 4222, ", name: client", ["server-first-sniffed"]),
        ("nats:2", 4222, ", name: tcp-client", []),
        ("redis:7", 6379, ", name: mysql-cache", ["wrong-database-declared"]),
        ("redis:7", 6379, ", name: udp", ["udp-declared"]),
        ("redis:7", 6379, ", name: http, protocol: UDP", []),
        ("postgres:16", 5432, ", name: https", []),
    ],
)
def test_a_port_is_judged_by_what_stands_behind_it(diagnosed, image, port, declared, expected):
    findings, _ = diagnosed(service("x", port, declared), workload("x", image))

    assert [one["code"] for one in findings] == expected


def test_a_named_target_port_leads_to_the_containers_own(diagnosed):
    ports = ", ports: [{name: db, containerPort: 5432}]"
    findings, _ = diagnosed(service("db", 80, ", name: http", ", targetPort: db"), workload("db", "postgres:16", ports))

    assert codes(findings) == [("http-declared", "error", "db")]


def test_of_several_containers_the_one_with_the_port_counts(diagnosed):
    beside = REDIS.replace(
        "containers: [", "containers: [{name: api, image: shop/api, ports: [{containerPort: 8080}]}, "
    )
    findings, _ = diagnosed(service("cache", 8080, ", name: http"), beside)

    assert findings == []


def test_of_two_ports_with_one_number_the_wrong_one_is_mended(diagnosed):
    both = ", name: dns, protocol: UDP}, {port: 6379, name: http"
    (found,), _ = diagnosed(service("cache", 6379, both), REDIS)

    *kubectl, patch = shlex.split(found["fix"]["command"])
    assert kubectl[-2:] == ["--type=json", "-p"]
    assert [one["path"] for one in json.loads(patch)] == ["/spec/ports/1/port", "/spec/ports/1/appProtocol"]


def test_a_sidecar_that_is_written_out_is_looked_at_itself(diagnosed):
    job = workload("tidy", "shop/tidy", kind="Job", api="batch/v1")
    injected = job.replace(
        "labels: {app: tidy}}\n", "labels: {app: tidy}, annotations: {sidecar.istio.io/status: x}}\n"
    )
    plain = injected.replace("containers: [", f"containers: [{json.dumps(SIDECAR)}, ")
    native = injected.replace("spec: {containers", f"spec: {{initContainers: [{json.dumps(NATIVE)}], containers")

    assert codes(diagnosed(plain)[0]) == [("job-never-finishes", "error", "tidy")]
    assert diagnosed(native) == ([], 0)


def test_a_port_number_alone_is_a_warning(diagnosed):
    findings, code = diagnosed(service("queue", 5672, ", name: http"))

    assert codes(findings) == [("http-declared", "warning", "queue")]
    assert code == 1


def test_clients_are_evidence_where_the_image_says_nothing(diagnosed):
    findings, _ = diagnosed(service("cache", 7000, ", name: http"), CLIENT.replace("6379", "7000"))

    assert ("http-declared", "error", "cache") in codes(findings)
    assert any(said.startswith("client Deployment/web: env REDIS_URL") for said in findings[0]["evidence"])


def test_a_pod_skipped_for_a_wrong_service_could_keep_its_sidecar(diagnosed):
    findings, _ = diagnosed(service("cache", 6379, ", name: http"), REDIS, CLIENT)

    assert codes(findings)[1:] == [("skipped-for-a-service", "info", "web")]
    assert findings[1]["fix"]["command"] == findings[0]["fix"]["command"]


def test_a_pod_skipped_for_more_than_wrong_services_is_not_promised_a_sidecar(diagnosed):
    both = CLIENT.replace("}]}]", "}, {name: EVENT_BUS, value: 'amqp://queue.example.com'}]}]")
    findings, _ = diagnosed(service("cache", 6379, ", name: http"), REDIS, both)

    assert codes(findings) == [("http-declared", "error", "cache")]


def test_remarks_alone_are_no_failure(diagnosed):
    findings, code = diagnosed(service("cache", 6379, ", name: tcp"), REDIS, CLIENT)

    assert (findings, code) == ([], 0)


@pytest.mark.parametrize(
    ("arguments", "more", "expected"),
    [
        ((), "", []),
        ((PLAIN,), "", [("job-never-finishes", "error", "tidy")]),
        ((PLAIN,), '{sidecar.istio.io/nativeSidecar: "true"}', []),
        ((), '{sidecar.istio.io/nativeSidecar: "false"}', [("job-never-finishes", "error", "tidy")]),
    ],
)
def test_a_job_with_a_plain_sidecar_never_finishes(diagnosed, arguments, more, expected):
    job = workload("tidy", "shop/tidy", kind="Job", api="batch/v1")
    job = job.replace("labels: {app: tidy}}\n", f"labels: {{app: tidy}}, annotations: {more or '{}'}}}\n")

    findings, _ = diagnosed(job, arguments=arguments)

    assert codes(findings) == expected
    assert all(one["fix"]["command"] is None and "nativeSidecar" in one["fix"]["patch"] for one in findings)


MYSQL_CLIENT = workload("web", "shop/web", ", env: [{name: DB_URL, value: 'mysql://db:3306'}]")


def test_without_hold_an_application_may_start_before_a_plain_sidecar(diagnosed):
    (found,), code = diagnosed(MYSQL_CLIENT, arguments=[PLAIN])

    assert (found["code"], found["severity"], code) == ("hold-missing", "warning", 1)
    patch = yaml.safe_load(found["fix"]["patch"])["spec"]["template"]["metadata"]["annotations"]
    assert patch == {"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"}


def test_the_mend_for_hold_keeps_what_the_pod_says_itself(diagnosed):
    own = MYSQL_CLIENT.replace(
        "labels: {app: web}}\n", 'labels: {app: web}, annotations: {proxy.istio.io/config: "concurrency: 2"}}\n'
    )
    (found,), _ = diagnosed(own, arguments=[PLAIN])

    patch = yaml.safe_load(found["fix"]["patch"])["spec"]["template"]["metadata"]["annotations"]
    assert yaml.safe_load(patch["proxy.istio.io/config"]) == {"concurrency": 2, "holdApplicationUntilProxyStarts": True}


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


def test_hold_in_the_mesh_or_by_the_policy_is_not_missed(diagnosed, tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)

    assert diagnosed(MESH, MYSQL_CLIENT, arguments=[PLAIN]) == ([], 0)
    assert diagnosed(MYSQL_CLIENT, arguments=[PLAIN, "--policy", "policy.yaml"]) == ([], 0)


def injector(name, webhook, namespaces="{}", objects="{}"):
    return f"""
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks: [{{name: {webhook}, namespaceSelector: {namespaces}, objectSelector: {objects}}}]
---"""


ENABLED = "{matchLabels: {istio-injection: enabled}}"


def test_a_webhook_that_comes_after_istios_is_too_late(diagnosed):
    istios = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    ours = injector("sidecar-policy", "pods.sidecar-policy.dev")
    (found,), _ = diagnosed(istios, ours)

    assert (found["code"], found["object"]["name"]) == ("webhook-order", "sidecar-policy")
    assert "0-sidecar-policy" in found["fix"]["command"]
    assert diagnosed(istios, injector("0-sidecar-policy", "pods.sidecar-policy.dev")) == ([], 0)


def test_two_injectors_that_claim_one_namespace_are_named(diagnosed):
    one = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    other = injector("istio-sidecar-injector-old", "namespace.sidecar-injector.istio.io", ENABLED)
    (found,), _ = diagnosed(one, other)

    assert (found["code"], found["object"]["name"]) == ("two-injectors", "shop")
    assert "istio-sidecar-injector-old" in found["fix"]["command"]
    apart = other.replace(ENABLED, "{matchExpressions: [{key: istio-injection, operator: DoesNotExist}]}")
    assert diagnosed(one, apart) == ([], 0)


def test_a_pods_own_labels_may_call_a_second_injector(diagnosed):
    one = injector("istio-sidecar-injector", "namespace.sidecar-injector.istio.io", ENABLED)
    other = injector("istio-revision-tag-x", "rev.object.sidecar-injector.istio.io", "{}", "{matchLabels: {app: web}}")
    (found,), _ = diagnosed(one, other, workload("web", "shop/web"))

    assert found["code"] == "two-injectors"
    assert any("Deployment/web" in said for said in found["evidence"])


def test_two_labels_that_say_who_injects_are_one_too_many(run):
    both = NAMESPACE.replace("enabled}", "enabled, istio.io/rev: canary}")
    ended = run("diagnose", "-o", "json", "-f", "-", stdin=both)

    (found,) = json.loads(ended.stdout)
    assert (found["code"], ended.returncode) == ("two-injection-labels", 1)
    assert found["fix"]["command"] == "kubectl label namespace shop istio-injection-"


STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---"""


def test_a_pod_without_a_sidecar_is_refused_by_what_demands_mutual_tls(diagnosed):
    caller = workload("web", "shop/web", ", env: [{name: API_URL, value: 'http://api'}]")
    alone = caller.replace("labels: {app: web}", 'labels: {app: web, sidecar.istio.io/inject: "false"}')
    server = service("api", 80) + workload("api", "shop/api")
    (found,), code = diagnosed(STRICT, server, alone)

    assert (found["code"], found["object"]["name"], code) == ("strict-refuses", "web", 1)
    assert found["evidence"] == ["env API_URL → Service api"]
    assert diagnosed(STRICT, server, caller) == ([], 0)
    assert diagnosed(server, alone) == ([], 0)


def test_namespaces_that_the_policy_exempts_are_left_alone(diagnosed):
    findings, _ = diagnosed(service("cache", 6379, ", name: http").replace("shop", "kube-system"))

    assert findings == []


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_no_value_is_shown(run, output):
    shown = run("diagnose", "-o", output, "-f", "-", stdin=NAMESPACE + service("cache", 6379, ", name: http") + CLIENT)

    assert "REDIS_URL" in shown.stdout
    assert "canary" not in shown.stdout + shown.stderr


def test_yaml_says_what_json_says(run):
    text = NAMESPACE + service("cache", 6379, ", name: http") + REDIS + CLIENT
    as_json = run("diagnose", "-o", "json", "-f", "-", stdin=text).stdout

    assert yaml.safe_load(run("diagnose", "-o", "yaml", "-f", "-", stdin=text).stdout) == json.loads(as_json)


def test_in_a_pipe_the_output_is_plain_and_ends_in_a_count(run):
    ended = run("diagnose", "-f", "-", stdin=NAMESPACE + service("cache", 6379, ", name: http") + REDIS)

    lines = ended.stdout.splitlines()
    assert lines[0].startswith("error http-declared shop Service/cache:6379: ")
    assert lines[-1] == "found: 1 error"
    assert "\x1b" not in ended.stdout


def test_the_commands_alone_are_each_printed_once(run):
    text = NAMESPACE + service("cache", 6379, ", name: http") + REDIS + CLIENT
    ended = run("diagnose", "-o", "commands", "-f", "-", stdin=text)

    (command,) = ended.stdout.splitlines()
    assert shlex.split(command)[:6] == ["kubectl", "-n", "shop", "patch", "service", "cache"]
    assert ended.returncode == 1


def test_nothing_found_is_said(run):
    assert run("diagnose", "-f", "-", stdin=NAMESPACE).stdout == "no problems found\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--live", "-f", "x.yaml"], "cannot be combined with files"),
        (["-f", "x.yaml", "-n", "shop"], "can only be used with --live"),
        ([], "pass at least one file"),
    ],
)
def test_wrong_usage_says_what_is_wrong(run, arguments, says):
    ended = run("diagnose", *arguments)

    assert ended.returncode == 2
    assert says in " ".join(ended.stderr.split())
