import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import typer
from forked import Forked

from webhook.cli.options import duration

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: basket-data, namespace: shop}
spec: {ports: [{port: 6379, name: http}], selector: {app: basket-data}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg, namespace: shop}
data:
  connection: "redis://:CANARY-config@basket-data:6379/0"
"""
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: ours}
spec:
  rules:
  - {name: redis-clients, match: {dependencies: [redis]}, action: skip}
"""
FROM_CONFIG_MAP = {"configMapKeyRef": {"name": "cfg", "key": "connection"}}
POD = {
    "metadata": {"generateName": "basket-", "namespace": "shop"},
    "spec": {
        "containers": [
            {
                "name": "basket",
                "image": "shop/basket:1",
                "args": ["--db=postgres://app:CANARY-args@db:5432/x", "--token", "CANARY-token"],
                "env": [
                    {
                        "name": "ConnectionString",
                        "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "connection"}},
                    },
                    {"name": "Sql", "value": "Server=sql;User Id=sa;Password=CANARY-sql;"},
                    {"name": "Bus", "value": "amqp://guest:CANARY-amqp@rabbit:5672/%2f?x=CANARY-query"},
                    {"name": "PASSWORD", "value": "CANARY-plain"},
                ],
            }
        ]
    },
}


def review(pod=POD, **request):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    base = {"uid": "u", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": pod}
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": base | request}
    ).encode()


class Process:
    """`sidecar-policy serve` as a process of its own, its log in a file; afresh, it imports all by itself."""

    def __init__(self, directory: Path, *arguments: object, afresh: bool) -> None:
        self.log_file = directory / "log"
        self.log_file.write_text("")
        options = ["serve", "--host", "127.0.0.1", *map(str, arguments)]
        self.process: subprocess.Popen[bytes] | Forked
        if afresh:
            with self.log_file.open("w") as log:
                command = [sys.executable, "-m", "webhook", *options]
                self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
        else:
            self.process = Forked(
                options, directory=directory, environment=os.environ, stdout=self.log_file, stderr=self.log_file
            )

    @property
    def text(self) -> str:
        return self.log_file.read_text()

    def events(self, name):
        lines = (json.loads(line) for line in self.text.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    def listening(self):
        deadline = time.monotonic() + 20
        while not self.events("listening"):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.02)
        return self.events("listening")[0]

    def post(self, body):
        said = self.listening()
        context = ssl.create_default_context(cafile=said["ca"])
        connection = http.client.HTTPSConnection("localhost", said["port"], context=context, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", "/mutate", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.listening()['health_port']}{path}", timeout=5) as response:
            return response.read().decode()

    def end(self, which=signal.SIGTERM):
        self.process.send_signal(which)
        return self.process.wait(15)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/shop.yaml").write_text(MANIFESTS)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def serve(files):
    processes = []

    def start(*arguments, manifests="manifests", afresh=False):
        always = ("--manifests", manifests, "--port", 0, "--health-port", 0, "--drain", "0s")
        process = Process(files, *always, *arguments, afresh=afresh)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.process.terminate()
            process.process.wait(20)


def test_it_decides_with_the_policy_and_manifests_given_and_leaves_with_zero(serve):
    server = serve("--policy", "policy.yaml", afresh=True)
    status, body = server.post(review())
    response = json.loads(body)["response"]

    assert status == 200
    assert response["auditAnnotations"]["rule"] == "redis-clients"
    assert "redis" in response["auditAnnotations"]["dependencies"]
    operations = json.loads(base64.b64decode(response["patch"]))
    assert {"sidecar.istio.io/inject": "false"}.items() <= operations[0]["value"].items()
    assert json.loads(server.get("/policy"))["name"] == "ours"
    assert server.end() == 0
    assert [server.events(name) != [] for name in ("draining", "stopped")] == [True, True]


