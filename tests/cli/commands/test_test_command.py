from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from webhook.cli.main import app

POLICY = {
    "apiVersion": "sidecar-policy.dev/v1alpha1",
    "kind": "InjectionPolicy",
    "metadata": {"name": "p"},
    "spec": {"rules": [{"name": "batch", "match": {"owners": ["Job"]}, "action": "skip"}]},
}
POD = {"metadata": {"ownerReferences": [{"kind": "Job", "name": "backup"}]}, "spec": {"volumes": None}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
}


@pytest.fixture
def run(tmp_path):
    """Runs the command on a file with these tests; further fields of the file go by keyword."""

    def run_(*cases, options=(), **fields):
        (tmp_path / "policy.yaml").write_text(json.dumps(POLICY))
        (tmp_path / "web.yaml").write_text(json.dumps(DEPLOYMENT))
        document = {
            "apiVersion": "sidecar-policy.dev/v1alpha1",
            "kind": "PolicyTest",
            "policy": "policy.yaml",
            **fields,
            "tests": [{"name": "t", **case} for case in cases],
        }
        (tmp_path / "p.test.yaml").write_text(json.dumps(document, indent=1))
        return CliRunner().invoke(app, ["test", str(tmp_path / "p.test.yaml"), *options])

    return run_


EVERYTHING = {
    "action": "skip",
    "rule": "batch",
    "mode": "enforce",
    "hold": False,
    "ports": [],
    "dependencies": [],
    "serves": [],
    "reason": "rule",
}


def test_a_test_whose_every_expectation_is_met_passes(run):
    result = run({"pod": POD, "expect": EVERYTHING})

    assert result.exit_code == 0, result.output
    assert "1 passed, 0 failed" in result.stdout


@pytest.mark.parametrize(
    ("field", "wrong", "line"),
    [
        ("action", "inject", "action: expected inject, got skip"),
        ("rule", "", "rule: expected none, got batch"),
        ("mode", "audit", "mode: expected audit, got enforce"),
        ("hold", True, "hold: expected true, got false"),
        ("ports", [81, 80], "ports: expected 80, 81, got none"),
        ("dependencies", ["redis"], "dependencies: expected redis, got none"),
        ("serves", ["redis"], "serves: expected redis, got none"),
        ("reason", "default", "reason: expected default, got rule"),
    ],
)
def test_each_expectation_that_is_not_met_fails_the_test_and_says_what_came_instead(run, field, wrong, line):
    result = run({"pod": POD, "expect": {**EVERYTHING, field: wrong}})

    assert result.exit_code == 1
    assert f"     {line}\n     because the first rule that matches decides: owner Job/backup\n" in result.stdout
    assert "0 passed, 1 failed" in result.stdout


def test_only_what_is_expected_is_compared(run):
    assert run({"pod": POD, "expect": {}}).exit_code == 0


@pytest.mark.parametrize("workload", ["Deployment/web", "Deployment/shop/web"])
def test_a_workload_of_the_manifests_is_tested_by_its_name(run, workload):
    result = run({"workload": workload, "expect": {"action": "inherit", "reason": "default"}}, manifests=["web.yaml"])

    assert result.exit_code == 0, result.output


def test_the_labels_of_namespaces_can_be_given(run):
    result = run(
        {"pod": POD, "expect": {"reason": "namespace-disabled"}}, namespaceLabels={"istio-injection": "disabled"}
    )

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ({"pod": POD, "expect": {"acton": "skip"}}, "tests[0].expect.acton: unknown field (did you mean 'action'?)"),
        ({"expect": {}}, "tests[0]: needs either workload or pod"),
        ({"pod": POD, "workload": "Deployment/web", "expect": {}}, "tests[0]: needs either workload or pod"),
        ({"workload": "web", "expect": {}}, "tests[0].workload: invalid workload 'web' (write kind/name"),
        ({"workload": "Job/x", "expect": {}}, "tests[0].workload: Job/x is not among the manifests: Deployment/web"),
        ({"pod": POD, "expect": {"reason": "rules"}}, "unknown reason 'rules' (did you mean 'rule'?)"),
        ({"pod": POD, "expect": {"serves": ["postgres"]}}, "unknown kind 'postgres' (did you mean 'postgresql'?)"),
        (
            {"pod": {"spec": {"containers": [{"name": 5}]}}, "expect": {}},
            "tests[0].pod.spec.containers[0].name: expected `str`, got `int`",
        ),
    ],
)
def test_a_faulty_test_is_told_with_line_field_and_remedy(run, case, problem):
    result = run(case, manifests=["web.yaml"])

    assert result.exit_code == 1
    assert problem in result.stderr
    assert "p.test.yaml:" in result.stderr.split(": error:")[0]


@pytest.mark.parametrize("fields", [{"policy": "absent.yaml"}, {"manifests": ["absent.yaml"]}])
def test_a_file_that_is_not_there_is_unreadable(run, fields):
    result = run({"pod": POD, "expect": {}}, **fields)

    assert result.exit_code == 3
    assert "absent.yaml: error: cannot be read" in result.stderr


def test_junit_has_a_case_for_each_test_and_says_why_one_failed(run, tmp_path):
    run(
        {"pod": POD, "expect": {"action": "skip"}},
        {"name": "a\x00b & <c>", "pod": POD, "expect": {"action": "inject"}},
        options=["--junit", str(tmp_path / "out.xml")],
    )
    suite = ET.parse(tmp_path / "out.xml").getroot().find("testsuite")
    passed, failed = suite.findall("testcase")

    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert passed.find("failure") is None
    assert failed.get("name") == "a\ufffdb & <c>"
    assert failed.find("failure").get("message") == "action: expected inject, got skip"
