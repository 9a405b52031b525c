from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from webhook.cli.main import app
from webhook.detection.catalog import Catalog
from webhook.policy.schema import json_schema

POLICY = """\
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: mine}
spec:
  rules:
  - {name: all, match: {dependencies: [redis]}, action: skip}
"""


@pytest.fixture
def validate(tmp_path):
    def run(*arguments, text=POLICY, stdin=None):
        (tmp_path / "p.yaml").write_text(text)
        given = [str(tmp_path / argument) if argument.endswith("yaml") else argument for argument in arguments]
        return CliRunner().invoke(app, ["validate", *given], input=stdin)

    return run


def test_a_good_policy_is_ok_with_its_rules_and_generation(validate):
    result = validate("p.yaml")

    assert result.exit_code == 0
    assert result.stdout.startswith("OK: policy mine, 1 rule, generation ")


def test_a_bad_policy_fails_and_names_the_line_the_field_and_the_remedy(validate, tmp_path):
    result = validate("p.yaml", text=POLICY.replace("dependencies", "depndencies"))

    assert result.exit_code == 1
    assert result.stderr == (
        f"{tmp_path}/p.yaml:6: error: spec.rules[0].match.depndencies: unknown field (did you mean 'dependencies'?)\n"
    )


def test_a_missing_file_is_unreadable(validate, tmp_path):
    result = validate("absent.yaml")

    assert result.exit_code == 3
    assert f"{tmp_path}/absent.yaml: error: cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize(("options", "exit_code"), [([], 0), (["--strict"], 1)])
def test_a_warning_fails_only_when_strict(validate, options, exit_code):
    twice = POLICY + "  - {name: again, match: {dependencies: [redis]}, action: skip}\n"
    result = validate("p.yaml", *options, text=twice)

    assert result.exit_code == exit_code
    assert "p.yaml:7: warning: spec.rules[1]: unreachable: rule 'all'" in result.stderr


def test_standard_input_is_a_file_too(validate):
    assert validate("-", stdin=POLICY).exit_code == 0
    assert (
        "-:3: error: metadata.nam: unknown field" in validate("-", stdin=POLICY.replace("name: mine", "nam: x")).stderr
    )


def test_json_output_has_every_problem_as_an_object(validate, tmp_path):
    report = json.loads(validate("p.yaml", "-o", "json", text=POLICY.replace("skip", "skp")).stdout)

    assert report["valid"] is False
    assert report["problems"] == [
        {
            "severity": "error",
            "file": f"{tmp_path}/p.yaml",
            "line": 6,
            "field": "spec.rules[0].action",
            "message": "must be one of inherit, skip, inject, bypass, not 'skp'",
            "hint": "did you mean 'skip'?",
        }
    ]


def test_the_json_schema_is_printed(validate):
    assert json.loads(validate("--schema").stdout) == json_schema(Catalog.default().kinds)


def test_without_a_file_the_usage_is_wrong(validate):
    assert validate().exit_code == 2
