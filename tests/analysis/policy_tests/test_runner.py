import re

import pytest
from written_tests import EVERYTHING, POD, write_tests

from webhook.analysis.policy_tests.runner import run
from webhook.policy.files import PolicyError


@pytest.fixture
def outcome(tmp_path):
    """The outcome of one test; further fields of its file go by keyword."""

    def outcome(case, **fields):
        (found,) = run(write_tests(tmp_path, case, **fields))
        return found

    return outcome


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
def test_each_expectation_that_is_not_met_is_a_difference_with_what_came_instead(outcome, field, wrong, line):
    found = outcome({"pod": POD, "expect": {**EVERYTHING, field: wrong}})

    assert [str(difference) for difference in found.differences] == [line]
    assert found.evidence == ("the first rule that matches decides: owner Job/backup",)


def test_only_what_is_expected_is_compared(outcome):
    assert outcome({"pod": POD, "expect": {}}).differences == ()


@pytest.mark.parametrize("workload", ["Deployment/web", "Deployment/shop/web"])
def test_a_workload_of_the_manifests_is_tested_by_its_name(outcome, workload):
    found = outcome(
        {"workload": workload, "expect": {"action": "inherit", "reason": "default"}}, manifests=["web.yaml"]
    )

    assert found.differences == ()


def test_the_labels_of_namespaces_can_be_given(outcome):
    found = outcome(
        {"pod": POD, "expect": {"reason": "namespace-disabled"}}, namespaceLabels={"istio-injection": "disabled"}
    )

    assert found.differences == ()


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
def test_a_faulty_test_is_told_with_line_field_and_remedy(outcome, case, problem):
    with pytest.raises(PolicyError, match=re.escape(problem)) as raised:
        outcome(case, manifests=["web.yaml"])

    assert "p.test.yaml:" in str(raised.value).split(": error:")[0]
