"""The table of truth that the repository keeps."""

import pytest
import truth
from matrix import Cell, covered, matrix, pairs
from truth import Measured, Seen, Sight

WORKS, RESET = Seen("works", "mtls"), Seen("reset", "plain")
CELL, SIGHT = Cell(declared="tcp"), Sight("a, b: c", "step", "none", "tls")
VERSIONS = {"envoy": "1.2.3"}


def test_what_is_written_is_what_is_read():
    written = [
        Measured(CELL, WORKS),
        Measured(SIGHT, Seen("protocol error", "plain", "HTTP/1.1 400: no"), (RESET, WORKS)),
    ]
    assert list(truth.load(truth.dump(VERSIONS, written)).values()) == written


def test_a_connection_is_one_line():
    text = truth.dump(VERSIONS, [Measured(CELL, WORKS), Measured(SIGHT, RESET)])
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(lines) == 2
    assert lines[0].endswith("result: works, wire: mtls}")


@pytest.mark.parametrize("other", [Seen("works", "plain"), Seen("hangs", "mtls"), Seen("works", "mtls", "more")])
def test_another_result_is_a_difference_that_names_the_connection_and_both_results(other):
    expected: dict[truth.Key, Measured] = {CELL: Measured(CELL, WORKS)}
    (told,) = truth.differences(expected, [Measured(CELL, other)])
    assert str(CELL) in told
    assert "expected {result: works, wire: mtls}" in told
    assert f"seen {{result: {other.result}, wire: {other.wire}" in told


def test_a_flaky_connection_may_be_all_that_it_was_and_nothing_else():
    flaky: dict[truth.Key, Measured] = {CELL: Measured(CELL, WORKS, (WORKS, RESET))}
    assert truth.differences(flaky, [Measured(CELL, RESET)]) == []
    assert truth.differences(flaky, [Measured(CELL, Seen("hangs", "plain"))])


def test_a_connection_that_the_file_lacks_is_a_difference():
    assert "make mesh-truth" in truth.differences({}, [Measured(CELL, WORKS)])[0]


def test_the_file_has_every_cell_of_the_matrix_and_each_pair_of_values():
    kept = [key for key in truth.load(truth.PATH.read_text()) if isinstance(key, Cell)]
    assert sorted(kept) == matrix()
    assert len(kept) >= 600
    assert pairs() - covered(kept) == set()
