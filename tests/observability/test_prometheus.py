"""The dashboard and the alerts against a real Prometheus that scrapes the running server."""

import base64
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from injected import SIDECAR
from programs import directory

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts" / "sidecar-policy" / "files"
ALERTS = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = json.loads((FILES / "dashboard.json").read_text())["panels"]
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
# What Grafana puts in. Metrics are scraped each second here, so a quarter of a minute holds enough of them.
VARIABLES = {"$__rate_interval": "15s", "$namespace": ".+"}

POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: observed}
spec:
  rules:
  - {name: stores, match: {dependencies: [redis]}, action: skip}
"""
ADMISSION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
CLIENT = {"name": "web", "env": [{"name": "URL", "value": "redis://cache:6379"}]}
OBJECTS: dict[str, list[dict[str, Any]]] = {
    "/api/v1/namespaces": [{"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}],
    "/api/v1/services": [{"metadata": {"name": "cache", "namespace": "shop"}, "spec": {"ports": [{"port": 6379}]}}],
    "/api/v1/configmaps": [{"metadata": {"name": "cfg", "namespace": "shop"}, "data": {"URL": "redis://cache:6379"}}],
    "/apis/apps/v1/deployments": [{"metadata": {"name": "web", "namespace": "shop"}, "spec": {}}],
    "/api/v1/pods": [
        {"metadata": {"name": "late", "namespace": "shop"}, "spec": {"containers": []}},
        {"metadata": {"name": "client", "namespace": "shop"}, "spec": {"containers": [CLIENT]}},
    ],
    # Ours sorts after Istio's.
    ADMISSION: [
        {"metadata": {"name": "istio-sidecar-injector"}, "webhooks": [{"name": "rev.sidecar-injector.istio.io"}]},
        {"metadata": {"name": "sidecar-policy"}, "webhooks": [{"name": "pods.sidecar-policy.dev"}]},
    ],
}


def pod(config_map, *sidecars):
    """A pod that takes its configuration from a ConfigMap."""
    variable = {"name": "URL", "valueFrom": {"configMapKeyRef": {"name": config_map, "key": "URL"}}}
    owner = {"kind": "ReplicaSet", "name": "web-1", "uid": "u", "apiVersion": "apps/v1", "controller": True}
    metadata = {"generateName": "web-", "ownerReferences": [owner]}
    web = {"name": "web", "image": "web:1", "env": [variable]}
    return {"metadata": metadata, "spec": {"containers": [web, *sidecars]}}


def review(of):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": "u", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": of}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


@dataclass
class Server:
    """`sidecar-policy serve`, started with a cluster that the tests made up."""

    process: subprocess.Popen
    log: Path

    def listening(self):
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return next((line for line in lines if line["event"] == "listening"), None)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.listening()['health_port']}{path}", timeout=5) as answer:
            return answer.read().decode()

    def post(self, path, body):
        said = self.listening()
        context = ssl.create_default_context(cafile=said["ca"])
        request = urllib.request.Request(
            f"https://localhost:{said['port']}{path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return json.load(answer)["response"]


@dataclass
class Prometheus:
    """A Prometheus on loopback."""

    port: int

    def __call__(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(json.load(error)["error"])

    def query(self, expression):
        """What an expression gives now: each result's labels and value."""
        return [(one["metric"], float(one["value"][1])) for one in self("query", query=expression)["result"]]


def wait_until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture
def end():
    """Ends what was started."""
    processes = []
    yield processes.append
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def server(api, kubeconfig, tmp_path, end):
    for collection, objects in OBJECTS.items():
        for one in objects:
            api.put(collection, one)
    (tmp_path / "policy.yaml").write_text(POLICY)
    log = tmp_path / "server.log"
    options = "--host 127.0.0.1 --port 0 --health-port 0 --drain 0 --log-format json --drift 2s".split()
    command = [sys.executable, "-m", "webhook", "serve", *options, "--kubeconfig", kubeconfig]
    command += ["--policy", tmp_path / "policy.yaml", "--cert-dir", tmp_path / "certs"]
    with log.open("w") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=lines)
    end(process)
    server = Server(process, log)
    wait_until(server.listening, "the server listens")
    wait_until(lambda: "sidecar_policy_drifted_pods{" in server.get("/metrics"), "drift is known")
    return server