def test_no_output_holds_a_value_of_a_pod_or_a_config_map(serve):
    server = serve("--policy", "policy.yaml", "--log-level", "debug")
    said = server.post(review())[1]
    said += base64.b64decode(json.loads(said)["response"]["patch"]).decode()
    for body in (
        review(operation="UPDATE"),
        review() + b"CANARY",
        review()[:-30],
        review(POD | {"metadata": {"labels": {"CANARY": ["CANARY"]}}}),
        review(POD | {"spec": {"containers": [{"env": [{"name": "A", "value": 5, "x": "CANARY"}]}]}}),
        review(uid=["CANARY"]),
        review(namespace={"CANARY": 1}),
        b'"CANARY"',
    ):
        said += server.post(body)[1]
    for path in ("/readyz?verbose", "/livez", "/healthz", "/metrics", "/policy"):
        said += server.get(path)
    server.end()
    said += server.text

    assert "redis-clients" in said
    assert "CANARY" not in said


def test_a_policy_edit_takes_effect_and_a_broken_one_is_told_and_kept_out(serve, files):
    server = serve("--policy", "policy.yaml")
    generation = json.loads(server.get("/policy"))["generation"]

    (files / "policy.yaml").write_text(POLICY.replace("action: skip", "acton: skip"))
    wait_for(lambda: server.events("policy rejected"))

    assert "did you mean 'action'?" in " ".join(server.events("policy rejected")[0]["problems"])
    assert "policy.yaml:7" in server.get("/readyz")
    shown = json.loads(server.get("/policy"))
    assert (shown["generation"], shown["problems"][0]["line"]) == (generation, 7)
    assert 'sidecar_policy_policy_loads_total{outcome="rejected"} 1.0' in server.get("/metrics")
    assert "redis-clients" in server.post(review())[1]

    (files / "policy.yaml").write_text(POLICY.replace("redis-clients", "renamed"))
    wait_for(lambda: json.loads(server.get("/policy"))["generation"] != generation)

    assert "renamed" in server.post(review())[1]
    assert server.get("/readyz") == "ok\n"
    assert server.get("/metrics").count("sidecar_policy_policy_info{") == 1


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sigusr1_switches_the_log_to_debug_and_back(serve):
    server = serve("--log-level", "info")
    server.listening()
    (documented,) = re.findall(r'exec POD -- python3 -c "(.+)"', OPERATIONS.read_text())
    as_documented = documented.replace("kill(1,", f"kill({server.process.pid},")
    subprocess.run([sys.executable, "-c", as_documented], check=True)
    ignored = review(operation="UPDATE")

    wait_for(lambda: server.events("log level"))
    server.post(ignored)
    wait_for(lambda: server.events("admission"))
    server.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: len(server.events("log level")) == 2)
    server.post(ignored)

    assert [line["to"] for line in server.events("log level")] == ["debug", "info"]
    assert server.end() == 0
    assert len(server.events("admission")) == 1


@pytest.mark.parametrize("which", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2], ids=lambda which: which.name)
def test_signals_that_ask_for_no_end_do_not_end_the_server(serve, which):
    server = serve()
    server.listening()
    for _ in range(3):
        server.process.send_signal(which)
        time.sleep(0.1)

    assert server.process.poll() is None
    assert server.end() == 0


def test_ctrl_c_is_130(serve):
    server = serve(afresh=True)
    server.listening()

    assert server.end(signal.SIGINT) == 130


def test_the_packaged_policy_is_the_default(serve):
    server = serve()

    assert json.loads(server.get("/policy"))["source"] == "the packaged default"


def test_an_own_certificate_is_kept_for_the_next_start(serve, files):
    server = serve("--cert-dir", "pki", "--dns", "sp.mesh.svc")
    server.listening()
    server.end()
    first = (files / "pki/tls.crt").read_bytes()

    again = serve("--cert-dir", "pki", "--dns", "sp.mesh.svc")
    again.listening()
    again.end()
    assert (files / "pki/tls.crt").read_bytes() == first

    renamed = serve("--cert-dir", "pki", "--dns", "other.mesh.svc")
    assert renamed.post(review())[0] == 200
    assert (files / "pki/tls.crt").read_bytes() != first


def test_the_directory_of_an_own_certificate_is_removed_at_the_end(serve):
    server = serve()
    authority = Path(server.listening()["ca"])
    assert authority.exists()
    server.end()

    assert not authority.parent.exists()


