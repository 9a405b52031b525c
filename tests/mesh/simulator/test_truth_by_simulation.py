"""The simulator agrees with what was measured on real sidecars, on every cell of the matrix."""

import cells
import pytest
import truth
from matrix import Cell


@pytest.fixture(scope="module")
def measured():
    found = truth.load(truth.PATH.read_text())
    return {key: one for key, one in found.items() if isinstance(key, Cell)}


def test_every_cell_is_as_it_was_measured(measured):
    answers = cells.answers(measured)
    different = [
        f"{cell}: measured {one.seen}, simulated {answers[cell]}"
        for cell, one in measured.items()
        if (answers[cell].result, answers[cell].wire)
        not in {(seen.result, seen.wire) for seen in (one.seen, *one.flaky)}
    ]
    assert not different, "\n".join(different)
    assert len(measured) >= 600
