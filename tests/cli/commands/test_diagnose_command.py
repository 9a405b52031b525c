import json
import shlex

import pytest
import yaml
from analysed import CLIENT, NAMESPACE, REDIS, service, workload

SKIP = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: skip}
spec: {rules: [{name: all, match: {dependencies: [mysql]}, action: skip}]}
"""


@pytest.fixture
def diagnosed(run):
    """The findings about manifests, and the exit code."""

    def diagnosed(*manifests, arguments=()):
        ended = run("diagnose", "-o", "json", "-f", "-", *arguments, stdin=NAMESPACE + "".join(manifests))
        assert ended.returncode in {0, 1}, ended.stderr
        return json.loads(ended.stdout), ended.returncode

    return diagnosed


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


def test_nothing_wrong_is_exit_code_0(diagnosed):
    findings, code = diagnosed(service("cache", 6379, ", name: tcp"), REDIS, CLIENT)

    assert (findings, code) == ([], 0)


def test_the_kind_of_sidecars_and_the_policy_are_options(diagnosed, tmp_path):
    client = workload("web", "shop/web", ", env: [{name: DB_URL, value: 'mysql://db:3306'}]")
    (tmp_path / "policy.yaml").write_text(SKIP)

    (found,), code = diagnosed(client, arguments=["--no-native-sidecars"])

    assert (found["code"], code) == ("hold-missing", 1)
    assert diagnosed(client, arguments=["--no-native-sidecars", "--policy", "policy.yaml"]) == ([], 0)


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
