from __future__ import annotations

from pathlib import Path

import pytest
import yaml

FILES = ("cases.yaml", "software.yaml", "regressions.yaml")


def _cases():
    for file in FILES:
        for case in yaml.safe_load((Path(__file__).parent / file).read_text(encoding="utf-8")):
            yield pytest.param(case, id=f"{file}: {case['name']}")


@pytest.mark.parametrize("case", list(_cases()))
def test_the_clients_of_a_configuration_are_found_and_no_others(case, find):
    findings = find(case)

    assert {dependency.kind for dependency in findings.dependencies} == set(case["clients"]), findings
