import json

import pytest
from figures import Cell, Figures, Sample, Side, Spread, interleaved

OURS, PEER = Side("load", "ours"), Side("load", "peer")


def rounds(**arms):
    """Figures of one scenario with the median of each arm, round by round; None where it was not measured."""
    return Figures(
        Sample("load", arm, number, {"p50": value})
        for arm, values in arms.items()
        for number, value in enumerate(values)
        if value is not None
    )


def test_a_ratio_is_taken_within_each_round_and_the_median_of_them_is_told():
    # The ratio of the medians would be 1: the second round was slow for both.
    figures = rounds(ours=[1.0, 9.0, 2.0], peer=[2.0, 10.0, 1.0])

    assert figures.ratio("p50", OURS, PEER).median == pytest.approx(0.9)


def test_half_of_the_rounds_lie_between_the_quartiles_that_are_told():
    figures = rounds(ours=[5.0, 1.0, 2.0, 4.0, 3.0], peer=[1.0] * 5)

    assert figures.ratio("p50", OURS, PEER) == Spread(median=3.0, low=2.0, high=4.0)


def test_what_an_arm_adds_is_counted_from_the_same_round():
    figures = rounds(none=[1.0, 5.0], ours=[2.0, 7.0])

    assert figures.values(Side("load", "ours", beyond="none"), "p50") == {0: 1.0, 1: 2.0}


def added(**arms):
    """What ours adds to none, as a ratio to what the peer adds to it."""
    return rounds(**arms).ratio("p50", Side("load", "ours", "none"), Side("load", "peer", "none"))


def test_of_what_is_added_the_ratio_of_the_medians_is_told():
    # In its single rounds it is 2, 0.5 and 1.5: what the peer adds in the first is next to nothing.
    ratio = added(none=[1.0, 1.0, 1.0], ours=[2.0, 3.0, 4.0], peer=[1.5, 5.0, 3.0])

    assert ratio == Spread(median=1.0, low=1.0, high=1.75)


def test_rounds_in_which_the_divisor_added_nothing_or_less_have_no_part_in_the_quartiles():
    ratio = added(none=[1.0] * 5, ours=[2.0] * 5, peer=[3.0, 3.0, 3.0, 1.0, 0.5])

    assert ratio == Spread(median=0.5, low=0.5, high=0.5)


@pytest.mark.parametrize("peer", [[3.0, 1.0, 0.5], [1.0, 1.0, 1.0]])
def test_beside_what_adds_nothing_there_is_no_ratio(peer):
    assert added(none=[1.0] * 3, ours=[2.0] * 3, peer=peer) is None


def test_a_round_that_lacks_one_side_is_left_out_of_the_ratio():
    figures = rounds(ours=[1.0, 1.0], peer=[2.0, None])

    assert figures.ratio("p50", OURS, PEER) == Spread(median=0.5, low=0.5, high=0.5)


@pytest.mark.parametrize("measure", ["p50", "p99"])
def test_what_was_not_measured_has_neither_a_median_nor_a_ratio(measure):
    figures = rounds(ours=[1.0] if measure == "p99" else [])

    assert figures.median(OURS, measure) is None
    assert figures.ratio(measure, OURS, PEER) is None


def test_figures_survive_json():
    figures = rounds(ours=[1.0, 2.0], peer=[3.0, 4.0])

    again = Figures.from_data(json.loads(json.dumps(figures.as_data())))

    assert again.samples == figures.samples


def test_every_round_measures_every_arm_once_and_another_arm_begins():
    order = []
    cells = [Cell("load", arm, lambda arm=arm: order.append(arm) or {}) for arm in ("a", "b", "c")]

    samples = list(interleaved(cells, 2))

    assert order == ["a", "b", "c", "b", "c", "a"]
    assert [one.round for one in samples] == [0, 0, 0, 1, 1, 1]


def test_arms_of_one_scenario_are_measured_next_to_each_other():
    order = []
    cells = [
        Cell(scenario, arm, lambda where=scenario + arm: order.append(where) or {})
        for arm in ("1", "2")
        for scenario in ("a", "b")
    ]

    list(interleaved(cells, 1))

    assert order == ["a1", "a2", "b1", "b2"]
