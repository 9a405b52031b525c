"""The synthetic day: the same for the same seed, as busy as it is meant to be, with its bursts where they belong."""

from itertools import pairwise

import pytest
from day import PEAK, excerpts, share

DAY = {one.name: one for one in excerpts(400)}


def test_the_same_seed_gives_the_same_day():
    assert excerpts(50, seed=3) == excerpts(50, seed=3)
    assert excerpts(50, seed=3) != excerpts(50, seed=4)


def test_the_busiest_hour_has_a_hundred_thousand_pods():
    assert share(15) == pytest.approx(1)
    assert round(PEAK * 3600) == 100_000
    assert DAY["15:00"].rate == pytest.approx(PEAK, rel=0.3)


def test_the_night_is_quiet():
    assert min(range(24), key=share) == 3
    assert DAY["03:00"].rate < DAY["15:00"].rate / 2


def test_pods_come_in_order_and_within_their_excerpt():
    for one in DAY.values():
        times = [at for at, *_ in one.pods]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] < one.seconds


def test_replicas_of_one_workload_come_in_a_burst():
    runs = [first[1] == second[1] for first, second in pairwise(DAY["15:00"].pods)]

    assert sum(runs) > len(runs) / 10


@pytest.mark.parametrize(
    ("name", "factor"),
    [("CronJobs of the full minute", 1.1), ("a node pool is replaced", 1.4), ("all Deployments are restarted", 2.3)],
)
def test_events_come_on_top_of_the_busiest_hour(name, factor):
    assert DAY[name].rate > factor * PEAK


def test_cron_jobs_come_right_after_the_full_minute():
    pods = [at % 60 for at, *_ in DAY["CronJobs of the full minute"].pods]

    assert sum(at < 4 for at in pods) > 3 * sum(20 <= at < 24 for at in pods)


def test_what_was_there_is_known_and_what_is_rolled_out_or_runs_once_is_not():
    revisions = {name: {revision for _, _, revision in one.pods} for name, one in DAY.items()}

    assert revisions["15:00"] == revisions["a node pool is replaced"] == {0}
    assert revisions["all Deployments are restarted"] == {0, 1}
    assert len(revisions["CronJobs of the full minute"]) == 1 + 2 * 300