def test_a_broken_policy_at_the_start_is_fatal_and_told(serve, files):
    (files / "policy.yaml").write_text(POLICY.replace("action: skip", "acton: skip"))
    server = serve("--policy", "policy.yaml")

    assert server.process.wait(20) == 1
    assert "policy.yaml:7: error: spec.rules[0].acton" in server.text
    assert "did you mean 'action'?" in server.text
    assert "Traceback" not in server.text


def test_a_policy_that_is_not_there_is_a_file_that_cannot_be_read(serve):
    server = serve("--policy", "gone.yaml")

    assert server.process.wait(20) == 3
    assert "gone.yaml: error: cannot be read" in server.text


def test_manifests_that_are_not_there_are_told(serve):
    server = serve(manifests="gone")

    assert server.process.wait(20) == 3
    assert "gone" in server.text
    assert "Traceback" not in server.text


@pytest.mark.parametrize("option", ["--port", "--health-port"])
def test_a_port_that_is_taken_is_told_in_one_line(serve, option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(option, port)

        assert server.process.wait(20) == 3
    assert f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with {option}" in (
        server.text
    )
    assert "Traceback" not in server.text


def test_a_certificate_that_cannot_be_served_is_told(serve, files):
    (files / "a.crt").write_text("nonsense")
    (files / "a.key").write_text("nonsense")
    server = serve("--cert", "a.crt", "--key", "a.key")

    assert server.process.wait(20) == 3
    assert "error: a.crt and a.key is not a PEM certificate and unencrypted private key" in server.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cert", "a.crt"), "must be used together"),
        (("--drain", "soon"), "invalid duration"),
        (("--dns", "no name"), "not a DNS name"),
        (("--on-error", "explode"), "explode"),
        (("--cert-secret", "certs"), "expected NAMESPACE/NAME"),
        (("--cert-secret", "mesh/certs"), "--cert-secret cannot be combined with"),
        (("--kubeconfig", "config"), "cannot be combined with --kubeconfig"),
        (("--context", "other"), "cannot be combined with --kubeconfig"),
    ],
)
def test_wrong_usage_is_two(serve, arguments, said):
    server = serve(*arguments)

    assert server.process.wait(20) == 2
    assert said in " ".join(server.text.split())
    assert "Traceback" not in server.text


def test_without_manifests_and_without_a_cluster_both_ways_are_named(run_forked):
    done = run_forked("serve")

    assert done.returncode == 3
    assert "--kubeconfig FILE, or --manifests DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kubeconfig_that_is_not_there_is_told(run_forked):
    done = run_forked("serve", "--kubeconfig", "none")

    assert done.returncode == 3
    assert re.search(r"invalid kubeconfig .*: No such file or directory", done.stderr)


def test_serving_manifests_loads_no_package_that_it_does_not_use(serve, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    server = serve(afresh=True)
    server.post(review())
    server.end()

    loaded = set(re.findall(r"^import time:.*\| +([\w.]+)$", server.text, re.MULTILINE))
    assert "webhook.server.http.app" in loaded
    assert not loaded & {"kubernetes", "aiohttp", "cel", "opentelemetry.sdk", "opentelemetry.exporter"}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("5s", 5), ("0", 0), ("500ms", 0.5), ("1m", 60), ("1.5", 1.5), ("12h", 43200), ("90d", 7776000)],
)
def test_durations_are_written_as_in_kubernetes(written, seconds):
    assert duration(written) == seconds


@pytest.mark.parametrize("written", ["-1s", "5 parsecs", "", "s"])
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(typer.BadParameter, match="invalid duration"):
        duration(written)


def test_it_answers_and_ends_in_order_while_nobody_reads_its_log(files):
    command = [sys.executable, "-m", "webhook", "serve", "--manifests", "manifests", "--host", "127.0.0.1"]
    command += ["--port", "0", "--health-port", "0", "--drain", "0s", "--log-format", "json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=files) as process:
        try:
            said = next(line for line in map(json.loads, process.stderr) if line["event"] == "listening")
            context = ssl.create_default_context(cafile=said["ca"])
            connection = http.client.HTTPSConnection("localhost", said["port"], context=context, timeout=10)
            with contextlib.closing(connection):
                for _ in range(500):  # more lines than a pipe holds
                    connection.request("POST", "/mutate", review(), {"content-type": "application/json"})
                    assert connection.getresponse().read()
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
