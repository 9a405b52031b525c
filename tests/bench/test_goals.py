import pytest
from figures import Figures, Sample, Side
from goals import GOALS, Goal, outcomes

GOAL = Goal("ours / peer", "p99", Side("load", "ours"), Side("load", "peer"), limit=1.25)


def outcome(ours, peer):
    samples = [Sample("load", arm, 0, {"p99": value}) for arm, value in (("ours", ours), ("peer", peer))]
    (one,) = outcomes(Figures(samples), [GOAL])
    return one


@pytest.mark.parametrize(("ours", "met"), [(5.0, True), (5.01, False)])
def test_a_goal_is_met_up_to_its_limit(ours, met):
    assert outcome(ours, peer=4.0).met is met


@pytest.mark.parametrize(("seconds", "met"), [([0.9, 1.0, 7.0], True), ([0.9, 1.01, 7.0], False)])
def test_a_time_is_held_against_the_limit_itself(seconds, met):
    figures = Figures(Sample("start", "ours", number, {"ready": took}) for number, took in enumerate(seconds))
    (one,) = outcomes(figures, [Goal("start", "ready", Side("start", "ours"), None, limit=1.0)])

    assert (one.met, one.goal.unit) == (met, "s")


def test_a_goal_that_was_not_measured_is_not_met():
    (one,) = outcomes(Figures([]), [GOAL])

    assert not one.met


def test_no_two_goals_have_one_name():
    assert len({goal.name for goal in GOALS}) == len(GOALS)
