"""What a cluster of any size will need, from what was measured: on paper, object by object and review by review."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

HEADROOM = 0.5
"""How busy the replicas may be, evenly spread, in the worst minutes: what bursts and uneven spreading need is left."""
FEWEST = 2
"""For availability, however little there is to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """How large a cluster is.

    Attributes:
        pods_per_hour: In its busiest hour.
        burst: Pods a second in its worst minutes.
        objects: Objects that are kept in memory, by kind.
    """

    pods_per_hour: int
    burst: float
    objects: dict[str, int]


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured.

    Attributes:
        base_mb: Memory of a server in an empty cluster.
        object_kb: Memory of each object, by kind.
        base_seconds: From start to ready in an empty cluster.
        config_map_seconds: How much longer for each ConfigMap.
    """

    base_mb: float
    object_kb: dict[str, float]
    base_seconds: float
    config_map_seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is needed.

    Attributes:
        reviews_per_second: In the busiest hour.
        cores: What they take, of all replicas together.
        burst_cores: The same in the worst minutes.
        replicas: How many keep within the headroom even then.
        memory_mb: Of each replica.
        start_seconds: From the start of a replica until it is ready.
    """

    reviews_per_second: float
    cores: float
    burst_cores: float
    replicas: int
    memory_mb: float
    start_seconds: float


def costs(cluster: dict[str, Any]) -> Costs:
    """What one object costs, from the results."""
    stages = cluster["stages"]
    order = ("nothing", "namespaces", "services", "authorities", "half", "whole")
    per_object = {
        name: (stages[name]["resident_mb"] - stages[before]["resident_mb"]) * 1000 / stages[name]["objects"]
        for before, name in pairwise(order)
    }
    slope = (stages["whole"]["seconds"] - stages["half"]["seconds"]) / stages["whole"]["objects"]
    kinds = {
        "Namespaces": per_object["namespaces"],
        "Services": per_object["services"],
        "ConfigMaps with the cluster's CA": per_object["authorities"],
        "ConfigMaps of 10 kB": per_object["whole"],
    }
    nothing = stages["nothing"]
    return Costs(nothing["resident_mb"], kinds, nothing["seconds"], slope)


def estimate(cluster: Cluster, cost: Costs, review_seconds: float, reviews: int = 2) -> Estimate:
    """What a cluster needs.

    Args:
        cluster: How large it is.
        cost: What was measured.
        review_seconds: CPU that one review was measured to take.
        reviews: Of each pod.
    """
    rate = cluster.pods_per_hour / 3600 * reviews
    burst = cluster.burst * reviews * review_seconds
    memory = cost.base_mb + sum(count * cost.object_kb[kind] / 1000 for kind, count in cluster.objects.items())
    large = cluster.objects["ConfigMaps of 10 kB"]
    return Estimate(
        reviews_per_second=rate,
        cores=rate * review_seconds,
        burst_cores=burst,
        replicas=max(FEWEST, math.ceil(burst / HEADROOM)),
        memory_mb=memory,
        start_seconds=cost.base_seconds + large * cost.config_map_seconds,
    )
