"""What reviews took while something happened is told by what they took around it."""

import pytest
from results import compared


def reviews(seconds):
    return [seconds] * 99 + [seconds * 10]


def test_each_round_is_compared_with_the_quiet_before_and_after_it():
    slower = [("idle", reviews(1)), ("relist", reviews(4)), ("idle", reviews(3))]

    assert compared(slower)["rounds"]["relist"] == [{"p50": 2, "p99": 2, "max": 2}]


def test_the_middle_one_of_the_rounds_counts():
    rounds = [one for factor in (2, 9, 3) for one in (("relist", reviews(factor)), ("idle", reviews(1)))]

    found = compared([("idle", reviews(1)), *rounds])["relist"]

    assert (found["p99"], found["reviews"]) == (3, 300)


def test_what_has_no_quiet_on_both_sides_is_compared_with_all_of_it():
    found = compared([("idle", [1.0, 3.0]), ("idle", [3.0]), ("large", [6.0]), ("large", [9.0])])

    assert found["rounds"]["large"] == [{"p50": 2, "p99": 2, "max": 2}, {"p50": 3, "p99": 3, "max": 3}]
    assert found["idle"] == pytest.approx({"reviews": 3, "p50": 3.0, "p99": 3.0, "max": 3.0})
