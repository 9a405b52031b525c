"""Theory: requests wait behind those before them, on the replica that their connection leads to."""

import pytest
from queueing import Costs, replay

ALIKE = Costs(known=0.1, new=0.1)


def of_one(times):
    return [(float(at), "pod") for at in times]


def test_a_request_that_meets_nobody_takes_its_own_time():
    assert replay(of_one([0, 1, 2]), ALIKE, 1).seconds == pytest.approx((0.1, 0.1, 0.1))


def test_each_of_a_burst_waits_for_all_before_it():
    assert replay(of_one([0] * 4), ALIKE, 1).seconds == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_a_burst_is_shared_by_the_servers():
    replayed = replay(of_one([0] * 4), ALIKE, 2)

    assert replayed.servers == (0, 1, 0, 1)
    assert replayed.seconds == pytest.approx((0.1, 0.1, 0.2, 0.2))


def test_requests_one_by_one_all_go_where_the_first_went():
    assert set(replay(of_one(range(50)), ALIKE, 3).servers) == {0}


def test_the_connection_that_was_used_last_is_used_next():
    assert replay(of_one([0, 0, 10, 20, 30]), ALIKE, 2).servers == (0, 1, 1, 1, 1)


def test_connections_beyond_those_that_stay_open_are_opened_anew():
    replayed = replay(of_one([0] * 6 + [10] * 6), ALIKE, 2, most_idle=1)

    assert replayed.opened == 11


def test_a_handshake_is_work_before_the_request():
    replayed = replay(of_one([0, 1]), Costs(known=0.1, new=0.1, connection=0.3), 1)

    assert replayed.seconds == pytest.approx((0.4, 0.1))
    assert replayed.busy == pytest.approx((0.5,))


def test_a_request_goes_over_a_connection_that_is_free_before_its_own_is_open():
    slow = Costs(known=0.1, new=0.1, connection=0.3)

    # The second finds the first one's connection still open, and that one free, before its own is.
    assert replay(of_one([0, 0.35]), slow, 2).servers == (0, 0)


def test_a_pod_is_new_to_each_server_once():
    costs = Costs(known=0.1, new=0.5)
    replayed = replay([(0.0, "a"), (0.0, "a"), (9.0, "a"), (10.0, "b"), (20.0, "c")], costs, 2, known={"c"})

    assert replayed.seconds == pytest.approx((0.5, 0.5, 0.1, 0.5, 0.1))
    assert replayed.new == 3


def test_to_begin_takes_longer_than_to_go_on():
    replayed = replay(of_one([1, 1, 9]), Costs(known=0.1, new=0.1, waking=0.2), 1)

    assert replayed.seconds == pytest.approx((0.3, 0.4, 0.3))
    assert replayed.busy == pytest.approx((0.7,))


def test_a_client_that_is_busy_sends_later_and_its_own_time_is_not_the_servers():
    replayed = replay(of_one([0, 5, 5.1, 5.2]), Costs(known=0.1, new=0.1, sending=0.2), 1)

    assert replayed.seconds[1:] == pytest.approx((0.1, 0.1, 0.1))


def test_the_handshake_begins_when_the_client_has_opened_the_connection():
    replayed = replay(of_one([0, 9]), Costs(known=0.1, new=0.1, connection=0.4, opening=0.3), 1)

    assert replayed.seconds == pytest.approx((0.8, 0.1))
