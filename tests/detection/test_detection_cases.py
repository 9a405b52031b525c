from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_clients_of_a_configuration_are_found_and_no_others(case, find):
    findings = find(case)

    assert {dependency.kind for dependency in findings.dependencies} == set(case["clients"]), findings
