from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from webhook.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples" / "policies"
TESTS = sorted(EXAMPLES.glob("*.test.yaml"))
POLICIES = sorted(set(EXAMPLES.glob("*.yaml")) - set(TESTS))


def test_every_example_has_its_tests():
    assert [file.name.replace(".test", "") for file in TESTS] == [file.name for file in POLICIES]


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_an_example_is_free_of_problems(file):
    result = CliRunner().invoke(app, ["validate", "--strict", str(file)])

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_an_example_decides_as_its_tests_say(file):
    result = CliRunner().invoke(app, ["test", str(file)])

    assert result.exit_code == 0, result.output
