from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner
from written_tests import EVERYTHING, POD, write_tests

from webhook.cli.main import app


@pytest.fixture
def run(tmp_path):
    """Runs the command on a file with these tests; further fields of the file go by keyword."""

    def run_(*cases, options=(), **fields):
        return CliRunner().invoke(app, ["test", str(write_tests(tmp_path, *cases, **fields)), *options])

    return run_


def test_a_test_whose_every_expectation_is_met_passes(run):
    result = run({"pod": POD, "expect": EVERYTHING})

    assert result.exit_code == 0, result.output
    assert "1 passed, 0 failed" in result.stdout


def test_a_test_that_fails_says_what_came_instead_and_why(run):
    result = run({"pod": POD, "expect": {**EVERYTHING, "action": "inject"}})

    assert result.exit_code == 1
    assert (
        "     action: expected inject, got skip\n"
        "     because the first rule that matches decides: owner Job/backup\n" in result.stdout
    )
    assert "0 passed, 1 failed" in result.stdout


def test_a_faulty_test_is_a_problem_of_its_file(run):
    result = run({"pod": POD, "expect": {"acton": "skip"}})

    assert result.exit_code == 1
    assert "tests[0].expect.acton: unknown field (did you mean 'action'?)" in result.stderr


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
