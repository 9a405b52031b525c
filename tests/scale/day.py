"""A day of pod creations in a very large cluster, made from a seed: in excerpts, each a minute of it or an event.

Rates are those of the issue that the estimate is about: 100,000 pods in the busiest hour.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

PEAK_PER_HOUR = 100_000
PEAK = PEAK_PER_HOUR / 3600
"""Pods a second in the busiest hour."""
_QUIETEST = 0.2


Pod = tuple[float, int, int]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of the day.

    Attributes:
        name: What happens in it.
        seconds: How long it is.
        pods: When pods are created in it, in seconds from its beginning, in order, of which workload, and of which of
            its revisions. Those of revision 0 were there before.
    """

    name: str
    seconds: float
    pods: tuple[Pod, ...]

    @property
    def rate(self) -> float:
        """Pods a second."""
        return len(self.pods) / self.seconds


def share(hour: float) -> float:
    """How busy an hour is, by the busiest: quiet at three at night, busiest at three in the afternoon."""
    wave = (1 - math.cos((hour - 3) / 24 * 2 * math.pi)) / 2
    return _QUIETEST + (1 - _QUIETEST) * wave


def excerpts(workloads: int, *, seed: int = 1) -> list[Excerpt]:
    """The day.

    Args:
        workloads: How many different ones there are.
        seed: The same one gives the same day.

    Returns:
        A minute of every third hour, with the bursts in which Deployments scale, and the events of the day, each on
        top of the busiest hour.
    """
    chance = random.Random(seed)
    day = [
        _excerpt(f"{hour:02}:00", 60.0, _steady(chance, workloads, share(hour) * PEAK, 60.0))
        for hour in range(0, 24, 3)
    ]
    events = (
        ("CronJobs of the full minute", 90.0, _cron_jobs(chance, workloads, minutes=2, jobs=300)),
        ("a node pool is replaced", 90.0, _node_pool(chance, workloads, nodes=45, pods=30, seconds=90.0)),
        ("all Deployments are restarted", 90.0, _rollout(chance, workloads, rate=1.5 * PEAK, seconds=90.0)),
    )
    for name, seconds, pods in events:
        day.append(_excerpt(name, seconds, [*_steady(chance, workloads, PEAK, seconds), *pods]))
    return day


def _excerpt(name: str, seconds: float, pods: Iterator[Pod] | list[Pod]) -> Excerpt:
    return Excerpt(name, seconds, tuple(sorted(pod for pod in pods if pod[0] < seconds)))


def _steady(chance: random.Random, workloads: int, rate: float, seconds: float) -> Iterator[Pod]:
    """Pods by themselves, and a third of all in bursts: a Deployment's replicas, ten to sixty at once."""
    at = 0.0
    while (at := at + chance.expovariate(rate * 2 / 3)) < seconds:
        yield at, chance.randrange(workloads), 0
    at = 0.0
    while (at := at + chance.expovariate(rate / 3 / 35)) < seconds:
        yield from _replicas(chance, at, chance.randrange(workloads), chance.randint(10, 60))


def _replicas(chance: random.Random, at: float, workload: int, count: int) -> Iterator[Pod]:
    """A ReplicaSet's pods: its controller begins with one and doubles as long as all goes well."""
    batch = 1
    while count > 0:
        for _ in range(min(batch, count)):
            yield at + chance.random() * 0.01, workload, 0
        at, count, batch = at + 0.05, count - batch, batch * 2


def _cron_jobs(chance: random.Random, workloads: int, *, minutes: int, jobs: int) -> Iterator[Pod]:
    """The Jobs of a minute are made one after the other, in some seconds. No Job's pods are those of another."""
    for minute in range(minutes):
        for number in range(jobs):
            yield (
                minute * 60 + number * 0.01 + chance.random() * 0.01,
                chance.randrange(workloads),
                1 + minute * jobs + number,
            )


def _node_pool(chance: random.Random, workloads: int, *, nodes: int, pods: int, seconds: float) -> Iterator[Pod]:
    """Node after node is drained; the pods of each are made anew within some seconds."""
    for node in range(nodes):
        for _ in range(pods):
            yield node * seconds / nodes + chance.random() * 5.0, chance.randrange(workloads), 0


def _rollout(chance: random.Random, workloads: int, *, rate: float, seconds: float) -> Iterator[Pod]:
    """Every workload is replaced by its next revision: as many at once as the controllers' own limits allow."""
    at = 0.0
    while (at := at + chance.expovariate(rate)) < seconds:
        yield at, chance.randrange(workloads), 1