@pytest.fixture
def prometheus(server, tmp_path, end):
    target = f"127.0.0.1:{server.listening()['health_port']}"
    labels = {"namespace": "mesh", "service": "sidecar-policy-metrics", "pod": "sidecar-policy-0"}
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(FILES / "alerts.yaml")],
        "scrape_configs": [{"job_name": "pods", "static_configs": [{"targets": [target], "labels": labels}]}],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command: list[str | Path] = [directory() / "prometheus", f"--config.file={tmp_path}/prometheus.yaml"]
    command += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "prometheus.log").open("w") as log:
        end(subprocess.Popen(command, stdout=log, stderr=log))

    def up():
        try:
            return Prometheus(port).query("up == 1")
        except OSError:
            return None

    wait_until(up, "the server is scraped")
    return Prometheus(port)


def ask(server):
    """One of each kind of request."""
    assert "patch" in server.post("/mutate", review(pod("cfg")))
    server.post("/mutate", review(pod(f"missing-{time.monotonic_ns()}")))
    server.post("/validate", review(pod("cfg", SIDECAR)))
    with pytest.raises(urllib.error.HTTPError):
        server.post("/mutate", b"{}")


def filled_in(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def test_every_panel_and_every_alert_has_data_in_a_real_prometheus(server, prometheus):
    lacking = {parameter.id: filled_in(parameter.values[0]) for parameter in QUERIES}

    def all_have_data():
        ask(server)
        for title, expression in list(lacking.items()):
            values = [value for _, value in prometheus.query(expression)]
            # A quantile of nothing is not a number.
            if values and all(value == value for value in values):  # noqa: PLR0124
                del lacking[title]
        return not lacking

    try:
        wait_until(all_have_data, "every panel shows something")
    except AssertionError:
        assert lacking == {}

    rules = wait_until(lambda: evaluated(prometheus), "every alert was evaluated")
    assert [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")] == []
    assert {rule["name"] for rule in rules} == {alert["alert"] for alert in ALERTS}
    used = {selector for alert in ALERTS for selector in re.findall(r"sidecar_policy_\w+\{[^}]*\}", alert["expr"])}
    assert [selector for selector in used if not prometheus.query(selector)] == []
    # What is wrong here is seen; and what is not is not.
    states = {rule["name"]: rule["state"] for rule in rules}
    assert states["SidecarPolicyContradicted"] == "firing"
    assert states["SidecarPolicyCalledAfterIstio"] in {"pending", "firing"}
    assert states["SidecarPolicyDrift"] == "pending"
    assert states["SidecarPolicyDown"] == "inactive"


def evaluated(prometheus):
    rules = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    return rules if "SidecarPolicyContradicted" in firing else None


def test_promtool_finds_nothing_to_say_about_the_metrics(server):
    ask(server)
    checked = run("check", "metrics", stdin=server.get("/metrics"))
    ours = [line for line in checked.stdout.splitlines() + checked.stderr.splitlines() if "sidecar_policy" in line]

    assert ours == []


def test_the_alerts_fire_when_they_should_and_only_then():
    checked = run("test", "rules", str(Path(__file__).with_name("alerts.test.yaml")))

    assert checked.returncode == 0, checked.stdout


def test_no_label_of_a_metric_is_a_word_of_a_pod(server):
    named = pod("cfg")
    named["metadata"]["labels"] = {"app": "CANARY"}
    named["spec"]["containers"][0]["env"].append({"name": "CANARY", "value": "redis://:CANARY@cache:6379"})
    answer = server.post("/mutate", review(named))

    assert b"dependency redis" in base64.b64decode(answer["patch"])
    assert "CANARY" not in server.get("/metrics") + server.get("/drift")


def run(*arguments, stdin=None):
    command = [directory() / "promtool", *arguments]
    return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=60)
