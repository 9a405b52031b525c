"""A sample of truth.yaml measured again, and all of its scenarios."""

import os

import matrix
import measuring
import pytest
import scenarios
import truth
from stage import Stage

CELLS = int(os.environ.get("MESH_CELLS", "60"))
SEED = int(os.environ.get("MESH_SEED", "1"))


@pytest.fixture(scope="module")
def expected():
    return truth.load(truth.PATH.read_text())


@pytest.fixture(scope="module")
def stage(bed, certificate):
    return Stage.set_up(bed, certificate)


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda one: one.__name__)
def test_a_scenario_goes_as_it_is_written_down(stage, expected, scenario):
    before = len(stage.sights)
    scenario(stage)
    measured = stage.sights[before:]
    assert measured
    assert truth.differences(expected, measured) == []


def test_sampled_cells_are_as_they_are_written_down(bed, certificate, expected):
    cells = matrix.sample(matrix.matrix(), CELLS, SEED)
    measured = measuring.measure(bed, cells, certificate)
    assert len(measured) == len(cells)
    different = truth.differences(expected, measured)
    assert not different, f"MESH_SEED={SEED} MESH_CELLS={CELLS}:\n" + "\n".join(different)
