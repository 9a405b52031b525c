"""Theory: requests wait behind those before them, on the replica that their connection leads to."""

import pytest
from queueing import replay, utilisation


def test_a_request_that_meets_nobody_takes_its_own_time():
    assert replay([0.0, 1.0, 2.0], 0.1, 1).seconds == pytest.approx((0.1, 0.1, 0.1))


def test_each_of_a_burst_waits_for_all_before_it():
    assert replay([0.0] * 4, 0.1, 1).seconds == pytest.approx((0.1, 0.2, 0.3, 0.4))


def test_a_burst_is_shared_by_the_servers():
    replayed = replay([0.0] * 4, 0.1, 2)

    assert replayed.servers == (0, 1, 0, 1)
    assert replayed.seconds == pytest.approx((0.1, 0.1, 0.2, 0.2))


def test_requests_one_by_one_all_go_where_the_first_went():
    assert set(replay([float(at) for at in range(50)], 0.1, 3).servers) == {0}


def test_the_connection_that_was_used_last_is_used_next():
    assert replay([0.0, 0.0, 10.0, 20.0, 30.0], 0.1, 2).servers == (0, 1, 1, 1, 1)


def test_connections_beyond_those_that_stay_open_are_opened_anew():
    bursts = [0.0] * 6 + [10.0] * 6

    assert replay(bursts, 0.1, 2, most_idle=1).servers == (0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0)


def test_utilisation_is_the_share_of_the_time_that_the_work_takes():
    assert utilisation(rate=50, service=0.004, servers=2) == pytest.approx(0.1)
