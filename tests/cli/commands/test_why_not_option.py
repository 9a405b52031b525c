from __future__ import annotations

import json

import pytest
import yaml

from webhook.cli.exits import ExitCode

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
  - name: web
    image: shop/web
    env: [{name: REDIS_PORT, value: "6379"}]
    envFrom: [{secretRef: {name: hidden}}]
"""


@pytest.mark.parametrize("read", ["json", "yaml"])
def test_the_answer_as_data(run, read):
    ended = run("explain", "-f", "-", "--why-not", "redis", "-o", read, stdin=POD)

    (answer,) = json.loads(ended.stdout) if read == "json" else yaml.safe_load(ended.stdout)
    assert answer == {
        "kind": "Pod",
        "namespace": "shop",
        "name": "web",
        "asked": "redis",
        "answer": "unknown",
        "inspected": {"Services": 0, "environment variables": 1},
        "lookedAt": {"Services": 0, "environment variables": 1},
        "because": [{"where": "env REDIS_PORT", "why": "a port without a host: no related setting names a host"}],
        "unknown": ["envFrom ← Secret hidden: Secret hidden cannot be read, or does not exist"],
        "source": "-:2",
    }


def test_the_answer_for_people(run):
    ended = run("explain", "-f", "-", "--why-not", "redis", stdin=POD)

    assert ended.stdout.splitlines() == [
        "shop Pod/web: client of redis? unknown",
        "  env REDIS_PORT: a port without a host: no related setting names a host",
        "  unknown: envFrom ← Secret hidden: Secret hidden cannot be read, or does not exist",
    ]


def test_what_says_nothing_is_counted(run):
    ended = run("explain", "-f", "-", "--why-not", "kafka", stdin=POD.replace("secretRef", "configMapRef"))

    assert "  none of 1 environment variables refers to kafka" in ended.stdout


def test_a_kind_that_is_not_known_is_wrong_usage(run):
    ended = run("explain", "-f", "-", "--why-not", "rabbitmp", stdin=POD)

    assert ended.returncode == ExitCode.USAGE
    assert "did you mean" in ended.stderr


def test_kinds_of_the_policys_own_catalog_can_be_asked_for(run, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: own}\n"
        "spec: {detection: {catalog: {workflow: {ports: [7233]}}}, rules: []}\n"
    )

    ended = run("explain", "-f", "-", "--policy", str(policy), "--why-not", "workflow", "-o", "json", stdin=POD)

    assert json.loads(ended.stdout)[0]["asked"] == "workflow"
