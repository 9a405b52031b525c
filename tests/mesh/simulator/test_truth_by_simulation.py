"""The simulator agrees with what was measured on real sidecars: every cell, and every scenario."""

import cells
import pytest
import sights
import simulator
import truth
from matrix import Cell
from truth import Sight


@pytest.fixture(scope="module")
def measured():
    return truth.load(truth.PATH.read_text())


def different(measured, answers):
    """What was measured otherwise than it is simulated."""
    return [
        f"{key}: measured {measured[key].seen}, simulated {answer}"
        for key, answer in answers.items()
        if (answer.result, answer.wire)
        not in {(seen.result, seen.wire) for seen in (measured[key].seen, *measured[key].flaky)}
    ]


def test_every_cell_is_as_it_was_measured(measured):
    answers = cells.answers([key for key in measured if isinstance(key, Cell)])
    assert not different(measured, answers), "\n".join(different(measured, answers))
    assert len(answers) >= 600


def test_every_scenario_is_as_it_was_measured(measured):
    asked = list(sights.every())
    told = simulator.simulate(mesh for _, mesh in asked)
    answers = {sight: one for sights, mesh in asked for sight, one in zip(sights, told[mesh.name], strict=True)}
    assert not different(measured, answers), "\n".join(different(measured, answers))
    assert set(answers) == {key for key in measured if isinstance(key, Sight) and key.step != "kept open"}
