"""What a cluster needs, on paper, from what was measured."""

import pytest
from estimate import Cluster, Costs, costs, estimate

KINDS = {"Namespaces": 1.0, "Services": 2.0, "ConfigMaps with the cluster's CA": 0.5, "ConfigMaps of 10 kB": 3.0}
COSTS = Costs(base_mb=100, object_kb=KINDS, base_seconds=1.0, config_map_seconds=0.002)
LARGE = Cluster(90_000, 100.0, dict.fromkeys(KINDS, 1_000))


def test_work_is_the_rate_of_reviews_by_the_cost_of_one():
    need = estimate(LARGE, COSTS, 0.001)

    assert need.reviews_per_second == pytest.approx(50)
    assert (need.cores, need.burst_cores) == pytest.approx((0.05, 0.2))


def test_memory_is_that_of_an_empty_cluster_and_of_each_object():
    assert estimate(LARGE, COSTS, 0.001).memory_mb == pytest.approx(100 + 1 + 2 + 0.5 + 3)


def test_a_start_takes_longer_with_each_config_map():
    assert estimate(LARGE, COSTS, 0.001).start_seconds == pytest.approx(1 + 2)


@pytest.mark.parametrize(("burst", "replicas"), [(1.0, 2), (500.0, 2), (501.0, 3), (5_000.0, 20)])
def test_replicas_keep_within_the_headroom_in_the_worst_minutes_and_are_two_at_least(burst, replicas):
    assert estimate(Cluster(1, burst, LARGE.objects), COSTS, 0.001).replicas == replicas


def test_the_cost_of_an_object_is_what_its_kind_added():
    sizes = {"nothing": 100, "namespaces": 102, "services": 107, "authorities": 108, "half": 130, "whole": 160}
    stages = {
        name: {"resident_mb": size, "objects": 1_000, "seconds": float(number)}
        for number, (name, size) in enumerate(sizes.items())
    }
    found = costs({"stages": stages})

    assert list(found.object_kb.values()) == pytest.approx([2, 5, 1, 30])
    assert (found.base_mb, found.config_map_seconds) == pytest.approx((100, 0.001))
