"""The applications of tests/mesh/broken break as the record has it, which docs/comparison.md shows."""

import breaking
import truth
import yaml
from applications import RECORD


def test_every_broken_application_breaks_as_recorded(bed, certificate):
    recorded = yaml.safe_load(RECORD.read_text())["applications"]
    with breaking.running(bed) as pods:
        (seen,) = breaking.measure(bed, pods, certificate)

    assert {name: truth.written(one) for name, one in seen.items()} == {
        name: one["envoy"] for name, one in recorded.items()
    }
