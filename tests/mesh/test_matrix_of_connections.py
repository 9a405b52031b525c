"""The choice of what is measured on a real mesh."""

import itertools

import pytest
from matrix import AXES, CORE, SEEN, SIZE, Cell, core, covered, matrix, pairs, sample


@pytest.fixture(scope="module")
def chosen():
    return matrix()


def test_every_possible_pair_of_values_is_measured(chosen):
    assert pairs() - covered(chosen) == set()


def test_a_pair_that_no_cell_can_have_is_not_asked_for(chosen):
    possible = {Cell(server="none", sidecar="ingress").possible, Cell(client="none", sidecar="egress").possible}
    assert possible == {False}
    assert all(cell.possible for cell in chosen)
    assert len(pairs()) == sum(len(a) * len(b) for a, b in itertools.combinations(AXES.values(), 2)) - 2


def test_all_combinations_of_what_decides_most_are_measured_with_defaults_for_the_rest(chosen):
    assert len(core()) == 3 * 3 * 11 * 5
    assert set(core()) <= set(chosen)
    assert {cell.peer for cell in core()} == {"PERMISSIVE"}
    assert CORE == ("client", "server", "declared", "protocol")


def test_what_was_seen_by_hand_is_measured_and_in_every_sample(chosen):
    assert set(SEEN) <= set(chosen)
    assert set(SEEN) <= set(sample(chosen, 10, seed=1))


def test_the_matrix_is_the_same_every_time_and_has_no_cell_twice(chosen):
    assert matrix() == chosen
    assert len(set(chosen)) == len(chosen) == SIZE


def test_another_seed_samples_other_cells(chosen):
    assert sample(chosen, 60, seed=1) == sample(chosen, 60, seed=1) != sample(chosen, 60, seed=2)
