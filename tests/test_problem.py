from __future__ import annotations

import pytest

from webhook.problem import Problem, did_you_mean


def test_a_problem_reads_as_one_line_with_place_field_and_hint():
    problem = Problem("error", "p.yaml", 7, "spec.rules[0].acton", "unknown field", "did you mean 'action'?")

    line = str(problem)

    assert line == "p.yaml:7: error: spec.rules[0].acton: unknown field (did you mean 'action'?)"


def test_a_problem_of_the_whole_file_names_neither_line_nor_field():
    assert str(Problem("warning", "p.yaml", None, "", "the file is empty")) == "p.yaml: warning: the file is empty"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("acton", "did you mean 'action'?"),
        ("minconfidence", "did you mean 'minConfidence'?"),
        ("DEPNDENCIES", "did you mean 'dependencies'?"),
        ("xyzzy", None),
    ],
)
def test_a_near_name_is_suggested_whatever_its_case(written, hint):
    assert did_you_mean(written, ["action", "minConfidence", "dependencies"]) == hint
