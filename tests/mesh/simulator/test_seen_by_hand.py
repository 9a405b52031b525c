"""The simulator says of the connections that were looked at by hand what was seen of them."""

import pytest
import seen_by_hand
import simulator
from seen_by_hand import ROWS

CAPTURED = seen_by_hand.captured()


@pytest.fixture(scope="module")
def answers():
    return simulator.simulate([*(row.mesh(number) for number, row in enumerate(ROWS)), *(mesh for _, mesh in CAPTURED)])


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_row_is_as_it_was_seen(answers, number):
    answer = answers[str(number)][0]
    assert (answer.result, answer.wire) == ROWS[number].seen, f"{ROWS[number]}: {answer}"


@pytest.mark.parametrize(("seen", "mesh"), CAPTURED)
def test_a_service_elsewhere_captures_a_port(answers, seen, mesh):
    answer = answers[mesh.name][0]
    assert (answer.result, answer.wire) == seen, answer
