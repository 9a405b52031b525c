import json

import pytest
import yaml

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---"
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: shop}
stringData: {url: "redis://:canary-7f3a@store:6379/0"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - {name: web, image: web, env: [{name: TARGET, valueFrom: {secretKeyRef: {name: login, key: url}}}]}
"""
POLICY = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: mine}
spec:
  rules: [{name: everything, action: inject}]
"""


@pytest.fixture
def shop(tmp_path, deployment):
    (tmp_path / "shop.yaml").write_text(NAMESPACE + deployment("web"))
    return tmp_path


def explained(run, *arguments, **options):
    ended = run("explain", "-o", "json", *arguments, **options)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_json_explains_a_client_with_its_trail(run, shop):
    (web,) = explained(run, "-f", "shop.yaml")

    assert (web["kind"], web["namespace"], web["name"]) == ("Deployment", "shop", "web")
    assert (web["action"], web["rule"], web["mode"]) == ("skip", "datastore-clients", "enforce")
    (redis,) = web["dependencies"]
    assert (redis["kind"], redis["host"], redis["port"]) == ("redis", "store", 6379)
    assert "REDIS_URL" in redis["evidence"]
    assert web["source"] == "shop.yaml:5"


def test_yaml_says_the_same(run, shop):
    assert yaml.safe_load(run("explain", "-f", "shop.yaml", "-o", "yaml").stdout) == explained(run, "-f", "shop.yaml")


def test_in_a_pipe_the_table_is_plain(run, shop):
    heading, row = run("explain", "-f", "shop.yaml").stdout.splitlines()

    assert heading.split()[:3] == ["NAMESPACE", "WORKLOAD", "DECISION"]
    assert row.split()[:5] == ["shop", "Deployment/web", "skip", "datastore-clients", "redis(certain)"]


@pytest.mark.parametrize("arguments", [["shop.yaml"], ["-f", "."], ["--filename", "shop.yaml"], ["-f", "-"]])
def test_manifests_come_from_files_directories_and_standard_input(run, shop, arguments):
    (web,) = explained(run, *arguments, stdin=(shop / "shop.yaml").read_text())

    assert web["action"] == "skip"


def test_several_files_are_one_set(run, shop):
    (shop / "extra.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: extra, namespace: shop}\n")

    names = [one["name"] for one in explained(run, "-f", "extra.yaml", "shop.yaml")]

    assert names == ["extra", "web"]


def test_a_policy_replaces_the_default_one(run, shop):
    (shop / "policy.yaml").write_text(POLICY)

    (web,) = explained(run, "-f", "shop.yaml", "--policy", "policy.yaml")

    assert (web["action"], web["rule"]) == ("inject", "everything")
    assert web["policy"].startswith("mine/")


def test_a_missing_namespace_is_taken_to_be_in_the_mesh_and_said(run, tmp_path, deployment):
    ended = run("explain", "-f", "-", "-o", "json", stdin=deployment("web"))

    assert json.loads(ended.stdout)[0]["action"] == "skip"
    assert "no Namespace object for 'shop'" in ended.stderr


def test_a_missing_namespace_takes_the_labels_given(run, deployment):
    (web,) = explained(run, "-f", "-", "--namespace-label", "istio-injection=disabled", stdin=deployment("web"))

    assert web["reason"] == "namespace-disabled"


def test_secrets_are_read_only_when_asked_for(run):
    (closed,) = explained(run, "-f", "-", stdin=NAMESPACE + SECRET)
    (opened,) = explained(run, "-f", "-", "--secrets", stdin=NAMESPACE + SECRET)

    assert (closed["dependencies"], closed["action"]) == ([], "inherit")
    assert closed["unknown"]
    assert [one["kind"] for one in opened["dependencies"]] == ["redis"]


def test_a_policy_may_ask_for_secrets_to_be_read(run, tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY + "  detection: {secrets: true}\n")

    (web,) = explained(run, "-f", "-", "--policy", "policy.yaml", stdin=NAMESPACE + SECRET)

    assert [one["kind"] for one in web["dependencies"]] == ["redis"]


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_no_value_of_a_secret_is_shown(run, output):
    ended = run("explain", "-f", "-", "--secrets", "-o", output, stdin=NAMESPACE + SECRET)

    assert "redis" in ended.stdout
    assert "canary" not in ended.stdout + ended.stderr


def test_a_missing_file_is_named(run):
    ended = run("explain", "-f", "nowhere.yaml")

    assert (ended.returncode, ended.stdout) == (3, "")
    assert "nowhere.yaml" in ended.stderr
    assert "No such file" in ended.stderr


def test_standard_input_that_is_no_text_is_unreadable(run):
    ended = run("explain", "-f", "-", stdin=b"\xff\xfe\x00")

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == "-: error: is not UTF-8 text\n"


def test_broken_yaml_is_an_error_with_its_line(run, tmp_path):
    (tmp_path / "broken.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: [x}\n")

    ended = run("explain", "-f", "broken.yaml")

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("broken.yaml:3: error: not valid YAML")


def test_an_object_with_a_wrong_type_is_left_out_and_the_rest_explained(run, shop, deployment):
    (shop / "bad.yaml").write_text(deployment("bad").replace("value: redis://store:6379", "value: 6379"))

    ended = run("explain", "-o", "json", "-f", ".")

    assert [one["name"] for one in json.loads(ended.stdout)] == ["web"]
    assert ended.returncode == 3
    assert "expected `str" in ended.stderr


def test_a_broken_policy_is_an_error_with_its_line_and_a_hint(run, shop):
    (shop / "policy.yaml").write_text(POLICY.replace("action:", "acton:"))

    ended = run("explain", "-f", "shop.yaml", "--policy", "policy.yaml")

    assert ended.returncode == 3
    assert "policy.yaml:6: error:" in ended.stderr
    assert "did you mean 'action'?" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "pass at least one file"),
        (["-f", "x.yaml", "--namespace-label", "enabled"], "expected KEY=VALUE, got"),
        (["-f", "x.yaml", "--namespace-label", "a==b"], "expected KEY=VALUE, got"),
        (["-f", "x.yaml", "-o", "xml"], "xml"),
    ],
)
def test_wrong_usage_is_told_apart_from_bad_input(run, arguments, says):
    ended = run("explain", *arguments)

    assert ended.returncode == 2
    assert says in ended.stderr


def test_manifests_without_workloads_are_no_error(run):
    ended = run("explain", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "no workload" in ended.stderr
